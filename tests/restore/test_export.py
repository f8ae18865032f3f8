"""Exported graphs give what the networks give."""

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
from curate.restore.checkpoints.exportable import Portable
from curate.restore.models import MoCEIR, build_model

U = {"num_blocks": [1, 1], "heads": [1, 2], "refinement_blocks": 1}
SMALL: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "moe_ir_30g": ({**U, "num_dec_blocks": [1]}, {"route": 3}, {"route": 3}),
    "swinir": ({"dim": 12, "depths": [2], "heads": 3}, {}, {}),
    "damoe": (
        {"dim": 12, "depths": [2], "heads": 3, "experts": 3},
        {"task": 2},
        {"task": "denoise_25"},
    ),
    "restormer": ({"dim": 8, **U}, {}, {}),
    "airnet": ({"dim": 8, "groups": 1, "blocks": 1}, {}, {}),
}
"""Settings, what the network is called with, and the same for export."""


@pytest.fixture
def checkpoint(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Of a network in which every part shows."""
    name: str = request.param
    torch.manual_seed(0)
    model = build_model(name, **SMALL[name][0])
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if parameter.dim() > 1:
                parameter *= 20 if ".gate." in key else 2
    path = tmp_path / f"{name}.safetensors"
    save_model(
        path,
        model.state_dict(),
        CheckpointInfo(model=name, settings=SMALL[name][0], metrics={"psnr": 30.5}),
    )
    return path


@pytest.mark.parametrize("checkpoint", SMALL, indirect=True)
def test_onnx_gives_what_the_network_gives_at_any_size(checkpoint: Path, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    _, told, named = SMALL[checkpoint.stem]
    export_model(checkpoint, tmp_path / "model.onnx", **named)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    model = load_model(checkpoint, device="cpu")
    for size in ((33, 57), (56, 112), (9, 16), (70, 8)):
        image = torch.rand(1, 3, *size)
        (restored,) = session.run(["restored"], {"image": image.numpy()})
        with torch.no_grad():
            expected = model(image, **told).numpy()
        assert restored.shape == expected.shape
        assert np.abs(restored - expected).max() < 1e-4
        assert np.abs(expected - image.numpy()).max() > 1e-2, "the network must do something"
    written = json.loads(session.get_modelmeta().custom_metadata_map["curate"])
    assert (written["model"], written["metrics"]["psnr"]) == (checkpoint.stem, 30.5)


@pytest.mark.parametrize("checkpoint", ["moe_ir_30g", "damoe"], indirect=True)
def test_programs_give_what_the_network_gives(checkpoint: Path, tmp_path: Path) -> None:
    _, told, named = SMALL[checkpoint.stem]
    out = tmp_path / "model.pt2"
    options = [f"--{key}={value}" for key, value in named.items()]
    command = [
        "models",
        "export",
        str(checkpoint),
        "--to",
        "pt2",
        "-o",
        str(out),
        "--height",
        "36",
        "--width",
        "51",
    ]
    result = CliRunner().invoke(app, [*command, *options], catch_exceptions=False)
    assert (result.exit_code, result.stdout.split()) == (0, ["pt2", str(out)])
    extra = {"curate": ""}
    program = torch.export.load(out, extra_files=extra).module()
    image = torch.rand(1, 3, 36, 51)
    with torch.no_grad():
        assert torch.allclose(
            program(image), load_model(checkpoint, device="cpu")(image, **told), atol=1e-4
        )
    assert json.loads(extra["curate"])["model"] == checkpoint.stem


@pytest.mark.parametrize("route", range(4))
@pytest.mark.parametrize("size", [(32, 32), (9, 70), (33, 17)], ids=str)
def test_tiles_convolve_by_matrices_as_by_fft(route: int, size: tuple[int, int]) -> None:
    torch.manual_seed(route)
    model = build_model("moe_ir_30g", **SMALL["moe_ir_30g"][0]).eval()
    assert isinstance(model, MoCEIR)
    image = torch.rand(1, 3, *size)
    mixer = model.get_submodule(f"decoder.0.0.routed.experts.{route}.mix")
    other = Portable(model, route=route).model.get_submodule(
        f"decoder.0.0.routed.experts.{route}.mix"
    )
    q, k = torch.randn(2, 2, 1 << route, *size)
    assert torch.allclose(mixer._convolve(q, k), other._convolve(q, k), atol=1e-4)
    assert type(mixer) is not type(other), "the network itself stays as it was"
    with torch.no_grad():
        assert torch.allclose(
            Portable(model, route=route)(image), model(image, route=route), atol=1e-5
        )


@pytest.mark.parametrize(
    ("checkpoint", "options", "message"),
    [
        (
            "moe_ir_30g",
            {},
            r"one route through this model: name the expert of all blocks, --route 0 .* to 3",
        ),
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
def test_what_a_graph_cannot_hold_is_told(
    checkpoint: Path, options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(RestoreError, match=message):
        export_model(checkpoint, tmp_path / "model", **options)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("checkpoint", ["restormer"], indirect=True)
def test_libraries_that_are_missing_are_named(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(MissingExtra, match=r"curate\[onnx\]"):
        export_model(checkpoint, tmp_path / "model.onnx", height=8, width=8)
