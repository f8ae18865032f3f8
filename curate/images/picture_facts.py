"""Facts of an image file that belong to its picture, apart from the file's own structure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from xml.dom import minidom
from xml.parsers.expat import ExpatError

from PIL import ExifTags, Image

from curate.images.decode import orientation
from curate.images.decoder_errors import DECODER_ERRORS

__all__ = ["PictureFacts", "fits_profile", "new_exif", "read_facts"]

_IFD = ExifTags.IFD
_SPACES = {"RGB": b"RGB ", "RGBA": b"RGB ", "L": b"GRAY", "LA": b"GRAY"}
"""Mode -> colour space of the profiles that fit it, which is in their bytes 16 to 19."""

_DESCRIPTION = {
    0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x013C, 0x4746, 0x4749, 0x8298,
    0x9C9B, 0x9C9C, 0x9C9D, 0x9C9E, 0x9C9F,
}  # fmt: skip
"""Tags of an IFD0 that describe the picture: title, camera, program, date, author, rights, rating.

In a TIFF this IFD also holds the layout of the file, and tags of that kind are without end.
"""
_STRUCTURE = {0x9101, 0x9102, 0x927C, 0xA002, 0xA003, 0xA005}
"""Tags of the Exif IFD about the old file: its components, compression and size.

The maker's note (0x927C) holds offsets into that file.
"""
_TIFF_NAMES = {"Artist", "Copyright", "DateTime", "ImageDescription", "Make", "Model", "Software"}
"""Names of XMP's tiff namespace that describe the picture."""
_TIFF, _EXIF = "http://ns.adobe.com/tiff/1.0/", "http://ns.adobe.com/exif/1.0/"
_OLD_FILE = (
    "http://ns.adobe.com/hdr-gain-map/", "http://ns.google.com/photos/",
    "http://ns.adobe.com/xmp/note/", "http://ns.adobe.com/xap/1.0/g/img/",
    "http://ns.apple.com/HDRGainMap/",
)  # fmt: skip
"""Beginnings of XMP namespaces about other data in the file: gain maps, films, previews."""


@dataclass(frozen=True)
class PictureFacts:
    """Facts that go with the pixels into whatever file they are written to."""

    profile: bytes = b""
    """ICC profile; it is written only where it fits the mode."""
    exif: bytes = b""
    """EXIF data that describe the picture, without orientation and resolution."""
    xmp: bytes = b""
    """XMP packet, without what it says about the file."""
    dpi: tuple[float, float] | None = None
    """Pixels per inch, across and down."""


def read_facts(image: Image.Image) -> PictureFacts:
    """Return the facts of an image file for its upright pixels; damaged ones are left out.

    Read them before the pixels, since a TIFF forgets its orientation when it is decoded.
    """
    turned = orientation(image) >= 5
    image.load()  # some facts of a PNG come behind its pixels
    profile = image.info.get("icc_profile") or b""
    return PictureFacts(profile, _exif_of(image), _xmp_of(image), _dpi_of(image, turned))


def fits_profile(profile: bytes, mode: str) -> bool:
    """Return whether pixels of a mode can have an ICC profile, by its colour space."""
    return len(profile) >= 128 and profile[16:20] == _SPACES.get(mode)


def new_exif(data: bytes) -> Image.Exif:
    """Return EXIF data, given as bytes, to add tags to.

    Pillow reads text as Latin-1 and writes ASCII with question marks, so text is turned into bytes.
    """
    exif = Image.Exif()
    if data:
        exif.load(data)
    for tag, value in list(exif.items()):
        if isinstance(value, str):
            exif[tag] = value.encode("latin-1")
    return exif


def _exif_of(image: Image.Image) -> bytes:
    with suppress(*DECODER_ERRORS):
        old, kept = image.getexif(), Image.Exif()
        for tag in _DESCRIPTION & set(old):
            value = old[tag]
            if isinstance(value, str):
                value = value.encode("latin-1")  # see `new_exif`
            if _can_write({tag: value}):
                kept[tag] = value
        for ifd in (_IFD.Exif, _IFD.GPSInfo):
            tags = _tags_of(old, ifd)
            if tags:
                kept[ifd] = tags
        return kept.tobytes() if len(kept) else b""
    return b""


def _tags_of(exif: Image.Exif, ifd: int) -> dict[int, Any]:
    """Return the tags of an inner IFD that belong to the picture and can be written again."""
    tags = {}
    with suppress(*DECODER_ERRORS):
        for tag, value in exif.get_ifd(ifd).items():
            if tag not in _STRUCTURE and _can_write({ifd: {tag: value}}):
                tags[tag] = value
    return tags


def _can_write(tags: dict[int, Any]) -> bool:
    exif = Image.Exif()
    exif.update(tags)
    with suppress(*DECODER_ERRORS):
        return bool(exif.tobytes())
    return False


def _dpi_of(image: Image.Image, turned: bool) -> tuple[float, float] | None:
    """Return the resolution; None where there is none, for which Pillow may say 1, or a bad one."""
    with suppress(*DECODER_ERRORS):
        across, down = map(float, image.info["dpi"])
        if all(math.isfinite(value) and 1 < value < 65_536 for value in (across, down)):
            return (down, across) if turned else (across, down)
    return None


def _xmp_of(image: Image.Image) -> bytes:
    packet = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b""
    packet = packet.encode() if isinstance(packet, str) else packet
    # a document with entities could grow without bound
    if not isinstance(packet, bytes) or b"<!" in packet:
        return b""
    with suppress(ExpatError, ValueError, LookupError):
        document = minidom.parseString(packet.strip(b"\0 \r\n\t"))
        for element in list(document.getElementsByTagName("*")):
            _drop_structure(element)
        # node by node, since the document itself would begin with an XML declaration
        return "".join(map(_to_xml, document.childNodes)).encode()
    return b""


def _to_xml(node: Any) -> str:
    text: str = node.toxml()
    return text


def _drop_structure(element: minidom.Element) -> None:
    """Remove an element, or attributes of it, that describe the old file."""
    attributes: Iterable[Any] = list((element.attributes or {}).values())
    for attribute in attributes:
        if _is_structure(attribute.namespaceURI, attribute.localName):
            element.removeAttributeNode(attribute)
    parent = element.parentNode
    if parent is not None and _is_structure(element.namespaceURI, element.localName):
        remove: Callable[[Any], Any] = parent.removeChild
        remove(element)


def _is_structure(namespace: str | None, name: str | None) -> bool:
    if namespace == _TIFF:
        return name not in _TIFF_NAMES
    if namespace == _EXIF:
        return name in {"PixelXDimension", "PixelYDimension", "ComponentsConfiguration"}
    return namespace is not None and namespace.startswith(_OLD_FILE)
