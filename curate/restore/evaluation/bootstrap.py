"""How sure a mean over images is: seeded bootstrap."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from curate.restore.data.degradations import generator

__all__ = ["RESAMPLES", "Estimate", "estimate"]

RESAMPLES = 2000


@dataclass(frozen=True)
class Estimate:
    """The mean of some images' values, or of what two models' values differ by, and where it may lie."""

    mean: float
    low: float | None
    """Ends of the interval; None for a single image, or where a value is infinite."""
    high: float | None
    images: int | None
    """That it is the mean of; None where that isn't told."""


def estimate(values_n: NDArray[np.float64], level: float, seed: int) -> Estimate:
    """The mean with its bootstrap interval: the middle `level` of the means of resampled images (Efron 1979).

    Resamples depend on the seed and the number of images alone. So models are compared on the same resamples, and the
    interval of a difference is a paired one.

    Args:
        values_n: a value for each image.
        level: of the interval, in 0..1.
        seed: of the resamples.
    """
    mean, n = float(values_n.mean()), len(values_n)
    if n == 1 or not math.isfinite(mean):
        return Estimate(mean, None, None, n)
    low, high = np.quantile(_shares(n, seed) @ values_n, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(mean, float(low), float(high), n)


@lru_cache(maxsize=2)
def _shares(n: int, seed: int) -> NDArray[np.float64]:
    """Share of each image in each resample: (RESAMPLES, n)."""
    return generator(seed, "bootstrap", n).multinomial(n, np.full(n, 1 / n), RESAMPLES) / n
