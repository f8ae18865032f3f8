"""JPEG: all coded blocks are there, or the file is refused."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from curate.errors import Reason
from curate.images.jpeg_stream import JpegStream
from tests.images.pictures import decode, encode, picture, reason_of, rgb8

BASELINE = encode(rgb8(), "JPEG", quality=90)
PROGRESSIVE = encode(rgb8(), "JPEG", quality=90, progressive=True)
RESTARTS = encode(rgb8(), "JPEG", quality=90, restart_marker_rows=1)
EOI = b"\xff\xd9"
# of libjpeg's cjpeg, since no encoder here writes them
ARITHMETIC = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABALDA4MChAODQ4SERATGCgaGBYWGDEjJR0oOjM9PDkzODdASFxOQERX"
    "RTc4UG1RV19iZ2hnPk1xeXBkeFxlZ2P/yQALCAAQABABAREA/8wABgAQEAX/2gAIAQEAAD8A/wChsxxfeRk4qzJd"
    "1Ilw/9k="
)
QUARTERED = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABsSFBcUERsXFhceHBsgKEIrKCUlKFE6PTBCYFVlZF9VXVtqeJmBanGQ"
    "c1tdhbWGkJ6jq62rZ4C8ybqmx5moq6T/2wBDARweHigjKE4rK06kbl1upKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSk"
    "pKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKT/wAARCAAwAEADAUIAAhEBAxEB/8QAGAABAQEBAQAAAAAAAAAAAAAA"
    "AgMBBAb/xAAjEAACAQMEAgMBAAAAAAAAAAABAgADESESMUFhUXGBkbHw/8QAFwEAAwEAAAAAAAAAAAAAAAAAAQMF"
    "Av/EABoRAAIDAQEAAAAAAAAAAAAAAAACAQMSIVH/2gAMAwEAAhEDEQA/APPKkotONaUotGBElkpx2C4tcxBWPXqN"
    "VVzpjVbkhRA3jFNfMYpr7jWmvgzBTA3jVfCxhTzYRKvZPqCc+QUqnOFEldOkY3MSU4wCcLtBTSUCXf1iPTc6RtGF"
    "tgbwa5BDqcmEC9mMKfQiVBwIwvf1MCacAXMYSxzkx6PP0Igvx0IpmKVTnFTWwvGiWW9o1TSvcappwBmFFshjCYAj"
    "C56EapbPJmdcIdTk1TgbxqnA28xKlhjA8xqlhtaYE4G3MQTrHAlAh+fyILz/ABiZYp1Of//Z"
)
"""Layout 4:1:0: chroma of a quarter of the width and half the height."""


def by_pillow(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def restarts() -> list[int]:
    return [found.start() for found in re.finditer(rb"\xff[\xd0-\xd7]", RESTARTS)]


def scans() -> list[int]:
    return [found.start() for found in re.finditer(rb"\xff\xda", PROGRESSIVE)]


def with_byte(data: bytes, at: int, value: int) -> bytes:
    return data[:at] + bytes([value]) + data[at + 1 :]


@pytest.mark.parametrize("options", [
    {"quality": 80}, {"quality": 95, "subsampling": "4:4:4"}, {"quality": 40, "optimize": True},
    {"progressive": True}, {"restart_marker_blocks": 3}, {"keep_rgb": True},
])  # fmt: skip
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_jpeg_has_the_pixels_that_pillow_gives(mode: str, options: dict[str, object]) -> None:
    data = encode(rgb8().convert(mode), "JPEG", **options)
    assert np.array_equal(decode(data), by_pillow(data))


@pytest.mark.parametrize(
    "data",
    [
        BASELINE[: len(BASELINE) // 2],
        BASELINE[: len(BASELINE) // 2] + EOI,
        BASELINE[: len(BASELINE) // 2] + bytes(len(BASELINE) // 2) + EOI,
        RESTARTS[: restarts()[2]] + EOI,
        RESTARTS[: restarts()[2]] + RESTARTS[restarts()[3] :],
        PROGRESSIVE[: scans()[4] + 300] + EOI,
        *(PROGRESSIVE[:start] + EOI for start in scans()[1:]),
        PROGRESSIVE[: scans()[-1]],
        BASELINE[:-400] + b"<html>gone</html>" * 30 + EOI,
    ],
)
def test_jpeg_with_missing_blocks_is_damaged(data: bytes) -> None:
    assert reason_of(data) is Reason.DECODE_FAILED


@pytest.mark.parametrize("whole", [BASELINE, PROGRESSIVE, RESTARTS])
@pytest.mark.parametrize(
    "end", [b"", b"\xff", b"\r\n", bytes(512), b"\xff" * 9, bytes(4000) + EOI, EOI + b"video" * 99]
)
def test_jpeg_whose_end_marker_alone_is_odd_is_whole(whole: bytes, end: bytes) -> None:
    assert np.array_equal(decode(whole[:-2] + end), by_pillow(whole))


@pytest.mark.parametrize(
    "segment",
    [
        b"\xff\xe1\x00\x20Exif\0\0" + b"\x7f" * 24,
        b"\xff\xe2\x00\x14ICC_PROFILE\0\x05\x02ab",
        b"\xff\xed\x00\x1cPhotoshop 3.0\x008BIM\x04\x04\0\0\xff\xff",
        b"\xff\xe2\x00\x10MPF\0MM\0*\xff\xff\xff\xff\0\0",
        b"\xff\xfe\xff\xff" + bytes(65_533),
    ],
)
def test_jpeg_with_senseless_metadata_is_whole(segment: bytes) -> None:
    assert np.array_equal(decode(BASELINE[:2] + segment + BASELINE[2:]), by_pillow(BASELINE))


def test_jpeg_of_an_odd_header_is_whole() -> None:
    version = with_byte(BASELINE, BASELINE.index(b"JFIF") + 5, 9)
    spectrum = with_byte(BASELINE, BASELINE.index(b"\xff\xda") + 12, 0)
    for data in (version, spectrum):
        assert np.array_equal(decode(data), by_pillow(BASELINE))


def test_jpeg_of_a_kind_without_decoder_is_unsupported() -> None:
    frame = BASELINE.index(b"\xff\xc0")
    for kind in (0xC3, 0xC5, 0xC7, 0xCB, 0xCF, 0xF7):  # lossless, hierarchical, JPEG-LS
        assert reason_of(with_byte(BASELINE, frame + 1, kind)) is Reason.FORMAT_UNSUPPORTED
    extended = with_byte(BASELINE, frame + 1, 0xC1)
    assert reason_of(with_byte(extended, frame + 4, 12)) is Reason.FORMAT_UNSUPPORTED
    unknown_height = BASELINE[: frame + 5] + b"\0\0" + BASELINE[frame + 7 :]
    assert reason_of(unknown_height) is Reason.FORMAT_UNSUPPORTED


def test_coded_jpeg_is_the_file_without_metadata_and_trailing_bytes() -> None:
    assert JpegStream.read(BASELINE).coded == BASELINE
    exif = Image.Exif()
    exif[0x010E] = "a description" * 100
    larger = encode(rgb8(), "JPEG", quality=90, exif=exif, icc_profile=bytes(3000), comment=b"x")
    coded = JpegStream.read(larger + BASELINE).coded
    assert coded == BASELINE
    assert np.array_equal(decode(coded), decode(larger))


def test_jpeg_of_countless_segments_is_refused() -> None:
    data = BASELINE[:2] + b"\xff\xfe\x00\x02" * 20_000 + BASELINE[2:]
    assert reason_of(data) is Reason.DECODE_FAILED


def test_jpeg_pixels_are_near_the_picture() -> None:
    assert np.abs(decode(BASELINE) - picture()).mean() < 6


@pytest.mark.parametrize("whole", [ARITHMETIC, QUARTERED])
@pytest.mark.parametrize("end", [EOI, b"", bytes(9) + EOI])
def test_jpeg_of_a_rare_kind_is_whole_without_its_end_marker(whole: bytes, end: bytes) -> None:
    assert np.array_equal(decode(whole[:-2] + end), by_pillow(whole))


@pytest.mark.parametrize("end", [EOI, b""])
@pytest.mark.parametrize("nbytes", [250, 100, 20, 5])
def test_jpeg_of_a_rare_layout_without_its_last_blocks_is_damaged(nbytes: int, end: bytes) -> None:
    assert reason_of(QUARTERED[:-nbytes] + end) is Reason.DECODE_FAILED
