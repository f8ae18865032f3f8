"""Callbacks that show a training under way: curves and pictures in TensorBoard, and warnings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor, nn

from curate.restore.data.degradations import TASKS
from curate.restore.data.loader import Batch, Pace
from curate.restore.models.routing_hooks import register_routing_hooks
from curate.restore.training.lightning_module import Patches

__all__ = [
    "LoaderPace",
    "MovingAverage",
    "Notice",
    "Progress",
    "Report",
    "Routing",
    "SamplePictures",
]

Notice = Callable[[str], None]
"""Callback for a sentence that whoever watches the training should read."""

Progress = Callable[[int, int, Mapping[str, float]], None]
"""Callback for the steps done, the steps in all, and the latest values.

These are loss, lr, each term of the loss, the gradient's norm once it was logged, and psnr once
it was measured.
"""


class MovingAverage(WeightAveraging):
    """Exponential moving average of weights and of floating buffers; others stay the model's own.

    Averages of integers, such as the offsets of a window's pixels, would be rounded to wrong ones.

    Args:
        decay: share of the average that stays at each step.
    """

    def __init__(self, decay: float) -> None:
        super().__init__(avg_fn=partial(_average, decay))


def _average(decay: float, average: Tensor, model: Tensor, _: Tensor | int) -> Tensor:
    return decay * average + (1 - decay) * model if average.is_floating_point() else model


class Report(L.Callback):
    """Calls the caller's progress callback after every step."""

    def __init__(self, steps: int, progress: Progress) -> None:
        self._steps, self._progress = steps, progress

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        values = {"loss": 0.0, "lr": 0.0}  # first, whatever the order of the others
        for name, value in trainer.callback_metrics.items():
            name = name.removeprefix("train/")
            if "/" not in name and name != "psnr_before":
                values[name] = float(value)
        self._progress(trainer.global_step, self._steps, values)


class Routing(L.Callback):
    """Logs the share of samples that each expert gets, and warns of experts that get none.

    TensorBoard has `experts/<layer>/<expert>`, the share of all samples, and
    `routing/<task>/<layer>/<expert>`, the share of a task's samples. Samples are images or patches,
    whichever the layer routes. Shares are over the steps since the last log, with the noise that
    routers have in training.

    Args:
        notice: called with a sentence about dead experts.
        dead: share of samples under which an expert counts as dead.
        window: steps over which that share is taken.
    """

    def __init__(self, notice: Notice, dead: float = 0.001, window: int = 500) -> None:
        self._notice, self._dead, self._window = notice, dead, window
        self._sorts = False
        self._task_B: Tensor | None = None
        self._counts: dict[str, Tensor] = {}
        self._since_window: dict[str, Tensor] = {}
        self._reported: set[tuple[str, int]] = set()

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        # not earlier: a moving average copies the model, with its hooks
        model: nn.Module = pl_module.model  # type: ignore[assignment]
        self._sorts = hasattr(model, "tasks")
        register_routing_hooks(model, self._count)

    def on_train_batch_start(self, *args: Any) -> None:
        batch: Batch = args[2]
        # a model that takes tasks sorts its batch by them
        self._task_B = batch[2].sort().values if self._sorts else batch[2]

    def _count(self, layer: str, experts: int, expert_N: Tensor) -> None:
        if self._task_B is None:  # in validation
            return
        # count pairs of (task, expert) in a table of (tasks, experts)
        task_N = self._task_B.repeat_interleave(len(expert_N) // len(self._task_B))
        if layer not in self._counts:
            self._counts[layer] = torch.zeros(len(TASKS), experts, device=expert_N.device)
        one_N = torch.ones_like(task_N, dtype=torch.float32)
        self._counts[layer].view(-1).scatter_add_(0, task_N * experts + expert_N, one_N)

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        self._task_B = None
        step, every = trainer.global_step, trainer.log_every_n_steps  # type: ignore[attr-defined]
        window_ends = step % self._window == 0
        if not self._counts or not (window_ends or step % every == 0):
            return
        # sum the counts over processes
        counts = {}
        for layer, counts_TE in self._counts.items():
            counts[layer] = trainer.strategy.reduce(counts_TE, reduce_op="sum").cpu()
            self._since_window[layer] = self._since_window.get(layer, 0) + counts[layer].sum(0)
        self._counts.clear()
        if trainer.logger is not None:
            trainer.logger.log_metrics(_shares(counts), step)
        if window_ends:
            self._report_dead()
            self._since_window.clear()

    def _report_dead(self) -> None:
        dead = set()
        for layer, counts_E in self._since_window.items():
            starved_E = counts_E < self._dead * counts_E.sum()
            dead |= {(layer, expert) for expert in starved_E.nonzero()[:, 0].tolist()}
        if dead - self._reported:
            named = ", ".join(f"{expert} of {layer}" for layer, expert in sorted(dead))
            self._notice(
                f"under {self._dead:.1%} of the samples of the last {self._window} steps went to "
                f"each of the experts {named}: they learn nothing; raise losses.aux"
            )
        self._reported = dead


def _shares(counts: Mapping[str, Tensor]) -> dict[str, float]:
    """Return TensorBoard's curves from counts (tasks, experts) by layer."""
    curves: dict[str, float] = {}
    for layer, counts_TE in counts.items():
        rows = {"experts": counts_TE.sum(0)}
        for task, counts_E in zip(TASKS, counts_TE, strict=True):
            if counts_E.any():
                rows[f"routing/{task}"] = counts_E
        for name, counts_E in rows.items():
            shares = (counts_E / counts_E.sum()).tolist()
            curves |= {f"{name}/{layer}/{expert}": share for expert, share in enumerate(shares)}
    return curves


class SamplePictures(L.Callback):
    """Logs the first picture of each degradation: degraded, restored and clean, side by side."""

    def __init__(self) -> None:
        self._shown: set[str] = set()

    def on_validation_epoch_start(self, *_: Any) -> None:
        self._shown.clear()

    def on_validation_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
        outputs, batch = args[1:3]
        degraded_13HW, clean_13HW, (degradation,) = batch[:3]
        if degradation in self._shown or trainer.logger is None:
            return
        self._shown.add(degradation)
        strip_3HW = torch.cat([degraded_13HW, outputs.float(), clean_13HW], dim=3)[0].clamp(0, 1)
        writer = trainer.logger.experiment  # type: ignore[attr-defined]
        writer.add_image(f"samples/{degradation}", strip_3HW, trainer.global_step)


class LoaderPace(L.Callback):
    """Logs how fast patches come, and warns once when steps wait for them.

    Args:
        patches: data module that measures its pace.
        notice: called with a sentence about a loader that is too slow.
        window: seconds over which the pace is judged.
    """

    def __init__(self, patches: Patches, notice: Notice, window: float = 60.0) -> None:
        self._patches, self._notice, self._window = patches, notice, window
        self._logged = self._judged = Pace()
        self._warned = False

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        if trainer.global_step % trainer.log_every_n_steps:  # type: ignore[attr-defined]
            return
        now = self._patches.pace
        recent, self._logged = now.since(self._logged), now
        if trainer.logger is not None and recent.seconds:
            curves = {
                "loader/patches_per_second": recent.given,
                "loader/waited": recent.waited / recent.seconds,
            }
            trainer.logger.log_metrics(curves, trainer.global_step)
        if (recent := now.since(self._judged)).seconds >= self._window:
            self._judged = now
            if recent.starved and not self._warned:
                self._warned = True
                self._notice(str(recent))
