"""Confidence intervals of means over images, by seeded bootstrap."""

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
    """Mean of a value, or of a difference between two models, over images."""

    mean: float
    low: float | None
    """Lower end of the interval; None for a single image, or where a value is infinite."""
    high: float | None
    """Upper end, as `low`."""
    images: int | None
    """Number of images; None where it isn't known."""


def estimate(values_n: NDArray[np.float64], level: float, seed: int) -> Estimate:
    """Return the mean and its bootstrap interval (Efron 1979).

    The interval is the middle `level` of the means of resampled images. Resamples depend on the
    seed and the number of images alone. So models are compared on the same resamples, and the
    interval of a difference is a paired one.

    Args:
        values_n: a value for each image.
        level: share of the means that the interval holds, in 0..1.
        seed: seed of the resamples.
    """
    mean, n = float(values_n.mean()), len(values_n)
    if n == 1 or not math.isfinite(mean):
        return Estimate(mean, None, None, n)
    # (RESAMPLES, n) @ (n,): the mean of each resample, then two quantiles of them
    low, high = np.quantile(_shares(n, seed) @ values_n, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(mean, float(low), float(high), n)


@lru_cache(maxsize=2)
def _shares(n: int, seed: int) -> NDArray[np.float64]:
    """Return the share of each image in each resample: (RESAMPLES, n), rows sum to 1."""
    return generator(seed, "bootstrap", n).multinomial(n, np.full(n, 1 / n), RESAMPLES) / n
