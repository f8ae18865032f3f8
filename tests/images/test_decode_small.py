"""Decoding for small uses: upright, no larger than needed, and damage as a reason."""

import io

import numpy as np
import pytest
from PIL import Image

from curate.errors import ImageError, Reason
from curate.images.decode import decode_small


def encoded(image, form, **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    file.seek(0)
    return file


def test_turned_upright():
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned right by 90 degrees: its left edge is the picture's top
    image = Image.new("RGB", (60, 40), "white")
    image.paste("red", (0, 0, 20, 40))
    upright = decode_small(encoded(image, "PNG", exif=exif), 32)
    assert upright.size == (40, 60)
    assert upright.getpixel((20, 5)) == (255, 0, 0)


def test_large_jpegs_are_decoded_small_but_not_too_small():
    rgb = decode_small(encoded(Image.new("RGB", (1600, 1200)), "JPEG"), 64)
    assert 128 <= min(rgb.size) < 300


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "TIFF"])
def test_damage_is_a_reason(form):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    data = encoded(noise, form).getvalue()
    with pytest.raises(ImageError) as caught:
        decode_small(io.BytesIO(data[: len(data) // 2]), 32)
    assert caught.value.reason is Reason.DECODE_FAILED
