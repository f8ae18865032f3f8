"""Training of restorers from manifests; `train` starts, resumes, or has nothing left to do."""

from __future__ import annotations

import logging
import os
import signal
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import lightning as L
from lightning.pytorch.loggers import TensorBoardLogger

from curate.errors import CurateError, RestoreError
from curate.manifest import Manifest
from curate.restore.checkpoints.checkpoint import (
    CheckpointInfo,
    fingerprint_of,
    load_weights,
    read_info,
)
from curate.restore.data.degradations import parse_degradation
from curate.restore.data.groups import open_groups
from curate.restore.data.loader import Unreadable, worker_died
from curate.restore.data.patches import Group, PatchDataset, ValidationDataset, hold_out
from curate.restore.data.pictures import Picture
from curate.restore.models import require_tasks
from curate.restore.recipe import TrainRecipe
from curate.restore.schedule import Schedule
from curate.restore.training.callbacks import (
    LoaderPace,
    MovingAverage,
    Notice,
    Progress,
    Report,
    Routing,
    SamplePictures,
)
from curate.restore.training.checkpointing import StateFile, Writer, read_earlier
from curate.restore.training.distributed import leads, process_settings
from curate.restore.training.lightning_module import Patches, RestorationTask
from curate.runtime import is_out_of_memory, log_levels
from curate.storage import atomic

__all__ = ["Notice", "Progress", "TrainResult", "train"]


@dataclass(frozen=True)
class TrainResult:
    """Outcome of a training."""

    checkpoint: Path
    """Weights after the last epoch."""
    best: Path
    """Weights with the highest PSNR in validation."""
    steps: int
    """Steps of the whole training."""
    trained: int
    """Steps done by this call: 0 if the training was finished before."""
    metrics: Mapping[str, float]
    """Metrics of the last validation: psnr, psnr_before, psnr/<degradation>, in dB."""
    pace: str
    """Whether patches came as fast as they were used; empty if nothing was trained."""
    leads: bool
    """Whether this process, of those that share the training, writes files and reports."""


def train(
    recipe: TrainRecipe | str | os.PathLike[str],
    manifests: Sequence[str | os.PathLike[str] | Manifest],
    out: str | os.PathLike[str],
    *,
    resume: bool = True,
    weights: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    notice: Notice | None = None,
) -> TrainResult:
    """Train a restorer, or resume where an earlier call with the same arguments was stopped.

    Some settings may have changed since; see `curate.restore.training.resume`.

    Writes `model.safetensors` and `best.safetensors`, the resolved `recipe.yaml`, TensorBoard logs
    in `logs/`, and `state.ckpt` to resume from.

    Args:
        recipe: a recipe, or the path or name of one.
        manifests: manifests, or folders of pictures, as `NAME=PLACE` where they belong to a data
            group of the recipe. Rows of the test split are for validation.
        out: folder for everything that the training writes.
        resume: False deletes an earlier training in the folder.
        weights: checkpoint whose weights the training begins with; random ones by default. They
            count for nothing where it resumes.
        progress: called after every step.
        notice: called with a sentence for each thing worth knowing before the end.

    Raises:
        RestoreError: if the folder holds another training, the pictures can't be read, or the loss
            is no longer finite.
        ManifestError: if a manifest can't be read.
        RunError: if the folder can't be written.
    """
    if not isinstance(recipe, TrainRecipe):
        recipe = TrainRecipe.load(Path(recipe))
    # unknown degradations are reported before the pictures are opened
    for name in (*recipe.degradations, *recipe.validation.degradations):
        parse_degradation(name)
    folder = Path(out)
    given, trained_on = open_groups(recipe, manifests)
    notify = notice if notice and leads() else lambda _: None
    left_out = ", ".join(name for name in recipe.data if name not in given)
    if left_out and set(given) != {""}:
        notify(f"trains without {left_out}, of which no --manifest was given")
    settings = recipe.validation
    unreadable = _unreadable(recipe, given, notify)
    groups: list[Group] = []
    held_out: list[Picture] = []
    for group in given.values():
        group, pictures = hold_out(group, settings.images, recipe.seed, unreadable.can_read)
        groups.append(group)
        held_out += pictures
    done = read_earlier(folder, resume=resume)
    samples = recipe.samples_per_epoch
    if samples == "auto":
        counted = sum(len(group.pictures) * group.repeat for group in groups)
        # fewer pictures than before leave the steps that are done as they were
        samples = (done and done.samples_per_epoch) or counted
    schedule = Schedule(recipe.phases, samples)
    info = CheckpointInfo(
        model=recipe.model,
        settings=recipe.settings,
        recipe=recipe.essence(),
        initial=fingerprint_of(weights) if weights else "",
        manifests=trained_on,
        samples_per_epoch=samples,
    )
    writer = Writer(folder, done, info, schedule, recipe.save_every)
    for change in writer.accept():
        notify(f"goes on with {change}")
    pace = ""
    finished = writer.finished
    if not finished:
        validation = ValidationDataset(
            held_out, settings.degradations, crop=settings.crop, seed=recipe.seed
        )
        task = RestorationTask(recipe, schedule, validation.names)
        patches = PatchDataset(
            groups,
            recipe.phases,
            seed=recipe.seed,
            crops_per_image=recipe.crops_per_image,
            cache_bytes=recipe.cache_mb * 2**20,
            views=getattr(task.model, "views", 1),
        )
        if weights and not writer.resumes:
            load_weights(task.model, weights)
        loaders = Patches(recipe, schedule, patches, validation, unreadable)
        tasks = {parse_degradation(name).task for name in settings.degradations}
        require_tasks(task.model, tasks.union(*(group.tasks for group in groups)))
        callbacks = [Routing(notify), SamplePictures(), LoaderPace(loaders, notify)]
        if progress and leads():
            callbacks.append(Report(schedule.steps, progress))
        try:
            _fit(task, loaders, writer, callbacks)
        except RuntimeError as error:
            # PyTorch raises this from a signal handler, so at any place, when a worker dies
            if not str(error).startswith("DataLoader worker (pid"):
                raise
            raise worker_died(error) from error
        pace = str(loaders.pace)
    final = read_info(writer.model)
    trained = 0 if finished else final.step - writer.started_at
    return TrainResult(writer.model, writer.best, final.step, trained, final.metrics, pace, leads())


def _unreadable(recipe: TrainRecipe, groups: Mapping[str, Group], notice: Notice) -> Unreadable:
    """Return the record of pictures that can't be read, with the recipe's limit."""
    pictures = sum(len(group.pictures) for group in groups.values())
    limit = max(int(recipe.unreadable * pictures), 1) if recipe.unreadable else 0
    return Unreadable(limit, notice)


def _fit(
    task: RestorationTask,
    loaders: Patches,
    writer: Writer,
    callbacks: Sequence[L.Callback],
) -> None:
    recipe, schedule, folder = task.recipe, task.schedule, writer.state.parent
    state = writer.state if writer.resumes else None
    callbacks = [writer, *callbacks]
    if leads():
        atomic.write(folder / "recipe.yaml", recipe.to_yaml().encode())
    if recipe.ema:
        callbacks = [MovingAverage(recipe.ema), *callbacks]
    with _quiet():
        trainer = L.Trainer(
            max_epochs=schedule.epochs,
            **process_settings(recipe),
            precision=recipe.precision,
            gradient_clip_val=recipe.optimiser.clip or None,
            logger=TensorBoardLogger(folder, name="logs", version=""),
            log_every_n_steps=min(50, *map(schedule.steps_in, range(schedule.epochs))),
            callbacks=list(callbacks),
            plugins=[StateFile()],
            # the loader stays, but each epoch has its own number of steps
            reload_dataloaders_every_n_epochs=1,
            num_sanity_val_steps=0,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        on_interrupt = signal.getsignal(signal.SIGINT)
        try:
            with _save_on_interrupt(writer) if trainer.world_size == 1 else nullcontext():
                trainer.fit(task, datamodule=loaders, ckpt_path=state, weights_only=True)
        except CurateError as error:
            text = str(error)
            if "Original Traceback" not in text:
                raise
            # a worker's error, wrapped in its traceback: the last line is the error itself
            raise type(error)(text.rstrip().splitlines()[-1].partition(": ")[2]) from error
        except SystemExit as end:
            if not isinstance(end.__context__, KeyboardInterrupt):
                raise
            # on Ctrl-C Lightning ignores further ones and leaves the process
            signal.signal(signal.SIGINT, on_interrupt)
            raise KeyboardInterrupt from end
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            advice = "lower the batch or crop of the recipe's phases"
            raise RestoreError(f"the memory is too small: {advice}") from error
        except OSError as error:
            raise atomic.explain(error, str(folder)) from error


@contextmanager
def _save_on_interrupt(writer: Writer) -> Iterator[None]:
    """On the first Ctrl-C, let the writer save the state and stop; a second one stops at once.

    For one process alone: several would have to agree on the step.
    """
    before = signal.getsignal(signal.SIGINT)
    if not callable(before) or threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, before)
        writer.interrupt()
        with suppress(KeyboardInterrupt):
            before(number, frame)  # the command line's own says that it stops

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is interrupt:
            signal.signal(signal.SIGINT, before)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence Lightning's advice, which is about settings that the recipe chose."""
    levels = {"lightning.pytorch": logging.ERROR, "lightning.fabric": logging.ERROR}
    with log_levels(levels), warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"lightning\..*")
        # gradients of channels_last networks may differ in layout from DDP's buckets: harmless
        warnings.filterwarnings("ignore", message="Grad strides do not match")
        yield
