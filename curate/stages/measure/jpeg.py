"""What the headers of a JPEG tell of how it was compressed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["chroma_subsampling", "jpeg_quality"]


def jpeg_quality(image: Image.Image) -> int | None:
    """The IJG quality, 1 to 100, whose luma quantisation table is nearest (L1); None if the image is no JPEG."""
    layers, tables = getattr(image, "layer", None), getattr(image, "quantization", {})
    if (
        not layers or layers[0][3] not in tables
    ):  # the first component's, which need not be number 0
        return None
    distance = np.abs(_IJG_LUMA - np.asarray(tables[layers[0][3]])).sum(axis=1)
    return int(np.argmin(distance)) + 1


def chroma_subsampling(image: Image.Image) -> str | None:
    """How much less is stored of the colours than of the luma, in J:a:b notation; None if the image is no JPEG.

    Of four luma samples in a row, `a` have chroma of their own in the first line and `b` in the second: 4:4:4 is all,
    4:2:0 a quarter. 4:0:0 is a grey image. None also for factors that the notation has no words for.
    """
    layers = getattr(image, "layer", None)
    if not layers:
        return None
    if len(layers) < 3:
        return "4:0:0"
    (_, *luma, _), (_, *chroma, _), (_, *other, _) = layers[:3]
    # factors of 0 are for the decoder to refuse
    named = [
        name
        for name, (across, down) in _SUBSAMPLINGS.items()
        if luma == [across * chroma[0], down * chroma[1]]
    ]
    return named[0] if named and chroma == other else None


_SUBSAMPLINGS = {
    "4:4:4": (1, 1),
    "4:2:2": (2, 1),
    "4:1:1": (4, 1),
    "4:4:0": (1, 2),
    "4:2:0": (2, 2),
    "4:1:0": (4, 2),
}
"""Luma samples for each of the chroma, across and down."""


def _ijg_tables() -> NDArray[np.int64]:
    """Luma tables of qualities 1 to 100, shape (100, 64): ITU-T T.81 table K.1, scaled as libjpeg does."""
    # fmt: off
    base = np.array([
        16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29,
        51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121,
        120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
    ])
    # fmt: on
    quality = np.arange(1, 101)
    scale = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    return np.clip((base * scale[:, None] + 50) // 100, 1, 255)


_IJG_LUMA = _ijg_tables()
