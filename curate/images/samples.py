"""Samples of any depth as a Pillow image: grey keeps 16 bits, colours get 8."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from curate.errors import ImageError, Reason

__all__ = ["DeepImage", "image_of", "refuse_costly"]

_MOST_BYTES = 2**29
"""Bytes of deep samples that are decoded; the picture itself takes as much again at most."""
_BAND = 2**22
"""Samples converted at once."""


def refuse_costly(size: tuple[int, int], nbytes: int) -> None:
    """Raise ImageError if pixels of `nbytes` each would take too much memory."""
    width, height = size
    if width * height * nbytes > _MOST_BYTES:
        detail = f"{width} x {height} pixels of {nbytes} bytes take too much memory"
        raise ImageError(Reason.TOO_COSTLY, detail)


class DeepImage(Image.Image):
    """Pillow image that is decoded by another library, on first use of its pixels."""

    def __init__(
        self, format_: str, mode: str, size: tuple[int, int], decode: Callable[[], Image.Image]
    ) -> None:
        super().__init__()
        self.format, self._mode, self._size = format_, mode, size
        self._decode: Callable[[], Image.Image] | None = decode

    def load(self) -> Any:
        """Decode the pixels unless that is done."""
        if self._decode is not None:
            decode, self._decode = self._decode, None
            self.im = decode().im
        return super().load()


def image_of(samples_HWC: NDArray[Any], mode: str, black: float, white: float) -> Image.Image:
    """Return samples from `black` to `white` as a picture; those beyond are clipped.

    Args:
        samples_HWC: shape (height, width, channels), alpha last.
        mode: Pillow mode with as many channels; grey of 16 bits is I;16.
        black: value of no light (no ink in CMYK); may be the larger one.
        white: value of full light.
    """
    if mode == "I;16":
        return Image.fromarray(_scaled(samples_HWC[..., 0], black, white, np.dtype(np.uint16)))
    pixels_HWC = _scaled(samples_HWC, black, white, np.dtype(np.uint8))
    return Image.frombytes(mode, samples_HWC.shape[1::-1], pixels_HWC.tobytes())


def _scaled(
    samples: NDArray[Any], black: float, white: float, dtype: np.dtype[Any]
) -> NDArray[Any]:
    """Return samples rounded to the whole range of an unsigned type."""
    top = np.iinfo(dtype).max
    scaled = np.empty(samples.shape, dtype)
    rows = max(1, _BAND // max(1, samples[:1].size))
    # bands of rows, so that float64 copies stay small
    for start in range(0, len(samples), rows):
        light = (samples[start : start + rows].astype(np.float64) - black) / (white - black)
        scaled[start : start + rows] = np.rint(np.nan_to_num(light).clip(0, 1) * top)
    return scaled
