"""Layouts of datasets on disk: one table, and the small language of its forms.

A form such as `{clip}/sharp/{frame}.png` stands for files below any folders. Braces hold a field:
part of one name, or whatever the regular expression after a colon matches. A form that begins
with `./` stands for files directly within the folder; `.*` at its end is the extension of any
picture. Letters match both cases. Two files belong together when they agree in all fields, and in
the folders before the form.
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
_TASKS = {
    "real_noise": "denoise",
    "motion_blur": "deblur",
    "blur_jpeg": "deblur",
    "rain": "derain",
}
"""Degradation -> the restorer's task that undoes it."""


@dataclass(frozen=True)
class Form:
    """One way in which a dataset is packed."""

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
    """File names of a dataset, and the purpose of its images."""

    forms: tuple[Form, ...]
    """Alternatives; the one that pairs up the most files counts."""
    degradation: str | None = None
    split: Split | None = None
    """Split of all images; None where folders are named for training and test."""
    whole: dict[Split, int] = field(default_factory=dict)
    """Pairs, or clean images, of the complete set."""
    lowest: str | None = None
    """Field: among images that agree in all others, the one with the lowest value is clean."""
    crop: Crop | None = None

    @property
    def task(self) -> str | None:
        """The restorer's task that undoes the degradation."""
        return self.degradation and _TASKS[self.degradation]


def _reds(folder: str, degradation: str) -> Layout:
    form = Form("{part}_sharp/{clip}/{frame}.*", f"{{part}}_{folder}/{{clip}}/{{frame}}.*")
    return Layout((form,), degradation, whole={"train": 24_000, "test": 3000})


def _benchmark(images: int) -> Layout:
    folders = (".", "HR", "GTmod12", "original_png", "original")
    forms = tuple(Form(f"{folder}/{{name}}.*") for folder in folders)
    return Layout(forms, split="test", whole={"test": images})


_SIDD = Form(r"{scene}/{n:\d+}_GT_SRGB_{take}.*", r"{scene}/{n:\d+}_NOISY_SRGB_{take}.*")
_NIND = Form("NIND_{scene}_{iso:(?:ISO|GT)[^_/.]*}.*")
_POLYU = (
    Form("CroppedImages/{shot}_mean.*", "CroppedImages/{shot}_real.*"),
    Form("./{shot}_mean.*", "./{shot}_real.*"),
)
_GOPRO = (
    Form("{clip}/sharp/{frame}.*", "{clip}/blur/{frame}.*"),
    Form("target/{frame}.*", "input/{frame}.*"),
)
_RAIN13K = (
    Form(
        r"{dataset:Rain\d+[KHL]?|Test\d+}/target/{name}.*",
        r"{dataset:Rain\d+[KHL]?|Test\d+}/input/{name}.*",
    ),
    Form("target/{name}.*", "input/{name}.*"),
)
_RAIN100 = (
    Form(r"gt/norain-{n:\d+}.*", r"rainy/rain-{n:\d+}.*"),  # AirNet
    Form(r"norain-{n:\d+}.*", r"rain-{n:\d+}.*"),  # PReNet's training sets
    Form(r"norain-{n:\d+}.*", r"rainy/rain-{n:\d+}.*"),  # PReNet's tests
    Form(r"norain/norain-{n:\d+}.*", r"rain/rain-{n:\d+}.*"),
    Form(r"norain/norain-{n:\d+}.*", r"rain/norain-{n:\d+}.*"),
    Form(r"norain/norain-{n:\d+}.*", r"rain/norain-{n:\d+}x2.*"),  # Yang et al., the first authors
    Form(r"target/{n:\d+}.*", r"input/{n:\d+}.*"),
)
_BSD400 = (Form(r"{part:train|test}/{n:\d+}.*"), Form("./{n}.*"))
_DIV2K = Form(r"DIV2K_{part:train|valid}_HR/{n:\d+}.*")
_FLICKR2K = (Form(r"Flickr2K_HR/{n:\d+}.*"), Form(r"./{n:\d+}.*"))

_SIZES = {"Set5": 5, "Set14": 14, "CBSD68": 68, "Kodak24": 24, "Urban100": 100, "Manga109": 109}
"""Images of each benchmark set."""

LAYOUTS: dict[str, Layout] = {
    "SIDD": Layout((_SIDD,), "real_noise", "train", {"train": 320}, crop=Crop(512, 128)),
    "NIND": Layout((_NIND,), "real_noise", "train", {"train": 710}, lowest="iso"),
    "PolyU": Layout(_POLYU, "real_noise", "train", {"train": 100}),
    "GoPro": Layout(_GOPRO, "motion_blur", whole={"train": 2103, "test": 1111}),
    "REDS_blur": _reds("blur", "motion_blur"),
    "REDS_blur_jpeg": _reds("blur_jpeg", "blur_jpeg"),
    "Rain13K": Layout(_RAIN13K, "rain", whole={"train": 13_712, "test": 4300}),
    "Rain100L": Layout(_RAIN100, "rain", whole={"train": 200, "test": 100}),
    "Rain100H": Layout(_RAIN100, "rain", whole={"train": 1800, "test": 100}),
    "BSD400": Layout(_BSD400, split="train", whole={"train": 400}),
    "WED": Layout((Form(r"{n:\d+}.*"),), split="train", whole={"train": 4744}),
    "DIV2K": Layout((_DIV2K,), whole={"train": 800, "test": 100}),
    "Flickr2K": Layout(_FLICKR2K, split="train", whole={"train": 2650}),
    **{name: _benchmark(images) for name, images in _SIZES.items()},
    "classic5": _benchmark(5),
}
"""Name of a dataset -> its layout."""


def find_layout(name: str) -> tuple[str, Layout]:
    """Return the usual name of a dataset, given in any case, and its layout.

    Raises:
        InputError: if there is none; suggests the nearest.
    """
    names = {known.casefold(): known for known in LAYOUTS}
    if known := names.get(name.casefold()):
        return known, LAYOUTS[known]
    near = difflib.get_close_matches(name.casefold(), names, n=1)
    hint = f"did you mean {names[near[0]]}?" if near else f"known: {', '.join(LAYOUTS)}"
    raise InputError(f"no layout of a dataset {name!r}; {hint}")


@cache
def pattern_of(form: str) -> re.Pattern[str]:
    """Compile a form to a pattern for paths that begin with the dataset folder's own name.

    Its group `where` matches the folders before the form.
    """
    pattern = r"(?P<where>[^/]+/)" if form.startswith("./") else r"(?P<where>(?:[^/]+/)*?)"
    parts = re.split(r"\{([^}]*)\}", form.removeprefix("./").removesuffix(".*"))
    for number, part in enumerate(parts):
        name, _, expression = part.partition(":")  # every second part is a field
        pattern += f"(?P<{name}>{expression or '[^/]+?'})" if number % 2 else re.escape(part)
    return re.compile(pattern + (_SUFFIX if form.endswith(".*") else ""), re.IGNORECASE)
