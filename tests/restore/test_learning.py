"""What training rests on: gradients that are those of the loss, and settings of the optimiser that do what they say."""

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
from tests.restore.samples import TINY, recipe

SMALL = {"dim": 12, "depths": [2], "heads": 2}
FAMILIES: dict[str, dict[str, Any]] = {
    "moe_ir_30g": TINY,
    "swinir": SMALL,
    "damoe": SMALL | {"experts": 3},
    "restormer": {"dim": 8, "num_blocks": [1, 1], "heads": [1, 2], "refinement_blocks": 1},
}


def batch(side: int) -> tuple[Tensor, Tensor, Tensor]:
    """Two smooth pictures, noisy and clean, of two tasks."""
    generator = torch.Generator().manual_seed(0)
    clean = F.interpolate(torch.rand(2, 3, 4, 4, generator=generator), size=side, mode="bilinear")
    return clean + 0.1 * torch.randn(clean.shape, generator=generator), clean, torch.tensor([2, 0])


@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_are_the_slope_of_the_loss(family: str) -> None:
    """Along a random direction, against the difference of the loss to either side."""
    torch.manual_seed(0)
    model = build_model(family, **FAMILIES[family]).eval()  # in training, routers draw noise
    noisy, clean, task_B = batch(28)
    told = task_arguments(model, task_B)
    if family == "moe_ir_30g":
        told = {"route": [1, 3]}  # a step to the side must not change the expert
    loss = RestorationLoss({"l2": 1, "fft": 0.1})

    def value() -> Tensor:
        return loss(model.forward_with_aux(noisy, **told)[0], clean)[0]  # type: ignore[operator]

    value().backward()
    parameters = [p for p in model.parameters() if p.grad is not None]
    directions = [torch.randn_like(p) * p.detach().abs().mean() for p in parameters]
    slope = sum(
        float((p.grad * d).sum())
        for p, d in zip(parameters, directions, strict=True)
        if p.grad is not None
    )
    sides = []
    for step in (2e-3, -4e-3):
        with torch.no_grad():
            for p, d in zip(parameters, directions, strict=True):
                p += step * d
            sides.append(float(value()))
    assert (sides[0] - sides[1]) / 4e-3 == pytest.approx(slope, rel=0.02)


def test_swinir_overfits_one_batch() -> None:
    """As the other families' tests show of theirs."""
    torch.manual_seed(0)
    model = build_model("swinir", **SMALL).train()
    noisy, clean, _ = batch(28)
    loss = RestorationLoss({"l1": 1, "l2": 0.1})
    optimiser = torch.optim.AdamW(model.parameters(), 5e-3)
    losses = []
    for _ in range(60):
        total, _ = loss(model(noisy), clean)
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        losses.append(total.item())
    assert losses[-1] < 0.5 * losses[0]


STEPS = {
    "samples_per_epoch": 8,
    "phases": [{"epochs": 1, "crop": 16, "batch": 2, "lr": 1e-3, "warmup": 1, "lr_end": 1e-4}],
    "save_every": 1,
}


def states_of(
    photos: Path, out: Path, **changes: Any
) -> tuple[list[dict[str, Any]], list[Mapping[str, float]]]:
    """The state after each step of a training, and what was told of each step."""
    states, told = [], []

    def progress(done: int, total: int, values: Mapping[str, float]) -> None:
        told.append(values)
        if done > 1:  # the state of this step is written after it is told
            states.append(torch.load(out / "state.ckpt", weights_only=True))

    train(recipe(**STEPS | changes), [photos], out, progress=progress)
    return [*states, torch.load(out / "state.ckpt", weights_only=True)], told


def test_the_moving_average_is_one(photos: Path, tmp_path: Path) -> None:
    states, _ = states_of(photos, tmp_path, ema=0.75)
    assert [state["global_step"] for state in states] == [1, 2, 3, 4]
    average: dict[str, Tensor] = {}
    for state in states:
        current = state["current_model_state"]
        average = {
            name: 0.75 * average[name] + 0.25 * current[name] if average else current[name]
            for name in current
        }
    kept = load_file(tmp_path / "model.safetensors")
    for name, weights in kept.items():
        assert torch.allclose(weights, average[f"model.{name}"], atol=1e-6), name
    assert any(
        not torch.equal(weights, states[-1]["current_model_state"][f"model.{name}"])
        for name, weights in kept.items()
    )


def test_gradients_are_clipped_to_the_norm(photos: Path, tmp_path: Path) -> None:
    """Adam's first moment, after a step, is a tenth of the gradient that it was given."""
    norms = {}
    for clip in (0.0, 1e-3):
        states, told = states_of(photos, tmp_path / str(clip), optimiser={"clip": clip})
        moments = [entry["exp_avg"] for entry in states[0]["optimizer_states"][0]["state"].values()]
        norms[clip] = 10 * float(torch.cat([m.flatten() for m in moments]).norm())
        assert told[-1]["gradient"] > 1e-2, "it is told before it is clipped"
    assert norms[0.0] > 1e-2
    assert norms[1e-3] == pytest.approx(1e-3, rel=1e-3)


def test_steps_have_the_rate_of_the_schedule(photos: Path, tmp_path: Path) -> None:
    _, told = states_of(photos, tmp_path)
    schedule = Schedule(recipe(**STEPS).phases, 8)
    assert [values["lr"] for values in told] == pytest.approx(
        [schedule.learning_rate(step) for step in range(4)]
    )
    assert told[1]["lr"] > told[2]["lr"] > told[3]["lr"]


def test_mixed_precision_trains_and_keeps_whole_weights(photos: Path, tmp_path: Path) -> None:
    losses = {}
    for precision in ("32-true", "bf16-mixed"):
        _, told = states_of(photos, tmp_path / precision, precision=precision)
        losses[precision] = [values["loss"] for values in told]
        kept = load_file(tmp_path / precision / "model.safetensors")
        assert {weights.dtype for weights in kept.values()} == {torch.float32}
    assert losses["32-true"] != losses["bf16-mixed"]
    assert losses["32-true"] == pytest.approx(losses["bf16-mixed"], rel=0.05)
