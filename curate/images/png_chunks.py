"""PNG as a list of chunks: the coded picture in it, and metadata that may be read."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import imagecodecs
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from curate.errors import ImageError, Reason
from curate.images.samples import DeepImage, image_of, refuse_costly

__all__ = ["PngChunks", "open_png"]

_SIGNATURE = 8
_CODED = frozenset((b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"))
"""Chunks that make up the still picture."""
_ANCILLARY = {b"pHYs": 9, b"gAMA": 4, b"cHRM": 32, b"sRGB": 1}
"""Other chunks that Pillow reads, with the lengths that it takes for granted."""
_FRAMES = frozenset((b"acTL", b"fcTL", b"fdAT"))
_TEXTS = frozenset((b"tEXt", b"zTXt", b"iTXt"))
_MAX_CHUNKS = 100_000
_MAX_TEXT = 2**20
"""Bytes of a text, inflated; Pillow refuses files that have a longer one."""
_MAX_TEXTS = 50
_MAX_PROFILE = 2**24
_COLOUR, _ALPHA = 2, 4
"""Bits of the colour type."""


@dataclass(frozen=True)
class _Chunk:
    kind: bytes
    start: int
    end: int
    sound: bool
    """Whether its checksum is right."""

    @property
    def body(self) -> slice:
        return slice(self.start + 8, self.end - 4)


@dataclass(frozen=True)
class PngChunks:
    """Chunks of a file up to IEND."""

    data: bytes
    chunks: tuple[_Chunk, ...]

    @classmethod
    def read(cls, data: bytes) -> PngChunks:
        """Read the chunks of a file.

        Raises:
            ImageError: if a chunk of pixels doesn't have its checksum, or there are absurdly many.
        """
        chunks = []
        for chunk in _walk(data):
            chunks.append(chunk)
            if len(chunks) > _MAX_CHUNKS:
                raise ImageError(Reason.DECODE_FAILED, f"it has over {_MAX_CHUNKS} chunks")
            if not chunk.sound and chunk.kind in (b"IHDR", b"PLTE", b"IDAT"):
                detail = f"the checksum of {chunk.kind.decode()} is wrong"
                raise ImageError(Reason.DECODE_FAILED, detail)
        return cls(data, tuple(chunks))

    @property
    def coded_nbytes(self) -> int:
        """Bytes of the signature and of the chunks that make up the picture."""
        coded = [chunk.end - chunk.start for chunk in self.chunks if chunk.kind in _CODED]
        return _SIGNATURE + sum(coded)

    @property
    def _header(self) -> bytes:
        return self._first(b"IHDR").ljust(13, b"\0")

    @property
    def bit_depth(self) -> int:
        """Bits of a sample, or of an index into the palette."""
        return self._header[8]

    @property
    def colour_type(self) -> int:
        """Sum of 1 for a palette, 2 for colours and 4 for alpha."""
        return self._header[9]

    @property
    def exif(self) -> bytes:
        """EXIF data, which may lie behind the pixels."""
        return self._first(b"eXIf")

    @property
    def profile(self) -> bytes:
        """ICC profile, inflated."""
        _, _, packed = self._first(b"iCCP").partition(b"\0")
        return _inflate(packed[1:], _MAX_PROFILE) or b""

    def readable(self) -> bytes:
        """Return the file without ancillary chunks that keep Pillow from reading the others."""
        parts, at, texts = [], 0, 0
        for chunk in self.chunks:
            is_text = chunk.kind in _TEXTS
            texts += is_text
            if (is_text and texts > _MAX_TEXTS) or not self._is_readable(chunk):
                parts.append(self.data[at : chunk.start])
                at = chunk.end
        return b"".join([*parts, self.data[at:]]) if parts else self.data

    def _is_readable(self, chunk: _Chunk) -> bool:
        if chunk.kind[:1].isupper():
            return True
        if chunk.kind in _TEXTS:
            return chunk.sound and _is_short(chunk.kind, self.data[chunk.body])
        usable = chunk.kind in _FRAMES or chunk.kind == b"tRNS"
        length = chunk.end - chunk.start - 12
        return chunk.sound and (usable or _ANCILLARY.get(chunk.kind) == length)

    def _first(self, kind: bytes) -> bytes:
        for chunk in self.chunks:
            if chunk.kind == kind and chunk.sound:
                return self.data[chunk.body]
        return b""


def _walk(data: bytes) -> Iterator[_Chunk]:
    at, kind = _SIGNATURE, b""
    while kind != b"IEND" and at + 12 <= len(data):
        kind, end = data[at + 4 : at + 8], at + 12 + int.from_bytes(data[at : at + 4])
        # the decoder judges pixels that break off
        whole = end <= len(data)
        sound = not whole or _checksum(data, at, end) == data[end - 4 : end]
        yield _Chunk(kind, at, min(end, len(data)), sound)
        at = end


def _checksum(data: bytes, start: int, end: int) -> bytes:
    return zlib.crc32(memoryview(data)[start + 4 : end - 4]).to_bytes(4)


def _is_short(kind: bytes, body: bytes) -> bool:
    """Return whether a text is short enough for Pillow, as it is and inflated."""
    packed = _packed_text(kind, body)
    inflated = b"" if packed is None else _inflate(packed, _MAX_TEXT)
    return len(body) <= _MAX_TEXT and inflated is not None


def _packed_text(kind: bytes, body: bytes) -> bytes | None:
    """Return the deflated part of a text chunk, None if nothing is."""
    _, _, rest = body.partition(b"\0")
    if kind == b"zTXt":
        return rest[1:]
    if kind == b"iTXt" and rest[:1] == b"\1":
        return rest[2:].split(b"\0", 2)[-1]
    return None


def _inflate(packed: bytes, most: int) -> bytes | None:
    """Return deflated bytes, None if they are damaged or more than `most`."""
    inflater = zlib.decompressobj()
    try:
        body = inflater.decompress(packed, most)
    except zlib.error:
        return None
    return None if inflater.unconsumed_tail else body


def open_png(chunks: PngChunks) -> Image.Image:
    """Open a PNG, whatever its metadata; pixels are decoded on first use."""
    readable = chunks.readable()
    image: Image.Image = PngImageFile(io.BytesIO(readable))
    if chunks.bit_depth == 16 and (chunks.colour_type or image.has_transparency_data):
        image = _deep(readable, chunks.colour_type, image)
    if chunks.exif:
        image.info["exif"] = chunks.exif
    if chunks.profile:
        image.info["icc_profile"] = chunks.profile
    return image


def _deep(readable: bytes, colour_type: int, shallow: Image.Image) -> DeepImage:
    """Return the image of 16 bits a sample, of which Pillow keeps the upper 8 or loses alpha."""
    alpha = bool(colour_type & _ALPHA) or "transparency" in shallow.info
    refuse_costly(shallow.size, 8)
    mode = ("RGBA" if alpha else "RGB") if colour_type & _COLOUR else "LA"

    def decode() -> Image.Image:
        samples = imagecodecs.png_decode(readable)
        return image_of(samples, mode, 0, 2**16 - 1)

    image = DeepImage("PNG", mode, shallow.size, decode)
    image.info = {key: value for key, value in shallow.info.items() if key != "transparency"}
    return image
