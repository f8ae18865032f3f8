"""Facts of a JPEG's headers: quality and chroma subsampling."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["chroma_subsampling", "jpeg_quality"]

_SUBSAMPLINGS = {
    "4:4:4": (1, 1),
    "4:2:2": (2, 1),
    "4:1:1": (4, 1),
    "4:4:0": (1, 2),
    "4:2:0": (2, 2),
    "4:1:0": (4, 2),
}
"""Luma samples for each chroma sample, across and down."""


def jpeg_quality(image: Image.Image) -> int | None:
    """Return the IJG quality, 1 to 100, of the nearest (L1) luma table; None if it is no JPEG."""
    layers, tables = getattr(image, "layer", None), getattr(image, "quantization", {})
    # the first component's table, which need not be number 0
    if not layers or layers[0][3] not in tables:
        return None
    distance = np.abs(_IJG_LUMA - np.asarray(tables[layers[0][3]])).sum(axis=1)
    return int(np.argmin(distance)) + 1


def chroma_subsampling(image: Image.Image) -> str | None:
    """Return the chroma subsampling in J:a:b notation; None if the image is no JPEG.

    Of four luma samples in a row, `a` have chroma of their own in the first line and `b` in the
    second: 4:4:4 is all, 4:2:0 a quarter, 4:0:0 a grey image. None also for factors that the
    notation can't express.
    """
    layers = getattr(image, "layer", None)
    if not layers:
        return None
    if len(layers) < 3:
        return "4:0:0"
    (_, *luma, _), (_, *chroma, _), (_, *other, _) = layers[:3]
    # products, since the decoder has yet to refuse factors of 0
    for name, (across, down) in _SUBSAMPLINGS.items():
        if luma == [across * chroma[0], down * chroma[1]] and chroma == other:
            return name
    return None


def _ijg_tables() -> NDArray[np.int64]:
    """Return the luma tables of qualities 1 to 100, shape (100, 64).

    They are ITU-T T.81 table K.1, scaled as libjpeg does.
    """
    # fmt: off
    base = np.array([
        16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55,
        14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62,
        18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
        49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
    ])
    # fmt: on
    quality = np.arange(1, 101)
    scale = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    return np.clip((base * scale[:, None] + 50) // 100, 1, 255)


_IJG_LUMA = _ijg_tables()
