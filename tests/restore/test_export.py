"""Exported graphs: the same results as the networks, at any size or a fixed one."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from curate.cli.app import app
from curate.errors import MissingExtra, RestoreError
from curate.restore import export_model, load_model
from curate.restore.checkpoints.checkpoint import CheckpointInfo, save_model
from curate.restore.checkpoints.exportable import Exportable
from curate.restore.models import MoCEIR, build_model

U = {"num_blocks": [1, 1], "heads": [1, 2], "refinement_blocks": 1}
SWIN = {"dim": 12, "depths": [2], "heads": 3}
SMALL: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "moe_ir_30g": ({**U, "num_dec_blocks": [1]}, {"route": 3}, {"route": 3}),
    "swinir": (SWIN, {}, {}),
    "damoe": (SWIN | {"experts": 3}, {"task": 2}, {"task": "denoise_25"}),
    "restormer": ({"dim": 8, **U}, {}, {}),
    "airnet": ({"dim": 8, "groups": 1, "blocks": 1}, {}, {}),
}
"""Settings, forward kwargs, and the matching options of the export."""


@pytest.fixture
def checkpoint(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Write a checkpoint of a network in which every part changes the result."""
    name: str = request.param
    torch.manual_seed(0)
    model = build_model(name, **SMALL[name][0])
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if parameter.dim() > 1:
                parameter *= 20 if ".gate." in key else 2
    path = tmp_path / f"{name}.safetensors"
    info = CheckpointInfo(model=name, settings=SMALL[name][0], metrics={"psnr": 30.5})
    save_model(path, model.state_dict(), info)
    return path


@pytest.mark.parametrize("checkpoint", SMALL, indirect=True)
def test_onnx_result_equals_the_networks_at_any_size(checkpoint: Path, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    _, kwargs, options = SMALL[checkpoint.stem]
    export_model(checkpoint, tmp_path / "model.onnx", **options)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    model = load_model(checkpoint, device="cpu")
    for size in ((33, 57), (56, 112), (9, 16), (70, 8)):
        image = torch.rand(1, 3, *size)
        (restored,) = session.run(["restored"], {"image": image.numpy()})
        with torch.no_grad():
            expected = model(image, **kwargs).numpy()
        assert restored.shape == expected.shape
        assert np.abs(restored - expected).max() < 1e-4
        assert np.abs(expected - image.numpy()).max() > 1e-2, "the network must do something"
    written = json.loads(session.get_modelmeta().custom_metadata_map["curate"])
    assert (written["model"], written["metrics"]["psnr"]) == (checkpoint.stem, 30.5)


@pytest.mark.parametrize("checkpoint", ["moe_ir_30g", "damoe"], indirect=True)
def test_pt2_program_result_equals_the_networks(checkpoint: Path, tmp_path: Path) -> None:
    _, kwargs, named = SMALL[checkpoint.stem]
    out = tmp_path / "model.pt2"
    command = ["models", "export", str(checkpoint), "--to=pt2", f"-o{out}"]
    options = {**named, "height": 36, "width": 51}
    command += [f"--{key}={value}" for key, value in options.items()]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert (result.exit_code, result.stdout.split()) == (0, ["pt2", str(out)])
    extra = {"curate": ""}
    program = torch.export.load(out, extra_files=extra).module()
    image = torch.rand(1, 3, 36, 51)
    with torch.no_grad():
        expected = load_model(checkpoint, device="cpu")(image, **kwargs)
        assert torch.allclose(program(image), expected, atol=1e-4)
    assert json.loads(extra["curate"])["model"] == checkpoint.stem


@pytest.mark.parametrize("route", range(4))
@pytest.mark.parametrize("size", [(32, 32), (9, 70), (33, 17)], ids=str)
def test_tile_convolution_by_matrices_equals_that_by_fft(route: int, size: tuple[int, int]) -> None:
    torch.manual_seed(route)
    model = build_model("moe_ir_30g", **SMALL["moe_ir_30g"][0]).eval()
    assert isinstance(model, MoCEIR)
    image = torch.rand(1, 3, *size)
    exportable = Exportable(model, route=route)
    name = f"decoder.0.0.routed.experts.{route}.mix"
    mixer, other = model.get_submodule(name), exportable.model.get_submodule(name)
    q, k = torch.randn(2, 2, 1 << route, *size)
    assert torch.allclose(mixer._convolve(q, k), other._convolve(q, k), atol=1e-4)
    assert type(mixer) is not type(other), "the network itself stays as it was"
    with torch.no_grad():
        assert torch.allclose(exportable(image), model(image, route=route), atol=1e-5)


@pytest.mark.parametrize(
    ("checkpoint", "options", "message"),
    [
        ("moe_ir_30g", {}, r"one route .*: name the expert of all blocks, --route 0 .* to 3"),
        ("moe_ir_30g", {"route": 4}, "--route 0"),
        ("restormer", {"route": 1}, "routes nothing by image: leave --route out"),
        ("damoe", {}, r"one task of this model: name it \(--task\), one of sr"),
        ("damoe", {"task": "denoize"}, "no task 'denoize'"),
        ("restormer", {"to": "pt2"}, "a pt2 program holds for one size: give --height and --width"),
        ("restormer", {"height": 64}, "give both --height and --width"),
        ("swinir", {"height": 6, "width": 64}, "takes images from 7 pixels a side"),
        ("restormer", {"to": "tflite"}, "exported to onnx or pt2, not 'tflite'"),
    ],
    indirect=["checkpoint"],
)
def test_export_that_no_graph_can_hold_is_refused(
    checkpoint: Path, options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(RestoreError, match=message):
        export_model(checkpoint, tmp_path / "model", **options)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("checkpoint", ["restormer"], indirect=True)
def test_export_that_pytorch_cannot_trace_is_refused(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise NotImplementedError("no solution\nof an inequality")

    monkeypatch.setattr("torch.export.export", fail)
    with pytest.raises(RestoreError, match=r"\(no solution\): fix one with --height and --width"):
        export_model(checkpoint, tmp_path / "model.onnx")


@pytest.mark.parametrize("checkpoint", ["restormer"], indirect=True)
def test_export_without_onnx_names_the_extra(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(MissingExtra, match=r"curate-restoration\[onnx\]"):
        export_model(checkpoint, tmp_path / "model.onnx", height=8, width=8)
