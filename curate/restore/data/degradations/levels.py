"""Images on 0..255, as bytes or as floats, and what becomes of bytes on the way."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Image", "as_before", "to_uint8"]

Image = NDArray[Any]
"""(height, width, 3) RGB, uint8 or float32, 0..255."""


def to_uint8(image: Image) -> NDArray[np.uint8]:
    """Rounded and cut off at 0 and 255."""
    if image.dtype == np.uint8:
        return image
    return np.rint(image).clip(0, 255).astype(np.uint8)


def as_before(result: NDArray[np.float32], image: Image) -> Image:
    """Of bytes if the image was; floats stay as they are."""
    return to_uint8(result) if image.dtype == np.uint8 else result
