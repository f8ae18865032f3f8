"""The power of an image at each spatial frequency, and how much of it is high: eqs. (3) to (6) of the HQ-50K paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import isqrt
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

__all__ = ["PAPER_CUTOFF", "PUBLISHED_CUTOFF", "PowerSpectrum", "high_frequency_ratios", "ratios_and_spectrum"]

PAPER_CUTOFF = 0.5
"""D0 as the paper prints it, as a share of the half-diagonal."""
PUBLISHED_CUTOFF = 0.32
"""The share of the half-diagonal that gives the paper's published figures."""

_SMALL = 2**18
_SMOOTH = 1e-4


@dataclass(frozen=True)
class PowerSpectrum:
    """|DFT|^2 of an image less its mean, on the real half-plane."""

    power_HV: NDArray[np.floating[Any]]
    """Rows u = 0 to H - 1, columns v = 0 to W // 2; a column that stands for -v too has both. 0 at (0, 0)."""
    width: int
    """W, which the half-plane does not tell."""
    total: float
    """Power of the image, that of its mean included."""

    def share_beyond(self, cutoff: float) -> float:
        """Share of the power farther than the cut-off from (0, 0); 0 if there is none at all."""
        if self.total == 0:
            return 0.0
        first_V = _first_rows(self.power_HV.shape[0], self.width, cutoff)
        height = self.power_HV.shape[0]
        beyond = 0.0
        # |u| >= first_V[v] is out: for each row pair +-u that is the columns from some v on
        for u in range(height // 2 + 1):
            start = int(np.searchsorted(-first_V, -u, side="left"))
            beyond += float(self.power_HV[u, start:].sum(dtype=np.float64))
            if 0 < u < height - u:
                beyond += float(self.power_HV[height - u, start:].sum(dtype=np.float64))
        return beyond / self.total


def high_frequency_ratios(luma_HW: NDArray[np.uint8], cutoffs: Sequence[float] = (PAPER_CUTOFF,)) -> list[float]:
    """Share of the DFT's power that lies farther than D0 from the zero frequency, for several D0 at once.

    D(u, v) is in index units, eq. (4), from the zero frequency itself (for odd sides the printed centre H/2 lies half a
    sample beside it); D0 = cutoff x sqrt((H/2)^2 + (W/2)^2). All power counts below the fraction bar, DC included.

    Args:
        luma_HW: ITU-R 601 luma, shape (height, width).
        cutoffs: D0 as shares of the half-diagonal, each in (0, 1).

    Returns:
        One ratio in [0, 1] per cutoff, in their order; 0 for an all-black image.

    Raises:
        ValueError: if the array is not a non-empty (height, width) of uint8.
    """
    return ratios_and_spectrum(luma_HW, cutoffs)[0]


def ratios_and_spectrum(luma_HW: NDArray[np.uint8], cutoffs: Sequence[float]) -> tuple[list[float], PowerSpectrum]:
    """`high_frequency_ratios`, and the spectrum that they are of.

    The transform runs on the real half-plane after the mean is taken off, in float32 where that is exact enough: not
    for small images, whose rounding errors don't average out, nor for smooth ones, whose high frequencies drown in
    them. DC comes back exactly, and sums are in float64. The ratios agree with a float64 transform's to 1e-6.
    """
    if luma_HW.dtype != np.uint8 or luma_HW.ndim != 2 or luma_HW.size == 0:
        raise ValueError(
            f"high_frequency_ratios wants a non-empty uint8 (height, width), not {luma_HW.dtype} {luma_HW.shape}"
        )
    if luma_HW.size > _SMALL:
        spectrum = _spectrum(luma_HW, np.float32)
        ratios = [spectrum.share_beyond(cutoff) for cutoff in cutoffs]
        if min(ratios, default=1.0) >= _SMOOTH:
            return ratios, spectrum
        del spectrum
    spectrum = _spectrum(luma_HW, np.float64)
    return [spectrum.share_beyond(cutoff) for cutoff in cutoffs], spectrum


def _spectrum(luma_HW: NDArray[np.uint8], dtype: type[np.floating[Any]]) -> PowerSpectrum:
    mean = dtype(luma_HW.mean(dtype=np.float64))
    centred_HW = luma_HW - mean
    dc = float(luma_HW.sum(dtype=np.int64)) ** 2
    spectrum_HV = scipy.fft.rfft2(centred_HW, workers=1, overwrite_x=True)
    spectrum_HV[0, 0] = 0
    power_HV = spectrum_HV.real**2
    power_HV += spectrum_HV.imag**2
    del spectrum_HV
    width = luma_HW.shape[1]
    power_HV[:, 1 : (width + 1) // 2] *= 2
    return PowerSpectrum(power_HV, width, float(power_HV.sum(dtype=np.float64)) + dc)


@lru_cache(maxsize=64)
def _first_rows(height: int, width: int, cutoff: float) -> NDArray[np.int64]:
    """For each column v of the half-plane the smallest |u| that lies beyond the cut-off; falls with v.

    In whole numbers, since u^2 + v^2 <= D0^2 has ties: 0.5 of the half-diagonal of 640 x 480 is 200 = |(120, 160)|.
    """
    d0_squared = int(Fraction(str(cutoff)) ** 2 * (height**2 + width**2) / 4)
    within = (d0_squared - v**2 for v in range(width // 2 + 1))
    return np.array([isqrt(rest) + 1 if rest >= 0 else 0 for rest in within], dtype=np.int64)
