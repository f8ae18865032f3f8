"""Weights under their authors' names do in our networks what they do in theirs."""

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
RESTORMER = {
    "dim": published.DIM,
    "num_blocks": BLOCKS,
    "heads": list(published.HEADS),
    "refinement_blocks": 1,
}
MOCE = {**RESTORMER, "num_dec_blocks": BLOCKS[1:]}
SWINIR = {"dim": 12, "depths": [2, 2], "heads": 3}


@pytest.fixture
def image() -> torch.Tensor:
    return torch.rand(2, 3, 36, 28, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("norm", ["bias_free", "with_bias"])
def test_restormer(norm: str, image: torch.Tensor, tmp_path: Path) -> None:
    state = published.draw(published.restormer_shapes(norm == "with_bias"))
    torch.save({"params": state}, tmp_path / "theirs.pth")
    convert_weights(
        tmp_path / "theirs.pth", "restormer", tmp_path / "ours.safetensors", norm=norm, **RESTORMER
    )
    model = load_model(tmp_path / "ours.safetensors", device="cpu").double()
    expected = published.restormer(state, image.double())
    with torch.no_grad():
        # channels attend in single precision
        assert torch.allclose(model(image.double()), expected, atol=1e-5)
    assert (expected - image).abs().mean() > 0.1, "the network must do something"


@pytest.mark.parametrize("expert", [0, 2, 3])
def test_moce_ir(expert: int, image: torch.Tensor, tmp_path: Path) -> None:
    """As Lightning saves it: the network is a part of a module, beside the arguments of a script."""
    state = published.draw(published.moce_ir_shapes())
    wrapped = {
        "state_dict": {f"net.{name}": tensor for name, tensor in state.items()},
        "hyper_parameters": {"opt": argparse.Namespace(dim=8)},
        "epoch": 3,
    }
    torch.save(wrapped, tmp_path / "last.ckpt")
    convert_weights(tmp_path / "last.ckpt", "moce_ir", tmp_path / "ours.safetensors", **MOCE)
    model = load_model(tmp_path / "ours.safetensors", device="cpu").double()
    expected = published.moce_ir(state, image.double(), expert)
    with torch.no_grad():
        assert torch.allclose(model(image.double(), route=expert), expected, atol=1e-5)
        others = model(image.double(), route=1)
    assert (expected - others).abs().mean() > 1e-3, (
        "experts must differ for this test to mean anything"
    )


@pytest.mark.filterwarnings("ignore:torch.meshgrid")
@pytest.mark.parametrize("form", ["params", "params_ema", "bare", "safetensors"])
def test_swinir(form: str, tmp_path: Path) -> None:
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
        torch.save(
            reference.state_dict() if form == "bare" else {**others, form: reference.state_dict()},
            source,
        )
    convert_weights(source, "swinir", tmp_path / "ours.safetensors", value_range=255, **SWINIR)
    image = torch.rand(1, 3, 17, 30)
    with torch.no_grad():
        ours = load_model(tmp_path / "ours.safetensors", device="cpu")(image)
        assert torch.allclose(ours, reference(image), atol=1e-6)


def test_a_checkpoint_says_where_its_weights_are_from(tmp_path: Path) -> None:
    state = published.draw(published.restormer_shapes(False))
    torch.save(state, tmp_path / "theirs.pth")
    settings = [f"--set={key}={value}" for key, value in RESTORMER.items()]
    arguments = [
        "models",
        "convert",
        str(tmp_path / "theirs.pth"),
        "--model",
        "restormer",
        "-o",
        str(tmp_path / "o.st"),
    ]
    result = CliRunner().invoke(app, [*arguments, *settings], catch_exceptions=False)
    assert result.exit_code == 0
    info = read_info(tmp_path / "o.st")
    assert (info.model, info.settings) == ("restormer", RESTORMER)
    assert info.origin.startswith("theirs.pth, SHA-256 ")
    assert info.origin in result.stdout
    assert load_model(tmp_path / "o.st")


def test_names_that_do_not_fit_are_told(tmp_path: Path) -> None:
    state = published.draw(published.restormer_shapes(False))
    state["head.weight"] = state.pop("output.weight")
    state["latent.0.attn.temperature"] = torch.ones(2, 1, 1)
    torch.save(state, tmp_path / "theirs.pth")
    with pytest.raises(RestoreError) as caught:
        convert_weights(
            tmp_path / "theirs.pth", "restormer", tmp_path / "ours.safetensors", **RESTORMER
        )
    message = str(caught.value)
    assert "1 missing (output.weight); 1 unexpected (head.weight)" in message
    assert (
        "1 of another shape (latent.0.attn.temperature is (2, 1, 1) and should be (4, 1, 1))"
        in message
    )
    assert not (tmp_path / "ours.safetensors").exists()


def test_the_wrong_model_is_told_in_a_few_names(tmp_path: Path) -> None:
    torch.save(published.draw(published.moce_ir_shapes()), tmp_path / "theirs.pth")
    with pytest.raises(
        RestoreError, match=r"\d+ missing \(.*, \.\.\.\); \d+ unexpected .*another model"
    ) as caught:
        convert_weights(
            tmp_path / "theirs.pth", "restormer", tmp_path / "ours.safetensors", **RESTORMER
        )
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
def test_files_that_hold_something_else_are_refused(
    content: Any, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "theirs.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(RestoreError, match=message):
        convert_weights(path, "restormer", tmp_path / "ours.safetensors")


def test_models_without_published_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(
        RestoreError,
        match=r"no published weights are known for damoe; they are for moe_ir_30g, .*swinir",
    ):
        convert_weights(tmp_path / "x.pth", "damoe", tmp_path / "ours.safetensors")
    with pytest.raises(RestoreError, match="no model 'x'"):
        convert_weights(tmp_path / "x.pth", "x", tmp_path / "ours.safetensors")
