"""Scenes of pictures: several shots, frames or crops show one, and none may be on both sides."""

from __future__ import annotations

import re
from collections.abc import Sequence

from curate.manifest import Manifest
from curate.restore.data.pictures import Picture

__all__ = ["hold_scenes", "image_of", "scene_of"]

_SCENES = {
    "SIDD": r"/\d{4}_(\d{3})_[^/]*/",  # ten scenes, each by several cameras in several lights
    "NIND": r"NIND_([^/]+)_(?:ISO|GT)[^_/]*$",
    "PolyU": r"/([^/]+)_\d+_mean\.[^/]*$",  # crops of forty shots
    "GoPro": r"(GOPR\d+_\d+)_\d+",  # clips that are cut from one film
    "REDS_blur": r"/([^/]+)/[^/]+$",
    "REDS_blur_jpeg": r"/([^/]+)/[^/]+$",
}
"""Name of a dataset -> pattern of the scene in a clean image's URL."""


def image_of(picture: Picture) -> str:
    """Return a name for the image that a picture is, or is a tile or crop of."""
    if not isinstance(picture.source, Manifest):
        return picture.source
    return str(picture.source.column("url")[picture.row]).partition("#")[0]


def scene_of(picture: Picture) -> str:
    """Return a name for what a picture shows, equal for all pictures of one scene.

    Crops of one image have its URL, and pairs of one clean image too. A file outside of manifests
    is a scene by itself.
    """
    url = image_of(picture)
    if not isinstance(picture.source, Manifest):
        return url
    dataset = ""
    if "dataset" in picture.source.table.column_names:
        dataset = picture.source.column("dataset")[picture.row] or ""
    pattern = _SCENES.get(dataset)
    match = re.search(pattern, url) if pattern else None
    return f"{dataset}:{match[1]}" if match else url


def hold_scenes(ranked: Sequence[Picture], count: int) -> set[Picture]:
    """Return all pictures of the first scenes that have as many pictures together.

    Pictures that all show one scene can't be parted by it; then they are the first ones.
    """
    scenes: dict[str, list[Picture]] = {}
    for picture in ranked:
        scenes.setdefault(scene_of(picture), []).append(picture)
    if len(scenes) == 1:
        return set(ranked[:count])
    held: set[Picture] = set()
    for pictures in scenes.values():
        if len(held) >= count:
            break
        held.update(pictures)
    return held
