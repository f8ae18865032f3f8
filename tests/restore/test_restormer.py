"""Restormer: published sizes, its norm, training, published schedule."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from curate.errors import RestoreError
from curate.restore import TrainRecipe, restore_files, train
from curate.restore.models import Restormer, build_model, count_parameters
from curate.restore.models.restormer import BiasFreeLayerNorm
from curate.restore.schedule import Schedule
from tests import ROOT
from tests.restore.samples import recipe

SMALL = {"dim": 8, "num_blocks": [1, 1, 1], "heads": [1, 2, 4], "refinement_blocks": 1}


@pytest.mark.parametrize(("norm", "count"), [("bias_free", 26_111_668), ("with_bias", 26_126_644)])
def test_restormer_parameter_count_is_the_published_one(norm: str, count: int) -> None:
    with torch.device("meta"):
        assert count_parameters(build_model("restormer", norm=norm)) == count


def test_bias_free_norm_divides_by_the_deviation_and_keeps_the_mean() -> None:
    norm = BiasFreeLayerNorm(6)
    nn.init.uniform_(norm.weight)
    x = torch.randn(2, 6, 3, 4) + 5
    deviation = ((x - x.mean(1, keepdim=True)).square().mean(1, keepdim=True) + 1e-5).sqrt()
    assert torch.allclose(norm(x), x / deviation * norm.weight[:, None, None], atol=1e-5)
    flat = torch.full((1, 6, 1, 1), 0.5)  # nothing deviates
    assert torch.allclose(norm(flat)[0, :, 0, 0], 0.5 / math.sqrt(1e-5) * norm.weight)


@pytest.mark.parametrize("norm", ["bias_free", "with_bias"])
@pytest.mark.parametrize("size", [(8, 8), (1, 1), (3, 50), (17, 9)])
def test_image_of_any_size_keeps_its_size(norm: str, size: tuple[int, int]) -> None:
    model = Restormer(**SMALL, norm=norm).eval()
    image = torch.rand(2, 3, *size)
    with torch.no_grad():
        restored, aux = model.forward_with_aux(image)
        single = torch.cat([model(each[None]) for each in image])
    assert restored.shape == image.shape
    assert restored.isfinite().all()
    assert torch.allclose(restored, single, atol=1e-5)
    assert aux == 0


@pytest.mark.parametrize("norm", ["bias_free", "with_bias"])
def test_gradient_reaches_every_parameter(norm: str) -> None:
    model = Restormer(**SMALL, norm=norm)
    model(torch.rand(1, 3, 24, 24)).square().mean().backward()
    parameters = model.named_parameters()
    assert [name for name, p in parameters if p.grad is None or not p.grad.any()] == []


def test_restormer_trains_from_a_manifest(manifest: Path, photos: Path, tmp_path: Path) -> None:
    result = train(recipe(model="restormer", settings=SMALL), [manifest], tmp_path / "out")
    assert result.trained == result.steps == 3
    (done,) = restore_files(result.checkpoint, [photos / "0.png"], tmp_path / "restored.png")
    assert done.error == ""


def test_restormer_recipe_is_the_published_schedule() -> None:
    """92,000 steps at 3e-4, then a cosine to 1e-6 over 208,000."""
    setting = TrainRecipe.load(ROOT / "pipelines/train/restormer.yaml")
    assert isinstance(setting.samples_per_epoch, int)
    schedule = Schedule(setting.phases, setting.samples_per_epoch)
    per_epoch = schedule.samples_per_epoch
    steps = [phase.epochs * (per_epoch // phase.batch) for phase in setting.phases]
    assert steps == [92_000, 64_000, 48_000, 36_000, 36_000, 24_000]

    def published(step: int) -> float:
        return 1e-6 + (3e-4 - 1e-6) * (1 + math.cos(math.pi * max(step - 92_000, 0) / 208_000)) / 2

    for step in (0, 91_999, 156_000, 204_000, 240_000, 276_000):
        assert schedule.learning_rate(step) == pytest.approx(published(step), rel=2e-3)
    sampled = range(0, 300_000, 500)
    between = [abs(schedule.learning_rate(step) - published(step)) for step in sampled]
    assert max(between) < 2e-5, "a fifteenth of the highest rate"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"norm": "none"}, "norm is one of bias_free, with_bias, not 'none'"),
        ({"dim": 7}, "dim 7 must be even"),
        ({"heads": [1, 2]}, "num_blocks and heads name every level"),
    ],
)
def test_restormer_with_bad_settings_is_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(RestoreError, match=message):
        build_model("restormer", **settings)
