"""The measures of one image: format facts, bits per pixel, high-frequency ratios, perceptual hash, further facts."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from curate.errors import ImageError, Reason
from curate.images.decode import MAX_PIXELS, open_image, orientation, to_luma, to_rgb
from curate.recipe import Fact
from curate.stages.measure.facts import OF_COLOURS, Decoded, measure_facts
from curate.stages.measure.frequency import PAPER_CUTOFF, PUBLISHED_CUTOFF, ratios_and_spectrum
from curate.stages.measure.jpeg import chroma_subsampling, jpeg_quality

__all__ = ["Measures", "bits_per_pixel", "measure_image", "perceptual_hash"]

MAX_SIDE = 2**16 - 1
"""Pixels of the longest side that is measured: JPEG's limit. The transform of one long line takes memory out of all
proportion to it."""


@dataclass(frozen=True)
class Measures:
    """What is known of an image from its bytes alone. Columns of the same name: curate.manifest.schema."""

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
    """High-frequency ratios of the further cut-offs that were asked for, in their order."""
    facts: Mapping[Fact, float | None] = field(default_factory=dict)
    """Column -> value of the further facts that were asked for; None for what the picture is too small to tell."""


def measure_image(
    data: bytes,
    cutoffs: Sequence[float] = (),
    max_pixels: int = MAX_PIXELS,
    facts: Collection[Fact] = (),
) -> Measures:
    """Measure an image from the bytes of its file, as served.

    Args:
        data: the file.
        cutoffs: further cut-offs of the high-frequency ratio, as shares of the half-diagonal.
        max_pixels: images with more are not decoded.
        facts: further facts to measure, by their columns' names.

    Raises:
        ImageError: if it can't be measured; `reason` says why.
    """
    with open_image(io.BytesIO(data)) as image:
        if image.width * image.height > max_pixels or max(image.size) > MAX_SIDE:
            raise ImageError(
                Reason.TOO_MANY_PIXELS,
                f"{image.width} x {image.height}, over {max_pixels} pixels or {MAX_SIDE} a side",
            )
        # MPO is a JPEG with previews behind it, no animation
        format_ = "JPEG" if image.format == "MPO" else str(image.format)
        # frames are not counted: Pillow takes hours for a TIFF that has half a million
        animated = image.format != "MPO" and getattr(image, "is_animated", False)
        mode, depth, icc = image.mode, _bit_depth(image, data), bool(image.info.get("icc_profile"))
        turned = orientation(image)
        quality, subsampling = jpeg_quality(image), chroma_subsampling(image)
        luma_HW, rgb_HWC = _decode(image, in_colours=not OF_COLOURS.isdisjoint(facts))
    del image  # its pixels take as much memory as half of the transform
    ratios, spectrum = ratios_and_spectrum(luma_HW, (PAPER_CUTOFF, PUBLISHED_CUTOFF, *cutoffs))
    printed, published, *further = ratios
    return Measures(
        format=format_,
        mode=mode,
        bit_depth=depth,
        icc=icc,
        orientation=turned,
        animated=animated,
        width=luma_HW.shape[1],
        height=luma_HW.shape[0],
        pixels=luma_HW.size,  # a HEIF may turn out to be of another size than its header says
        bpp=bits_per_pixel(len(data), luma_HW.size),
        jpeg_quality=quality,
        chroma_subsampling=subsampling,
        hf_ratio=printed,
        hf_ratio_032=published,
        pixel_sha256=_pixel_sha256(luma_HW),
        phash=perceptual_hash(luma_HW),
        cutoffs=tuple(further),
        facts=measure_facts(Decoded(luma_HW, spectrum, rgb_HWC), facts),
    )


def bits_per_pixel(nbytes: int, pixels: int) -> float:
    """8 x bytes as served / pixels: the paper's bpp, where more means less compression."""
    return 8 * nbytes / pixels


def perceptual_hash(luma_HW: NDArray[np.uint8]) -> int:
    """64-bit DCT hash (Zauner, "Implementation and benchmarking of perceptual image hash functions", 2010).

    The luma at 32 x 32 (whole means to four times that or more, then Lanczos's filter), its type-II DCT, the 8 x 8
    lowest coefficients, each against their median. Bit 63 is DC's.
    """
    small = Image.fromarray(luma_HW).resize((32, 32), Image.Resampling.LANCZOS, reducing_gap=4)
    low = scipy.fft.dctn(np.asarray(small, np.float64), workers=1)[:8, :8]
    return int.from_bytes(np.packbits(low > np.median(low)).tobytes())


def _pixel_sha256(luma_HW: NDArray[np.uint8]) -> str:
    digest = hashlib.sha256("{}x{}:".format(*reversed(luma_HW.shape)).encode())
    digest.update(np.ascontiguousarray(luma_HW).data)
    return digest.hexdigest()


def _decode(
    image: Image.Image, in_colours: bool
) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """Luma, and the colours where they are wanted."""
    if not in_colours:
        return to_luma(image), None
    colours = to_rgb(image)
    return np.asarray(colours.convert("L")), np.asarray(colours)


def _bit_depth(image: Image.Image, data: bytes) -> int:
    """Bits a sample as stored, where the header says so; else those of the decoded mode."""
    if image.format == "PNG" and len(data) > 24:
        return data[24]  # IHDR
    if image.format == "HEIF":
        return int(image.info.get("bit_depth", 8))
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return int(image.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE, (1,))[0])
    return {"1": 1, "I": 32, "F": 32}.get(image.mode, 16 if image.mode.startswith("I;16") else 8)
