"""Pictures by formula, and files of them."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from curate.errors import ImageError, Reason
from curate.images.decode import open_image, to_rgb

HEIGHT, WIDTH = 90, 136


def picture(levels: int = 256) -> NDArray[np.int64]:
    """Return waves and hashed grain: (90, 136, 3) of whole numbers below `levels`."""
    y, x, c = np.mgrid[:HEIGHT, :WIDTH, :3]
    waves = 110 + 50 * np.sin(x / (15 + c)) + 40 * np.cos(y / 17 + c)
    grain = (x * 7919 + y * 104_729 + c * 1_299_709) % 31
    return ((waves + grain).clip(0, 255) * levels / 256).astype(np.int64)


def rgb8() -> Image.Image:
    """Return it as an image of 8 bits."""
    return Image.fromarray(picture().astype(np.uint8))


def encode(image: Image.Image, format_: str, **options: object) -> bytes:
    """Return an image as a file."""
    file = io.BytesIO()
    image.save(file, format_, **options)
    return file.getvalue()


def decode(data: bytes) -> NDArray[np.uint8]:
    """Return a file's pixels by the package."""
    with open_image(io.BytesIO(data)) as image:
        return np.asarray(to_rgb(image))


def reason_of(data: bytes) -> Reason:
    """Return the reason why a file can't be decoded."""
    with pytest.raises(ImageError) as caught:
        decode(data)
    return caught.value.reason


def chunk(kind: bytes, body: bytes = b"", *, sound: bool = True) -> bytes:
    """Return a chunk of a PNG, with a right or a wrong checksum."""
    checksum = zlib.crc32(kind + body) ^ (not sound)
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)
