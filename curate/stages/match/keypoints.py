"""Keypoints of an image: its blobs and their surroundings, which also find crops of the image."""

from __future__ import annotations

from math import ceil, sqrt

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import map_coordinates

from curate.images.decode import decode_luma

__all__ = ["KEYPOINT", "VERSION", "decode_keypoints", "find_keypoints"]

KEYPOINT = np.dtype([("bits", ">u8"), ("x", "u1"), ("y", "u1"), ("scale", "u1")])
"""One keypoint: the signs of the 8 x 8 lowest DCT coefficients around a blob, row by row, the first
being the blob's own sign; its place in 255ths of width and height; its size in 16ths of an octave.
The match stage caches keypoints; no manifest has them."""

VERSION = 1
"""Raised when images get other keypoints than before, which voids cached ones."""

_SIDE = 160
"""Side of the square with as many pixels as the reduced image."""
_SIGMA = 1.6
"""Size of the smallest blobs, in pixels of the reduced image."""
_STEPS = 3
"""Sizes to an octave."""
_LAYERS = 11
_REACH = 4.5
"""Half the side of the surroundings, in blob sizes."""
_SAMPLES = 12
"""Samples across the surroundings."""
_FAINT = 0.5
"""Grey levels by which a blob must differ from its surroundings."""


def find_keypoints(luma_HW: NDArray[np.uint8], count: int = 40) -> NDArray[np.void]:
    """Return the most pronounced blobs: extrema of differences of Gaussians in place and size.

    As in Lowe, "Distinctive image features from scale-invariant keypoints" (2004), but described by
    64 bits, of which mirroring the image inverts known ones. The image is reduced to 25,600 pixels
    first, and blurred by its DCT, which is exact and mirrors it at its borders.

    Args:
        luma_HW: ITU-R 601 luma, shape (height, width).
        count: keypoints at most, the most pronounced ones.

    Returns:
        An array of KEYPOINT, the most pronounced first; empty for a plain image.
    """
    blurred_LHW, sigma_L = _blur(_reduce(luma_HW))
    # differences of Gaussians
    edge_LHW = blurred_LHW[:-1] - blurred_LHW[1:]
    # peaks of the differences' magnitude, the highest first
    power_LHW = np.abs(edge_LHW)
    peaks = (power_LHW == _highest_around(power_LHW)) & _inside(power_LHW.shape, sigma_L)
    layer, y, x = np.nonzero(peaks)
    power = power_LHW[layer, y, x]
    order = np.lexsort((x, y, layer, -power))[:count]
    order = order[power[order] > _FAINT]
    layer, y, x = layer[order], y[order], x[order]
    # place and size to a fraction of a sample, then samples on a grid around
    dl, dy, dx = (_offset(power_LHW, np.stack([layer, y, x]), axis) for axis in range(3))
    sigma = _SIGMA * 2 ** ((layer + dl) / _STEPS)
    around = (np.arange(_SAMPLES) + 0.5) / _SAMPLES * 2 - 1
    reach_KS = _REACH * sigma[:, None] * around
    rows_KS1 = (y + dy)[:, None, None] + reach_KS[:, :, None]
    columns_K1S = (x + dx)[:, None, None] + reach_KS[:, None]
    places = np.broadcast_arrays(layer[:, None, None], rows_KS1, columns_K1S)
    patch_KSS = map_coordinates(blurred_LHW, places, order=1, mode="mirror")
    # signs of the DCT, with the blob's own sign for DC
    positive_K88 = scipy.fft.dctn(patch_KSS, axes=(1, 2), workers=1)[:, :8, :8] > 0
    positive_K88[:, 0, 0] = edge_LHW[layer, y, x] > 0
    # pack into the fields of KEYPOINT
    height, width = power_LHW.shape[1:]
    found = np.empty(len(layer), KEYPOINT)
    found["bits"] = np.packbits(positive_K88.reshape(-1, 64), axis=1).view(">u8")[:, 0]
    found["x"] = np.rint((x + dx + 0.5) / width * 255).clip(0, 255)
    found["y"] = np.rint((y + dy + 0.5) / height * 255).clip(0, 255)
    found["scale"] = np.rint(16 * (layer + dl) / _STEPS).clip(0, 255)
    return found


def decode_keypoints(data: bytes, count: int = 40) -> tuple[tuple[int, int], NDArray[np.void]]:
    """Return width and height of an image file's bytes, and its keypoints; see `find_keypoints`.

    Raises:
        ImageError: if it can't be decoded.
    """
    luma_HW = decode_luma(data)
    height, width = luma_HW.shape
    return (width, height), find_keypoints(luma_HW, count)


def _reduce(luma_HW: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the image at some 160 x 160 pixels, in its own proportions; no side under 24."""
    height, width = luma_HW.shape
    share = _SIDE / sqrt(height * width)
    size = max(24, round(width * share)), max(24, round(height * share))
    small = Image.fromarray(luma_HW).resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    return np.asarray(small, np.float32)


def _blur(luma_HW: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return the image blurred by each Gaussian, shape (layers, height, width), and the sigmas."""
    sigma_L = _SIGMA * 2 ** (np.arange(_LAYERS) / _STEPS)
    # a Gaussian's gain at each frequency of the DCT
    gain_LH, gain_LW = (
        np.exp(-0.5 * np.outer(sigma_L, np.pi * np.arange(n) / n) ** 2) for n in luma_HW.shape
    )
    gain_LHW = (gain_LH[:, :, None] * gain_LW[:, None]).astype(np.float32)
    spectrum_HW = scipy.fft.dctn(luma_HW, norm="ortho", workers=1)
    return scipy.fft.idctn(gain_LHW * spectrum_HW, axes=(1, 2), norm="ortho", workers=1), sigma_L


def _highest_around(power_LHW: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the largest of each sample and its 26 neighbours; border samples have fewer."""
    for axis in range(3):
        along = np.moveaxis(power_LHW, axis, 0)
        highest = along.copy()
        np.maximum(highest[1:], along[:-1], out=highest[1:])
        np.maximum(highest[:-1], along[1:], out=highest[:-1])
        power_LHW = np.moveaxis(highest, 0, axis)
    return power_LHW


def _inside(shape: tuple[int, ...], sigma_L: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return where blobs can lie: mostly within the image, and not of the first or last size."""
    inside_LHW = np.zeros(shape, np.bool_)
    for layer in range(1, shape[0] - 1):
        margin = ceil(0.8 * _REACH * sigma_L[layer])
        inside_LHW[layer, margin : shape[1] - margin, margin : shape[2] - margin] = True
    return inside_LHW


def _offset(
    power_LHW: NDArray[np.float32], place_3K: NDArray[np.intp], axis: int
) -> NDArray[np.float64]:
    """Return each peak's distance from its sample along an axis, by a parabola through three."""
    step_31 = np.eye(3, dtype=np.intp)[:, [axis]]
    before, at, after = (power_LHW[tuple(place_3K + sign * step_31)] for sign in (-1, 0, 1))
    # the parabola's vertex
    bend = before - 2 * at + after
    offset = np.where(bend < 0, (before - after) / np.where(bend < 0, 2 * bend, 1), 0)
    return offset.clip(-0.5, 0.5).astype(np.float64)
