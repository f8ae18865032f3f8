"""Format of image files, read from their first bytes, never from a name or a Content-Type."""

from __future__ import annotations

import re

__all__ = ["EXTENSIONS", "HEAD", "sniff"]

HEAD = 64
"""Bytes that `sniff` needs."""

EXTENSIONS = {
    "JPEG": "jpg",
    "PNG": "png",
    "WEBP": "webp",
    "GIF": "gif",
    "BMP": "bmp",
    "TIFF": "tif",
    "AVIF": "avif",
    "HEIF": "heic",
    "JXL": "jxl",
    "JPEG2000": "jp2",
    "PPM": "ppm",
}
"""Format -> extension of file names."""

_MAGIC = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),  # BigTIFF
    (b"MM\0+", "TIFF"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JXL"),
    (b"\xff\x0a", "JXL"),  # bare codestream
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG2000"),
    (b"\xff\x4f\xff\x51", "JPEG2000"),
)
_BMP_HEADERS = {12, 40, 52, 56, 64, 108, 124}
_PNM = re.compile(rb"P[1-6][ \t\r\n]+[0-9#]")
"""PBM, PGM and PPM: the kind, then the width or a comment."""
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}


def sniff(head: bytes) -> str | None:
    """Return the format of a file that begins with `head`: HEAD bytes, or all of a shorter file.

    Returns:
        None if it is no image.
    """
    for magic, format_ in _MAGIC:
        if head.startswith(magic):
            return format_
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    # "BM" alone begins many a text: ask for the size of a known info header too
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADERS:
        return "BMP"
    if _PNM.match(head):
        return "PPM"
    return _heif(head) if head[4:8] == b"ftyp" else None


def _heif(head: bytes) -> str | None:
    """Return AVIF or HEIF by the brands of ISO/IEC 23008-12: a major one and compatible ones.

    Brands are four letters each; AV1 images are named among either.
    """
    end = min(int.from_bytes(head[:4], "big"), len(head))
    brands = {head[8:12], *(head[i : i + 4] for i in range(16, end - 3, 4))}
    if brands & {b"avif", b"avis"}:
        return "AVIF"
    return "HEIF" if brands & _HEIF_BRANDS else None
