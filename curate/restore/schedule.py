"""Arithmetic of a training's epochs, steps, samples and learning rates; needs no torch."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from curate.errors import RestoreError
from curate.restore.recipe import Phase

__all__ = ["Schedule"]


@dataclass(frozen=True)
class Schedule:
    """Phases one after the other, as steps.

    Steps, epochs and samples are counted from 0 and through all phases. Every random choice of a
    training is drawn by these numbers, so that it can resume at any step.

    Raises:
        RestoreError: if an epoch has fewer samples than a batch.
    """

    phases: Sequence[Phase]
    samples_per_epoch: int
    """Samples of an epoch; the last ones are left out when they fill no batch."""

    def __post_init__(self) -> None:
        largest = max(phase.batch for phase in self.phases)
        if largest > self.samples_per_epoch:
            raise RestoreError(
                f"a batch of {largest} is more than the {self.samples_per_epoch} samples of an "
                "epoch: set samples_per_epoch, or give more pictures"
            )

    @cached_property
    def _phase_by_epoch(self) -> list[Phase]:
        return [phase for phase in self.phases for _ in range(phase.epochs)]

    @cached_property
    def _first_steps(self) -> list[int]:
        steps = (self.samples_per_epoch // phase.batch for phase in self._phase_by_epoch)
        return [*accumulate(steps, initial=0)]

    @property
    def epochs(self) -> int:
        """Number of epochs of all phases."""
        return len(self._phase_by_epoch)

    @property
    def steps(self) -> int:
        """Number of steps of all phases."""
        return self._first_steps[-1]

    def phase_at(self, step: int) -> Phase:
        """Return the phase of a step; the last phase when all are over."""
        return self._phase_by_epoch[min(self.epoch_of(step), self.epochs - 1)]

    def epoch_of(self, step: int) -> int:
        """Return the epoch of a step; one past the last epoch when all phases are over."""
        return bisect_right(self._first_steps, step) - 1

    def steps_in(self, epoch: int) -> int:
        """Return the number of steps of an epoch; the last epoch's when all are over."""
        return self.samples_per_epoch // self._phase_by_epoch[min(epoch, self.epochs - 1)].batch

    def first_step(self, epoch: int) -> int:
        """Return the step that an epoch begins with."""
        return self._first_steps[min(epoch, self.epochs)]

    def batches(self, step: int) -> Iterator[tuple[int, range]]:
        """Yield the position of the phase and the samples of each step, from a step on."""
        start, sample = 0, 0
        for number, phase in enumerate(self.phases):
            for _ in range(phase.epochs * (self.samples_per_epoch // phase.batch)):
                if start >= step:
                    yield number, range(sample, sample + phase.batch)
                start += 1
                sample += phase.batch

    def place_of(self, sample: int) -> tuple[int, int] | None:
        """Return a sample's phase and its position in its batch; None after the last sample."""
        for number, phase in enumerate(self.phases):
            samples = phase.epochs * (self.samples_per_epoch // phase.batch) * phase.batch
            if sample < samples:
                return number, sample % phase.batch
            sample -= samples
        return None

    def learning_rate(self, step: int) -> float:
        """Return a step's rate: a linear warm-up, then half a cosine from `lr` to `lr_end`."""
        for phase in self.phases:
            steps = phase.epochs * (self.samples_per_epoch // phase.batch)
            if step < min(steps, phase.warmup):
                return phase.lr * (step + 1) / phase.warmup
            if step < steps:
                progress = (step - phase.warmup) / max(steps - phase.warmup, 1)
                cosine = 0.5 * (1 + math.cos(math.pi * progress))
                return phase.lr_end + (phase.lr - phase.lr_end) * cosine
            step -= steps
        return self.phases[-1].lr_end
