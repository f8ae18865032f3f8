"""Restoration task that a picture needs, found from its own measures.

Faults are checked one after the other, and the first found names the task. The thresholds were
chosen on 60 pictures of BSDS500; `python -m benchmarks.task_finding` counts how often the answer is
right on others (docs/science.md#finding-the-task).
"""

from __future__ import annotations

from math import log

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from curate.errors import RestoreError
from curate.stages.measure.blockiness import blockiness
from curate.stages.measure.frequency import PAPER_CUTOFF, ratios_and_spectrum
from curate.stages.measure.noise import noise_sigma
from curate.stages.measure.resolution import spectral_cutoff
from curate.stages.measure.sample import row_bands

__all__ = ["find_task", "streaks"]

_ENLARGED = 0.7
"""Largest share of the Nyquist frequency at which the spectrum of an enlarged picture ends."""
_NOISY = 7.5
_BLOCKY = 1.3
_RAINY = 0.033

_LENGTH, _STRENGTH, _LIMIT = 9, 4.0, 48.0
_SLOPES = (-0.5, -0.25, 0.0, 0.25, 0.5)
_SIDE = 768


def find_task(image_HWC: NDArray[np.uint8]) -> str:
    """Return sr, denoise, dejpeg or derain: the task for the clearest fault of a picture.

    - `sr` if its spectrum ends at 0.7 of the Nyquist frequency or below (`spectral_cutoff`);
    - else `denoise` if its noise has a deviation of 7.5 levels or more (`noise_sigma`);
    - else `dejpeg` if steps across 8 x 8 blocks are 1.3 times the others or more (`blockiness`);
    - else `derain` if it has bright lines near the vertical (`streaks`).

    Args:
        image_HWC: (height, width, 3) RGB. `sr` needs 128 x 128 pixels, the others 34 x 34.

    Raises:
        RestoreError: if nothing is found.
    """
    luma_HW = np.asarray(Image.fromarray(image_HWC).convert("L"))
    bands_BRW = row_bands(luma_HW)
    if bands_BRW is not None:
        cutoff = spectral_cutoff(ratios_and_spectrum(luma_HW, (PAPER_CUTOFF,))[1])
        if cutoff is not None and cutoff <= _ENLARGED:
            return "sr"
        if noise_sigma(bands_BRW) >= _NOISY:
            return "denoise"
        if blockiness(bands_BRW) >= _BLOCKY:
            return "dejpeg"
        if streaks(luma_HW) >= _RAINY:
            return "derain"
    raise RestoreError(
        "it doesn't look enlarged, noisy, compressed or rained on: name the task (--task)"
    )


def streaks(luma_HW: NDArray[np.uint8]) -> float:
    """Return how far bright lines outnumber dark ones within 27 degrees of the vertical.

    A line's response is the second difference across it, averaged over 9 pixels along it. A bright
    line responds once with its own sign, and on either side half as strongly with the other. So
    many lines leave more weak responses of the other sign: log(share below -4 / share above 4). The
    same number of the transposed picture is subtracted, since lines of the scene itself occur there
    as well. About 0 without rain. Only the middle 768 x 768 pixels of a picture count.
    """
    top, left = (max(side - _SIDE, 0) // 2 for side in luma_HW.shape)
    middle_HW = luma_HW[top : top + _SIDE, left : left + _SIDE].astype(np.float32)
    return _dark_over_bright(middle_HW) - _dark_over_bright(middle_HW.T)


def _dark_over_bright(x_HW: NDArray[np.float32]) -> float:
    """Return log(share of strong dark responses / share of bright ones) of upright lines."""
    # second differences across upright lines, limited
    second_HW = (2 * x_HW[:, 1:-1] - x_HW[:, :-2] - x_HW[:, 2:]).clip(-_LIMIT, _LIMIT)
    reach = _LENGTH // 2
    height, width = second_HW.shape[0] - 2 * reach, second_HW.shape[1] - 2 * reach
    brightest_HW = np.full((height, width), -np.inf, np.float32)
    darkest_HW = np.full((height, width), np.inf, np.float32)
    # for each slope, the sum over the pixels of a line through every place
    for slope in _SLOPES:
        line_HW = np.zeros((height, width), np.float32)
        for k in range(-reach, reach + 1):
            shift = reach + round(k * slope)
            line_HW += second_HW[reach + k : reach + k + height, shift : shift + width]
        np.maximum(brightest_HW, line_HW, out=brightest_HW)
        np.minimum(darkest_HW, line_HW, out=darkest_HW)
    # shares of strong responses; 1e-4 keeps the ratio finite
    threshold = _STRENGTH * _LENGTH
    bright = float(np.mean(brightest_HW > threshold)) + 1e-4
    dark = float(np.mean(darkest_HW < -threshold)) + 1e-4
    return log(dark / bright)
