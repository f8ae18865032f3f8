"""Images on 0..255, as bytes or as floats, and the conversion between them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Image", "as_before", "to_uint8"]

Image = NDArray[Any]
"""(height, width, 3) RGB, uint8 or float32, 0..255."""


def to_uint8(image: Image) -> NDArray[np.uint8]:
    """Round an image and clip it to 0..255."""
    if image.dtype == np.uint8:
        return image
    return np.rint(image).clip(0, 255).astype(np.uint8)


def as_before(result: NDArray[np.float32], image: Image) -> Image:
    """Return the result as bytes if the image was of bytes; floats stay as they are."""
    return to_uint8(result) if image.dtype == np.uint8 else result
