"""Photographs that installed packages ship, and crops of them: natural pictures without a network.

scikit-image and scikit-learn come with the `demo` extra, matplotlib with the core. The files are
read from the installed packages; nothing is downloaded.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from curate.errors import MissingExtra

__all__ = ["Photograph", "crop", "crops", "photographs"]

_FOLDERS = {"skimage": "data", "sklearn": "datasets/images", "matplotlib": "mpl-data/sample_data"}
_CC0 = "CC0-1.0"
_FREE = "public domain"
_UNSTATED = "not stated"
_MIDDLEBURY = "Middlebury stereo benchmark 2014"
# package, file, category, licence, credit: as the packages' own documentation states them
_SHIPPED = (
    ("skimage", "astronaut.png", "People", _FREE, "NASA"),
    ("skimage", "camera.png", "People", _CC0, "Lav Varshney"),
    ("matplotlib", "grace_hopper.jpg", "People", _FREE, "United States Navy"),
    ("skimage", "chelsea.png", "Animals", _CC0, "Stefan van der Walt"),
    ("skimage", "coffee.png", "Food", _CC0, "Rachel Michetti, Pikolo Espresso Bar"),
    ("skimage", "rocket.jpg", "Transportation", _FREE, "SpaceX"),
    ("skimage", "motorcycle_left.png", "Transportation", _UNSTATED, _MIDDLEBURY),
    ("skimage", "motorcycle_right.png", "Transportation", _UNSTATED, _MIDDLEBURY),
    ("sklearn", "china.jpg", "Architecture", "CC-BY-2.0", "danielbuechele"),
    ("skimage", "brick.png", "Architecture", _CC0, "CC0Textures, Bricks25"),
    ("sklearn", "flower.jpg", "Nature", "CC-BY-2.0", "vultilion"),
    ("skimage", "grass.png", "Nature", _CC0, "as stated by scikit-image"),
    ("skimage", "gravel.png", "Outdoor others", _CC0, "CC0Textures, Gravel04"),
    ("skimage", "hubble_deep_field.jpg", "Outdoor others", _FREE, "NASA and ESA"),
    ("skimage", "moon.png", "Outdoor others", _UNSTATED, "shipped with scikit-image"),
    ("skimage", "coins.png", "Indoor Object", _FREE, "Brooklyn Museum"),
    ("skimage", "clock_motion.png", "Indoor Object", _FREE, "Stefan van der Walt"),
    ("skimage", "retina.jpg", "Indoor others", _CC0, "Mikael Häggström"),
    ("skimage", "ihc.png", "Indoor others", _FREE, "scikit-image, no known copyright restrictions"),
)  # fmt: skip


@dataclass(frozen=True)
class Photograph:
    """One shipped photograph; `category` is a name of the taxonomy."""

    name: str
    category: str
    path: Path
    licence: str
    credit: str

    def open(self) -> Image.Image:
        """Return the picture in RGB."""
        with Image.open(self.path) as picture:
            return picture.convert("RGB")


@lru_cache(maxsize=1)
def photographs() -> tuple[Photograph, ...]:
    """Return every shipped photograph, in a fixed order.

    Raises:
        MissingExtra: if a package isn't installed or ships no such file.
    """
    folders = {package: _folder(package, inside) for package, inside in _FOLDERS.items()}
    found = []
    for package, file, category, licence, credit in _SHIPPED:
        path = folders[package] / file
        if not path.is_file():
            raise MissingExtra(f"the demo's photograph {file} of {package}", "demo")
        found.append(Photograph(path.stem, category, path, licence, credit))
    return tuple(found)


def crop(photo: Photograph, rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Return a part of a photograph at native resolution, mirrored half the time.

    Args:
        photo: the photograph.
        rng: decides the place and the mirroring.
        size: width and height in pixels, cut to the size of the photograph.
    """
    picture = photo.open()
    width, height = min(size[0], picture.width), min(size[1], picture.height)
    left = int(rng.integers(picture.width - width + 1))
    top = int(rng.integers(picture.height - height + 1))
    part = picture.crop((left, top, left + width, top + height))
    return part.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else part


def crops(
    photo: Photograph, rng: np.random.Generator, count: int, sides: tuple[int, int] = (256, 448)
) -> list[Image.Image]:
    """Return random crops with sides between two lengths in pixels."""
    return [
        crop(photo, rng, (int(rng.integers(*sides)), int(rng.integers(*sides))))
        for _ in range(count)
    ]


def _folder(package: str, inside: str) -> Path:
    # find_spec doesn't run the package, whose import may take a second
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise MissingExtra("the demo site", "demo")
    return Path(spec.origin).parent / inside
