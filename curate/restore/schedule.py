"""What each step of a training is: its epoch, its phase, its learning rate, its samples. Doesn't import torch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from curate.errors import RestoreError
from curate.restore.recipe import Phase

__all__ = ["Schedule"]


@dataclass(frozen=True)
class Schedule:
    """Phases one after the other, as steps.

    Steps, epochs and samples are counted from 0 and through all phases. All that is random in a training is drawn by
    these numbers, so that one can go on at any step.

    Raises:
        RestoreError: if an epoch has fewer samples than a batch.
    """

    phases: Sequence[Phase]
    samples_per_epoch: int
    """Samples of an epoch; those that fill no batch are left out."""

    def __post_init__(self) -> None:
        largest = max(phase.batch for phase in self.phases)
        if largest > self.samples_per_epoch:
            raise RestoreError(
                f"a batch of {largest} is more than the {self.samples_per_epoch} samples of an epoch: "
                "set samples_per_epoch, or give more pictures"
            )

    @property
    def epochs(self) -> int:
        """Epochs of all phases."""
        return sum(phase.epochs for phase in self.phases)

    @property
    def steps(self) -> int:
        """Steps of all phases."""
        return self.first_step(self.epochs)

    def phase_number(self, epoch: int) -> int:
        """Position of an epoch's phase; the last one's when all are over."""
        for number, phase in enumerate(self.phases):
            if epoch < phase.epochs:
                return number
            epoch -= phase.epochs
        return len(self.phases) - 1

    def phase_at(self, step: int) -> Phase:
        """The phase that a step belongs to."""
        return self.phases[self.phase_number(self.epoch_of(step))]

    def epoch_of(self, step: int) -> int:
        """The epoch that a step belongs to; one past the last when all are over."""
        epoch = 0
        for phase in self.phases:
            steps = self.samples_per_epoch // phase.batch
            if step < phase.epochs * steps:
                return epoch + step // steps
            step -= phase.epochs * steps
            epoch += phase.epochs
        return epoch

    def steps_in(self, epoch: int) -> int:
        """Steps of an epoch."""
        return self.samples_per_epoch // self.phases[self.phase_number(epoch)].batch

    def first_step(self, epoch: int) -> int:
        """The step that an epoch begins with."""
        steps = 0
        for phase in self.phases:
            steps += min(epoch, phase.epochs) * (self.samples_per_epoch // phase.batch)
            epoch -= min(epoch, phase.epochs)
        return steps

    def batches(self, step: int) -> Iterator[tuple[int, range]]:
        """From a step on, the position of each step's phase, and its samples."""
        start, sample = 0, 0
        for number, phase in enumerate(self.phases):
            for _ in range(phase.epochs * (self.samples_per_epoch // phase.batch)):
                if start >= step:
                    yield number, range(sample, sample + phase.batch)
                start += 1
                sample += phase.batch

    def learning_rate(self, step: int) -> float:
        """Each phase warms up linearly and falls along a half cosine, from its `lr` to its `lr_end`."""
        for phase in self.phases:
            steps = phase.epochs * (self.samples_per_epoch // phase.batch)
            if step >= steps:
                step -= steps
            elif step < phase.warmup:
                return phase.lr * (step + 1) / phase.warmup
            else:
                progress = (step - phase.warmup) / max(steps - phase.warmup, 1)
                return phase.lr_end + (phase.lr - phase.lr_end) * 0.5 * (
                    1 + math.cos(math.pi * progress)
                )
        return self.phases[-1].lr_end
