"""The batches of a training: one pool of workers for all of its epochs, and how fast it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from curate.errors import RestoreError
from curate.restore.data.patches import Key, PatchDataset
from curate.restore.schedule import Schedule

__all__ = ["Batch", "Pace", "PatchLoader"]

Batch = tuple[Tensor, Tensor, Tensor]
"""Degraded and clean patches, (B, 3, crop, crop), and the position of each one's task, (B,)."""

_STARVED = 0.1  # the share of its time that a training may wait for patches


@dataclass
class Pace:
    """How fast patches come, and how fast they could be used."""

    patches: int = 0
    seconds: float = 0.0
    """Of steps and of waiting for patches; not of validations, nor of starting workers."""
    waited: float = 0.0
    """Seconds of these in which there was nothing to work on."""

    @property
    def given(self) -> float:
        """Patches a second."""
        return self.patches / max(self.seconds, 1e-9)

    @property
    def needed(self) -> float:
        """Patches a second if none had to be waited for."""
        return self.patches / max(self.seconds - self.waited, 1e-9)

    @property
    def starved(self) -> bool:
        """Whether the training waits for patches."""
        return self.waited > _STARVED * self.seconds

    def since(self, earlier: Pace) -> Pace:
        """Of the time between another one and this one."""
        return Pace(
            self.patches - earlier.patches,
            self.seconds - earlier.seconds,
            self.waited - earlier.waited,
        )

    def __str__(self) -> str:
        if not self.starved:
            return f"the loader keeps up with the {self.needed:.3g} patches/s that a step uses"
        given, needed = (f"{rate:.3g} patches/s" for rate in (self.given, self.needed))
        return f"the loader gives {given}, a step needs {needed}: raise workers or crops_per_image"


class PatchLoader:
    """Iterates over the steps of an epoch, from whatever step the training has come to.

    Its workers live as long as it does: they go on to the next epoch's patches while the last one's are used up.

    Args:
        patches: where samples come from.
        schedule: which samples each step has.
        step: tells which step the training has come to.
        workers: processes that cut patches; 0 cuts them in this one.
        rank: which share of each step's samples is this process's.
        world: processes that share them.
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
    ) -> None:
        self.pace = Pace()
        self._patches, self._schedule, self._step = patches, schedule, step
        self._workers, self._rank, self._world = workers, rank, world
        self._batches: Iterator[Batch] | None = None
        self._next = 0

    def __len__(self) -> int:
        return self._schedule.steps_in(self._schedule.epoch_of(self._step()))

    def __iter__(self) -> Iterator[Batch]:
        step = self._step()
        end = self._schedule.first_step(self._schedule.epoch_of(step) + 1)
        if self._batches is None or step != self._next:
            keys = _Keys(self._schedule, step, self._rank, self._world)
            pin = torch.cuda.is_available()
            loader = DataLoader(
                self._patches, batch_sampler=keys, num_workers=self._workers, pin_memory=pin
            )
            self._batches = iter(loader)
        last = None
        while step < end:
            asked = time.perf_counter()
            batch = self._take(self._batches)
            got = time.perf_counter()
            if last is not None:
                pace = self.pace
                self.pace = Pace(
                    pace.patches + len(batch[0]),
                    pace.seconds + got - last,
                    pace.waited + got - asked,
                )
            last = got
            step = self._next = step + 1
            yield batch

    def _take(self, batches: Iterator[Batch]) -> Batch:
        """The next batch.

        Raises:
            RestoreError: if a worker died.
        """
        try:
            return next(batches)
        except (RuntimeError, ConnectionError, EOFError) as error:
            # one that dies while it is waited for is told of by PyTorch; one that dies handing over, by what it leaves
            of_worker = (
                "DataLoader worker" in str(error)
                if isinstance(error, RuntimeError)
                else self._workers
            )
            if not of_worker or "Original Traceback" in str(error):
                raise
            (what, *_) = str(error).splitlines() or [type(error).__name__]
            raise RestoreError(
                f"a worker died ({what.rstrip('.')}): if memory is short, lower workers or cache_mb; the same command "
                "goes on from the last state"
            ) from error

    def close(self) -> None:
        """End the workers."""
        self._batches = None


class _Keys(Sampler[list[Key]]):
    """The keys of each step's samples for `PatchDataset`, this process's share of them."""

    def __init__(self, schedule: Schedule, step: int, rank: int, world: int) -> None:
        self._schedule, self._step, self._rank, self._world = schedule, step, rank, world

    def __iter__(self) -> Iterator[list[Key]]:
        for phase, samples in self._schedule.batches(self._step):
            share = len(samples) // self._world
            yield [(phase, n) for n in samples[self._rank * share : (self._rank + 1) * share]]
