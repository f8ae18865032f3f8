"""Seeded degradations, clean -> degraded, under the names that the papers use.

| name | effect | task |
| --- | --- | --- |
| `denoise_<sigma>` | Gaussian noise of that standard deviation (0..255) on each channel | denoise |
| `poisson_<peak>` | photon noise: Poisson(peak x) / peak for x in 0..1 | denoise |
| `sensor_<electrons>` | shot and read noise in linear light; white counts so many | denoise |
| `camera_<electrons>` | the same on a mosaic of colours, developed | denoise |
| `dejpeg_<quality>` | JPEG at that quality, 4:2:0 | dejpeg |
| `sr_x<scale>` | shrunk by MATLAB's bicubic and enlarged to the size before | sr |
| `derain`, `derain_light`, `derain_heavy` | streaks of rain of either kind, or of one | derain |
| `blur_motion_<length>` | motion along a line of so many pixels, at any angle | deblur |
| `blur_shake_<size>` | a shaking camera's random curve, within so many pixels | deblur |
| `blur_disk_<radius>` | out of focus by so many pixels | deblur |
| `lowlight_<percent>` | so many per cent of the light, and the sensor's noise | enhance |
| `gamma_<gamma>` | darkened by a power of the encoded values | enhance |

**Ranges.** Two numbers may stand for one, as in `denoise_0-50`: each sample draws its level between
them, evenly.

**Sequences.** `blur_motion_15+dejpeg_40` blurs and then compresses; the task is the first one's.
Only JPEG and `sr` round in between. `+8bit` at the end clips to 0..255 and truncates to whole
levels.

**Bytes and floats.** Images are (height, width, 3) RGB on the 0..255 scale. uint8 in gives uint8
out, rounded and clipped, as a file would hold it. float32 in gives float32 out, noise neither
clipped nor rounded: the convention of SwinIR, KAIR and Restormer for Gaussian noise, and that of
training, validation and evaluation here. AirNet, PromptIR and MoCE-IR have `denoise_25+8bit`. JPEG
and the small and the enlarged picture of super-resolution have whole levels either way: they are
files.

To weigh degradations differently as a training goes on, its phases override their weights
(`phases[].degradations`).
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
from curate.restore.data.degradations import camera, synthetic
from curate.restore.data.degradations.blur import blur_disk, blur_motion, blur_shake
from curate.restore.data.degradations.levels import Image, as_before
from curate.restore.data.degradations.rain import Rain

__all__ = [
    "TASKS",
    "Degradation",
    "Image",
    "at_one_level",
    "degrade_picture",
    "generator",
    "is_grey",
    "known_degradations",
    "parse_degradation",
    "parse_task",
]

TASKS = ("sr", "derain", "denoise", "dejpeg", "deblur", "enhance")
"""Tasks of restoration, at any level; `enhance` is of dark images.

Checkpoints depend on the order: further ones come last. The first four are DAMoE's.
"""

Apply = Callable[[Image, np.random.Generator], Image]


@dataclass(frozen=True)
class Degradation:
    """Named way of degrading an image."""

    name: str
    apply: Apply
    """Function that keeps shape and dtype; it takes sides that are multiples of `multiple`."""
    task: str
    """Task of undoing it, one of `TASKS`."""
    multiple: int = 1
    """Divisor of the sides that it takes; `pair` crops them to multiples of it."""
    grid: int = 1
    """Period of the pattern that it leaves: training patches start anywhere in it."""

    def pair(self, image: Image, rng: np.random.Generator) -> tuple[Image, Image]:
        """Return the clean and the degraded image, cropped at right and bottom to `multiple`.

        Raises:
            RestoreError: if a side is shorter than `multiple`.
        """
        height, width = (side // self.multiple * self.multiple for side in image.shape[:2])
        if not height or not width:
            needed, found = f"{self.multiple}x{self.multiple}", f"{image.shape[1]}x{image.shape[0]}"
            raise RestoreError(f"{self.name} needs at least {needed} pixels, not {found}")
        clean = image[:height, :width]
        return clean, self.apply(clean, rng)


@dataclass(frozen=True)
class _Family:
    """Degradations that differ by one number, from `lowest` to `highest`."""

    task: str
    parameter: str
    apply: Callable[..., Image]
    lowest: float
    highest: float
    whole: bool = True
    """Whether the number must be a whole one."""
    grid: int = 1
    """Period of the pattern; that of 4:2:0 is two blocks of 8 pixels."""

    def build(self, name: str, low: float, high: float) -> Degradation:
        # partial rather than lambda: workers that aren't forked get the degradation pickled
        apply = partial(_apply_family, self, low, high)
        if self.parameter == "scale":
            return Degradation(name, apply, self.task, multiple=int(low), grid=int(low))
        return Degradation(name, apply, self.task, grid=self.grid)


def _apply_family(
    family: _Family, low: float, high: float, image: Image, rng: np.random.Generator
) -> Image:
    """Degrade at a level drawn from a range; a fixed level draws nothing."""
    level = low
    if low < high and family.whole:
        level = int(rng.integers(int(low), int(high), endpoint=True))
    elif low < high:
        level = rng.uniform(low, high)
    return family.apply(image, rng, **{family.parameter: int(level) if family.whole else level})


def _apply_in_turn(steps: Sequence[Apply], image: Image, rng: np.random.Generator) -> Image:
    degraded = image.astype(np.float32)
    for step in steps:
        degraded = step(degraded, rng)
    return as_before(degraded, image)


_FAMILIES = {
    "denoise_": _Family("denoise", "sigma", synthetic.add_gaussian, 0, 255, whole=False),
    "poisson_": _Family("denoise", "peak", synthetic.add_poisson, 1, 1e6, whole=False),
    "sensor_": _Family("denoise", "electrons", camera.add_sensor_noise, 10, 1e6, whole=False),
    "camera_": _Family("denoise", "electrons", camera.photograph, 10, 1e6, whole=False, grid=2),
    "dejpeg_": _Family("dejpeg", "quality", synthetic.compress_jpeg, 1, 100, grid=16),
    "sr_x": _Family("sr", "scale", synthetic.shrink_and_enlarge, 2, 8),
    "blur_motion_": _Family("deblur", "length", blur_motion, 1, 200, whole=False),
    "blur_shake_": _Family("deblur", "size", blur_shake, 3, 200),
    "blur_disk_": _Family("deblur", "radius", blur_disk, 0.5, 100, whole=False),
    "lowlight_": _Family("enhance", "percent", camera.darken, 0.1, 100, whole=False),
    "gamma_": _Family("enhance", "gamma", camera.raise_gamma, 1, 10, whole=False),
}

_RAIN: dict[str, tuple[Rain, ...]] = {
    "derain": ("light", "heavy"),
    "derain_light": ("light",),
    "derain_heavy": ("heavy",),
}

_LAST = "8bit"
_RANGE = re.compile(r"(\D+)(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)")


def known_degradations() -> list[str]:
    """Return the forms of names that `parse_degradation` takes."""
    numbered = [
        f"{start}<{f.parameter}> ({f.lowest:g} to {f.highest:g})" for start, f in _FAMILIES.items()
    ]
    return [*numbered, *_RAIN]


def parse_degradation(name: str) -> Degradation:
    """Return the degradation of a name such as `denoise_25`, `sr_x2`, `dejpeg_10-40` or a sequence.

    Raises:
        RestoreError: if there is none; lists the forms that names take.
    """
    first, *others = name.split("+")
    if not others:
        return _parse_one(name)
    if _LAST in others[:-1]:
        raise RestoreError(f"{name}: {_LAST} comes last")
    last: list[Apply] = [synthetic.truncate] if others[-1] == _LAST else []
    steps = [_parse_one(part) for part in (first, *others[: len(others) - len(last)])]
    apply = partial(_apply_in_turn, [step.apply for step in steps] + last)
    multiple = math.lcm(*(step.multiple for step in steps))
    grid = math.lcm(*(step.grid for step in steps))
    return Degradation(name, apply, steps[0].task, multiple, grid)


def _parse_one(name: str) -> Degradation:
    if name in _RAIN:
        return Degradation(name, partial(synthetic.add_rain, kinds=_RAIN[name]), "derain")
    for start, family in _FAMILIES.items():
        number = r"(\d+)" if family.whole else r"(\d+(?:\.\d+)?)"
        match = re.fullmatch(f"{start}{number}(?:-{number})?", name)
        if match is None:
            continue
        low, high = float(match[1]), float(match[2] or match[1])
        # super-resolution crops the image to its scale before anything is drawn
        may_range = family.parameter != "scale"
        if family.lowest <= low <= high <= family.highest and (low == high or may_range):
            return family.build(name, low, high)
    raise RestoreError(
        f"no degradation {name!r}; known: {', '.join(known_degradations())}; "
        "a number may be a range (denoise_0-50), and several may be joined by +"
    )


def degrade_picture(
    image: Image, degradation: Degradation, rng: np.random.Generator, *, clip_noise: bool
) -> tuple[Image, Image]:
    """Return a whole picture of bytes, clean and degraded.

    A grey one gets one noise for all channels. Unless it is clipped, noise leaves the degraded
    picture in floats.
    """
    floats = degradation.task == "denoise" and not clip_noise
    source = image.astype(np.float32) if floats else image
    clean, degraded = degradation.pair(source, rng)
    clean = clean.astype(image.dtype)
    if is_grey(clean):  # as a grey camera's
        degraded = np.repeat(degraded[..., :1], 3, axis=2)
    return clean, degraded


def at_one_level(degradation: Degradation, rng: np.random.Generator) -> Degradation:
    """Return the degradation with a level drawn from each of its ranges, and one kind of rain."""
    parts = []
    for part in degradation.name.split("+"):
        if part == "derain":
            part = str(rng.choice(["derain_light", "derain_heavy"]))
        elif match := _RANGE.fullmatch(part):
            start, low, high = match.groups()
            if _FAMILIES[start].whole:
                part = f"{start}{rng.integers(int(low), int(high), endpoint=True)}"
            else:
                part = f"{start}{rng.uniform(float(low), float(high)):.6f}"
        parts.append(part)
    name = "+".join(parts)
    return degradation if name == degradation.name else parse_degradation(name)


def is_grey(image_HWC: Image) -> bool:
    """Return whether the three channels are equal."""
    return bool((image_HWC == image_HWC[..., :1]).all())


def parse_task(name: str) -> str:
    """Return the task of a name, which is one of `TASKS` or a degradation's.

    Raises:
        RestoreError: if it is neither.
    """
    if name in TASKS:
        return name
    try:
        return parse_degradation(name).task
    except RestoreError as error:
        known = f"{', '.join(TASKS)} or a degradation such as denoise_25"
        raise RestoreError(f"no task {name!r}: say {known}") from error


def generator(*key: object) -> np.random.Generator:
    """Return a random generator seeded by its key alone, such as (seed, epoch, sample id, crop).

    The same key draws the same in every run, on every machine, with any number of workers.
    """
    digest = hashlib.sha256("\x1f".join(map(str, key)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))
