"""How datasets lie on disk: one table, and the little language that it is written in.

A form such as `{clip}/sharp/{frame}.png` stands for files below any folders. What is in braces is a field: part of one
name, or what the regular expression after a colon matches. A form that begins with `./` is of files directly within the
folder; `.*` at its end is the extension of any picture. Letters stand for both cases. Two files belong together when
they agree in all fields, and in the folders before the form.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

from curate.errors import InputError

__all__ = ["LAYOUTS", "SPLITS", "Crop", "Form", "Layout", "find_layout", "pattern_of"]

Split = Literal["train", "test"]
SPLITS: tuple[Split, ...] = ("train", "test")

_SUFFIX = r"\.(?:avif|bmp|jpe?g|jxl|png|ppm|tiff?|webp)"


@dataclass(frozen=True)
class Form:
    """One way in which a set is packed."""

    clean: str
    degraded: str | None = None
    """None for a set of clean images, or where `Layout.lowest` tells the two apart."""


@dataclass(frozen=True)
class Crop:
    """Parts that large pictures are cut into."""

    size: int
    """Side in pixels."""
    overlap: int
    """Pixels that neighbours share; the last row and column are flush with the border."""


@dataclass(frozen=True)
class Layout:
    """A dataset: what belongs together in it, and what it is good for."""

    forms: tuple[Form, ...]
    """Of these, the one that the most files pair up by."""
    degradation: str | None = None
    task: str | None = None
    """What undoing the degradation is, one of the restorer's tasks."""
    split: Split | None = None
    """Of all its images; None where folders are named for training and test."""
    whole: dict[Split, int] = field(default_factory=dict)
    """Pairs, or clean images, of the complete set."""
    lowest: str | None = None
    """Field: of the images that agree in all others, the one with the lowest value is the clean one."""
    crop: Crop | None = None


_BENCHMARK = tuple(
    Form(f"{folder}/{{name}}.*") for folder in (".", "HR", "GTmod12", "original_png", "original")
)
_RAIN = (
    Form("gt/norain-{n:\\d+}.*", "rainy/rain-{n:\\d+}.*"),  # AirNet
    Form("norain-{n:\\d+}.*", "rain-{n:\\d+}.*"),  # PReNet's training sets
    Form("norain-{n:\\d+}.*", "rainy/rain-{n:\\d+}.*"),  # PReNet's tests
    Form("norain/norain-{n:\\d+}.*", "rain/rain-{n:\\d+}.*"),
    Form("norain/norain-{n:\\d+}.*", "rain/norain-{n:\\d+}.*"),
    Form(
        "norain/norain-{n:\\d+}.*", "rain/norain-{n:\\d+}x2.*"
    ),  # Yang et al., who first published them
    Form("target/{n:\\d+}.*", "input/{n:\\d+}.*"),
)


def _benchmark(images: int) -> Layout:
    return Layout(_BENCHMARK, split="test", whole={"test": images})


LAYOUTS: dict[str, Layout] = {
    "SIDD": Layout(
        (Form("{scene}/{n:\\d+}_GT_SRGB_{take}.*", "{scene}/{n:\\d+}_NOISY_SRGB_{take}.*"),),
        "real_noise",
        "denoise",
        split="train",
        whole={"train": 320},
        crop=Crop(512, 128),
    ),
    "NIND": Layout(
        (Form("NIND_{scene}_{iso:(?:ISO|GT)[^_/.]*}.*"),),
        "real_noise",
        "denoise",
        split="train",
        whole={"train": 710},
        lowest="iso",
    ),
    "PolyU": Layout(
        (
            Form("CroppedImages/{shot}_mean.*", "CroppedImages/{shot}_real.*"),
            Form("./{shot}_mean.*", "./{shot}_real.*"),
        ),
        "real_noise",
        "denoise",
        split="train",
        whole={"train": 100},
    ),
    "GoPro": Layout(
        (
            Form("{clip}/sharp/{frame}.*", "{clip}/blur/{frame}.*"),
            Form("target/{frame}.*", "input/{frame}.*"),
        ),
        "motion_blur",
        "deblur",
        whole={"train": 2103, "test": 1111},
    ),
    "REDS_blur": Layout(
        (Form("{part}_sharp/{clip}/{frame}.*", "{part}_blur/{clip}/{frame}.*"),),
        "motion_blur",
        "deblur",
        whole={"train": 24_000, "test": 3000},
    ),
    "REDS_blur_jpeg": Layout(
        (Form("{part}_sharp/{clip}/{frame}.*", "{part}_blur_jpeg/{clip}/{frame}.*"),),
        "blur_jpeg",
        "deblur",
        whole={"train": 24_000, "test": 3000},
    ),
    "Rain13K": Layout(
        (
            Form(
                "{dataset:Rain\\d+[KHL]?|Test\\d+}/target/{name}.*",
                "{dataset:Rain\\d+[KHL]?|Test\\d+}/input/{name}.*",
            ),
            Form("target/{name}.*", "input/{name}.*"),
        ),
        "rain",
        "derain",
        whole={"train": 13_712, "test": 4300},
    ),
    "Rain100L": Layout(_RAIN, "rain", "derain", whole={"train": 200, "test": 100}),
    "Rain100H": Layout(_RAIN, "rain", "derain", whole={"train": 1800, "test": 100}),
    "BSD400": Layout(
        (Form("{part:train|test}/{n:\\d+}.*"), Form("./{n}.*")), split="train", whole={"train": 400}
    ),
    "WED": Layout((Form("{n:\\d+}.*"),), split="train", whole={"train": 4744}),
    "DIV2K": Layout(
        (Form("DIV2K_{part:train|valid}_HR/{n:\\d+}.*"),), whole={"train": 800, "test": 100}
    ),
    "Flickr2K": Layout(
        (Form("Flickr2K_HR/{n:\\d+}.*"), Form("./{n:\\d+}.*")), split="train", whole={"train": 2650}
    ),
    "Set5": _benchmark(5),
    "Set14": _benchmark(14),
    "CBSD68": _benchmark(68),
    "Kodak24": _benchmark(24),
    "Urban100": _benchmark(100),
    "Manga109": _benchmark(109),
    "classic5": _benchmark(5),
}
"""Name of a dataset -> how it is packed."""


def find_layout(name: str) -> tuple[str, Layout]:
    """The dataset of a name, in whatever case, under the name that it is known by.

    Raises:
        InputError: if there is none; suggests the nearest.
    """
    names = {known.casefold(): known for known in LAYOUTS}
    if name.casefold() in names:
        known = names[name.casefold()]
        return known, LAYOUTS[known]
    near = difflib.get_close_matches(name.casefold(), names, n=1)
    hint = f"did you mean {names[near[0]]}?" if near else f"known: {', '.join(LAYOUTS)}"
    raise InputError(f"no layout of a dataset {name!r}; {hint}")


@cache
def pattern_of(form: str) -> re.Pattern[str]:
    """A form as a regular expression for paths that begin with the folder's own name; group `where` is what comes
    before the form."""
    body = form.removeprefix("./").removesuffix(".*")
    where = r"[^/]+/" if form.startswith("./") else r"(?:[^/]+/)*?"
    parts = (
        _field(part[1:-1]) if part[:1] == "{" else re.escape(part)
        for part in re.split(r"(\{[^}]*\})", body)
    )
    suffix = _SUFFIX if form.endswith(".*") else ""
    return re.compile(f"(?P<where>{where}){''.join(parts)}{suffix}", re.IGNORECASE)


def _field(text: str) -> str:
    name, _, expression = text.partition(":")
    return f"(?P<{name}>{expression or '[^/]+?'})"
