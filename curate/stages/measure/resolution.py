"""How much of the resolution that an image claims it uses: what was enlarged has nothing at high frequencies."""

from __future__ import annotations

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
"""Variance that rounding to whole levels adds: power below it is none of the picture's."""


def spectral_cutoff(spectrum: PowerSpectrum) -> float | None:
    """Fraction of the Nyquist frequency beyond which the picture's spectrum is empty.

    Power spectra of photographs fall as f^-2 to f^-3 (Field, "Relations between the statistics of natural images and
    the response properties of cortical cells", 1987; van der Schaaf and van Hateren, "Modelling the power spectra of
    natural images", 1996), which is by 5 to 7 dB from f / 1.3 to 1.3 f, wherever f is. Those of enlarged pictures fall
    far deeper where the small picture's spectrum ended, at 1/2 of the Nyquist frequency for one of twice the size. The
    cut-off is the (geometric) middle of the lowest stretch of f where everything beyond 1.3 f is 13 dB or more below
    the power at f / 1.3; or where what is left is less than rounding to whole levels makes, if that comes first.

    Power is averaged over 64 rings of equal max(|fx|, |fy|), squares rather than circles, since enlarging works by rows
    and columns. Of each ring's cells the median counts, and those along the axes don't, so that neither a fine pattern
    nor the cross that opposite edges of a picture leave on the axes fills a ring.

    Returns:
        0 to 1, where 1 is a spectrum without an end; a fall above 0.75 is not looked for. None if a side is shorter
        than 128 pixels, or all pixels are equal.
    """
    if min(spectrum.height, spectrum.width) < 2 * _RINGS or not spectrum.squares_HV2.any():
        return None
    power = _ring_power(spectrum)
    filled = np.flatnonzero(power > _ROUNDING)
    end = (filled[-1] + 1) / _RINGS if len(filled) else 0.0
    level = 10 * np.log10(power + _ROUNDING)
    centres = (np.arange(_RINGS) + 0.5) / _RINGS
    frequencies = np.exp(np.arange(log(_LOWEST), log(centres[-1] / _SPAN), 0.02))
    strongest = np.maximum.accumulate(level[::-1])[::-1]
    fall = np.interp(frequencies / _SPAN, centres, level) - np.interp(
        frequencies * _SPAN, centres, strongest
    )
    steep = np.flatnonzero(fall >= _FALL)
    if not len(steep):
        return float(end)
    first = steep[
        : np.argmax(np.diff(steep, append=len(fall) + 1) > 1) + 1
    ]  # the run that begins lowest
    return float(min(end, np.sqrt(frequencies[first[0]] * frequencies[first[-1]])))


def _ring_power(spectrum: PowerSpectrum) -> NDArray[np.float64]:
    """Power per sample in each ring, in squared levels: white noise of variance s^2 has s^2 in all of them."""
    cells_RR = _cell_power(spectrum)
    medians = [
        np.median([*cells_RR[ring, 1 : ring + 1], *cells_RR[1:ring, ring]])
        for ring in range(1, _RINGS)
    ]
    return np.array([cells_RR[0, 0], *medians])


def _cell_power(spectrum: PowerSpectrum) -> NDArray[np.float64]:
    """Mean power over equal parts of |u| and |v| up to the Nyquist frequency, shape (rings, rings)."""
    height, width = spectrum.height, spectrum.width
    ring_of_u, ring_of_v = _rings(height), _rings(width)
    firsts = np.searchsorted(ring_of_v[: width // 2 + 1], np.arange(_RINGS))
    sums_HR = 2 * np.add.reduceat(spectrum.squares_HV2.reshape(height, -1), 2 * firsts, axis=1)
    cells_RR = np.zeros((_RINGS, _RINGS))
    np.add.at(cells_RR, ring_of_u, sums_HR)
    samples_RR = np.outer(np.bincount(ring_of_u), np.bincount(ring_of_v))
    return cells_RR / samples_RR / (height * width)


def _rings(side: int) -> NDArray[np.int64]:
    """The ring that each frequency index of a side belongs to."""
    index = np.arange(side)
    return np.minimum(2 * _RINGS * np.minimum(index, side - index) // side, _RINGS - 1)
