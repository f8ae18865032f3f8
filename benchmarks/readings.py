"""Definitions of the paper's "high-frequency ratio": pixels, transform, distance and average.

A spectrum is counted into BINS rings of each distance from the zero frequency, so one transform
serves every cut-off.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from PIL import Image

__all__ = ["BASE", "BINS", "Curve", "Means", "Reading"]

BINS = 400
"""Rings from the zero frequency to a distance of 1."""

Plane = NDArray[np.float64]
Curve = NDArray[np.float64]
"""Ratios at the cut-offs 0, 1/BINS ... 1, shape (BINS + 1,)."""


class Reading(NamedTuple):
    """One way to read the measure, but for its cut-off."""

    size: str
    colour: str
    window: str
    weight: str
    distance: str
    dc: str
    average: str


BASE = Reading(
    "native",
    "luma",
    "no window",
    "power",
    "circle, of the half-diagonal",
    "DC counts",
    "mean of ratios",
)
"""The paper's text, read plainly."""

DC = ("DC counts", "DC left out")
AVERAGES = ("mean of ratios", "ratio of sums")
WEIGHTS: dict[str, Callable[[Plane], Plane]] = {
    "power": lambda power: power,
    "magnitude": np.sqrt,
}
WINDOWS: dict[str, Callable[[int], Any]] = {
    "no window": np.ones,
    "Hann": np.hanning,
}


def _linear(rgb_HWC: Plane) -> Plane:
    """sRGB's transfer function undone, IEC 61966-2-1."""
    share = rgb_HWC / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


_601, _709 = np.array([0.299, 0.587, 0.114]), np.array([0.2126, 0.7152, 0.0722])

COLOURS: dict[str, Callable[[Plane], list[Plane]]] = {
    "luma": lambda rgb: [np.round(rgb @ _601)],
    "luma, not rounded": lambda rgb: [rgb @ _601],
    "luma, 16 to 235": lambda rgb: [16 + rgb @ _601 * 219 / 255],
    "luma, -1 to 1": lambda rgb: [rgb @ _601 / 127.5 - 1],
    "luma, BT.709": lambda rgb: [rgb @ _709],
    "luminance, linear": lambda rgb: [_linear(rgb) @ _709],
    "mean of R, G, B": lambda rgb: [rgb.mean(axis=2)],
    "largest of R, G, B": lambda rgb: [rgb.max(axis=2)],
    "R": lambda rgb: [rgb[..., 0]],
    "G": lambda rgb: [rgb[..., 1]],
    "B": lambda rgb: [rgb[..., 2]],
    "R, G and B, power summed": lambda rgb: list(np.moveaxis(rgb, 2, 0)),
}
"""Name -> planes; the power of several is summed."""

_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "Lanczos": Image.Resampling.LANCZOS,
}


def _resize(image: Image.Image, size: tuple[int, int], name: str) -> Image.Image:
    if name in _FILTERS:
        return image.resize(size, _FILTERS[name])
    steps = (
        image.width / size[0],
        image.height / size[1],
    )  # bilinear between the nearest four, however far apart
    matrix = (steps[0], 0.0, 0.0, 0.0, steps[1], 0.0)
    return image.transform(size, Image.Transform.AFFINE, matrix, resample=Image.Resampling.BILINEAR)


def _square(side: int, name: str) -> Callable[[Image.Image], Image.Image]:
    return lambda image: _resize(image, (side, side), name)


def _shorter(side: int, name: str) -> Callable[[Image.Image], Image.Image]:
    return lambda image: _resize(
        image,
        (round(image.width * side / min(image.size)), round(image.height * side / min(image.size))),
        name,
    )


def _crop(side: int) -> Callable[[Image.Image], Image.Image]:
    return lambda image: image.crop(
        (
            left := (image.width - side) // 2,
            top := (image.height - side) // 2,
            left + side,
            top + side,
        )
    )


SIZES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "native": lambda image: image,
    **{f"central {side} x {side}": _crop(side) for side in (128, 180, 256)},
    **{
        f"{side} x {side}, {name}": _square(side, name)
        for side, name in product((256, 512), (*_FILTERS, "bilinear, as OpenCV"))
    },
    **{
        f"shorter side {side}, {name}": _shorter(side, name)
        for side, name in product((256, 512), (*_FILTERS, "bilinear, as OpenCV"))
    },
}
"""Name -> the picture that is transformed."""


def _circle(unit: Callable[[int, int], float]) -> Callable[[Plane, Plane, int, int], Plane]:
    return lambda u, v, height, width: np.hypot(u, v) / unit(height, width)


OFF_CENTRE = "circle about (H/2, W/2)"
"""The printed centre: for an odd side half a sample beside the zero frequency."""

DISTANCES: dict[str, Callable[[Plane, Plane, int, int], Plane]] = {
    "circle, of the half-diagonal": _circle(lambda h, w: float(np.hypot(h / 2, w / 2))),
    OFF_CENTRE: lambda u, v, h, w: np.hypot(u - h % 2 / 2, v - w % 2 / 2) / np.hypot(h / 2, w / 2),
    "circle, of half the shorter side": _circle(lambda h, w: min(h, w) / 2),
    "circle, of half the longer side": _circle(lambda h, w: max(h, w) / 2),
    "circle, of 512 samples": _circle(lambda h, w: 512.0),
    "ellipse, of the corner": lambda u, v, h, w: np.hypot(u / h, v / w) * np.sqrt(2),
    "ellipse, of Nyquist": lambda u, v, h, w: np.hypot(u / h, v / w) * 2,
    "rectangle": lambda u, v, h, w: np.maximum(np.abs(u) / h, np.abs(v) / w) * 2,
}
"""Name -> distance of frequency (u, v), in samples of an (h, w) spectrum, from zero."""


@lru_cache(maxsize=128)
def _ring_numbers(distance: str, height: int, width: int, sign: int) -> NDArray[np.int64]:
    """Return each half-plane frequency's ring; ring n holds distances in (n - 1, n] / BINS."""
    u, v = (
        np.fft.fftfreq(height, 1 / height)[:, None].astype(np.float64),
        np.arange(width // 2 + 1.0)[None],
    )
    distances = DISTANCES[distance](sign * u, sign * v, height, width)
    numbers = np.ceil(distances * BINS - 1e-9).clip(1, BINS + 1).astype(np.int64)
    numbers[0, 0] = 0
    return numbers.ravel()


def _rings(plane_HW: Plane) -> NDArray[np.float64]:
    """Rings of a plane's spectrum, shape (weights, distances, BINS + 2)."""
    height, width = plane_HW.shape
    spectrum = scipy.fft.rfft2(plane_HW, workers=1)
    power = spectrum.real**2 + spectrum.imag**2
    opposite = np.zeros(width // 2 + 1)  # columns v that stand for -v too
    opposite[1 : (width + 1) // 2] = 1
    counted = np.empty((len(WEIGHTS), len(DISTANCES), BINS + 2))
    for i, weight in enumerate(WEIGHTS.values()):
        values = weight(power)
        both = (values * (1 + opposite)).ravel()
        for j, distance in enumerate(DISTANCES):
            numbers = _ring_numbers(distance, height, width, 1)
            if distance == OFF_CENTRE:
                mirrored = _ring_numbers(distance, height, width, -1)
                counted[i, j] = np.bincount(numbers, values.ravel(), BINS + 2)
                counted[i, j] += np.bincount(mirrored, (values * opposite).ravel(), BINS + 2)
            else:
                counted[i, j] = np.bincount(numbers, both, BINS + 2)
    return counted


PICTURES = [
    *((BASE.size, colour, window) for colour, window in product(COLOURS, WINDOWS)),
    *((size, BASE.colour, BASE.window) for size in SIZES if size != BASE.size),
]
"""(size, colour, window) of the transform: all colours with all windows; sizes by themselves."""


class Means:
    """Means over a set of pictures, of every reading and cut-off."""

    def __init__(self) -> None:
        shape = (len(PICTURES), len(WEIGHTS), len(DISTANCES), BINS + 1)
        self._beyond = {average: np.zeros((len(DC), *shape)) for average in AVERAGES}
        self._whole = {average: np.zeros((len(DC), *shape[:-1], 1)) for average in AVERAGES}

    def add(self, image: Image.Image, share: float) -> None:
        """Count a picture, as `share` of the set."""
        rgb = image.convert("RGB")
        for p, (size, colour, window) in enumerate(PICTURES):
            rgb_HWC = np.asarray(SIZES[size](rgb), np.float64)
            height, width = rgb_HWC.shape[:2]
            window_HW = WINDOWS[window](height)[:, None] * WINDOWS[window](width)
            rings = np.sum(
                [_rings(plane * window_HW) for plane in COLOURS[colour](rgb_HWC)], axis=0
            )
            beyond = rings[..., :0:-1].cumsum(axis=-1)[
                ..., ::-1
            ]  # all rings after the first, the second ...
            for d, whole in enumerate((beyond[..., :1] + rings[..., :1], beyond[..., :1])):
                whole = np.where(whole > 0, whole, 1)  # all black
                for average, unit in zip(AVERAGES, (whole, np.ones(1)), strict=True):
                    self._beyond[average][d, p] += share * beyond / unit
                    self._whole[average][d, p] += share * whole / unit

    def __add__(self, other: Means) -> Means:
        out = Means()
        for mine in ("_beyond", "_whole"):
            for average in AVERAGES:
                getattr(out, mine)[average][:] = (
                    getattr(self, mine)[average] + getattr(other, mine)[average]
                )
        return out

    def curves(self) -> dict[Reading, Curve]:
        """Return the mean of each reading at the cut-offs 0, 1/BINS ... 1."""
        ratios = {average: self._beyond[average] / self._whole[average] for average in AVERAGES}
        found = {
            Reading(size, colour, window, weight, distance, dc, average): ratios[average][
                d, p, i, j
            ]
            for average in AVERAGES
            for d, dc in enumerate(DC)
            for p, (size, colour, window) in enumerate(PICTURES)
            for i, weight in enumerate(WEIGHTS)
            for j, distance in enumerate(DISTANCES)
        }
        for reading in [r for r in found if r.colour == "R" and r.average == BASE.average]:
            channels = [found[reading._replace(colour=colour)] for colour in "RGB"]
            found[reading._replace(colour="R, G and B, mean of three ratios")] = np.mean(
                channels, axis=0
            )
        return found
