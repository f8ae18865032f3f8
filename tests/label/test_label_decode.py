"""Decoding for the labeller: upright RGB from whatever mode, and damage as a reason."""

import io

import numpy as np
import pytest
from PIL import Image

from curate.errors import ImageError, Reason
from curate.label.decode import decode, to_rgb


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
    upright = decode(encoded(image, "PNG", exif=exif), 32)
    assert upright.size == (40, 60)
    assert upright.getpixel((20, 5)) == (255, 0, 0)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_lies_over_white(mode):
    image = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    image.paste((0, 0, 200, 255), (0, 0, 4, 8))
    image = image.quantize() if mode == "P" else image.convert(mode)
    rgb = decode(encoded(image, "PNG"), 8)
    assert rgb.getpixel((6, 4)) == (255, 255, 255)
    assert rgb.getpixel((1, 4)) != (255, 255, 255)


def test_16_bit_keeps_its_tones():
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)[None].repeat(8, axis=0)
    rgb = np.asarray(decode(encoded(Image.fromarray(ramp), "PNG"), 8))
    assert np.array_equal(rgb[0, :, 0], np.arange(256))


@pytest.mark.parametrize("mode", ["1", "L", "CMYK", "YCbCr", "HSV", "F", "I"])
def test_every_mode_becomes_rgb(mode):
    assert to_rgb(Image.new(mode, (5, 4))).mode == "RGB"


def test_large_jpegs_are_decoded_small_but_not_too_small():
    rgb = decode(encoded(Image.new("RGB", (1600, 1200)), "JPEG"), 64)
    assert 128 <= min(rgb.size) < 300


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "TIFF"])
def test_damage_is_a_reason(form):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    data = encoded(noise, form).getvalue()
    with pytest.raises(ImageError) as caught:
        decode(io.BytesIO(data[: len(data) // 2]), 32)
    assert caught.value.reason is Reason.DECODE_FAILED
