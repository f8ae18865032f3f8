"""Batches of a training: one pool of workers for all epochs, and measurements of its speed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from curate.errors import RestoreError
from curate.restore.data.patches import Key, PatchDataset
from curate.restore.data.pictures import Picture
from curate.restore.schedule import Schedule
from curate.runtime import isolated

__all__ = ["Batch", "Pace", "PatchLoader", "Unreadable", "worker_died"]

Batch = Sequence[Tensor]
"""Degraded and clean patches, (B, 3, crop, crop), and the position of each one's task, (B,)."""

_STARVED = 0.1  # share of its time that a training may wait for patches


@dataclass
class Pace:
    """Speed at which patches come, and could be used."""

    patches: int = 0
    seconds: float = 0.0
    """Time of steps and of waiting for patches, without validations and the start of workers."""
    waited: float = 0.0
    """Part of these seconds spent waiting for patches."""

    @property
    def given(self) -> float:
        """Patches a second."""
        return self.patches / max(self.seconds, 1e-9)

    @property
    def needed(self) -> float:
        """Patches a second that the training could use without waiting."""
        return self.patches / max(self.seconds - self.waited, 1e-9)

    @property
    def starved(self) -> bool:
        """Whether the training waits for patches."""
        return self.waited > _STARVED * self.seconds

    def since(self, earlier: Pace) -> Pace:
        """Return the pace between an earlier measurement and this one."""
        patches, seconds = self.patches - earlier.patches, self.seconds - earlier.seconds
        return Pace(patches, seconds, self.waited - earlier.waited)

    def __str__(self) -> str:
        given, needed = f"{self.given:.3g} patches/s", f"{self.needed:.3g} patches/s"
        if self.starved:
            advice = "raise workers or crops_per_image"
            return f"the loader gives {given}, a step needs {needed}: {advice}"
        return f"the loader keeps up with the {needed} that a step uses"


@dataclass
class Unreadable:
    """Pictures that can't be read, and that a training does without."""

    limit: int
    """Number of them that it does without; more stop it."""
    notice: Callable[[str], None] = lambda _: None
    """Called with a sentence about each."""
    found: set[str] = field(default_factory=set)
    """The failure of each."""

    def can_read(self, picture: Picture) -> bool:
        """Return whether a picture can be read; add it if not."""
        with isolated(self.add):
            picture.read_all()
            return True
        return False

    def add(self, failure: str) -> None:
        """Note a failure, if there is one, and report it once.

        Raises:
            RestoreError: if there are too many.
        """
        if not failure or failure in self.found:
            return
        self.found.add(failure)
        if len(self.found) > self.limit:
            raise RestoreError(
                f"{failure}; with it, {len(self.found)} pictures can't be read, and the limit is "
                f"{self.limit}: mend them or take them out, or raise unreadable; the same command "
                "goes on from the last state"
            )
        self.notice(f"{failure}; the training does without it")


class PatchLoader:
    """Iterable over the steps of an epoch, from the training's current step on.

    Its workers live as long as it does: they go on to the next epoch's patches while the training
    uses up the last ones.

    Args:
        patches: samples of the training.
        schedule: samples of each step.
        step: callback that returns the training's current step.
        workers: processes that cut patches; 0 cuts them in this one.
        rank: number of this process, which takes that share of each step's samples.
        world: processes that share them.
        unreadable: pictures that the training does without; none by default.
    """

    def __init__(
        self,
        patches: PatchDataset,
        schedule: Schedule,
        step: Callable[[], int],
        *,
        workers: int = 0,
        rank: int = 0,
        world: int = 1,
        unreadable: Unreadable | None = None,
    ) -> None:
        self.pace = Pace()
        self._unreadable = unreadable or Unreadable(0)
        self._patches, self._schedule, self._step = patches, schedule, step
        self._workers, self._rank, self._world = workers, rank, world
        self._batches: Iterator[Any] | None = None
        self._next = 0

    def __len__(self) -> int:
        return self._schedule.steps_in(self._schedule.epoch_of(self._step()))

    def __iter__(self) -> Iterator[Batch]:
        step = self._step()
        end = self._schedule.first_step(self._schedule.epoch_of(step) + 1)
        if self._batches is None or step != self._next:
            loader = DataLoader(
                self._patches,
                batch_sampler=_keys(self._schedule, step, self._rank, self._world),
                num_workers=self._workers,
                pin_memory=torch.cuda.is_available(),
            )
            self._batches = iter(loader)
        last = None
        while step < end:
            asked = time.perf_counter()
            batch = self._take(self._batches)
            got = time.perf_counter()
            if last is not None:
                # a new object, since others keep the pace of a moment
                old, patches = self.pace, len(batch[0])
                waited = old.waited + got - asked
                self.pace = Pace(old.patches + patches, old.seconds + got - last, waited)
            last = got
            step = self._next = step + 1
            yield batch

    def _take(self, batches: Iterator[Any]) -> Batch:
        """Return the next batch.

        Raises:
            RestoreError: if a worker died, or too many pictures can't be read.
        """
        try:
            *batch, failures_B = next(batches)
        except (ConnectionError, EOFError) as error:
            # a worker that dies while it returns a batch leaves a broken connection
            if not self._workers:
                raise
            raise worker_died(error) from error
        for failure in failures_B:
            self._unreadable.add(failure)
        return batch

    def close(self) -> None:
        """End the workers."""
        self._batches = None


def worker_died(error: Exception) -> RestoreError:
    """Return the error that reports the death of a worker, which raised `error` in this process."""
    reason, *_ = str(error).splitlines() or [type(error).__name__]
    return RestoreError(
        f"a worker died ({reason.rstrip('.')}): if memory is short, lower workers or cache_mb; the "
        "same command goes on from the last state"
    )


def _keys(schedule: Schedule, step: int, rank: int, world: int) -> Iterator[list[Key]]:
    """Yield one process's share of each step's keys for `PatchDataset`, from a step on."""
    for phase, samples in schedule.batches(step):
        share = len(samples) // world
        yield [(phase, number) for number in samples[rank * share : (rank + 1) * share]]
