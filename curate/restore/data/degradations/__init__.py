"""Seeded degradations, clean -> degraded, under the names that the papers use.

| name | what it does | task |
| --- | --- | --- |
| `denoise_<sigma>` | Gaussian noise of that standard deviation on the 0..255 scale, each channel by itself | denoise |
| `poisson_<peak>` | photon noise: Poisson(peak x) / peak for x in 0..1 | denoise |
| `sensor_<electrons>` | shot and read noise in linear light, where white counts so many electrons | denoise |
| `camera_<electrons>` | the same on a mosaic of colours, developed | denoise |
| `dejpeg_<quality>` | JPEG at that quality, 4:2:0 | dejpeg |
| `sr_x<scale>` | shrunk by MATLAB's bicubic and enlarged again, to the size that is asked for | sr |
| `derain`, `derain_light`, `derain_heavy` | streaks of rain of either kind, or of one | derain |
| `blur_motion_<length>` | motion along a straight line of so many pixels, at any angle | deblur |
| `blur_shake_<size>` | a shaking camera's random curve, within so many pixels | deblur |
| `blur_disk_<radius>` | out of focus by so many pixels | deblur |
| `lowlight_<percent>` | so many per cent of the light, and the sensor's noise | enhance |
| `gamma_<gamma>` | darkened by a power of the encoded values | enhance |

**Levels.** For the number may stand two, as in `denoise_0-50`: each sample draws its level between them, evenly.

**One after the other.** `blur_motion_15+dejpeg_40` blurs and then compresses; the task is the first one's. Nothing is
rounded on the way. `+8bit` at the end cuts off at 0 and 255 and truncates to whole levels.

**Bytes and floats.** Images are (height, width, 3) RGB on the 0..255 scale. uint8 in gives uint8 out, rounded and cut
off, as a file would hold it. float32 in gives float32 out, noise neither cut off nor rounded: the convention of SwinIR,
KAIR and Restormer for Gaussian noise, and what training uses. AirNet, PromptIR and MoCE-IR have `denoise_25+8bit`.

To weigh degradations differently as a training goes on, its phases name other weights (`phases[].degradations`).
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from curate.errors import RestoreError
from curate.restore.data.degradations.blur import blur_disk, blur_motion, blur_shake
from curate.restore.data.degradations.camera import (
    add_sensor_noise,
    darken,
    photograph,
    raise_gamma,
)
from curate.restore.data.degradations.levels import Image, as_before
from curate.restore.data.degradations.rain import Rain
from curate.restore.data.degradations.synthetic import (
    add_gaussian,
    add_poisson,
    add_rain,
    compress_jpeg,
    shrink_and_enlarge,
    truncate,
)

__all__ = [
    "TASKS",
    "Degradation",
    "Image",
    "generator",
    "known_degradations",
    "parse_degradation",
    "parse_task",
]

TASKS = ("sr", "derain", "denoise", "dejpeg", "deblur", "enhance")
"""What restoring can be asked for, whatever the level. Checkpoints depend on the order: further ones come last. The
first four are DAMoE's; `enhance` is of what was too dark."""

Apply = Callable[[Image, np.random.Generator], Image]


@dataclass(frozen=True)
class Degradation:
    """A named way of spoiling an image."""

    name: str
    apply: Apply
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
            raise RestoreError(
                f"{self.name} needs at least {self.multiple}x{self.multiple} pixels, not {found}"
            )
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

    def build(self, name: str, low: float, high: float) -> Degradation:
        apply = partial(_at_level, self.apply, self.parameter, low, high, self.whole)
        # partial rather than lambda: workers that aren't forked get the degradation pickled
        if self.parameter == "scale":
            return Degradation(name, apply, self.task, multiple=int(low), grid=int(low))
        return Degradation(name, apply, self.task, grid=self.grid)


def _at_level(
    apply: Callable[..., Image],
    parameter: str,
    low: float,
    high: float,
    whole: bool,
    image: Image,
    rng: np.random.Generator,
) -> Image:
    """Nothing is drawn for a level that is fixed."""
    level = low
    if low < high:
        level = (
            float(rng.integers(int(low), int(high), endpoint=True))
            if whole
            else rng.uniform(low, high)
        )
    return apply(image, rng, **{parameter: int(level) if whole else level})


def _in_turn(steps: Sequence[Apply], image: Image, rng: np.random.Generator) -> Image:
    degraded = image.astype(np.float32)
    for step in steps:
        degraded = step(degraded, rng)
    return as_before(degraded, image)


_FAMILIES = {
    "denoise_": _Family("denoise", "sigma", add_gaussian, 0, 255, whole=False),
    "poisson_": _Family("denoise", "peak", add_poisson, 1, 1e6, whole=False),
    "sensor_": _Family("denoise", "electrons", add_sensor_noise, 10, 1e6, whole=False),
    "camera_": _Family("denoise", "electrons", photograph, 10, 1e6, whole=False, grid=2),
    "dejpeg_": _Family("dejpeg", "quality", compress_jpeg, 1, 100, grid=8),
    "sr_x": _Family("sr", "scale", shrink_and_enlarge, 2, 8),
    "blur_motion_": _Family("deblur", "length", blur_motion, 1, 200, whole=False),
    "blur_shake_": _Family("deblur", "size", blur_shake, 3, 200),
    "blur_disk_": _Family("deblur", "radius", blur_disk, 0.5, 100, whole=False),
    "lowlight_": _Family("enhance", "percent", darken, 0.1, 100, whole=False),
    "gamma_": _Family("enhance", "gamma", raise_gamma, 1, 10, whole=False),
}

_RAIN: dict[str, tuple[Rain, ...]] = {
    "derain": ("light", "heavy"),
    "derain_light": ("light",),
    "derain_heavy": ("heavy",),
}

_LAST = "8bit"


def known_degradations() -> list[str]:
    """The forms of names that `parse_degradation` takes."""
    numbered = [
        f"{start}<{f.parameter}> ({f.lowest:g} to {f.highest:g})" for start, f in _FAMILIES.items()
    ]
    return [*numbered, *_RAIN]


def parse_degradation(name: str) -> Degradation:
    """The degradation of a name such as `denoise_25`, `sr_x2`, `dejpeg_10-40` or `blur_motion_15+dejpeg_40`.

    Raises:
        RestoreError: if there is none; lists the forms that names take.
    """
    first, *others = name.split("+")
    steps = [_parse_one(part) for part in (first, *(other for other in others if other != _LAST))]
    if _LAST in others[:-1]:
        raise RestoreError(f"{name}: {_LAST} comes last")
    if not others:
        return steps[0]
    applied = [step.apply for step in steps] + [truncate] * (_LAST in others)
    return Degradation(
        name,
        partial(_in_turn, applied),
        steps[0].task,
        multiple=math.lcm(*(step.multiple for step in steps)),
        grid=math.lcm(*(step.grid for step in steps)),
    )


def _parse_one(name: str) -> Degradation:
    if name in _RAIN:
        return Degradation(name, partial(add_rain, kinds=_RAIN[name]), "derain")
    for start, family in _FAMILIES.items():
        number = r"(\d+)" if family.whole else r"(\d+(?:\.\d+)?)"
        if match := re.fullmatch(f"{start}{number}(?:-{number})?", name):
            low, high = float(match[1]), float(match[2] or match[1])
            # super-resolution cuts the image to its scale before anything is drawn
            if family.lowest <= low <= high <= family.highest and (
                low == high or family.parameter != "scale"
            ):
                return family.build(name, low, high)
    raise RestoreError(
        f"no degradation {name!r}; known: {', '.join(known_degradations())}; "
        "a number may be a range (denoise_0-50), and several may be joined by +"
    )


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
        raise RestoreError(
            f"no task {name!r}: say {', '.join(TASKS)} or a degradation such as denoise_25"
        ) from error


def generator(*key: object) -> np.random.Generator:
    """A random generator that depends on its key alone, such as (seed, epoch, sample id, crop).

    Two runs, machines or numbers of workers draw the same for the same key.
    """
    digest = hashlib.sha256("\x1f".join(map(str, key)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))
