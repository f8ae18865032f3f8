"""Views of one picture: a thumbnail, its own pixels and its spectrum, cached in bounded memory."""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Callable
from threading import BoundedSemaphore, Lock
from typing import TYPE_CHECKING

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from curate.errors import ImageError, Reason
from curate.images.decode import decode_luma, decode_small, open_image, to_rgb
from curate.images.decoder_process import run_in_decoder
from curate.images.file_format import HEAD
from curate.images.header import read_header
from curate.recipe import Measure
from curate.stages.measure.frequency import PAPER_CUTOFF, PUBLISHED_CUTOFF

if TYPE_CHECKING:
    from curate.review.collection import Row

__all__ = ["VIEWS", "PictureViews", "draw_spectrum"]

_SIDE = 256
"""Longest side of a thumbnail."""
_MAX_PIXELS: int = Measure().max_pixels
_CACHED = 192 * 2**20
"""Bytes of views that are kept."""
_SPECTRUM = 512
"""Longest side of the drawing of a spectrum."""
_TRANSFORMED = 4096
"""Side of the middle of a larger picture that is transformed for its spectrum."""
_RINGS = {PUBLISHED_CUTOFF: (238, 147, 84), PAPER_CUTOFF: (127, 176, 220)}
"""Cut-off -> colour of its circle."""


class PictureViews:
    """Views of pictures, by curate's own decoder in processes beside this one.

    Two pictures are decoded at a time, so that memory stays bounded and a large one isn't held up
    by thumbnails.

    Args:
        read: returns the bytes of a row's image.
    """

    def __init__(self, read: Callable[[Row], bytes]) -> None:
        self._read = read
        self._decoding, self._caching = BoundedSemaphore(2), Lock()
        self._cache: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self._nbytes = 0

    def get(self, view: str, row: Row) -> bytes:
        """Return a view of a row's picture as an image file: see VIEWS.

        Raises:
            CurateError: if the picture can't be read or decoded.
        """
        key = view, str(row["id"])
        with self._caching:
            if key in self._cache:
                self._cache.move_to_end(key)
                return self._cache[key]
        data = self._read(row)
        _refuse_large(data)
        with self._decoding:
            drawn = run_in_decoder(_DRAWN[view], data)
        self._keep(key, drawn)
        return drawn

    def _keep(self, key: tuple[str, str], data: bytes) -> None:
        with self._caching:
            if key in self._cache or len(data) > _CACHED // 4:
                return
            self._cache[key] = data
            self._nbytes += len(data)
            while self._nbytes > _CACHED:
                _, oldest = self._cache.popitem(last=False)
                self._nbytes -= len(oldest)


def _refuse_large(data: bytes) -> None:
    header = read_header(data[:HEAD])
    if header.width and header.height and header.width * header.height > _MAX_PIXELS:
        detail = f"{header.width} x {header.height} pixels are too many to show"
        raise ImageError(Reason.TOO_MANY_PIXELS, detail)


def _thumbnail(data: bytes) -> bytes:
    small = decode_small(io.BytesIO(data), _SIDE)
    small.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    return _encode(small, "WEBP", quality=80, method=2)


def _own_pixels(data: bytes) -> bytes:
    with open_image(io.BytesIO(data)) as image:
        if image.width * image.height > _MAX_PIXELS:
            detail = f"{image.width} x {image.height} pixels are too many to show"
            raise ImageError(Reason.TOO_MANY_PIXELS, detail)
        # 20 times as quick as a PNG, and loopback has the bandwidth
        return _encode(to_rgb(image), "BMP")


def _spectrum(data: bytes) -> bytes:
    return _encode(draw_spectrum(decode_luma(data)), "PNG")


def _encode(image: Image.Image, format_: str, **options: int) -> bytes:
    sink = io.BytesIO()
    image.save(sink, format_, **options)
    return sink.getvalue()


def draw_spectrum(luma_HW: NDArray[np.uint8]) -> Image.Image:
    """Draw the logarithm of the DFT's power, the zero frequency in the middle.

    A circle stands at each cut-off of the high-frequency ratios. Of a picture with a side over
    4,096 pixels, its middle is transformed.
    """
    height, width = (min(side, _TRANSFORMED) for side in luma_HW.shape)
    top, left = (luma_HW.shape[0] - height) // 2, (luma_HW.shape[1] - width) // 2
    middle_HW = luma_HW[top : top + height, left : left + width].astype(np.float32)
    half_HV = scipy.fft.rfft2(middle_HW - middle_HW.mean(), workers=1)
    power_HV = np.abs(half_HV).astype(np.float32) ** 2
    # the other half-plane is the twin of this one, turned by 180 degrees
    twin_HV = np.roll(power_HV[::-1, ::-1], 1, axis=0)
    right_V = (width + 1) // 2
    power_HW = np.concatenate([twin_HV[:, : width - right_V], power_HV[:, :right_V]], axis=1)
    power_HW = np.fft.fftshift(power_HW, axes=0)
    scale = min(1.0, _SPECTRUM / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    # averages of the power, so that no line falls between the pixels of the drawing
    small_HW = np.asarray(Image.fromarray(power_HW).resize(size, Image.Resampling.BOX))
    log_HW = np.log10(np.maximum(small_HW, 1e-3))
    low, high = np.percentile(log_HW, (1, 99.9))
    grey_HW = ((log_HW - low) / max(high - low, 1e-6)).clip(0, 1) * 255
    drawing = Image.fromarray(grey_HW.astype(np.uint8)).convert("RGB")
    pen = ImageDraw.Draw(drawing)
    half_diagonal = np.hypot(size[0] / 2, size[1] / 2)
    for cutoff, colour in _RINGS.items():
        radius = cutoff * half_diagonal
        x, y = size[0] / 2, size[1] / 2
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), outline=colour, width=2)
    return drawing


_DRAWN = {"thumbnail": _thumbnail, "picture": _own_pixels, "spectrum": _spectrum}
VIEWS = {"thumbnail": "image/webp", "picture": "image/bmp", "spectrum": "image/png"}
"""View -> type of its file."""
