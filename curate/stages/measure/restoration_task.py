"""What a picture needs, as far as its own measures tell: for restorers that must be told their task.

A list of questions, each asked of what the ones before left over. The thresholds were chosen on 60 pictures of BSDS500;
`python -m benchmarks.task_finding` tells how often the answer is right on others (docs/science.md#finding-the-task).
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
"""A spectrum that ends at this share of the Nyquist frequency, or before, is of a picture that was enlarged."""
_NOISY = 7.5
_BLOCKY = 1.3
_RAINY = 0.033

_LENGTH, _STRENGTH, _MOST = 9, 4.0, 48.0
_SLOPES = (-0.5, -0.25, 0.0, 0.25, 0.5)
_SIDE = 768


def find_task(image_HWC: NDArray[np.uint8]) -> str:
    """sr, denoise, dejpeg or derain: what is most plainly wrong with a picture.

    - `sr` if its spectrum ends at 0.7 of the Nyquist frequency or below: it was enlarged (`spectral_cutoff`);
    - else `denoise` if its noise has a deviation of 7.5 levels or more (`noise_sigma`);
    - else `dejpeg` if steps over the borders of 8 x 8 blocks are 1.3 times those elsewhere (`blockiness`);
    - else `derain` if it has bright lines near the vertical (`streaks`).

    Args:
        image_HWC: (height, width, 3) RGB; smaller ones than 128 x 128 aren't looked at for the first, and ones smaller
            than 34 x 34 not at all.

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
    """How much more bright lines there are than dark ones within 27 degrees of the vertical, beyond what lies across.

    Lines are told by the second difference across them, averaged over 9 pixels along them. A bright line answers with
    its sign once and on either side, half as strongly, with the other; so where there are many, weak answers of the
    other sign prevail: log(share below -4 / share above 4). The same of the picture on its side is taken off, which its
    own lines have as well. About 0 without rain. The middle of a picture is looked at, 768 pixels square.
    """
    top, left = (max(side - _SIDE, 0) // 2 for side in luma_HW.shape)
    middle_HW = luma_HW[top : top + _SIDE, left : left + _SIDE].astype(np.float32)
    return _dark_beyond_bright(middle_HW) - _dark_beyond_bright(middle_HW.T)


def _dark_beyond_bright(x_HW: NDArray[np.float32]) -> float:
    second_HW = (2 * x_HW[:, 1:-1] - x_HW[:, :-2] - x_HW[:, 2:]).clip(-_MOST, _MOST)
    reach = _LENGTH // 2
    height, width = second_HW.shape[0] - 2 * reach, second_HW.shape[1] - 2 * reach
    brightest_HW = np.full((height, width), -np.inf, np.float32)
    darkest_HW = np.full((height, width), np.inf, np.float32)
    for slope in _SLOPES:
        line_HW = np.zeros((height, width), np.float32)
        for k in range(-reach, reach + 1):
            shift = reach + round(k * slope)
            line_HW += second_HW[reach + k : reach + k + height, shift : shift + width]
        np.maximum(brightest_HW, line_HW, out=brightest_HW)
        np.minimum(darkest_HW, line_HW, out=darkest_HW)
    threshold = _STRENGTH * _LENGTH
    bright, dark = (
        float(np.mean(found)) + 1e-4
        for found in (brightest_HW > threshold, darkest_HW < -threshold)
    )
    return log(dark / bright)
