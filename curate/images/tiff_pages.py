"""TIFF as a tree of pages: the one that is the picture, and samples by its own tags.

Pillow decodes the layouts that it reads rightly. Others are decoded by tifffile. Where tags leave
the range of samples open, the file is refused.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from curate.errors import ImageError, Reason
from curate.images.decoder_errors import DECODER_ERRORS
from curate.images.jpeg_stream import check_jpeg
from curate.images.samples import DeepImage, image_of, refuse_costly

__all__ = ["TiffPages", "open_tiff"]

_SUBFILE, _OLD_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = (
    254, 255, 256, 257, 258, 259, 262,
)  # fmt: skip
_STRIP_OFFSETS, _ORIENTATION, _SAMPLES, _STRIP_NBYTES, _PLANAR = 273, 274, 277, 279, 284
_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_NBYTES = 322, 323, 324, 325
_SUB_IFDS, _EXTRA, _SAMPLE_FORMAT = 330, 338, 339
_LEAST, _MOST, _JPEG_TABLES, _PROFILE = 340, 341, 347, 34675
_TAGS = frozenset((
    _SUBFILE, _OLD_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _STRIP_OFFSETS,
    _ORIENTATION, _SAMPLES, _STRIP_NBYTES, _PLANAR, _TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS,
    _TILE_NBYTES, _SUB_IFDS, _EXTRA,
    _SAMPLE_FORMAT, _LEAST, _MOST, _JPEG_TABLES, _PROFILE,
))  # fmt: skip

_TYPES = {
    1: "u1", 2: "u1", 3: "u2", 4: "u4", 6: "i1", 7: "u1", 8: "i2", 9: "i4", 11: "f4", 12: "f8",
    13: "u4", 16: "u8", 17: "i8", 18: "u8",
}  # fmt: skip
"""Types of tags -> numpy's; fractions are not needed."""

_WHITE_IS_ZERO, _BLACK_IS_ZERO = 0, 1
_COLOURS = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, 2: 3, 5: 4}
"""Photometric interpretation -> channels without alpha: grey, RGB and CMYK."""
_PILLOW_COMPRESSIONS = frozenset((1, 2, 3, 4, 5, 7, 8, 32773, 32946))
"""None, CCITT's, LZW, JPEG, deflate, PackBits: read by every build of Pillow."""
_JPEG = 7
_MODES = {1: "I;16", 2: "LA", 3: "RGB", 4: "RGBA"}
_PREMULTIPLIED = {2: "La", 4: "RGBa"}
_SENSOR = frozenset((32803, 34892))
"""Photometric interpretations of a camera's raw samples: colour filter array, linear raw."""
_REDUCED, _MASK = 1, 4
"""Bits of NewSubfileType."""
_UNSIGNED = 1

_MAX_PAGES = 64
_MAX_ENTRIES = 4096


@dataclass(frozen=True)
class TiffPage:
    """One directory of a TIFF."""

    offset: int
    first: bool
    nbytes: int
    """Length of the directory itself."""
    tags: dict[int, NDArray[Any]] = field(default_factory=dict)

    def number(self, tag: int, default: int = 0) -> int:
        """Return a tag's first value."""
        values = self.tags.get(tag)
        return default if values is None or not len(values) else int(values[0])

    @cached_property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.number(_WIDTH), self.number(_HEIGHT)

    @property
    def is_reduced(self) -> bool:
        """Whether it is a smaller copy of another page."""
        return bool(self.number(_SUBFILE) & _REDUCED) or self.number(_OLD_SUBFILE) == 2

    @property
    def is_picture(self) -> bool:
        """Whether it is neither a smaller copy nor a mask of another page."""
        return not self.is_reduced and not self.number(_SUBFILE) & _MASK and all(self.size)

    @property
    def bit_depth(self) -> int:
        """Bits of the first sample."""
        return self.number(_BITS, 1)

    @property
    def photometric(self) -> int:
        """Meaning of the samples."""
        return self.number(_PHOTOMETRIC, _BLACK_IS_ZERO)

    @cached_property
    def _is_unsigned(self) -> bool:
        return bool(np.all(self.tags.get(_SAMPLE_FORMAT, np.array([_UNSIGNED])) == _UNSIGNED))

    @cached_property
    def is_common(self) -> bool:
        """Whether Pillow reads its layout, range and depth rightly."""
        if not self.first or not self._is_unsigned or self.photometric in _SENSOR:
            return False
        if self.number(_COMPRESSION, 1) not in _PILLOW_COMPRESSIONS:
            return False
        bits = np.unique(self.tags.get(_BITS, np.array([1])))
        samples = self.number(_SAMPLES, 1)
        if len(bits) > 1:
            return False
        if bits[0] == 8:
            return self.photometric != _WHITE_IS_ZERO or samples == 1
        if samples > 1:
            return False
        return bits[0] < 8 or (bits[0] == 16 and self.photometric == _BLACK_IS_ZERO)

    def range(self) -> tuple[float, float]:
        """Return the values of black and white.

        Whole numbers without a sign use all of their bits (TIFF 6.0). Others have no range but the
        one that SMinSampleValue and SMaxSampleValue state.

        Raises:
            ImageError: if the tags leave it open.
        """
        low, high = 0.0, float(2**self.bit_depth - 1)
        if not self._is_unsigned:
            if _LEAST not in self.tags or _MOST not in self.tags:
                detail = "its samples have a sign or fractions, and no tag states their range"
                raise ImageError(Reason.FORMAT_UNSUPPORTED, detail)
            low, high = float(self.tags[_LEAST].min()), float(self.tags[_MOST].max())
        if not low < high:
            raise ImageError(Reason.FORMAT_UNSUPPORTED, f"its samples range from {low} to {high}")
        return (high, low) if self.photometric == _WHITE_IS_ZERO else (low, high)

    @property
    def coded_nbytes(self) -> int:
        """Bytes of the file's head, of the directory, and of the strips or tiles."""
        return 8 + self.nbytes + int(self.pieces[1].sum(dtype=np.float64))

    @cached_property
    def pieces(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Offsets and lengths of its strips or tiles."""
        offsets, nbytes = self.tags.get(_STRIP_OFFSETS), self.tags.get(_STRIP_NBYTES)
        none = np.zeros(0, np.uint64)
        offsets = self.tags.get(_TILE_OFFSETS, none) if offsets is None else offsets
        return offsets, self.tags.get(_TILE_NBYTES, none) if nbytes is None else nbytes


@dataclass(frozen=True)
class TiffPages:
    """Pages of a file: those of the chain, and their children."""

    chain: tuple[TiffPage, ...]
    children: tuple[TiffPage, ...]

    @classmethod
    def read(cls, data: bytes) -> TiffPages:
        """Read the first pages of a file.

        Raises:
            ImageError: if there is none.
        """
        reader = _Reader(data)
        chain: list[TiffPage] = []
        children: list[TiffPage] = []
        seen: set[int] = set()
        offset = reader.first_page
        while offset and offset not in seen and len(chain) < _MAX_PAGES:
            seen.add(offset)
            page, offset = reader.page(offset, first=not chain)
            if page is None:
                break
            chain.append(page)
            for child in page.tags.get(_SUB_IFDS, ())[:_MAX_PAGES]:
                below, _ = reader.page(int(child), first=False)
                children += [] if below is None else [below]
        if not chain:
            raise ImageError(Reason.DECODE_FAILED, "its first directory is damaged")
        return cls(tuple(chain), tuple(children[:_MAX_PAGES]))

    @property
    def animated(self) -> bool:
        """Whether more than one page of the chain is a picture of its own."""
        return sum(page.is_picture for page in self.chain) > 1

    @cached_property
    def picture(self) -> TiffPage:
        """Page that is the picture: the first, or the largest if the first is a smaller copy.

        Raises:
            ImageError: if it holds a camera's raw samples.
        """
        pages = [*self.chain, *self.children]
        if any(page.photometric in _SENSOR for page in pages):
            raise ImageError(Reason.FORMAT_UNSUPPORTED, "a camera's raw picture")
        pictures = [page for page in pages if page.is_picture]
        if not pictures or self.chain[0].is_picture:
            return self.chain[0]
        return max(pictures, key=lambda page: page.size[0] * page.size[1])


class _Reader:
    """Reader of directories of TIFF 6.0 and BigTIFF."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._order: Literal["<", ">"] = "<" if data.startswith(b"II") else ">"
        big = self._number(2, 2) == 43
        self._count, self._entry, self._offset = (8, 20, 8) if big else (2, 12, 4)
        self.first_page = self._number(8 if big else 4, self._offset)

    def _number(self, at: int, length: int) -> int:
        value = self._data[at : at + length]
        return int.from_bytes(value, "little" if self._order == "<" else "big")

    def page(self, offset: int, *, first: bool) -> tuple[TiffPage | None, int]:
        """Return the page at an offset, None if it breaks off, and the next one's offset."""
        start, count = offset + self._count, self._number(offset, self._count)
        end = start + count * self._entry
        if not 0 < count <= _MAX_ENTRIES or end > len(self._data):
            return None, 0
        tags = dict(self._tags(start, end))
        following = self._number(end, self._offset)
        return TiffPage(offset, first, end + self._offset - offset, tags), following

    def _tags(self, start: int, end: int) -> Iterator[tuple[int, NDArray[Any]]]:
        for at in range(start, end, self._entry):
            tag, type_ = self._number(at, 2), self._number(at + 2, 2)
            if tag not in _TAGS or type_ not in _TYPES:
                continue
            dtype = np.dtype(_TYPES[type_]).newbyteorder(self._order)
            count = self._number(at + 4, self._offset)
            place = at + 4 + self._offset
            if count * dtype.itemsize > self._offset:
                place = self._number(place, self._offset)
            if place + count * dtype.itemsize <= len(self._data):
                yield tag, np.frombuffer(self._data, dtype, count, place)


class _TiffOfJpegs(TiffImageFile):
    """Pillow's TIFF whose strips or tiles are JPEGs, checked before they are decoded."""

    jpegs: Iterator[bytes]

    def load(self) -> Any:
        for jpeg in self.jpegs:
            check_jpeg(jpeg)
        return super().load()


def _jpegs(data: bytes, page: TiffPage) -> Iterator[bytes]:
    """Yield each strip or tile as a JPEG of its own, with the tables that they share."""
    tables = page.tags.get(_JPEG_TABLES, np.zeros(0, np.uint8)).tobytes()
    shared = tables.removesuffix(b"\xff\xd9")
    for offset, length in zip(*(values.tolist() for values in page.pieces), strict=False):
        piece = data[offset : offset + length]
        if length:  # a strip without bytes has no picture, which the decoder judges
            yield shared + piece.removeprefix(b"\xff\xd8") if shared else piece


def open_tiff(data: bytes, pages: TiffPages) -> Image.Image:
    """Open the picture of a TIFF.

    Raises:
        ImageError: if its tags leave open how to show it, or no decoder reads it.
    """
    if data[8:10] == b"CR":
        raise ImageError(Reason.FORMAT_UNSUPPORTED, "a camera's raw picture")
    page = pages.picture
    if page.is_common:
        # tifffile reads more, and says why it can't
        with suppress(*DECODER_ERRORS):
            if page.number(_COMPRESSION, 1) != _JPEG:
                return TiffImageFile(io.BytesIO(data))
            image = _TiffOfJpegs(io.BytesIO(data))
            image.jpegs = _jpegs(data, page)
            return image
    return _deep(data, page)


def _deep(data: bytes, page: TiffPage) -> DeepImage:
    """Return the image of a page that Pillow doesn't read rightly."""
    black, white = page.range()
    if page.photometric not in _COLOURS or not all(page.size):
        detail = f"TIFF of {page.bit_depth} bits and photometric interpretation {page.photometric}"
        raise ImageError(Reason.FORMAT_UNSUPPORTED, detail)
    samples = max(1, page.number(_SAMPLES, 1))
    refuse_costly(page.size, samples * max(1, page.bit_depth // 8))
    # a tile is decoded whole, however little of it lies in the picture
    tile = page.number(_TILE_WIDTH), page.number(_TILE_HEIGHT)
    refuse_costly(tile, samples * max(1, page.bit_depth // 8))
    colours, extra = _COLOURS[page.photometric], page.number(_EXTRA)
    has_alpha = extra in (1, 2) and page.number(_SAMPLES, 1) > colours
    channels = colours + (has_alpha and colours < 4)
    modes = _PREMULTIPLIED if has_alpha and extra == 1 else _MODES
    mode = "CMYK" if colours == 4 else modes[channels]

    def decode() -> Image.Image:
        return image_of(_samples(data, page)[..., :channels], mode, black, white)

    image = DeepImage("TIFF", mode, page.size, decode)
    exif = Image.Exif()
    exif[_ORIENTATION] = page.number(_ORIENTATION, 1)
    image.info["exif"] = exif.tobytes()
    if _PROFILE in page.tags:
        image.info["icc_profile"] = page.tags[_PROFILE].tobytes()
    return image


def _samples(data: bytes, page: TiffPage) -> NDArray[Any]:
    """Decode a page by tifffile to (height, width, channels)."""
    offsets, nbytes = page.pieces
    if not len(offsets) or len(offsets) != len(nbytes) or not np.all(nbytes):
        raise ImageError(Reason.DECODE_FAILED, "parts of the picture are missing")
    if np.any(offsets.astype(np.float64) + nbytes > len(data)):
        raise ImageError(Reason.DECODE_FAILED, "it ends before its pixels do")
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        file.filehandle.seek(page.offset)
        directory = tifffile.TiffPage(file, index=0)
        try:
            samples = directory.asarray(maxworkers=1)
        except DECODER_ERRORS as error:
            known = directory.compression in tifffile.TIFF.DECOMPRESSORS
            reason = Reason.DECODE_FAILED if known else Reason.FORMAT_UNSUPPORTED
            raise ImageError(reason, str(error)) from error
    match directory.axes:
        case "YX":
            return samples[..., None]
        case "SYX":
            return np.moveaxis(samples, 0, 2)
        case "YXS":
            return samples
        case axes:
            raise ImageError(Reason.FORMAT_UNSUPPORTED, f"TIFF of axes {axes}")
