"""Measures of one image: format facts, bits per pixel, frequency ratios, hashes, further facts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from curate.errors import ImageError, Reason
from curate.images.coded_picture import CodedPicture
from curate.images.decode import MAX_PIXELS, open_picture, orientation, to_luma, to_rgb
from curate.images.header import read_header
from curate.stages.measure.facts import COLOUR_FACTS, Decoded, measure_facts
from curate.stages.measure.frequency import PAPER_CUTOFF, PUBLISHED_CUTOFF, ratios_and_spectrum
from curate.stages.measure.identity import perceptual_hash, pixel_sha256
from curate.stages.measure.jpeg import chroma_subsampling, jpeg_quality
from curate.stages.measure.tile_measures import TileColumns, TileGrid, measure_tiles

__all__ = ["Measures", "bits_per_pixel", "measure_image"]

MAX_SIDE = 2**16 - 1
"""Pixels of the longest side that is measured: JPEG's limit. The transform of a single long line
takes far more memory than the line."""

_LARGE, _LEAST_BITS = 2**24, 0.02
"""Pixels above which a picture must have so many bits for each. Flat ones take less, and then a few
bytes would cost seconds and a gigabyte."""


@dataclass(frozen=True)
class Measures:
    """Measures of an image from its bytes alone; curate.manifest.schema has them as columns."""

    coded_nbytes: int
    format: str
    mode: str
    bit_depth: int
    icc: bool
    orientation: int
    animated: bool
    width: int
    height: int
    pixels: int
    bpp: float
    jpeg_quality: int | None
    chroma_subsampling: str | None
    hf_ratio: float
    hf_ratio_032: float
    pixel_sha256: str
    phash: int
    cutoffs: tuple[float, ...] = ()
    """High-frequency ratios of the further cut-offs, in the order of the request."""
    facts: Mapping[str, float | None] = field(default_factory=dict)
    """Column -> value of the further facts; None where the picture is too small for one."""
    tiles: TileColumns = field(default_factory=dict)
    """Measures of its tiles, where they were asked for."""


def measure_image(
    data: bytes,
    cutoffs: Sequence[float] = (),
    max_pixels: int = MAX_PIXELS,
    facts: Collection[str] = (),
    tiles: TileGrid | None = None,
) -> Measures:
    """Measure an image from the bytes of its file, as served.

    Args:
        data: the file.
        cutoffs: further cut-offs of the high-frequency ratio, as shares of the half-diagonal.
        max_pixels: images with more are not decoded.
        facts: further facts to measure, by their columns' names.
        tiles: which tiles to measure as well, from the same pixels.

    Raises:
        ImageError: if it can't be measured; `reason` says why.
    """
    # some decoders work on opening a file already
    head = read_header(data)
    _check_size(head.width or 0, head.height or 0, len(data), max_pixels)
    with open_picture(data) as (image, coded):
        _check_size(*image.size, coded.nbytes, max_pixels)
        header = _header_facts(image, coded)
        in_colours = tiles is not None or not COLOUR_FACTS.isdisjoint(facts)
        colours = to_rgb(image) if in_colours else None
        luma_HW = to_luma(image) if colours is None else np.asarray(colours.convert("L"))
        rgb_HWC = None if colours is None else np.asarray(colours)
    del image, colours  # their pixels take as much memory as half of the transform
    ratios, spectrum = ratios_and_spectrum(luma_HW, (PAPER_CUTOFF, PUBLISHED_CUTOFF, *cutoffs))
    found = measure_facts(Decoded(luma_HW, spectrum, rgb_HWC), facts)
    del spectrum
    of_tiles: TileColumns = {}
    if tiles is not None and rgb_HWC is not None:
        of_tiles = measure_tiles(luma_HW, rgb_HWC, tiles, cutoffs)
    # the size is that of the pixels, since a HEIF's header may differ from it
    return Measures(
        **header,
        width=luma_HW.shape[1],
        height=luma_HW.shape[0],
        pixels=luma_HW.size,
        bpp=bits_per_pixel(coded.nbytes, luma_HW.size),
        hf_ratio=ratios[0],
        hf_ratio_032=ratios[1],
        pixel_sha256=pixel_sha256(luma_HW),
        phash=perceptual_hash(luma_HW),
        cutoffs=tuple(ratios[2:]),
        facts=found,
        tiles=of_tiles,
    )


def _check_size(width: int, height: int, nbytes: int, max_pixels: int) -> None:
    """Raise ImageError for a picture that is too large, or large for its number of coded bytes."""
    pixels = width * height
    if pixels > max_pixels or max(width, height) > MAX_SIDE:
        detail = f"{width} x {height}, over {max_pixels} pixels or {MAX_SIDE} a side"
        raise ImageError(Reason.TOO_MANY_PIXELS, detail)
    if pixels > _LARGE and bits_per_pixel(nbytes, pixels) < _LEAST_BITS:
        detail = f"{width} x {height} pixels of {nbytes} bytes: next to nothing"
        raise ImageError(Reason.TOO_COSTLY, detail)


def bits_per_pixel(nbytes: int, pixels: int) -> float:
    """Return 8 x bytes of the coded picture / pixels: more means less compression."""
    return 8 * nbytes / pixels


def _header_facts(image: Image.Image, coded: CodedPicture) -> dict[str, Any]:
    """Return the measures that need no pixels."""
    return {
        "coded_nbytes": coded.nbytes,
        "format": str(image.format),
        "mode": image.mode,
        "bit_depth": _bit_depth(image, coded),
        "icc": bool(image.info.get("icc_profile")),
        "orientation": orientation(image),
        "animated": bool(coded.animated),
        "jpeg_quality": jpeg_quality(image),
        "chroma_subsampling": chroma_subsampling(image),
    }


def _bit_depth(image: Image.Image, coded: CodedPicture) -> int:
    """Return the bits per sample as coded, or of the decoded mode where the file has none."""
    if coded.bit_depth is not None:
        return coded.bit_depth
    return {"1": 1, "I": 32, "F": 32}.get(image.mode, 16 if image.mode.startswith("I;16") else 8)
