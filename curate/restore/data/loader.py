"""Batches of a training: one pool of workers for all epochs, and measurements of its speed."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, default_collate

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
            picture.cut(picture.read_all()[0])
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
    uses up the last ones. With the first sample of a picture they cut all others that one decoding
    serves. These wait here for their steps.

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
        self._steps: Iterator[list[Key]] = iter(())
        self._asked: deque[list[Key]] = deque()
        self._waiting: dict[Key, tuple[Tensor, ...]] = {}

    def __len__(self) -> int:
        return self._schedule.steps_in(self._schedule.epoch_of(self._step()))

    def __iter__(self) -> Iterator[Batch]:
        step = self._step()
        end = self._schedule.first_step(self._schedule.epoch_of(step) + 1)
        if self._batches is None or step != self._next:
            share = _Share(self._schedule, self._rank, self._world)
            self._steps = share.keys(step)
            self._asked.clear()
            self._waiting.clear()
            loader = DataLoader(
                self._patches,
                batch_sampler=_requests(self._patches, share, step, self._asked),
                num_workers=self._workers,
                collate_fn=_stack_by_crop,
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
        wanted = next(self._steps)
        while not self._waiting.keys() >= set(wanted):
            try:
                parts = next(batches)
            except (ConnectionError, EOFError) as error:
                # a worker that dies while it returns a batch leaves a broken connection
                if not self._workers:
                    raise
                raise worker_died(error) from error
            request = self._asked.popleft()
            for *_, failures_B in parts:
                for failure in failures_B:
                    self._unreadable.add(failure)
            if request == wanted and len(parts) == 1:
                *batch, _ = parts[0]
                return batch
            # copies, since a slice would keep the whole part in shared memory
            keys = iter(request)
            for *tensors, _ in parts:
                for sample in zip(*tensors, strict=True):
                    self._waiting[next(keys)] = tuple(tensor.clone() for tensor in sample)
        samples = [self._waiting.pop(key) for key in wanted]
        batch = [torch.stack(tensors) for tensors in zip(*samples, strict=True)]
        return [tensor.pin_memory() for tensor in batch] if torch.cuda.is_available() else batch

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


@dataclass(frozen=True)
class _Share:
    """One process's share of the samples of a training."""

    schedule: Schedule
    rank: int
    world: int

    def keys(self, step: int) -> Iterator[list[Key]]:
        """Yield its keys of each step, from one on."""
        for phase, samples in self.schedule.batches(step):
            share = len(samples) // self.world
            own = samples[self.rank * share : (self.rank + 1) * share]
            yield [(phase, number) for number in own]

    def key(self, number: int) -> Key | None:
        """Return the key of a sample; None if another process has it, or the training is over."""
        place = self.schedule.place_of(number)
        if place is None:
            return None
        phase, position = place
        owner = position // (self.schedule.phases[phase].batch // self.world)
        return (phase, number) if owner == self.rank else None


def _requests(
    patches: PatchDataset, share: _Share, step: int, asked: deque[list[Key]]
) -> Iterator[list[Key]]:
    """Yield keys to cut at once, in the order of need: a batch, or little more.

    With the first key of a decoding come all others that it serves.

    Args:
        patches: samples of the training.
        share: the process's own.
        step: first one whose keys are wanted.
        asked: gets each request, too.
    """
    begin = next((samples.start for _, samples in share.schedule.batches(step)), 0)
    request: list[Key] = []
    for own in share.keys(step):
        for _, number in own:
            later = [sibling for sibling in patches.siblings(number) if sibling >= begin]
            keys = [key for key in map(share.key, later) if key is not None]
            if keys[0][1] == number:
                request += keys
            if len(request) >= len(own):
                asked.append(request)
                yield request
                request = []
    if request:
        asked.append(request)
        yield request


def _stack_by_crop(samples: Sequence[Any]) -> list[Any]:
    """Stack samples that follow one another, apart where the crop changes between phases."""
    runs = groupby(samples, key=lambda sample: sample[1].shape)
    return [default_collate(list(run)) for _, run in runs]
