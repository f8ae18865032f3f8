"""TIFF: samples by the file's own tags, and the page that is the picture."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import tifffile

from curate.errors import Reason
from curate.images.decode import open_image, open_picture
from curate.images.tiff_pages import TiffPages
from tests.images.pictures import HEIGHT, WIDTH, decode, encode, picture, reason_of, rgb8


def tiff(*pages: tuple[np.ndarray, dict[str, object]], **options: object) -> bytes:
    """Return a TIFF of pages with their options."""
    file = io.BytesIO()
    with tifffile.TiffWriter(file, **options) as writer:
        for samples, kwargs in pages:
            writer.write(samples, **kwargs)
    return file.getvalue()


def one(samples: np.ndarray, photometric: object = "rgb", **kwargs: object) -> bytes:
    """Return a TIFF of one page."""
    options = {name: kwargs.pop(name) for name in ("bigtiff", "byteorder") if name in kwargs}
    return tiff((samples, {"photometric": photometric} | kwargs), **options)


def deep(bits: int) -> np.ndarray:
    """Return the picture in that many bits."""
    dtype = np.uint8 if bits <= 8 else np.uint16 if bits <= 16 else np.uint32
    return picture(2**bits).astype(dtype)


def eight(samples: np.ndarray, bits: int) -> np.ndarray:
    return np.rint(samples.astype(np.float64) * 255 / (2**bits - 1))


def near(pixels: np.ndarray, expected: np.ndarray) -> bool:
    """Return whether nothing but rounding differs."""
    return bool(np.abs(pixels - np.broadcast_to(expected, pixels.shape)).max() <= 1)


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "packbits"])
@pytest.mark.parametrize("bits", [8, 16, 32])
def test_colours_are_those_of_the_reference_reader(
    bits: int, compression: str | None, byteorder: str
) -> None:
    samples = deep(bits)
    reference = eight(samples, bits)
    options = {"compression": compression, "byteorder": byteorder}
    assert near(decode(one(samples, **options)), reference)
    planes = np.moveaxis(samples, 2, 0).copy()
    assert near(decode(one(planes, planarconfig="separate", **options)), reference)
    assert near(decode(one(samples, bigtiff=True, **options)), reference)
    assert near(decode(one(samples, tile=(32, 32), **options)), reference)


@pytest.mark.parametrize("bits", [2, 4, 6, 8, 10, 12, 14, 16, 32])
def test_grey_is_that_of_the_reference_reader(bits: int) -> None:
    grey = deep(bits)[..., 0].copy()
    packed = {} if bits in (8, 16, 32) else {"bitspersample": bits}
    reference = eight(grey, bits)[..., None]
    assert near(decode(one(grey, "minisblack", **packed)), reference)
    white = (2**bits - 1 - grey).astype(grey.dtype)
    data = one(white, "miniswhite", **packed)
    assert near(decode(data), reference)
    with open_picture(data) as (_, coded):
        assert coded.bit_depth == bits


@pytest.mark.parametrize("bits", [8, 16])
def test_inks_and_alpha_of_a_tiff(bits: int) -> None:
    inks = np.dstack([deep(bits), deep(bits)[..., 0]])
    light = 1 - eight(inks, bits) / 255
    assert near(decode(one(inks, "separated")), 255 * light[..., :3] * light[..., 3:])
    alpha = np.where(np.indices((HEIGHT, WIDTH))[1] % 16 < 8, 0, 2**bits - 1)
    shown = np.where(alpha[..., None] == 0, 255, eight(deep(bits), bits))
    colours = np.dstack([deep(bits), alpha]).astype(deep(bits).dtype)
    assert near(decode(one(colours, extrasamples=["unassalpha"])), shown)
    premultiplied = np.where(alpha[..., None] == 0, 0, colours)
    assert near(decode(one(premultiplied, extrasamples=["assocalpha"])), shown)
    grey = np.ascontiguousarray(colours[..., [0, 3]])
    data = one(grey, "minisblack", extrasamples=["unassalpha"], planarconfig="contig")
    assert near(decode(data), shown[..., :1])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int8, np.int16, np.int32])
def test_samples_without_a_stated_range_are_unsupported(dtype: type) -> None:
    samples = (picture() / 255).astype(dtype)
    for data in (one(samples), one(samples[..., 0].copy(), "minisblack")):
        assert reason_of(data) is Reason.FORMAT_UNSUPPORTED


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("top", [1.0, 255.0])
def test_samples_of_a_stated_range_use_it(dtype: type, top: float) -> None:
    stated = [(340, 11, 1, 0.0, False), (341, 11, 1, top, False)]
    data = one((picture() / 255 * top).astype(dtype), extratags=stated)
    assert near(decode(data), picture())


@pytest.mark.parametrize("bits", [8, 16])
def test_deep_tiff_is_turned_and_keeps_its_profile(bits: int) -> None:
    data = one(deep(bits), extratags=[(274, 3, 1, 6, False)], iccprofile=b"profile" * 20)
    assert near(decode(data), np.rot90(eight(deep(bits), bits), -1))
    with open_image(io.BytesIO(data)) as image:
        assert image.info["icc_profile"] == b"profile" * 20


LARGE = picture().astype(np.uint8)
SMALL = LARGE[::8, ::8].copy()
MOSAIC = deep(12)[..., 0].copy()
THUMBNAIL = (SMALL, {"photometric": "rgb", "subfiletype": 1})
FULL = (LARGE, {"photometric": "rgb"})


@pytest.mark.parametrize(
    "pages",
    [
        (FULL, THUMBNAIL),
        (THUMBNAIL, FULL),
        (THUMBNAIL, THUMBNAIL, FULL),
        ((SMALL, THUMBNAIL[1] | {"subifds": 1}), FULL),
        ((LARGE, FULL[1] | {"subifds": 1}), THUMBNAIL),
        (FULL, (LARGE[..., 0] > 99, {"subfiletype": 4})),
    ],
)
def test_picture_of_a_tiff_is_its_full_page_alone(pages: tuple) -> None:
    data = tiff(*pages)
    with open_picture(data) as (image, coded):
        assert (image.size, coded.animated) == ((WIDTH, HEIGHT), False)
        assert LARGE.nbytes <= coded.nbytes < LARGE.nbytes + 300
    assert np.array_equal(decode(data), LARGE)


def test_two_full_pages_are_two_pictures() -> None:
    with open_picture(tiff(FULL, FULL)) as (_, coded):
        assert coded.animated


def test_raw_pictures_are_unsupported() -> None:
    for main in (THUMBNAIL[1], FULL[1]):
        preview = (SMALL, main | {"subifds": 1})
        assert reason_of(tiff(preview, (MOSAIC, {"photometric": "cfa"}))) is (
            Reason.FORMAT_UNSUPPORTED
        )
    assert reason_of(one(MOSAIC, "cfa")) is Reason.FORMAT_UNSUPPORTED
    canon = b"II*\0\x10\0\0\0CR\2\0\0\0\0\0" + struct.pack("<HHHIII", 1, 256, 3, 1, 9, 0)
    assert reason_of(canon) is Reason.FORMAT_UNSUPPORTED


def test_tiff_of_an_unknown_compression_is_unsupported() -> None:
    data = one(LARGE)
    entry = struct.pack("<HHIH", 259, 3, 1, 1)
    assert reason_of(data.replace(entry, struct.pack("<HHIH", 259, 3, 1, 34_713))) is (
        Reason.FORMAT_UNSUPPORTED
    )
    data = one(LARGE, compression="webp")
    assert np.abs(decode(data) - picture()).max() <= 1


def test_deep_samples_beyond_the_budget_are_refused_before_decoding() -> None:
    data = one(deep(16), tile=(32, 32), compression="zlib")
    for tag in (322, 323):  # sides of a tile
        entry = struct.pack("<HHI", tag, 4, 1)
        at = data.index(entry) + len(entry)
        data = data[:at] + struct.pack("<I", 2**15) + data[at + 4 :]
    assert reason_of(data) is Reason.TOO_COSTLY


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_tiff_that_breaks_off_is_damaged(bits: int, compression: str | None) -> None:
    data = one(deep(bits), compression=compression)
    assert reason_of(data[: len(data) // 2]) is Reason.DECODE_FAILED
    assert reason_of(data[:-9]) is Reason.DECODE_FAILED


def of_jpegs(mode: str = "RGB", **options: object) -> bytes:
    """Return a TIFF of JPEGs, by tifffile where it has options, by Pillow with shared tables."""
    if not options:
        return encode(rgb8().convert(mode), "TIFF", compression="jpeg", quality=90)
    file = io.BytesIO()
    tifffile.imwrite(file, np.asarray(rgb8()), compression="jpeg", **options)
    return file.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        *(of_jpegs(mode) for mode in ("L", "RGB", "CMYK", "YCbCr")),
        of_jpegs(photometric="rgb", tile=(32, 32)),
        of_jpegs(photometric="ycbcr", rowsperstrip=16),
    ],
)
def test_tiff_of_jpegs_with_missing_blocks_is_damaged(data: bytes) -> None:
    assert decode(data).shape == (HEIGHT, WIDTH, 3)
    offsets, nbytes = TiffPages.read(data).picture.pieces
    end = int(offsets[-1] + nbytes[-1])
    middle = end - int(nbytes[-1]) // 3
    broken = data[:middle] + b"\xff\xd9" + bytes(end - middle - 2) + data[end:]
    assert reason_of(broken) is Reason.DECODE_FAILED
