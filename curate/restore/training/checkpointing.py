"""Files of a training: weights to use and a state to resume from, each file whole at any moment."""

from __future__ import annotations

import io
import os
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO

from curate.errors import RestoreError
from curate.restore.checkpoints.checkpoint import (
    Change,
    CheckpointInfo,
    read_info,
    save_model,
)
from curate.restore.schedule import Schedule
from curate.restore.training.resume import changes_since
from curate.storage import atomic

__all__ = ["StateFile", "Writer", "read_earlier"]

_MODEL, _BEST, _STATE = "model.safetensors", "best.safetensors", "state.ckpt"


def read_earlier(folder: Path, *, resume: bool) -> CheckpointInfo | None:
    """Return the description of the training in a folder; None if there is none.

    Args:
        folder: folder of the files.
        resume: False deletes an earlier training.

    Raises:
        RestoreError: if its weights can't be read.
    """
    if not resume:
        for name in (_STATE, _MODEL, _BEST):
            (folder / name).unlink(missing_ok=True)
    model = folder / _MODEL
    return read_info(model) if model.exists() else None


class StateFile(TorchCheckpointIO):
    """Reader and atomic writer of Lightning's state; see `curate.storage.atomic`."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any = None
    ) -> None:
        """Write a state, whole or not at all."""
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        with atomic.create(path) as sink:
            sink.write(buffer.getbuffer())

    def load_checkpoint(self, path: str | Path, *rest: Any, **options: Any) -> dict[str, Any]:
        """Read a state.

        Raises:
            RestoreError: if it is damaged.
        """
        try:
            return super().load_checkpoint(path, *rest, **options)
        except (EOFError, OSError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
            reason = f"{str(error).splitlines()[0]}; begin anew with --restart"
            raise RestoreError(f"{path} can't be read: {reason}") from error


class Writer(Checkpoint):
    """Callback that writes the model, then the state, every few steps and after every epoch.

    The model goes first: after a kill between the two, the steps since the earlier state are done
    again, and the same model is written again. Only the first of several processes writes.

    States hold this callback's own under its class name, so a new name would break resuming.

    Args:
        folder: folder of the files.
        done: description of the weights in the folder; None if there are none.
        info: description of the training, written into the weights' header.
        schedule: steps of each epoch.
        every: steps between states.
    """

    def __init__(
        self,
        folder: Path,
        done: CheckpointInfo | None,
        info: CheckpointInfo,
        schedule: Schedule,
        every: int,
    ) -> None:
        self.model, self.best = folder / _MODEL, folder / _BEST
        self.state = folder / _STATE
        self.started_at = 0
        """Step that this call of the training began with."""
        self._done, self._info, self._schedule, self._every = done, info, schedule, every
        self._highest, self._compares = float("-inf"), True
        self._epoch_over = self._improved = False
        self._interrupted = False

    @property
    def finished(self) -> bool:
        """Whether the folder holds the training's last weights."""
        return self._done is not None and self._done.epoch >= self._schedule.epochs

    @property
    def resumes(self) -> bool:
        """Whether the folder holds a state to go on from."""
        return self._done is not None and self.state.exists()

    def accept(self) -> Sequence[Change]:
        """Return what has changed since the folder's training was stopped, and record it.

        Raises:
            RestoreError: if the folder holds another training.
        """
        done = self._done
        if done is None:
            return ()
        folder = self.state.parent
        advice = "choose another folder, or use --restart"
        try:
            changes = changes_since(done, self._info)
        except RestoreError as error:
            raise RestoreError(f"{folder} holds a training with {error}: {advice}") from error
        if self._info.initial not in ("", done.initial):
            raise RestoreError(f"{folder} holds a training that began with other weights: {advice}")
        if any(change.setting == "phases" for change in changes) and not self.state.exists():
            raise RestoreError(f"{self.state} is gone, and no training can go on without: {advice}")
        # PSNRs of other pictures can't be compared with those of these
        self._compares = not any(change.setting.startswith("validation") for change in changes)
        record = {"changes": [*done.changes, *changes], "initial": done.initial}
        self._info = self._info.model_copy(update=record)
        return changes

    def interrupt(self) -> None:
        """Ask for a KeyboardInterrupt once the state of the step at hand is saved."""
        self._interrupted = True

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.started_at = trainer.global_step

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        step = trainer.global_step
        # the end of an epoch is written after its validation
        if step == self._schedule.first_step(trainer.current_epoch + 1):
            return
        if step % self._every == 0 or self._interrupted:
            self._epoch_over = self._improved = False
            trainer.save_checkpoint(self.state)
        if self._interrupted:
            raise KeyboardInterrupt

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._epoch_over = True
        psnr = self._metrics(trainer).get("psnr", float("-inf"))
        self._improved = psnr > self._highest
        self._highest = max(psnr, self._highest)
        trainer.save_checkpoint(self.state)
        if self._interrupted:
            raise KeyboardInterrupt

    def on_save_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if not trainer.is_global_zero:
            return
        # Lightning calls this last of all callbacks: with a moving average, these are its weights
        state = checkpoint["state_dict"].items()
        weights = {k.removeprefix("model."): v for k, v in state if k.startswith("model.")}
        changes = {
            "epoch": trainer.current_epoch + self._epoch_over,
            "step": trainer.global_step,
            "metrics": self._metrics(trainer) if self._epoch_over else {},
        }
        info = self._info.model_copy(update=changes)
        if self._improved:
            save_model(self.best, weights, info)
        save_model(self.model, weights, info)

    def state_dict(self) -> dict[str, Any]:
        return {"highest": self._highest}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if self._compares:
            self._highest = state_dict["highest"]

    @staticmethod
    def _metrics(trainer: L.Trainer) -> dict[str, float]:
        """Return the metrics of this epoch's validation, if it had one."""
        if not sum(trainer.num_val_batches):
            return {}
        latest = trainer.callback_metrics.items()
        return {k: round(float(v), 6) for k, v in latest if k.startswith("psnr")}
