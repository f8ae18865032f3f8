"""How near the chosen images come to the target distribution."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from curate.stages.select.balance import FrequencyBins

__all__ = ["describe", "describe_target"]

_POINTS = 100_000
"""Quantiles that stand for a distribution, or for more values than these."""


def describe(log_ratio_N: NDArray[np.float64], target: FrequencyBins) -> dict[str, float | None]:
    """Moments of log10 ratios, and their distance from the target: a normal distribution, cut off at its minimum.

    Returns:
        mean, std, skewness (0 for a normal distribution), kurtosis (in excess of a normal one's), ks
        (Kolmogorov-Smirnov: the largest difference of the cumulated shares, 0 to 1) and wasserstein (1-Wasserstein
        distance, in log10 of the ratio); None where there are too few values to tell.
    """
    x_N = _quantiles(log_ratio_N)
    if not len(x_N):
        return _moments(x_N) | {"ks": None, "wasserstein": None}
    share_N = _cumulated(x_N, target)
    steps = np.arange(len(x_N) + 1) / len(x_N)
    ks = max(np.abs(share_N - steps[1:]).max(), np.abs(share_N - steps[:-1]).max())
    return _moments(x_N) | {
        "ks": _number(ks),
        "wasserstein": _number(np.abs(x_N - _target_quantiles(len(x_N), target)).mean()),
    }


def describe_target(target: FrequencyBins) -> dict[str, float | None]:
    """The target's own moments: cut off, it is no longer symmetrical."""
    return _moments(_target_quantiles(_POINTS, target))


def _cumulated(x_N: NDArray[np.float64], target: FrequencyBins) -> NDArray[np.float64]:
    """The share of the target below each value; by its upper tail, which stays exact where it is cut off far up."""
    above_N = ndtr(-(x_N - target.mean) / target.std)
    return 1 - np.minimum(above_N / _kept(target), 1)


def _target_quantiles(count: int, target: FrequencyBins) -> NDArray[np.float64]:
    midpoints = (np.arange(count) + 0.5) / count
    return target.mean - target.std * ndtri(_kept(target) * (1 - midpoints))


def _kept(target: FrequencyBins) -> float:
    """The share of the normal distribution that lies above the minimum."""
    if target.minimum is None:
        return 1.0
    return max(float(ndtr((target.mean - target.minimum) / target.std)), 1e-300)


def _moments(x_N: NDArray[np.float64]) -> dict[str, float | None]:
    moments: dict[str, float | None] = dict.fromkeys(("mean", "std", "skewness", "kurtosis"))
    if len(x_N):
        mean, std = float(x_N.mean()), float(x_N.std())
        moments |= {"mean": _number(mean), "std": _number(std)}
        if std > 1e-9:
            z_N = (x_N - mean) / std
            moments |= {
                "skewness": _number((z_N**3).mean()),
                "kurtosis": _number((z_N**4).mean() - 3),
            }
    return moments


def _quantiles(values_N: NDArray[np.float64]) -> NDArray[np.float64]:
    """The values in order, or as many of their quantiles as stand for them."""
    ordered_N = np.sort(values_N)
    if len(ordered_N) <= _POINTS:
        return ordered_N
    return ordered_N[((np.arange(_POINTS) + 0.5) * len(ordered_N) / _POINTS).astype(np.int64)]


def _number(value: float | None) -> float | None:
    """Rounded, so that the last bit of a sum is no difference; None for what is no number."""
    return None if value is None or not np.isfinite(value) else round(float(value), 6)
