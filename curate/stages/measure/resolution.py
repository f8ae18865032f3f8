"""Spectral cut-off: an enlarged image has no power at the frequencies that its size promises."""

from __future__ import annotations

from functools import lru_cache
from math import log

import numpy as np
from numpy.typing import NDArray

from curate.stages.measure.frequency import PowerSpectrum

__all__ = ["spectral_cutoff"]

_RINGS = 64
_SPAN = 1.3
_FALL = 13.0
"""Decibels. Chosen on Kodak24, Urban100 and BSDS500, as they are and enlarged: docs/science.md."""
_LOWEST = 0.15
_ROUNDING = 1 / 12
"""Variance that rounding to whole levels adds: the picture itself has no power below it."""


def spectral_cutoff(spectrum: PowerSpectrum) -> float | None:
    """Return the fraction of the Nyquist frequency beyond which the picture's spectrum is empty.

    Power spectra of photographs fall as f^-2 to f^-3 (Field, "Relations between the statistics of
    natural images and the response properties of cortical cells", 1987; van der Schaaf and van
    Hateren, "Modelling the power spectra of natural images", 1996). That is 5 to 7 dB from f / 1.3
    to 1.3 f, for any f. Spectra of enlarged pictures fall far deeper where the small picture's
    spectrum ended: at 1/2 of the Nyquist frequency after doubling the size. The cut-off is the
    geometric middle of the lowest range of f where everything beyond 1.3 f is 13 dB or more below
    the power at f / 1.3. If all power beyond a lower frequency is less than rounding to whole
    levels adds, the cut-off is that frequency.

    Power is averaged over 64 rings of equal max(|fx|, |fy|): squares rather than circles, since
    enlarging works by rows and columns. A ring's power is the median of its cells, without those
    along the axes. So neither a fine pattern nor the cross that opposite edges of a picture leave
    on the axes fills a ring.

    Returns:
        0 to 1, where 1 is a spectrum without an end; falls above 0.75 are not searched for. None if
        a side is shorter than 128 pixels, or all pixels are equal.
    """
    if min(spectrum.height, spectrum.width) < 2 * _RINGS or not spectrum.squares_HV2.any():
        return None
    power = _ring_power(spectrum)
    filled = np.flatnonzero(power > _ROUNDING)
    end = (filled[-1] + 1) / _RINGS if len(filled) else 0.0
    # fall in decibels from f / 1.3 to the strongest ring beyond 1.3 f, for f in steps of 2 %
    level = 10 * np.log10(power + _ROUNDING)
    centres = (np.arange(_RINGS) + 0.5) / _RINGS
    frequencies = np.exp(np.arange(log(_LOWEST), log(centres[-1] / _SPAN), 0.02))
    strongest = np.maximum.accumulate(level[::-1])[::-1]
    before = np.interp(frequencies / _SPAN, centres, level)
    steep = np.flatnonzero(before - np.interp(frequencies * _SPAN, centres, strongest) >= _FALL)
    if not len(steep):
        return float(end)
    # the lowest run of adjacent frequencies
    last = steep[np.argmax(np.diff(steep, append=len(frequencies) + 1) > 1)]
    return float(min(end, np.sqrt(frequencies[steep[0]] * frequencies[last])))


def _ring_power(spectrum: PowerSpectrum) -> NDArray[np.float64]:
    """Return each ring's power per sample, in squared levels; for white noise, its variance."""
    cells_RR = _cell_power(spectrum)
    # the 2 r - 1 cells of ring r, a part of a row and a part of a column, and infinity after them
    padded = np.append(cells_RR.ravel(), np.inf)
    ascending_RC = np.sort(padded[_RING_CELLS], axis=1)
    return np.asarray(ascending_RC[np.arange(_RINGS), np.maximum(np.arange(_RINGS) - 1, 0)])


def _ring_cells() -> NDArray[np.int64]:
    """Return the places of each ring's cells, shape (rings, 2 x rings); past the end for none."""
    places_RC = np.full((_RINGS, 2 * _RINGS), _RINGS**2)
    places_RC[0, 0] = 0
    for ring in range(1, _RINGS):
        row = ring * _RINGS + np.arange(1, ring + 1)
        column = np.arange(1, ring) * _RINGS + ring
        places_RC[ring, : 2 * ring - 1] = np.concatenate([row, column])
    return places_RC


_RING_CELLS = _ring_cells()


def _cell_power(spectrum: PowerSpectrum) -> NDArray[np.float64]:
    """Return the mean power in equal parts of |u| and |v| up to Nyquist, shape (rings, rings)."""
    height, width = spectrum.height, spectrum.width
    # sum columns by ring of v, then rows by ring of u; the half-plane has half of the power
    order, first_rows, samples_RR = _grouping(height, width)
    first_columns = np.searchsorted(_rings(width)[: width // 2 + 1], np.arange(_RINGS))
    sums_HR = np.add.reduceat(spectrum.squares_HV2.reshape(height, -1), 2 * first_columns, axis=1)
    cells_RR = np.add.reduceat(sums_HR[order], first_rows, axis=0)
    return 2 * cells_RR / samples_RR / (height * width)


@lru_cache(maxsize=16)
def _grouping(
    height: int, width: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the order of rows by ring, where each ring begins in it, and the cells' samples."""
    ring_of_u, ring_of_v = _rings(height), _rings(width)
    order = np.argsort(ring_of_u, kind="stable")
    first_rows = np.searchsorted(ring_of_u[order], np.arange(_RINGS))
    samples_RR = np.outer(np.bincount(ring_of_u), np.bincount(ring_of_v))
    return order, first_rows, samples_RR


def _rings(side: int) -> NDArray[np.int64]:
    """Return the ring of each frequency index of a side."""
    index = np.arange(side)
    return np.minimum(2 * _RINGS * np.minimum(index, side - index) // side, _RINGS - 1)
