"""Distance of the chosen images from the target distribution."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from curate.stages.select.balance import FrequencyBins

__all__ = ["describe", "describe_target"]

_POINTS = 100_000
"""Number of quantiles that represent a distribution, or more values than that."""


def describe(log_ratio_N: NDArray[np.float64], target: FrequencyBins) -> dict[str, float | None]:
    """Return moments of log10 ratios, and their distance from the truncated normal target.

    Returns:
        mean, std, skewness (0 for a normal distribution), kurtosis (excess over a normal one), ks
        (Kolmogorov-Smirnov: the largest difference of the cumulative shares, 0 to 1) and
        wasserstein (1-Wasserstein distance, in log10 of the ratio); None for too few values.
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
    """Return the target's own moments; truncated, it is not symmetrical."""
    return _moments(_target_quantiles(_POINTS, target))


def _cumulated(x_N: NDArray[np.float64], target: FrequencyBins) -> NDArray[np.float64]:
    """Return the target's share below each value, by its upper tail, exact for a high cut-off."""
    above_N = ndtr(-(x_N - target.mean) / target.std)
    return 1 - np.minimum(above_N / _kept(target), 1)


def _target_quantiles(count: int, target: FrequencyBins) -> NDArray[np.float64]:
    midpoints = (np.arange(count) + 0.5) / count
    return target.mean - target.std * ndtri(_kept(target) * (1 - midpoints))


def _kept(target: FrequencyBins) -> float:
    """Return the share of the normal distribution above the minimum."""
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
    """Return the sorted values, or _POINTS quantiles of them if they are more."""
    ordered_N = np.sort(values_N)
    if len(ordered_N) <= _POINTS:
        return ordered_N
    return ordered_N[((np.arange(_POINTS) + 0.5) * len(ordered_N) / _POINTS).astype(np.int64)]


def _number(value: float | None) -> float | None:
    """Round, so that the last bit of a sum makes no difference; None unless finite."""
    return None if value is None or not np.isfinite(value) else round(float(value), 6)
