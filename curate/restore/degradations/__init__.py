"""Seeded degradations, clean -> degraded, under the names that the papers use.

| name | what it does |
| --- | --- |
| `denoise_<sigma>` | Gaussian noise of that standard deviation on the 0..255 scale, each channel by itself |
| `poisson_<peak>` | photon noise: Poisson(peak x) / peak for x in 0..1 |
| `dejpeg_<quality>` | JPEG at that quality, 4:2:0 |
| `sr_x<scale>` | shrunk by MATLAB's bicubic and enlarged again: super-resolution with the input at the output's size |
| `derain`, `derain_light`, `derain_heavy` | streaks of rain of either kind, or of one |

Images are (height, width, 3) RGB on the 0..255 scale. uint8 in gives uint8 out, rounded and clipped at every step, as a
file would hold it. float32 in gives float32 out, noise neither clipped nor rounded: the convention of SwinIR and KAIR.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.errors import RestoreError
from curate.restore.degradations.rain import Rain
from curate.restore.degradations.synthetic import (
    add_gaussian,
    add_poisson,
    add_rain,
    compress_jpeg,
    shrink_and_enlarge,
)

__all__ = ["TASKS", "Degradation", "Image", "generator", "known_degradations", "parse_degradation", "parse_task"]

TASKS = ("sr", "derain", "denoise", "dejpeg", "deblur", "enhance")
"""What restoring can be asked for, whatever the level. Checkpoints depend on the order: further ones come last. The
first four are DAMoE's; `enhance` is of what was too dark."""

Image = NDArray[Any]
"""(height, width, 3) RGB, uint8 or float32, 0..255."""


@dataclass(frozen=True)
class Degradation:
    """A named way of spoiling an image."""

    name: str
    apply: Callable[[Image, np.random.Generator], Image]
    """Keeps shape and dtype; sides are multiples of `multiple`."""
    task: str
    """What undoing it is: one of `TASKS`."""
    multiple: int = 1
    """What the sides must be multiples of; `pair` crops them."""
    grid: int = 1
    """Period of the pattern that it leaves: training patches start anywhere in it."""

    def pair(self, image: Image, rng: np.random.Generator) -> tuple[Image, Image]:
        """The clean image, cropped at the right and bottom where the degradation needs it, and the degraded one.

        Raises:
            RestoreError: if a side is shorter than `multiple`.
        """
        height, width = (side // self.multiple * self.multiple for side in image.shape[:2])
        if not height or not width:
            found = f"{image.shape[1]}x{image.shape[0]}"
            raise RestoreError(f"{self.name} needs at least {self.multiple}x{self.multiple} pixels, not {found}")
        clean = image[:height, :width]
        return clean, self.apply(clean, rng)


@dataclass(frozen=True)
class _Family:
    """Degradations that differ by one number."""

    task: str
    parameter: str
    apply: Callable[..., Image]
    lowest: float
    highest: float
    whole: bool = True
    """Whether the number must be."""
    grid: int = 1

    def build(self, name: str, value: float) -> Degradation:
        # partial rather than lambda: workers that aren't forked get the degradation pickled
        apply = partial(self.apply, **{self.parameter: int(value) if self.whole else value})
        if self.parameter == "scale":
            return Degradation(name, apply, self.task, multiple=int(value), grid=int(value))
        return Degradation(name, apply, self.task, grid=self.grid)


_FAMILIES = {
    "denoise_": _Family("denoise", "sigma", add_gaussian, 0, 255, whole=False),
    "poisson_": _Family("denoise", "peak", add_poisson, 1, 1e6, whole=False),
    "dejpeg_": _Family("dejpeg", "quality", compress_jpeg, 1, 100, grid=8),
    "sr_x": _Family("sr", "scale", shrink_and_enlarge, 2, 8),
}

_RAIN: dict[str, tuple[Rain, ...]] = {
    "derain": ("light", "heavy"),
    "derain_light": ("light",),
    "derain_heavy": ("heavy",),
}


def known_degradations() -> list[str]:
    """The forms of names that `parse_degradation` takes."""
    numbered = [f"{start}<{f.parameter}> ({f.lowest:g} to {f.highest:g})" for start, f in _FAMILIES.items()]
    return [*numbered, *_RAIN]


def parse_degradation(name: str) -> Degradation:
    """The degradation of a name such as `denoise_25`, `dejpeg_10` or `sr_x2`.

    Raises:
        RestoreError: if there is none; lists the forms that names take.
    """
    if name in _RAIN:
        return Degradation(name, partial(add_rain, kinds=_RAIN[name]), "derain")
    for start, family in _FAMILIES.items():
        match = re.fullmatch(start + (r"(\d+)" if family.whole else r"(\d+(?:\.\d+)?)"), name)
        if match and family.lowest <= float(match[1]) <= family.highest:
            return family.build(name, float(match[1]))
    raise RestoreError(f"no degradation {name!r}; known: {', '.join(known_degradations())}")


def parse_task(name: str) -> str:
    """The task of a name that is one of `TASKS`, or a degradation's.

    Raises:
        RestoreError: if it is neither.
    """
    if name in TASKS:
        return name
    try:
        return parse_degradation(name).task
    except RestoreError as error:
        raise RestoreError(f"no task {name!r}: say {', '.join(TASKS)} or a degradation such as denoise_25") from error


def generator(*key: object) -> np.random.Generator:
    """A random generator that depends on its key alone, such as (seed, epoch, sample id, crop).

    Two runs, machines or numbers of workers draw the same for the same key.
    """
    digest = hashlib.sha256("\x1f".join(map(str, key)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))
