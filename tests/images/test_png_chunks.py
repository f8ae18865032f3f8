"""PNG: metadata never reject a picture, and damaged pixels do."""

from __future__ import annotations

import io
import zlib

import imagecodecs
import numpy as np
import pytest

from curate.errors import Reason
from curate.images.decode import open_image, orientation
from curate.images.png_chunks import PngChunks
from tests.images.pictures import chunk, decode, encode, picture, reason_of, rgb8

PLAIN = encode(rgb8(), "PNG")
LONG = zlib.compress(bytes(3 * 2**20))
HEADER_END, PIXELS_END = 33, len(PLAIN) - 12


def with_chunk(body: bytes, at: int = HEADER_END) -> bytes:
    return PLAIN[:at] + body + PLAIN[at:]


@pytest.mark.parametrize("at", [HEADER_END, PIXELS_END])
@pytest.mark.parametrize(
    "body",
    [
        chunk(b"pHYs", bytes(9), sound=False),
        chunk(b"tEXt", b"Comment\0x", sound=False),
        chunk(b"iCCP", b"name\0\0" + zlib.compress(b"profile"), sound=False),
        chunk(b"eXIf", b"MM\0*", sound=False),
        chunk(b"pHYs", b"short"),
        chunk(b"gAMA"),
        chunk(b"tEXt", b"Comment\0" + bytes(2 * 2**20)),
        chunk(b"zTXt", b"Comment\0\0" + LONG),
        chunk(b"zTXt", b"Comment\0\0no deflate"),
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + LONG),
        chunk(b"iTXt"),
        chunk(b"tEXt", b"k\0" + bytes(900_000)) * 120,
        chunk(b"Zzzz", b"unknown, and not needed".ljust(40)).replace(b"Zzzz", b"zzZz"),
    ],
)
def test_metadata_do_not_reject_a_png(body: bytes, at: int) -> None:
    assert np.array_equal(decode(with_chunk(body, at)), picture())


def test_large_profile_is_read() -> None:
    profile = bytes(range(256)) * 2**13
    packed = b"name\0\0" + zlib.compress(profile)
    with open_image(io.BytesIO(with_chunk(chunk(b"iCCP", packed)))) as image:
        assert image.info["icc_profile"] == profile


def test_exif_behind_the_pixels_turns() -> None:
    exif = encode(rgb8(), "PNG", exif=turned())
    body = exif[exif.index(b"eXIf") + 4 :][:26]
    with open_image(io.BytesIO(with_chunk(chunk(b"eXIf", body), PIXELS_END))) as image:
        assert orientation(image) == 6


def turned() -> bytes:
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    return exif.tobytes()


def test_png_whose_pixels_have_another_checksum_is_damaged() -> None:
    flipped = bytearray(PLAIN)
    flipped[len(PLAIN) // 2] ^= 1
    assert reason_of(bytes(flipped)) is Reason.DECODE_FAILED
    assert reason_of(PLAIN[: len(PLAIN) // 2]) is Reason.DECODE_FAILED
    assert np.array_equal(decode(PLAIN[:PIXELS_END]), picture())  # without its end, but whole


def test_coded_png_has_no_metadata() -> None:
    larger = with_chunk(chunk(b"tEXt", b"k\0" + bytes(900))) + b"behind"
    assert PngChunks.read(PLAIN).coded_nbytes == len(PLAIN)
    assert PngChunks.read(larger).coded_nbytes == len(PLAIN)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_sixteen_bits_are_those_of_the_reference_reader(channels: int) -> None:
    deep = np.dstack([picture(2**16), picture(2**16)[..., 0]])[..., :channels].astype(np.uint16)
    if channels in (2, 4):
        deep[..., -1] = np.where(np.indices(deep.shape[:2])[1] % 16 < 8, 0, 65_535)
    data = imagecodecs.png_encode(deep.squeeze())
    reference = np.rint(imagecodecs.png_decode(data).reshape(deep.shape) / 257)
    if channels in (2, 4):
        reference = np.where(reference[..., -1:] == 0, 255, reference[..., :-1])
    expected = np.broadcast_to(reference, (*deep.shape[:2], 3))
    assert np.array_equal(decode(data), expected)


def test_transparent_grey_of_sixteen_bits_is_white_and_others_stay() -> None:
    grey = picture(2**16)[..., 0].astype(np.uint16)
    data = imagecodecs.png_encode(grey)
    hidden = int(grey[0, 0])
    data = data[:33] + chunk(b"tRNS", hidden.to_bytes(2, "big")) + data[33:]
    expected = np.where(grey == hidden, 255, np.rint(grey / 257))
    assert np.array_equal(decode(data)[..., 0], expected)
    with open_image(io.BytesIO(data)) as image:
        assert image.has_transparency_data
        colours = np.asarray(image.convert("RGBA"))
    assert np.array_equal(colours[..., 0], np.rint(grey / 257))
    assert np.array_equal(colours[..., 3], np.where(grey == hidden, 0, 255))
