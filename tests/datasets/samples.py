"""Datasets in miniature, packed as their authors pack them."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".bmp": "BMP", ".webp": "WEBP"}


def picture(name: str, size: tuple[int, int] = (24, 16), mode: str = "RGB") -> bytes:
    """A picture that no other name has, in the format that its ending says."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    pixels = rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    sink = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(sink, FORMATS[Path(name).suffix.lower()])
    return sink.getvalue()


Pack = Callable[..., Path]
