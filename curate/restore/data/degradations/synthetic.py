"""Noise, JPEG, super-resolution and rain; see the package's docstring for the conventions.

All functions take a generator, even where they draw nothing.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow
from torch.nn import functional as F

from curate.restore.data.degradations.levels import Image, as_before, to_uint8
from curate.restore.data.degradations.rain import Rain, draw_rain

__all__ = [
    "add_gaussian",
    "add_poisson",
    "add_rain",
    "compress_jpeg",
    "resize_bicubic",
    "shrink_and_enlarge",
    "truncate",
]


def add_gaussian(image_HWC: Image, rng: np.random.Generator, *, sigma: float) -> Image:
    """Add white noise of standard deviation `sigma` (0..255 scale)."""
    noise_HWC = rng.standard_normal(image_HWC.shape, dtype=np.float32)
    return as_before(image_HWC.astype(np.float32) + np.float32(sigma) * noise_HWC, image_HWC)


def add_poisson(image_HWC: Image, rng: np.random.Generator, *, peak: float) -> Image:
    """Add photon noise where white counts `peak` photons.

    Its standard deviation is 255 sqrt(x / peak) at brightness x in 0..1.
    """
    photons_HWC = rng.poisson(image_HWC.clip(0, 255).astype(np.float64) * (peak / 255))
    return as_before((photons_HWC * (255 / peak)).astype(np.float32), image_HWC)


def truncate(image_HWC: Image, rng: np.random.Generator) -> Image:
    """Clip to 0..255 and truncate to whole levels, as AirNet, PromptIR and MoCE-IR do."""
    return np.floor(image_HWC.clip(0, 255)).astype(image_HWC.dtype)


def add_rain(image_HWC: Image, rng: np.random.Generator, *, kinds: Sequence[Rain]) -> Image:
    """Add streaks of rain; see `draw_rain`."""
    return as_before(draw_rain(image_HWC, rng, kinds=kinds), image_HWC)


def compress_jpeg(image_HWC: Image, rng: np.random.Generator, *, quality: int) -> Image:
    """Encode as baseline JPEG, with 4:2:0 chroma and the IJG tables, and decode again."""
    buffer = io.BytesIO()
    Pillow.fromarray(to_uint8(image_HWC)).save(buffer, "JPEG", quality=quality, subsampling="4:2:0")
    with Pillow.open(buffer) as picture:
        return np.asarray(picture.convert("RGB")).astype(image_HWC.dtype)


def shrink_and_enlarge(image_HWC: Image, rng: np.random.Generator, *, scale: int) -> Image:
    """Resize by MATLAB's bicubic to 1/scale and back; sides must be multiples of `scale`.

    Both are rounded to 8 bits, as the files are that a trained model will get.
    """
    height, width = image_HWC.shape[:2]
    small_HWC = to_uint8(resize_bicubic(image_HWC, height // scale, width // scale))
    return to_uint8(resize_bicubic(small_HWC, height, width)).astype(image_HWC.dtype)


def resize_bicubic(image_HWC: Image, height: int, width: int) -> NDArray[np.float32]:
    """Resize as MATLAB's `imresize(image, 'bicubic')`.

    The new size divides the image's, or is a multiple of it.

    The cubic kernel with a = -0.5 is stretched by the factor when shrinking, on a symmetrically
    mirrored border. PyTorch's antialiased bicubic is the same kernel, but renormalises at the
    border; mirroring first makes them equal.

    Returns:
        float32, neither clipped nor rounded.
    """
    # mirror each border by four steps of the stretched kernel, in input samples; note the mirrored
    # picture's new size, and the part of it that belongs to the picture
    pads, sizes, crops = [], [], []
    for before, after in zip(image_HWC.shape[:2], (height, width), strict=True):
        pad = 4 * max(before // after, 1)
        start = pad * after // before
        pads.append((pad, pad))
        sizes.append((before + 2 * pad) * after // before)
        crops.append(slice(start, start + after))
    mirrored_HWC = np.pad(image_HWC.astype(np.float32), [*pads, (0, 0)], mode="symmetric")
    x_1CHW = torch.from_numpy(mirrored_HWC).permute(2, 0, 1)[None]
    y_1CHW = F.interpolate(x_1CHW, size=sizes, mode="bicubic", antialias=True, align_corners=False)
    return np.ascontiguousarray(y_1CHW[0].permute(1, 2, 0).numpy()[tuple(crops)])
