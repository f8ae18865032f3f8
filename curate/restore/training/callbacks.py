"""What is seen of a training under way: curves and pictures in TensorBoard, and warnings while there is time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn

from curate.restore.data.degradations import TASKS
from curate.restore.data.loader import Batch, Pace
from curate.restore.data.patches import ValidationBatch
from curate.restore.models.routing_hooks import register_routing_hooks
from curate.restore.training.lightning_module import Patches

__all__ = ["LoaderPace", "Notice", "Progress", "Report", "Routing", "SamplePictures"]

Notice = Callable[[str], None]
"""Called with a sentence for whoever watches the training."""

Progress = Callable[[int, int, Mapping[str, float]], None]
"""Called with the steps done, the steps in all, and the latest values: loss, lr, each term of the loss, the gradient's
norm once it was logged, and psnr once it was measured."""


class Report(L.Callback):
    """Tells the caller of every step."""

    def __init__(self, steps: int, progress: Progress) -> None:
        self._steps, self._progress = steps, progress

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        logged = {
            name.removeprefix("train/"): float(value)
            for name, value in trainer.callback_metrics.items()
        }
        values = {name: logged.pop(name) for name in ("loss", "lr")}
        values |= {
            name: value
            for name, value in logged.items()
            if "/" not in name and name != "psnr_before"
        }
        self._progress(trainer.global_step, self._steps, values)


class Routing(L.Callback):
    """How many samples each expert gets, layer by layer and by task; warns of experts that get none.

    TensorBoard has `experts/<layer>/<expert>`, the share of all samples, and `routing/<task>/<layer>/<expert>`, of the
    samples of a task. Samples are images or patches, whatever the layer routes. Shares are over the steps since they
    were last logged, with the noise that routers have in training.

    Args:
        notice: told of experts that are dead.
        dead: the share of samples under which an expert is.
        window: steps over which that is judged.
    """

    def __init__(self, notice: Notice, dead: float = 0.001, window: int = 500) -> None:
        self._notice, self._dead, self._window = notice, dead, window
        self._sorts = False
        self._task_B: Tensor | None = None
        self._counts: dict[str, Tensor] = {}
        self._since_window: dict[str, Tensor] = {}
        self._reported: set[tuple[str, int]] = set()

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        # not earlier: a moving average copies the model, with whoever listens to it
        model: nn.Module = pl_module.model  # type: ignore[assignment]
        self._sorts = hasattr(model, "tasks")
        register_routing_hooks(model, self._hear)

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Batch, *_: Any
    ) -> None:
        # a model that is told tasks sorts its batch by them
        self._task_B = batch[2].sort().values if self._sorts else batch[2]

    def _hear(self, layer: str, experts: int, expert_N: Tensor) -> None:
        if self._task_B is None:  # in validation
            return
        task_N = self._task_B.repeat_interleave(len(expert_N) // len(self._task_B))
        if layer not in self._counts:
            self._counts[layer] = torch.zeros(len(TASKS), experts, device=expert_N.device)
        one_N = torch.ones_like(task_N, dtype=torch.float32)
        self._counts[layer].view(-1).scatter_add_(0, task_N * experts + expert_N, one_N)

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        self._task_B = None
        over = trainer.global_step % self._window == 0
        if not self._counts or not (over or trainer.global_step % trainer.log_every_n_steps == 0):  # type: ignore[attr-defined]
            return
        counts = {
            layer: trainer.strategy.reduce(counts_TE, reduce_op="sum").cpu()
            for layer, counts_TE in self._counts.items()
        }
        self._counts.clear()
        for layer, counts_TE in counts.items():
            self._since_window[layer] = self._since_window.get(layer, 0) + counts_TE.sum(0)
        if trainer.logger is not None:
            trainer.logger.log_metrics(_shares(counts), trainer.global_step)
        if over:
            self._judge()
            self._since_window.clear()

    def _judge(self) -> None:
        dead = {
            (layer, expert)
            for layer, counts_E in self._since_window.items()
            for expert in (counts_E < self._dead * counts_E.sum()).nonzero()[:, 0].tolist()
        }
        if dead - self._reported:
            named = ", ".join(f"{expert} of {layer}" for layer, expert in sorted(dead))
            self._notice(
                f"under {self._dead:.1%} of the samples of the last {self._window} steps went to each of the experts "
                f"{named}: they learn nothing; raise losses.aux"
            )
        self._reported = dead


def _shares(counts: dict[str, Tensor]) -> dict[str, float]:
    curves: dict[str, float] = {}
    for layer, counts_TE in counts.items():
        rows = {"experts": counts_TE.sum(0)}
        rows |= {
            f"routing/{task}": counts_TE[i] for i, task in enumerate(TASKS) if counts_TE[i].any()
        }
        for name, counts_E in rows.items():
            shares = (counts_E / counts_E.sum()).tolist()
            curves |= {f"{name}/{layer}/{expert}": share for expert, share in enumerate(shares)}
    return curves


class SamplePictures(L.Callback):
    """Puts the first picture of each degradation into TensorBoard: degraded, restored and clean, side by side."""

    def __init__(self) -> None:
        self._shown: set[str] = set()

    def on_validation_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._shown.clear()

    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: ValidationBatch,
        *_: Any,
    ) -> None:
        degraded_13HW, clean_13HW, (degradation,) = batch[:3]
        if degradation in self._shown or trainer.logger is None:
            return
        self._shown.add(degradation)
        strip_3HW = torch.cat([degraded_13HW, outputs.float(), clean_13HW], dim=3)[0].clamp(0, 1)
        writer = trainer.logger.experiment  # type: ignore[attr-defined]
        writer.add_image(f"samples/{degradation}", strip_3HW, trainer.global_step)


class LoaderPace(L.Callback):
    """Curves of how fast patches come, and a warning when steps wait for them.

    Args:
        patches: have the pace since the training began.
        notice: told once of a loader that is too slow.
        window: seconds over which that is judged.
    """

    def __init__(self, patches: Patches, notice: Notice, window: float = 60.0) -> None:
        self._patches, self._notice, self._window = patches, notice, window
        self._logged = self._judged = Pace()
        self._told = False

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
            if recent.starved and not self._told:
                self._told = True
                self._notice(str(recent))
