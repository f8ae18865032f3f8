"""Decoding of image files: the only place of the package that does it."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cache
from typing import IO, Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from curate.errors import CurateError, ImageError, MissingExtra, Reason
from curate.images.coded_picture import CodedPicture, coded_picture, first_gif_frame
from curate.images.decoder_errors import DECODER_ERRORS, as_image_error
from curate.images.file_format import HEAD, sniff
from curate.images.header import read_header
from curate.images.jpeg_stream import JpegStream, open_jpeg
from curate.images.png_chunks import PngChunks, open_png
from curate.images.samples import DeepImage, image_of, refuse_costly
from curate.images.tiff_pages import TiffPages, open_tiff

__all__ = [
    "FORMATS",
    "MAX_PIXELS",
    "decode_luma",
    "decode_size",
    "decode_small",
    "decode_small_pixels",
    "installed",
    "open_image",
    "open_picture",
    "orientation",
    "to_luma",
    "to_rgb",
    "upright",
    "upright_size",
]

MAX_PIXELS = 2 * (Image.MAX_IMAGE_PIXELS or 2**27)
"""Pillow's own limit on what it opens."""

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "HEIF", "JXL", "PPM")
"""Formats of the web, decoded where Pillow or a plugin can; none is as dangerous as PostScript.
HEIF and JXL need the plugins of the extra `formats`."""

_XMP = ("xmp", "XML:com.adobe.xmp")
"""Pillow's names of XMP data."""

_TURNS = "FLIP_LEFT_RIGHT ROTATE_180 FLIP_TOP_BOTTOM TRANSPOSE ROTATE_270 TRANSVERSE ROTATE_90"
_UPRIGHT = {value: Image.Transpose[turn] for value, turn in enumerate(_TURNS.split(), start=2)}
"""EXIF orientation -> turn that makes pixels upright."""


@contextmanager
def open_picture(data: bytes) -> Iterator[tuple[Image.Image, CodedPicture]]:
    """Open an image file, and tell how it codes its picture.

    Pixels are decoded on their first use within the block.

    Raises:
        ImageError: if it is no image, damaged, over MAX_PIXELS, or of a kind that isn't read here.
    """
    with warnings.catch_warnings():
        # the caller judges the size; odd EXIF or TIFF tags don't make an image unusable
        warnings.simplefilter("ignore")
        try:
            image, coded = _open(data, _format(data))
            with image:
                if image.width * image.height > MAX_PIXELS:
                    detail = f"{image.width} x {image.height}"
                    raise ImageError(Reason.TOO_MANY_PIXELS, detail)
                _read_exif(image)
                yield image, coded
        except CurateError:
            raise
        except UnidentifiedImageError as error:
            raise ImageError(Reason.DECODE_FAILED, "its header is damaged") from error
        except DECODER_ERRORS as error:
            raise as_image_error(error) from error


@contextmanager
def open_image(source: IO[bytes]) -> Iterator[Image.Image]:
    """Open an image file; see `open_picture`."""
    source.seek(0)
    with open_picture(source.read()) as (image, _):
        yield image


def _format(data: bytes) -> str:
    """Return the format by the first bytes; no other is tried.

    Raises:
        ImageError: if there is no decoder for it.
    """
    found = sniff(data[:HEAD])
    if found is None:
        raise ImageError(Reason.FORMAT_UNSUPPORTED, "it begins like no image")
    if found not in installed():
        advice = f": run  {MissingExtra.command('formats')}" if found in ("HEIF", "JXL") else ""
        raise ImageError(Reason.FORMAT_UNSUPPORTED, f"no decoder for {found} is installed{advice}")
    return found


def _open(data: bytes, format_: str) -> tuple[Image.Image, CodedPicture]:
    """Open a file of a format, and return the facts of its coded picture."""
    match format_:
        case "JPEG":
            stream = JpegStream.read(data)
            nbytes = min(len(stream.coded), len(data))
            return open_jpeg(data, stream), CodedPicture(nbytes, stream.precision, animated=False)
        case "PNG":
            chunks = PngChunks.read(data)
            image = open_png(chunks)
            animated = getattr(image, "is_animated", False)
            return image, CodedPicture(chunks.coded_nbytes, chunks.bit_depth, animated)
        case "TIFF":
            pages = TiffPages.read(data)
            page = pages.picture
            nbytes = min(page.coded_nbytes, len(data))
            return open_tiff(data, pages), CodedPicture(nbytes, page.bit_depth, pages.animated)
        case "GIF":
            frame, animated = first_gif_frame(data)
            coded = CodedPicture(len(data) if animated else len(frame), None, animated)
            return Image.open(io.BytesIO(frame), formats=["GIF"]), coded
    coded = coded_picture(data, format_)
    if format_ == "JXL":
        _refuse_bomb(data)
    image = Image.open(io.BytesIO(data), formats=[format_])
    if format_ == "JPEG2000":
        # its decoder has all samples as 32-bit numbers
        refuse_costly(image.size, 4 * len(image.getbands()))
    if format_ == "JPEG2000" and (coded.bit_depth or 8) > 8 and image.mode in _DEEP:
        image = _deep_jpeg2000(data, image, coded.bit_depth or 8)
    if coded.animated is None:
        coded = replace(coded, animated=getattr(image, "is_animated", False))
    return image, coded


_DEEP = {"I;16": "I;16", "L": "I;16", "LA": "LA", "RGB": "RGB", "RGBA": "RGBA"}
"""Modes of Pillow whose JPEG 2000 samples may have been deeper -> modes that keep their range."""


def _deep_jpeg2000(data: bytes, shallow: Image.Image, bit_depth: int) -> DeepImage:
    """Return the image of a JPEG 2000 of more than 8 bits, which Pillow rounds differently."""
    mode = _DEEP[shallow.mode]

    def decode() -> Image.Image:
        samples = imagecodecs.jpeg2k_decode(data)
        samples_HWC = samples if samples.ndim == 3 else samples[..., None]
        low = -(2 ** (bit_depth - 1)) if samples.dtype.kind == "i" else 0
        return image_of(samples_HWC, mode, low, low + 2**bit_depth - 1)

    image = DeepImage("JPEG2000", mode, shallow.size, decode)
    image.info = shallow.info
    return image


def _read_exif(image: Image.Image) -> None:
    """Have Pillow parse the EXIF data now, without the orientation of XMP.

    Viewers turn by EXIF alone. Data that can't be parsed count as none.
    """
    xmp: dict[str | tuple[int, int], Any] = {
        key: image.info.pop(key) for key in _XMP if key in image.info
    }
    with suppress(*DECODER_ERRORS):
        Image.Image.getexif(image)
    image.info |= xmp


@cache
def installed() -> frozenset[str]:
    """Return the FORMATS that this process can open, after registering the plugins found."""
    Image.init()
    with suppress(ImportError):
        import pillow_heif

        # a worker has one thread; and only the image itself is measured, never its thumbnail
        parts = {"thumbnails": False, "depth_images": False, "aux_images": False}
        pillow_heif.register_heif_opener(decode_threads=1, **parts)
    with suppress(ImportError):
        from pillow_jxl import JpegXLImagePlugin

        JpegXLImagePlugin.DECODE_THREADS = 0
    return frozenset(name for name in FORMATS if name in Image.OPEN)


def _refuse_bomb(data: bytes) -> None:
    """Raise ImageError for a JPEG XL of too many pixels, as its plugin decodes it on opening."""
    header = read_header(data)
    if header.width is None or header.height is None:
        raise ImageError(Reason.DECODE_FAILED, "its header is damaged")
    if header.width * header.height > MAX_PIXELS:
        raise ImageError(Reason.TOO_MANY_PIXELS, f"{header.width} x {header.height}")


def orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8; 1 if there is none, or a senseless one.

    Decoders of HEIF and JPEG XL apply the formats' own turns, which EXIF only repeats (ISO/IEC
    18181-2, 23008-12). Only a JPEG within a JPEG XL file still needs EXIF's turn.
    """
    if image.format == "JXL" and not getattr(image, "jpeg", False):
        return 1
    # not the override for PNG, which decodes the pixels
    value = Image.Image.getexif(image).get(0x0112, 1)
    return int(value) if value in _UPRIGHT else 1  # a damaged header can hold a fraction


def to_rgb(image: Image.Image) -> Image.Image:
    """Return an image of any mode as 8-bit RGB: upright, over white, 16-bit samples over 257.

    Colours are the encoded values: an ICC profile is not applied, as in the field's datasets.
    """
    return upright(_in_colours(_flat(image)), image)


def decode_small(source: IO[bytes], side: int) -> Image.Image:
    """Return the first frame as `to_rgb` does, for a use of `side` pixels of its shorter side.

    A JPEG is scaled down while it is decoded (by 2, 4 or 8 in the DCT domain), to no less than
    twice `side`: decoding all of a 50 megapixel photograph would take most of the time.

    Raises:
        ImageError: if the image can't be decoded.
    """
    with open_image(source) as image:
        image.draft("RGB", (2 * side, 2 * side))
        return to_rgb(image)


def to_luma(image: Image.Image) -> NDArray[np.uint8]:
    """Return the ITU-R 601 luma (Pillow's `L`) of `to_rgb`, shape (height, width)."""
    flat = _flat(image)
    luma = flat if flat.mode == "L" else _in_colours(flat).convert("L")
    # turned last, when it is a third of the work
    return np.asarray(upright(luma, image))


def decode_luma(data: bytes) -> NDArray[np.uint8]:
    """Return the luma of an image file's bytes; see `to_luma`.

    Raises:
        ImageError: if they can't be decoded.
    """
    with open_image(io.BytesIO(data)) as image:
        return to_luma(image)


def decode_size(data: bytes) -> tuple[int, int]:
    """Return width and height of an image file's bytes, after decoding all of its pixels.

    Raises:
        ImageError: if they can't be decoded.
    """
    height, width = decode_luma(data).shape
    return width, height


def decode_small_pixels(data: bytes, side: int) -> NDArray[np.uint8]:
    """Return the pixels of `decode_small`, shape (height, width, 3)."""
    return np.asarray(decode_small(io.BytesIO(data), side))


def _in_colours(flat: Image.Image) -> Image.Image:
    # converting an RGB image would copy it
    return flat if flat.mode == "RGB" else flat.convert("RGB")


def upright(pixels: Image.Image, image: Image.Image) -> Image.Image:
    """Return the image's pixels turned by its orientation.

    ImageOps.exif_transpose fails where it can't write the EXIF back.
    """
    turn = _UPRIGHT.get(orientation(image))
    return pixels if turn is None else pixels.transpose(turn)


def upright_size(data: bytes) -> tuple[int, int]:
    """Return width and height of an image file's upright pixels, which are not decoded.

    Raises:
        ImageError: if it can't be opened.
    """
    with open_image(io.BytesIO(data)) as image:
        turned = orientation(image) >= 5
        return (image.height, image.width) if turned else image.size


def _flat(image: Image.Image) -> Image.Image:
    """Return the image with 8 bits a sample, and without transparency."""
    image.load()  # now a TIFF turns itself, and drops its orientation
    # 16 bits to 8
    if image.mode == "I" or image.mode.startswith("I;16"):
        samples = np.asarray(image, dtype=np.float32) / 257
        return Image.fromarray(samples.clip(0, 255).round().astype(np.uint8))
    if image.has_transparency_data:
        if image.mode == "La":  # Pillow converts it to its own kind only
            image = image.convert("LA")
        # paste over white
        colours = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(colours, mask=colours)
        return white
    return image
