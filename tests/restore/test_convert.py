"""Conversion of published weights: results equal those of the authors' networks."""

from __future__ import annotations

import argparse
import collections
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from typer.testing import CliRunner

from curate.cli.app import app
from curate.errors import RestoreError
from curate.restore import convert_weights, load_model, read_info
from tests.restore import authors_weights as published

BLOCKS = [1] * published.LEVELS
U_SHAPED = {"num_blocks": BLOCKS, "heads": list(published.HEADS), "refinement_blocks": 1}
RESTORMER: dict[str, Any] = {"dim": published.DIM, **U_SHAPED}
MOCE = {**RESTORMER, "num_dec_blocks": BLOCKS[1:]}
SWINIR = {"dim": 12, "depths": [2, 2], "heads": 3}


def convert(source: Path, model: str = "restormer", **settings: Any) -> Path:
    """Convert weights to a checkpoint beside them."""
    convert_weights(source, model, source.with_name("ours.safetensors"), **settings)
    return source.with_name("ours.safetensors")


@pytest.fixture
def image() -> torch.Tensor:
    return torch.rand(2, 3, 36, 28, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("norm", ["bias_free", "with_bias"])
def test_restormer_with_converted_weights_equals_the_authors(
    norm: str, image: torch.Tensor, tmp_path: Path
) -> None:
    state = published.draw(published.restormer_shapes(norm == "with_bias"))
    torch.save({"params": state}, tmp_path / "theirs.pth")
    ours = convert(tmp_path / "theirs.pth", norm=norm, **RESTORMER)
    model = load_model(ours, device="cpu").double()
    expected = published.restormer(state, image.double())
    with torch.no_grad():
        # channels attend in single precision
        assert torch.allclose(model(image.double()), expected, atol=1e-5)
    assert (expected - image).abs().mean() > 0.1, "the network must do something"


@pytest.mark.parametrize("expert", [0, 2, 3])
def test_moce_ir_with_converted_weights_equals_the_authors(
    expert: int, image: torch.Tensor, tmp_path: Path
) -> None:
    """Lightning saves the network as a part of a module, beside the arguments of a script."""
    state = published.draw(published.moce_ir_shapes())
    wrapped = {
        "state_dict": {f"net.{name}": tensor for name, tensor in state.items()},
        "hyper_parameters": {"opt": argparse.Namespace(dim=8)},
        "epoch": 3,
    }
    torch.save(wrapped, tmp_path / "last.ckpt")
    ours = convert(tmp_path / "last.ckpt", "moce_ir", **MOCE)
    model = load_model(ours, device="cpu").double()
    expected = published.moce_ir(state, image.double(), expert)
    with torch.no_grad():
        assert torch.allclose(model(image.double(), route=expert), expected, atol=1e-5)
        others = model(image.double(), route=1)
    assert (expected - others).abs().mean() > 1e-3, "the experts must differ in this test"


@pytest.mark.filterwarnings("ignore:torch.meshgrid")
@pytest.mark.parametrize("form", ["params", "params_ema", "bare", "safetensors"])
def test_swinir_with_converted_weights_equals_the_authors(form: str, tmp_path: Path) -> None:
    pytest.importorskip("spandrel")
    from spandrel.architectures.SwinIR.__arch.SwinIR import SwinIR as Reference

    torch.manual_seed(0)
    theirs = {
        "embed_dim": 12,
        "depths": [2, 2],
        "num_heads": [3, 3],
        "mlp_ratio": 2,
        "window_size": 7,
        "img_size": 84,
        "img_range": 255.0,
    }
    reference = Reference(**theirs).eval()
    source = tmp_path / f"theirs.{'safetensors' if form == 'safetensors' else 'pth'}"
    if form == "safetensors":
        safetensors.torch.save_file(reference.state_dict(), source)
    else:
        others = {"params": {"junk": torch.zeros(1)}} if form == "params_ema" else {}
        state = reference.state_dict()
        torch.save(state if form == "bare" else {**others, form: state}, source)
    ours = convert(source, "swinir", value_range=255, **SWINIR)
    image = torch.rand(1, 3, 17, 30)
    with torch.no_grad():
        restored = load_model(ours, device="cpu")(image)
        assert torch.allclose(restored, reference(image), atol=1e-6)


def test_converted_checkpoint_has_the_origin_of_its_weights(tmp_path: Path) -> None:
    state = published.draw(published.restormer_shapes(False))
    torch.save(state, tmp_path / "theirs.pth")
    settings = [f"--set={key}={value}" for key, value in RESTORMER.items()]
    source, out = str(tmp_path / "theirs.pth"), str(tmp_path / "o.st")
    command = ["models", "convert", source, "--model", "restormer", "-o", out, *settings]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert result.exit_code == 0
    info = read_info(out)
    assert (info.model, info.settings) == ("restormer", RESTORMER)
    assert info.origin.startswith("theirs.pth, SHA-256 ")
    assert info.origin in result.stdout
    assert load_model(out)


def test_tensors_that_do_not_fit_are_named(tmp_path: Path) -> None:
    state = published.draw(published.restormer_shapes(False))
    state["head.weight"] = state.pop("output.weight")
    state["latent.0.attn.temperature"] = torch.ones(2, 1, 1)
    torch.save(state, tmp_path / "theirs.pth")
    with pytest.raises(RestoreError) as caught:
        convert(tmp_path / "theirs.pth", **RESTORMER)
    message = str(caught.value)
    assert "1 missing (output.weight); 1 unexpected (head.weight)" in message
    shapes = "latent.0.attn.temperature is (2, 1, 1) and should be (4, 1, 1)"
    assert f"1 of another shape ({shapes})" in message
    assert not (tmp_path / "ours.safetensors").exists()


def test_weights_of_another_model_are_refused_in_a_few_names(tmp_path: Path) -> None:
    torch.save(published.draw(published.moce_ir_shapes()), tmp_path / "theirs.pth")
    message = r"\d+ missing \(.*, \.\.\.\); \d+ unexpected .*another model"
    with pytest.raises(RestoreError, match=message) as caught:
        convert(tmp_path / "theirs.pth", **RESTORMER)
    assert len(str(caught.value)) < 1500


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "holds no state dict"),
        ({}, "holds no state dict"),
        ({"params": {"a": 1}}, "holds no state dict"),
        (collections.UserDict(a=1), "it holds a collections.UserDict, not tensors alone"),
        (b"no zip", "can't read weights"),
        (None, "can't read weights .*theirs.pth"),
    ],
)
def test_file_without_a_state_dict_is_refused(content: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "theirs.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(RestoreError, match=message):
        convert(path)


def test_model_without_published_weights_is_refused(tmp_path: Path) -> None:
    message = r"no published weights are known for damoe; they are for moe_ir_30g, .*swinir"
    with pytest.raises(RestoreError, match=message):
        convert(tmp_path / "x.pth", "damoe")
    with pytest.raises(RestoreError, match="no model 'x'"):
        convert(tmp_path / "x.pth", "x")
