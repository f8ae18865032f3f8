"""Foundations of training: true gradients, networks that learn, optimiser settings that work."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from curate.restore.models import build_model, task_arguments
from curate.restore.schedule import Schedule
from curate.restore.training.losses import RestorationLoss
from curate.restore.training.trainer import train
from tests.restore.samples import recipe

SWIN = {"dim": 12, "depths": [2], "heads": 2}
U_SHAPED = {"num_blocks": [1, 1], "heads": [1, 2], "refinement_blocks": 1}
MOCE = U_SHAPED | {"num_dec_blocks": [1]}
FAMILIES: dict[str, dict[str, Any]] = {
    "moe_ir_30g": MOCE,
    "swinir": SWIN,
    "damoe": SWIN | {"experts": 3},
    "restormer": U_SHAPED | {"dim": 8},
}


def batch(side: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return two smooth pictures, a noisy and a dark one, both clean, and their tasks."""
    generator = torch.Generator().manual_seed(0)
    clean = F.interpolate(torch.rand(2, 3, 4, 4, generator=generator), size=side, mode="bilinear")
    noisy = clean[0] + 0.1 * torch.randn(clean[0].shape, generator=generator)
    return torch.stack([noisy, 0.5 * clean[1]]), clean, torch.tensor([2, 1])


@pytest.mark.parametrize("family", FAMILIES)
def test_gradient_is_the_slope_of_the_loss(family: str) -> None:
    """Compare a random direction's slope with the difference of the loss to either side."""
    torch.manual_seed(0)
    model = build_model(family, **FAMILIES[family]).eval()  # in training, routers draw noise
    degraded, clean, task_B = batch(28)
    kwargs = task_arguments(model, task_B)
    if family == "moe_ir_30g":
        kwargs = {"route": [1, 3]}  # a step to the side must not change the expert
    loss = RestorationLoss({"l2": 1, "fft": 0.1})

    def value() -> Tensor:
        restored, _ = model.forward_with_aux(degraded, **kwargs)
        return loss(restored, clean)[0]

    value().backward()
    parameters = [p for p in model.parameters() if p.grad is not None]
    directions = [torch.randn_like(p) * p.detach().abs().mean() for p in parameters]
    slope, sides = 0.0, []
    for p, d in zip(parameters, directions, strict=True):
        slope += float((p.grad * d).sum())
    for step in (2e-3, -4e-3):
        with torch.no_grad():
            for p, d in zip(parameters, directions, strict=True):
                p += step * d
            sides.append(float(value()))
    assert (sides[0] - sides[1]) / 4e-3 == pytest.approx(slope, rel=0.02)


@pytest.mark.parametrize("family", FAMILIES)
def test_small_network_learns_one_batch_of_two_tasks(family: str) -> None:
    torch.manual_seed(0)
    model = build_model(family, **FAMILIES[family]).train()
    degraded, clean, task_B = batch(21)
    kwargs = task_arguments(model, task_B)
    loss = RestorationLoss({"l1": 1, "l2": 0.1})
    optimiser = torch.optim.AdamW(model.parameters(), 5e-3)
    losses = []
    for _ in range(40):
        restored, aux = model.forward_with_aux(degraded, **kwargs)
        total, _ = loss(restored, clean)
        optimiser.zero_grad()
        (total + 0.01 * aux).backward()
        optimiser.step()
        losses.append(total.item())
    assert losses[-1] < 0.5 * losses[0]


STEPS = {
    "settings": MOCE,
    "samples_per_epoch": 8,
    "phases": [{"epochs": 1, "crop": 16, "batch": 2, "lr": 1e-3, "warmup": 1, "lr_end": 1e-4}],
    "save_every": 1,
    "validation": {"images": 1, "crop": 16, "degradations": ["denoise_25"]},
}


def states_of(
    photos: Path, out: Path, **changes: Any
) -> tuple[list[dict[str, Any]], list[Mapping[str, float]]]:
    """Return the state after each step of a training, and the values reported at each step."""
    states, reports = [], []

    def progress(done: int, total: int, values: Mapping[str, float]) -> None:
        reports.append(values)
        if done > 1:  # the state of a step is written after its report
            states.append(torch.load(out / "state.ckpt", weights_only=True))

    train(recipe(**STEPS | changes), [photos], out, progress=progress)
    return [*states, torch.load(out / "state.ckpt", weights_only=True)], reports


def test_saved_weights_are_the_moving_average(photos: Path, tmp_path: Path) -> None:
    states, _ = states_of(photos, tmp_path, ema=0.75)
    assert [state["global_step"] for state in states] == [1, 2, 3, 4]
    weights = [state["current_model_state"] for state in states]
    average = weights[0]
    for current in weights[1:]:
        average = {name: 0.75 * average[name] + 0.25 * current[name] for name in current}
    differs = False
    for name, saved in load_file(tmp_path / "model.safetensors").items():
        assert torch.allclose(saved, average[f"model.{name}"], atol=1e-6), name
        differs |= not torch.equal(saved, weights[-1][f"model.{name}"])
    assert differs


def test_gradients_are_clipped_to_the_norm(photos: Path, tmp_path: Path) -> None:
    """Adam's first moment, after a step, is a tenth of the gradient that it got."""
    norms = {}
    for clip in (0.0, 1e-3):
        states, reports = states_of(photos, tmp_path / str(clip), optimiser={"clip": clip})
        moments = [entry["exp_avg"] for entry in states[0]["optimizer_states"][0]["state"].values()]
        norms[clip] = 10 * float(torch.cat([m.flatten() for m in moments]).norm())
        assert reports[-1]["gradient"] > 1e-2, "reported before it is clipped"
    assert norms[0.0] > 1e-2
    assert norms[1e-3] == pytest.approx(1e-3, rel=1e-3)


def test_mixed_precision_trains_float32_weights_by_the_schedule(
    photos: Path, tmp_path: Path
) -> None:
    schedule = Schedule(recipe(**STEPS).phases, 8)
    rates = [schedule.learning_rate(step) for step in range(4)]
    assert rates[1] > rates[2] > rates[3]
    losses = {}
    for precision in ("32-true", "bf16-mixed"):
        _, reports = states_of(photos, tmp_path / precision, precision=precision)
        assert [values["lr"] for values in reports] == pytest.approx(rates)
        losses[precision] = [values["loss"] for values in reports]
        saved = load_file(tmp_path / precision / "model.safetensors")
        assert {weights.dtype for weights in saved.values()} == {torch.float32}
    assert losses["32-true"] != losses["bf16-mixed"]
    assert losses["32-true"] == pytest.approx(losses["bf16-mixed"], rel=0.05)
