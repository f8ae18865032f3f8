"""Moments of the chosen images' ratios, and their distance from the target distribution."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from curate.stages.select.balance import FrequencyBins

__all__ = ["describe", "describe_target"]

Values = NDArray[np.float64]

_POINTS = 100_000
"""Quantiles that stand for a distribution, or for a larger number of values."""


def describe(log_ratio_N: Values, target: FrequencyBins) -> dict[str, float | None]:
    """Return moments of log10 ratios, and their distance from the target.

    The target is a normal distribution, cut off at its minimum.

    Returns:
        mean, std, skewness (0 for a normal distribution), kurtosis (in excess of a normal one's),
        ks (Kolmogorov-Smirnov: the largest difference of the cumulated shares, 0 to 1) and
        wasserstein (1-Wasserstein distance, in log10 of the ratio); None with too few values.
    """
    x_N = _quantiles(log_ratio_N)
    if not len(x_N):
        return _moments(x_N) | {"ks": None, "wasserstein": None}
    share_N = _cumulated(x_N, target)
    # the empirical distribution steps up at each value: compare below and above the step
    steps = np.arange(len(x_N) + 1) / len(x_N)
    ks = max(np.abs(share_N - steps[1:]).max(), np.abs(share_N - steps[:-1]).max())
    wasserstein = np.abs(x_N - _target_quantiles(len(x_N), target)).mean()
    return _moments(x_N) | {"ks": _number(ks), "wasserstein": _number(wasserstein)}


def describe_target(target: FrequencyBins) -> dict[str, float | None]:
    """Return the target's own moments: cut off, it is no longer symmetrical."""
    return _moments(_target_quantiles(_POINTS, target))


def _cumulated(x_N: Values, target: FrequencyBins) -> Values:
    """Return the share of the target below each value.

    Computed from the upper tail, which stays exact where the target is cut off far up.
    """
    above_N = ndtr(-(x_N - target.mean) / target.std)
    return 1 - np.minimum(above_N / _uncut(target), 1)


def _target_quantiles(count: int, target: FrequencyBins) -> Values:
    midpoints = (np.arange(count) + 0.5) / count
    return target.mean - target.std * ndtri(_uncut(target) * (1 - midpoints))


def _uncut(target: FrequencyBins) -> float:
    """Return the share of the normal distribution that lies above the minimum."""
    if target.minimum is None:
        return 1.0
    return max(float(ndtr((target.mean - target.minimum) / target.std)), 1e-300)


def _moments(x_N: Values) -> dict[str, float | None]:
    moments: dict[str, float | None] = dict.fromkeys(("mean", "std", "skewness", "kurtosis"))
    if not len(x_N):
        return moments
    mean, std = float(x_N.mean()), float(x_N.std())
    moments |= {"mean": _number(mean), "std": _number(std)}
    if std > 1e-9:
        z_N = (x_N - mean) / std
        moments["skewness"] = _number((z_N**3).mean())
        moments["kurtosis"] = _number((z_N**4).mean() - 3)
    return moments


def _quantiles(values_N: Values) -> Values:
    """Return the values in order, or _POINTS quantiles of them where there are more."""
    ordered_N = np.sort(values_N)
    if len(ordered_N) <= _POINTS:
        return ordered_N
    return ordered_N[((np.arange(_POINTS) + 0.5) * len(ordered_N) / _POINTS).astype(np.int64)]


def _number(value: float) -> float | None:
    """Round, so that the last bit of a sum makes no difference; None for infinity and NaN."""
    return round(float(value), 6) if np.isfinite(value) else None
