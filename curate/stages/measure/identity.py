"""Hashes by which equal and similar pictures are found: of the pixels, and of how they look."""

from __future__ import annotations

import hashlib

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from PIL import Image

__all__ = ["perceptual_hash", "pixel_sha256"]


def pixel_sha256(luma_HW: NDArray[np.uint8]) -> str:
    """Return the SHA-256 of width, height and luma: the same after a lossless re-save."""
    digest = hashlib.sha256("{}x{}:".format(*reversed(luma_HW.shape)).encode())
    digest.update(np.ascontiguousarray(luma_HW).data)
    return digest.hexdigest()


def perceptual_hash(luma_HW: NDArray[np.uint8]) -> int:
    """Return the 64-bit DCT hash of an image.

    Zauner, "Implementation and benchmarking of perceptual image hash functions", 2010: the luma at
    32 x 32 (whole means to four times that or more, then Lanczos's filter), its type-II DCT, and
    the 8 x 8 lowest coefficients, each against their median. Bit 63 is DC's.
    """
    small = Image.fromarray(luma_HW).resize((32, 32), Image.Resampling.LANCZOS, reducing_gap=4)
    low = scipy.fft.dctn(np.asarray(small, np.float64), workers=1)[:8, :8]
    return int.from_bytes(np.packbits(low > np.median(low)).tobytes())
