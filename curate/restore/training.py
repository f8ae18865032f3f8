"""Train a restorer from manifests: `train` starts, resumes, or finds that nothing is left to do."""

from __future__ import annotations

import hashlib
import logging
import os
import signal
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Checkpoint, EMAWeightAveraging
from lightning.pytorch.loggers import TensorBoardLogger

from curate import files
from curate.errors import CurateError, RestoreError
from curate.manifest import Manifest
from curate.restore.checkpoint import CheckpointInfo, TrainedOn, read_info, save_model
from curate.restore.data import divide
from curate.restore.degradations import parse_degradation
from curate.restore.pictures import Picture, open_pictures, open_source
from curate.restore.recipe import TrainRecipe
from curate.restore.task import Patches, RestorationTask

__all__ = ["Progress", "TrainResult", "train"]

Progress = Callable[[int, int, Mapping[str, float]], None]
"""Called with the steps done, the steps in all, and the latest values: loss, lr, and psnr once it was measured."""


@dataclass(frozen=True)
class TrainResult:
    """What a training left behind."""

    checkpoint: Path
    """The weights after the last epoch."""
    best: Path
    """The weights with the highest PSNR in validation."""
    steps: int
    """Steps of the whole training."""
    trained: int
    """Steps done by this call: 0 if it was finished before."""
    metrics: Mapping[str, float]
    """Of the last validation: psnr, psnr_before, psnr/<degradation>, in dB."""


def train(
    recipe: TrainRecipe | str | os.PathLike[str],
    manifests: Sequence[str | os.PathLike[str] | Manifest],
    out: str | os.PathLike[str],
    *,
    resume: bool = True,
    progress: Progress | None = None,
) -> TrainResult:
    """Train, or go on where an earlier call with the same arguments was stopped: at its last whole epoch.

    Leaves `model.safetensors` and `best.safetensors`, the resolved `recipe.yaml`, TensorBoard logs in `logs/`, and
    `state.ckpt` to resume from.

    Args:
        recipe: what to train, and how: a recipe, or the path or name of one.
        manifests: manifests, or folders of pictures. Rows of the test split are for validation.
        out: folder for everything the training writes.
        resume: False starts anew, whatever is there.
        progress: called after every step.

    Raises:
        RestoreError: if the folder holds another training, the pictures can't be read, or the loss is no longer finite.
        ManifestError: if a manifest can't be read.
        RunError: if the folder can't be written.
    """
    if not isinstance(recipe, TrainRecipe):
        recipe = TrainRecipe.load(Path(recipe))
    for name in (*recipe.degradations, *recipe.validation.degradations):
        parse_degradation(name)
    folder = Path(out)
    sources = [open_source(where) for where in manifests]
    # a run may leave its test split empty; that is no reason not to train on the rest
    rows = [len(source) if isinstance(source, Manifest) else 1 for source in sources]
    sources = [source for source, count in zip(sources, rows, strict=True) if count or not any(rows)]
    groups = [open_pictures(source) for source in sources]
    info = CheckpointInfo(
        model=recipe.model,
        settings=recipe.settings,
        recipe=recipe.essence(),
        manifests=[_describe(source, group) for source, group in zip(sources, groups, strict=True)],
    )
    writer = _Writer(folder, info)
    done = writer.before(resume, recipe.epochs)
    if done is None or done.epoch < recipe.epochs:
        pictures = [picture for group in groups for picture in group]
        patches = Patches(recipe, *divide(pictures, recipe.validation.images, recipe.seed))
        _fit(
            recipe,
            patches,
            folder,
            [writer, *([_Report(recipe, progress)] if progress else [])],
            resumed=done is not None,
        )
    final = read_info(writer.model)
    return TrainResult(writer.model, writer.best, final.step, final.step - (done.step if done else 0), final.metrics)


def _fit(recipe: TrainRecipe, patches: Patches, folder: Path, callbacks: list[L.Callback], *, resumed: bool) -> None:
    files.write(folder / "recipe.yaml", recipe.to_yaml().encode())
    if recipe.ema:
        callbacks = [EMAWeightAveraging(decay=recipe.ema), *callbacks]
    with _quiet():
        trainer = L.Trainer(
            max_epochs=recipe.epochs,
            devices=1,
            precision=recipe.precision,
            gradient_clip_val=recipe.optimiser.clip or None,
            logger=TensorBoardLogger(folder, name="logs", version=""),
            log_every_n_steps=min(50, *(recipe.steps_in(phase) for phase in recipe.phases)),
            callbacks=callbacks,
            reload_dataloaders_every_n_epochs=1,  # each phase has its own crop and batch, each epoch its own patches
            num_sanity_val_steps=0,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        state = folder / _Writer.STATE if resumed else None
        on_interrupt = signal.getsignal(signal.SIGINT)
        try:
            trainer.fit(RestorationTask(recipe), datamodule=patches, ckpt_path=state, weights_only=True)
        except CurateError as error:
            text = str(error)
            if "Original Traceback" not in text:
                raise
            # raised in a worker, and wrapped by its traceback: the last line is the error itself
            raise type(error)(text.rstrip().splitlines()[-1].partition(": ")[2]) from error
        except SystemExit as end:
            if isinstance(end.__context__, KeyboardInterrupt):  # on Ctrl-C Lightning leaves the process, deaf to more
                signal.signal(signal.SIGINT, on_interrupt)
                raise KeyboardInterrupt from end
            raise
        except torch.cuda.OutOfMemoryError as error:
            raise RestoreError(
                "the GPU's memory is too small: lower the batch or crop of the recipe's phases"
            ) from error
        except OSError as error:
            raise files.explain(error, str(folder)) from error


class _Writer(Checkpoint):
    """Writes the model, then Lightning's state, after every epoch.

    The model goes first: a kill between the two repeats the epoch and writes the same model again.
    """

    STATE = "state.ckpt"

    def __init__(self, folder: Path, info: CheckpointInfo) -> None:
        self.model, self.best = folder / "model.safetensors", folder / "best.safetensors"
        self._state, self._info = folder / self.STATE, info
        self._highest = float("-inf")

    def before(self, resume: bool, epochs: int) -> CheckpointInfo | None:
        """What was done already and is finished or can be resumed; removes it if it isn't to be."""
        if not resume:
            for path in (self._state, self.model, self.best):
                path.unlink(missing_ok=True)
        if not self.model.exists():
            return None
        done = read_info(self.model)
        changed = [key for key, value in self._info.recipe.items() if done.recipe.get(key) != value]
        if changed or list(done.manifests) != list(self._info.manifests):
            what = f"another recipe (changed: {', '.join(changed)})" if changed else "other pictures"
            raise RestoreError(
                f"{self._state.parent} holds a training with {what}: choose another folder, or use --restart"
            )
        return done if done.epoch == epochs or self._state.exists() else None

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        trainer.save_checkpoint(self._state)

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        # Lightning calls this last of all callbacks, so the weights are those of the moving average where there is one
        weights = {k.removeprefix("model."): v for k, v in checkpoint["state_dict"].items() if k.startswith("model.")}
        validated = trainer.num_val_batches and sum(trainer.num_val_batches) > 0
        metrics = (
            {k: round(float(v), 6) for k, v in trainer.callback_metrics.items() if k.startswith("psnr")}
            if validated
            else {}
        )
        info = self._info.model_copy(
            update={"epoch": trainer.current_epoch + 1, "step": trainer.global_step, "metrics": metrics}
        )
        save_model(self.model, weights, info)
        if metrics and metrics["psnr"] >= self._highest:
            self._highest = metrics["psnr"]
            save_model(self.best, weights, info)

    def state_dict(self) -> dict[str, Any]:
        return {"highest": self._highest}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._highest = state_dict["highest"]


class _Report(L.Callback):
    """Tells the caller of every step."""

    def __init__(self, recipe: TrainRecipe, progress: Progress) -> None:
        self._total, self._progress = recipe.steps, progress

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, *_: Any) -> None:
        values = {"loss": float(outputs["loss"]), "lr": float(trainer.optimizers[0].param_groups[0]["lr"])}
        values |= {k: float(v) for k, v in trainer.callback_metrics.items() if k == "psnr"}
        self._progress(trainer.global_step, self._total, values)


def _describe(source: str | Manifest, pictures: Sequence[Picture]) -> TrainedOn:
    if isinstance(source, Manifest):
        return TrainedOn(name=Path(source.path).name, pictures=len(pictures), fingerprint=source.fingerprint)
    names = "\n".join(picture.id for picture in pictures)
    digest = hashlib.sha256(names.encode()).hexdigest()
    return TrainedOn(name=Path(source).name, pictures=len(pictures), fingerprint=digest)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Lightning's advice: what it says is about settings that the recipe chose."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\..*")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
