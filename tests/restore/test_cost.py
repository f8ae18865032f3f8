"""Cost of models: multiply-accumulates, memory, and the catalogue that lists them."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from typer.testing import CliRunner

from curate.cli.app import app
from curate.errors import RestoreError
from curate.restore import describe_model, model_figures
from curate.restore.model_figures import HEIGHT, WIDTH, known_figures
from curate.restore.models import MODELS, build_model, count_parameters
from curate.restore.models.blocks import TransformerBlock
from curate.restore.models.cost import forward_cost
from tests.restore.samples import TINY

SMALL: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "moe_ir_30g": (TINY, {"route": 2}),
    "swinir": ({"dim": 12, "depths": [2], "heads": 3}, {}),
    "damoe": ({"dim": 12, "depths": [2], "heads": 3, "experts": 3}, {"task": 1}),
    "restormer": ({"dim": 8, "num_blocks": [1, 1, 1, 1], "refinement_blocks": 1}, {}),
}
"""Settings and forward kwargs of small networks."""


def test_cost_of_convolutions_equals_a_count_by_hand() -> None:
    first, second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 4, 1, bias=False)
    model = nn.Sequential(first, second, nn.PixelUnshuffle(2))
    cost = forward_cost(model, 6, 10)
    assert dict(cost.macs) == {"0": 60 * 27 * 8, "1": 60 * 32, "2": 0}
    assert cost.total_macs == 60 * (27 * 8 + 32)
    assert cost.activations == 4 * 60 * (8 + 4), "both maps are there while the second is made"


@pytest.mark.parametrize("name", SMALL)
def test_activations_are_the_bytes_that_a_profiler_sees(name: str) -> None:
    settings, kwargs = SMALL[name]
    model = build_model(name, **settings).eval()
    if name == "damoe":
        # all patches take the first expert
        nn.init.zeros_(model.groups[0].blocks[1].feed_forward.gate.weight)
    image = torch.rand(1, 3, 56, 70)
    with torch.no_grad():
        model(image, **kwargs)
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
            model(image, **kwargs)
    now = peak = 0
    for event in profiler.profiler.kineto_results.events():
        if event.name() == "[memory]":
            now += event.nbytes()
            peak = max(peak, now)
    assert 0.8 * peak < forward_cost(model, 56, 70, **kwargs).activations <= peak


@pytest.mark.parametrize("name", SMALL)
def test_macs_of_parts_add_up_and_grow_with_the_pixels(name: str) -> None:
    settings, kwargs = SMALL[name]
    with torch.device("meta"):
        model = build_model(name, **settings)
    once, four = forward_cost(model, 56, 56, **kwargs), forward_cost(model, 112, 112, **kwargs)
    assert sum(once.macs.values()) == once.total_macs
    fixed = (4 * once.total_macs - four.total_macs) / 3
    assert 0 <= fixed < 0.02 * once.total_macs, "routers, and products of matrices without pixels"


def test_restormer_cost_is_that_of_its_convolutions_and_attention() -> None:
    """The literature puts the convolutions at 140.99 G for 256x256."""
    model = build_model("restormer", norm="with_bias").eval()
    cost = forward_cost(model, 16, 16)
    convolutions, attention = 0, 0

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal convolutions, attention
        height, width = output.shape[2:]
        if isinstance(module, nn.Conv2d):
            convolutions += module.weight.numel() * height * width
        if isinstance(module, TransformerBlock):
            module = module.attention
            dim, heads = module.out.in_channels, len(module.temperature)
            # the last one is multiplied into the attention
            convolutions += dim * dim * height * width
            # queries and keys of all heads at once
            attention += dim * dim * (height * width + dim // heads)

    for module in model.modules():
        if isinstance(module, nn.Conv2d | TransformerBlock):
            module.register_forward_hook(count)
    with torch.no_grad():
        model(torch.rand(1, 3, 16, 16))
    assert convolutions * 256 == pytest.approx(140.99e9, rel=1e-4)
    assert cost.total_macs == convolutions + attention


def test_cost_of_routes_differs_as_in_the_published_count() -> None:
    entry = describe_model("moe_ir_30g")
    (published,) = entry.published.values()
    assert published == (28_284_844_896, 33_161_952_096)
    # activations count in one and not in the other: r + C/8 ... a pixel, all else is the same
    assert entry.macs[1] - entry.macs[0] == pytest.approx(published[1] - published[0], rel=0.03)
    assert (entry.parameters, entry.trained) == (571_001, 570_425)
    assert sum(part.parameters for part in entry.parts.values()) == 571_001
    # figures that were counted beforehand are these
    known = known_figures(HEIGHT, WIDTH)["moe_ir_30g"]
    assert known == json.loads(json.dumps(asdict(entry)))


def test_swinir_cost_equals_its_formula() -> None:
    """Linear layers, attention within windows, convolutions: nothing else."""
    entry = describe_model("swinir", 84, 84, dim=12, depths=[2, 2], heads=3)
    block = 8 * 12**2 + 2 * 49 * 12
    assert entry.macs == ((4 * block + 3 * 9 * 12**2 + 2 * 27 * 12) * 84 * 84,) * 2
    assert list(entry.published) == ["table 10 of the HQ-50K paper, at 84x84"]


@pytest.mark.parametrize("name", MODELS)
def test_every_model_has_a_source(name: str) -> None:
    with torch.device("meta"):
        assert build_model(name).source


def test_figures_counted_beforehand_are_of_this_code() -> None:
    known = known_figures(HEIGHT, WIDTH)
    assert known, "the models have changed: run  python -m benchmarks.model_figures"
    assert [*known] == [*MODELS]
    for name, entry in known.items():
        with torch.device("meta"):
            model = build_model(name)
        assert (entry["name"], entry["parameters"]) == (name, count_parameters(model))


def test_figures_of_other_code_or_size_are_not_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert known_figures(HEIGHT, 640) == {}
    (tmp_path / "swinir.py").write_text("# changed")
    monkeypatch.setattr(model_figures, "_SOURCES", tmp_path)
    assert known_figures(HEIGHT, WIDTH) == {}


def test_models_command_lists_known_figures_without_counting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("curate.restore.describe_model", lambda *_: pytest.fail(), raising=False)
    assert [entry["name"] for entry in json.loads(run("--json"))] == [*MODELS]
    assert "FlopCounterMode" in run("show", "airnet")


def run(*arguments: str) -> Any:
    result = CliRunner().invoke(app, ["models", *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_models_command_lists_and_shows_models(monkeypatch: pytest.MonkeyPatch) -> None:
    small = {name: partial(MODELS[name], **SMALL[name][0]) for name in ("moe_ir_30g", "swinir")}
    monkeypatch.setattr("curate.restore.models.MODELS", small)
    monkeypatch.setattr(model_figures, "known_figures", lambda *_: {})
    listed = json.loads(run("--json"))
    named = [(entry["name"], entry["height"]) for entry in listed]
    assert named == [("moe_ir_30g", 720), ("swinir", 720)]
    low, high = listed[0]["macs"]
    text = run()
    assert f"{listed[0]['parameters']:,}" in text
    assert f"{low / 1e9:.2f} to {high / 1e9:.2f}" in text
    assert "FlopCounterMode" in text
    shown = json.loads(run("swinir", "--json", "--height", "64", "--width", "64"))
    assert shown["height"] == 64
    assert sum(part["macs"][0] for part in shown["parts"].values()) == shown["macs"][0]
    assert run("show", "moe_ir_30g").count("decoder.") == 3


def test_models_command_names_the_unknown_model() -> None:
    with pytest.raises(RestoreError, match="no model 'swinnir'; known: moe_ir_30g"):
        run("swinnir")
