import pytest
from PIL import features

from curate.images.file_format import EXTENSIONS, HEAD, sniff
from tests.site.hostile import picture


@pytest.mark.parametrize(
    "format_", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000"]
)
def test_sniff_recognises_files_that_pillow_writes(format_: str) -> None:
    feature = {"AVIF": "avif", "JPEG2000": "jpg_2000", "WEBP": "webp"}.get(format_)
    if feature and not features.check(feature):
        pytest.skip(f"Pillow was built without {format_}")
    assert sniff(picture(format_)[:HEAD]) == format_


@pytest.mark.parametrize(
    ("head", "format_"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIF"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", "AVIF"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JXL"),
        (b"\xff\x0a\xfa\x7f", "JXL"),
        (b"MM\0*\0\0\0\x08", "TIFF"),
        (b"II+\0\x08\0\0\0", "TIFF"),
        (b"GIF87a", "GIF"),
    ],
)
def test_other_magic_numbers(head: bytes, format_: str) -> None:
    assert sniff(head) == format_


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\xff\xd8",
        b"<!doctype html>",
        b"<?xml version='1.0'?><svg>",
        b"BMW sells cars, and this is a text about them.",
        b"RIFF\0\0\0\0WAVEfmt ",
        b"\0\0\0\x18ftypisom\0\0\0\0isommp42",
        b"%PDF-1.7",
    ],
)
def test_sniff_of_other_bytes_returns_none(head: bytes) -> None:
    assert sniff(head) is None


def test_a_brand_counts_only_inside_its_box() -> None:
    assert sniff(b"\0\0\0\x14ftypisom\0\0\0\0isomavifavif") is None


def test_every_format_has_its_own_extension() -> None:
    assert len(set(EXTENSIONS.values())) == len(EXTENSIONS)
