"""Power spectrum of an image and its high-frequency ratios: eqs. (3) to (6) of the HQ-50K paper."""

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
from PIL import Image

__all__ = [
    "PAPER_CUTOFF",
    "PUBLISHED_CUTOFF",
    "PowerSpectrum",
    "high_frequency_ratios",
    "ratios_and_spectrum",
    "stacked_ratios_and_spectra",
]

PAPER_CUTOFF = 0.5
"""D0 as the paper prints it, as a share of the half-diagonal."""
PUBLISHED_CUTOFF = 0.32
"""Share of the half-diagonal that gives the paper's published figures."""

_SMALL = 2**18
_CONCENTRATED = 0.01
_CURVATURE = 1e-3
_BAND = 32
_LARGE_FACTOR = 50
"""Prime factors of a length from which on its transform takes several times as long."""


@dataclass(frozen=True)
class PowerSpectrum:
    """|DFT|^2 of an image less its mean, on the real half-plane.

    It is the spectrum of the image or of its transpose, whichever is quicker to compute.
    """

    squares_HV2: NDArray[np.floating[Any]]
    """Squared real and imaginary parts, rows u = 0 to H - 1, columns v = 0 to W // 2. Halved in
    columns without a twin at -v: v = 0 and v = W / 2. 0 at (0, 0)."""
    width: int
    """W, which doesn't follow from the shape of the half-plane."""
    total: float
    """Power of the image, including that of its mean."""

    @property
    def height(self) -> int:
        """H."""
        return self.squares_HV2.shape[0]

    def shares_beyond(self, cutoffs: Sequence[float]) -> list[float]:
        """Return the share of the power farther than each cut-off from (0, 0); 0 without power."""
        return [float(share) for share in self.row_shares_beyond(cutoffs).sum(axis=1)]

    def row_shares_beyond(self, cutoffs: Sequence[float]) -> NDArray[np.float64]:
        """Return the shares beyond each cut-off by rows of the half-plane, shape (cutoffs, H)."""
        if self.total == 0:
            return np.zeros((len(cutoffs), self.height))
        ascending = sorted(cutoffs)
        starts = _starts(self.height, self.width, tuple(ascending))
        # sum each piece between starts; reduceat would give an empty piece a cell, so skip those
        filled = np.flatnonzero(np.diff(starts, append=self.squares_HV2.size))
        pieces = np.zeros(len(starts))
        pieces[filled] = np.add.reduceat(self.squares_HV2.ravel(), starts[filled])
        # the power beyond a cut-off is that of its ring and all outer rings
        rings_HC = pieces.reshape(self.height, -1)[:, 1:]
        beyond_HC = 2 * rings_HC[:, ::-1].cumsum(axis=1)[:, ::-1] / self.total
        return beyond_HC[:, [ascending.index(cutoff) for cutoff in cutoffs]].T


def high_frequency_ratios(
    luma_HW: NDArray[np.uint8], cutoffs: Sequence[float] = (PAPER_CUTOFF,)
) -> list[float]:
    """Return the share of the DFT's power farther than D0 from the zero frequency, for each D0.

    D(u, v) is in index units, eq. (4), from the zero frequency itself (for odd sides the printed
    centre H/2 lies half a sample beside it); D0 = cutoff x sqrt((H/2)^2 + (W/2)^2). The divisor is
    all power, including DC.

    Args:
        luma_HW: ITU-R 601 luma, shape (height, width).
        cutoffs: D0 as shares of the half-diagonal, each in (0, 1).

    Returns:
        One ratio in [0, 1] per cutoff, in their order; 0 for an all-black image.

    Raises:
        ValueError: if the array is not a non-empty (height, width) of uint8.
    """
    return ratios_and_spectrum(luma_HW, cutoffs)[0]


def ratios_and_spectrum(
    luma_HW: NDArray[np.uint8], cutoffs: Sequence[float]
) -> tuple[list[float], PowerSpectrum]:
    """Return `high_frequency_ratios` and the spectrum that they are computed from.

    The transform runs on the real half-plane after the mean is subtracted, in float32 where that is
    exact enough. It isn't for small images, whose rounding errors don't average out, nor where the
    power beyond a cut-off is little, or in few rows, beside these errors. The total is exact, by
    Parseval's theorem. The ratios agree with a float64 transform's to 1e-6.
    """
    if luma_HW.dtype != np.uint8 or luma_HW.ndim != 2 or luma_HW.size == 0:
        raise ValueError(
            "high_frequency_ratios wants a non-empty uint8 (height, width), "
            f"not {luma_HW.dtype} {luma_HW.shape}"
        )
    # the half-plane has half as many columns: a slow length costs less as the height
    if _is_slow(luma_HW.shape[1]) and not _is_slow(luma_HW.shape[0]):
        luma_HW = luma_HW.T
    if luma_HW.size > _SMALL and not _is_smooth(luma_HW):
        spectrum = _spectrum(luma_HW, np.float32)
        shares_CH = spectrum.row_shares_beyond(cutoffs)
        ratios = shares_CH.sum(axis=1)
        # the error is some 1e-7 / sqrt(ratio x rows), where `rows` is the effective number of rows
        # with power: ratio^2 / sum of squares
        if np.all(ratios**3 >= _CONCENTRATED * np.square(shares_CH).sum(axis=1)):
            return ratios.tolist(), spectrum
        del spectrum
    spectrum = _spectrum(luma_HW, np.float64)
    return spectrum.shares_beyond(cutoffs), spectrum


def stacked_ratios_and_spectra(
    luma_THW: NDArray[np.uint8], cutoffs: Sequence[float]
) -> list[tuple[list[float], PowerSpectrum]]:
    """Return `ratios_and_spectrum` of each picture of a stack, transformed all at once.

    In float32 throughout, so that ratios differ by up to 1e-7 from those of a float64 transform.
    """
    _, height, width = luma_THW.shape
    # the real half-plane of each picture less its mean, squared, halved in columns without a twin
    sum_T = luma_THW.sum(axis=(1, 2), dtype=np.int64)
    mean_T = (sum_T / (height * width)).astype(np.float32)
    spectrum_THV = scipy.fft.rfft2(luma_THW - mean_T[:, None, None], workers=1, overwrite_x=True)
    spectrum_THV[:, 0, 0] = 0
    squares_THV2 = spectrum_THV.view(np.float32).reshape(len(luma_THW), height, -1, 2)
    np.square(squares_THV2, out=squares_THV2)
    squares_THV2[:, :, 0] /= 2
    if width % 2 == 0:
        squares_THV2[:, :, -1] /= 2
    # Parseval's theorem; squares of levels fit 16 bits, the sum of a row of them 32
    levels_THW = luma_THW.astype(np.uint16)
    levels_THW *= levels_THW
    power_T = levels_THW.sum(axis=2, dtype=np.uint32).sum(axis=1, dtype=np.int64)
    found = []
    for squares_HV2, power in zip(squares_THV2, power_T.tolist(), strict=True):
        spectrum = PowerSpectrum(squares_HV2, width, float(height * width * power))
        found.append((spectrum.shares_beyond(cutoffs), spectrum))
    return found


def _spectrum(luma_HW: NDArray[np.uint8], dtype: type[np.floating[Any]]) -> PowerSpectrum:
    height, width = luma_HW.shape
    levels, count = np.arange(256), np.array(Image.fromarray(luma_HW).histogram())
    mean = dtype(levels @ count / luma_HW.size)
    spectrum_HV = np.empty((height, width // 2 + 1), np.result_type(dtype, np.complex64))
    # along rows, by bands: no more than a band of the image is in memory as floats
    for row in range(0, height, _BAND):
        band_BW = luma_HW[row : row + _BAND] - mean
        spectrum_HV[row : row + _BAND] = scipy.fft.rfft(band_BW, workers=1, overwrite_x=True)
    spectrum_HV = scipy.fft.fft(spectrum_HV, axis=0, workers=1, overwrite_x=True)
    spectrum_HV[0, 0] = 0
    # squares in place, halved in columns without a twin
    squares_HV2 = spectrum_HV.view(dtype).reshape(height, -1, 2)
    np.square(squares_HV2, out=squares_HV2)
    squares_HV2[:, 0] /= 2
    if width % 2 == 0:
        squares_HV2[:, -1] /= 2
    total = luma_HW.size * int(levels**2 @ count)  # Parseval's theorem
    return PowerSpectrum(squares_HV2, width, float(total))


def _is_smooth(luma_HW: NDArray[np.uint8]) -> bool:
    """Return whether the ratios will be about 1e-4 or less, by the curvature of every 16th row."""
    rows_RW = luma_HW[8::16].astype(np.float32)
    curvature_RW = rows_RW[:, 2:] - 2 * rows_RW[:, 1:-1] + rows_RW[:, :-2]
    return bool(np.square(curvature_RW).sum() < _CURVATURE * np.square(rows_RW).sum())


@lru_cache(maxsize=64)
def _is_slow(length: int) -> bool:
    """Return whether a length has a large prime factor."""
    for factor in range(2, _LARGE_FACTOR):
        while length % factor == 0:
            length //= factor
    return length > 1


@lru_cache(maxsize=16)
def _starts(height: int, width: int, cutoffs: tuple[float, ...]) -> NDArray[np.int64]:
    """Return where rows, and in each row the parts beyond ascending cut-offs, begin.

    Positions are those of the flattened squares_HV2, ascending.
    """
    rows = np.arange(height)
    u = np.minimum(rows, height - rows)
    starts = [rows * (width // 2 + 1)]
    # |u| >= the first row of v is beyond the cut-off, which holds for the columns from some v on
    for cutoff in cutoffs:
        starts.append(starts[0] + np.searchsorted(-_first_rows(height, width, cutoff), -u))
    return 2 * np.stack(starts, axis=1).ravel()


@lru_cache(maxsize=64)
def _first_rows(height: int, width: int, cutoff: float) -> NDArray[np.int64]:
    """Return for each column v of the half-plane the smallest |u| beyond the cut-off; falls with v.

    In whole numbers, since u^2 + v^2 <= D0^2 has ties: 0.5 of the half-diagonal of 640 x 480 is
    200 = |(120, 160)|.
    """
    d0_squared = int(Fraction(str(cutoff)) ** 2 * (height**2 + width**2) / 4)
    within = (d0_squared - v**2 for v in range(width // 2 + 1))
    return np.array([isqrt(rest) + 1 if rest >= 0 else 0 for rest in within], dtype=np.int64)
