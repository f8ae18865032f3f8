"""Train a restorer from manifests: `train` starts, resumes, or finds that nothing is left to do."""

from __future__ import annotations

import logging
import os
import signal
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging
from lightning.pytorch.loggers import TensorBoardLogger

from curate.errors import CurateError, RestoreError
from curate.manifest import Manifest
from curate.restore.checkpoints.checkpoint import CheckpointInfo, read_info
from curate.restore.data.degradations import parse_degradation
from curate.restore.data.groups import open_groups
from curate.restore.data.patches import divide
from curate.restore.models import require_tasks
from curate.restore.recipe import TrainRecipe
from curate.restore.schedule import Schedule
from curate.restore.training.callbacks import (
    LoaderPace,
    Notice,
    Progress,
    Report,
    Routing,
    SamplePictures,
)
from curate.restore.training.checkpointing import StateFile, Writer
from curate.restore.training.distributed import leads, share_out
from curate.restore.training.lightning_module import Patches, RestorationTask
from curate.runtime import log_levels
from curate.storage import atomic

__all__ = ["Notice", "Progress", "TrainResult", "train"]


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
    pace: str
    """Whether patches came as fast as they were used; empty if nothing was trained."""
    leads: bool
    """Whether this is the one of several processes that writes."""


def train(
    recipe: TrainRecipe | str | os.PathLike[str],
    manifests: Sequence[str | os.PathLike[str] | Manifest],
    out: str | os.PathLike[str],
    *,
    resume: bool = True,
    progress: Progress | None = None,
    notice: Notice | None = None,
) -> TrainResult:
    """Train, or go on where an earlier call with the same arguments was stopped: at the last state it wrote.

    Leaves `model.safetensors` and `best.safetensors`, the resolved `recipe.yaml`, TensorBoard logs in `logs/`, and
    `state.ckpt` to resume from.

    Args:
        recipe: what to train, and how: a recipe, or the path or name of one.
        manifests: manifests, or folders of pictures, as `NAME=PLACE` where they belong to a data group of the recipe.
            Rows of the test split are for validation.
        out: folder for everything the training writes.
        resume: False starts anew, whatever is there.
        progress: called after every step.
        notice: called with what is worth knowing before the end, a sentence each.

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
    given, trained_on = open_groups(recipe, manifests)
    tell = notice if notice and leads() else lambda _: None
    left_out = [name for name in recipe.data if name not in given]
    if left_out and set(given) != {""}:
        tell(f"trains without {', '.join(left_out)}, of which no --manifest was given")
    halves = [divide(group, recipe.validation.images, recipe.seed) for group in given.values()]
    groups, validation = (
        [train for train, _ in halves],
        [picture for _, held in halves for picture in held],
    )
    auto = sum(len(group.pictures) * group.repeat for group in groups)
    schedule = Schedule(
        recipe.phases, auto if recipe.samples_per_epoch == "auto" else recipe.samples_per_epoch
    )
    info = CheckpointInfo(
        model=recipe.model, settings=recipe.settings, recipe=recipe.essence(), manifests=trained_on
    )
    writer = Writer(folder, info, schedule, recipe.save_every)
    done = writer.before(resume)
    finished = done is not None and done.epoch == schedule.epochs
    pace = ""
    if not finished:
        patches = Patches(recipe, schedule, groups, validation)
        task = RestorationTask(recipe, schedule)
        measured = {parse_degradation(name).task for name in recipe.validation.degradations}
        require_tasks(task.model, measured.union(*(group.tasks for group in groups)))
        callbacks: list[L.Callback] = [
            writer,
            Routing(tell),
            SamplePictures(),
            LoaderPace(patches, tell),
        ]
        if progress and leads():
            callbacks.append(Report(schedule.steps, progress))
        _fit(task, patches, folder, callbacks, writer.state if done else None)
        pace = str(patches.pace)
    final = read_info(writer.model)
    trained = 0 if finished else final.step - writer.begun
    return TrainResult(writer.model, writer.best, final.step, trained, final.metrics, pace, leads())


def _fit(
    task: RestorationTask,
    patches: Patches,
    folder: Path,
    callbacks: list[L.Callback],
    state: Path | None,
) -> None:
    recipe = task.recipe
    if leads():
        atomic.write(folder / "recipe.yaml", recipe.to_yaml().encode())
    if recipe.ema:
        callbacks = [EMAWeightAveraging(decay=recipe.ema), *callbacks]
    with _quiet():
        trainer = L.Trainer(
            max_epochs=task.schedule.epochs,
            **share_out(recipe),
            precision=recipe.precision,
            gradient_clip_val=recipe.optimiser.clip or None,
            logger=TensorBoardLogger(folder, name="logs", version=""),
            log_every_n_steps=min(
                50, *(task.schedule.steps_in(epoch) for epoch in range(task.schedule.epochs))
            ),
            callbacks=callbacks,
            plugins=[StateFile()],
            reload_dataloaders_every_n_epochs=1,  # the same loader, with as many steps as the epoch has
            num_sanity_val_steps=0,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        on_interrupt = signal.getsignal(signal.SIGINT)
        try:
            trainer.fit(task, datamodule=patches, ckpt_path=state, weights_only=True)
        except CurateError as error:
            text = str(error)
            if "Original Traceback" not in text:
                raise
            # raised in a worker, and wrapped by its traceback: the last line is the error itself
            raise type(error)(text.rstrip().splitlines()[-1].partition(": ")[2]) from error
        except SystemExit as end:
            if isinstance(
                end.__context__, KeyboardInterrupt
            ):  # on Ctrl-C Lightning leaves the process, deaf to more
                signal.signal(signal.SIGINT, on_interrupt)
                raise KeyboardInterrupt from end
            raise
        except torch.cuda.OutOfMemoryError as error:
            raise RestoreError(
                "the GPU's memory is too small: lower the batch or crop of the recipe's phases"
            ) from error
        except OSError as error:
            raise atomic.explain(error, str(folder)) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Lightning's advice: what it says is about settings that the recipe chose."""
    levels = {"lightning.pytorch": logging.ERROR, "lightning.fabric": logging.ERROR}
    with log_levels(levels), warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"lightning\..*")
        # gradients of channels_last networks may differ in layout from DDP's buckets: harmless
        warnings.filterwarnings("ignore", message="Grad strides do not match")
        yield
