"""The pictures that a training is given, in the groups that its recipe names."""

from __future__ import annotations

import difflib
import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path, PurePath

from pydantic import BaseModel

from curate.errors import RestoreError
from curate.manifest import Manifest
from curate.restore.data.patches import Group
from curate.restore.data.pictures import Picture, open_pictures, open_source
from curate.restore.recipe import DataGroup, TrainRecipe

__all__ = ["TrainedOn", "open_groups", "split_name"]


def split_name(place: str) -> tuple[str, str]:
    """Name and place of `NAME=PLACE`; no name where that is all a path."""
    name, equals, rest = place.partition("=")
    if equals and re.fullmatch(r"[\w.-]+", name) and not Path(place).exists():
        return name, rest
    return "", place


def open_groups(
    recipe: TrainRecipe, manifests: Sequence[str | os.PathLike[str] | Manifest]
) -> tuple[dict[str, Group], list[TrainedOn]]:
    """Groups by name, those without pictures left out, and what they are made from.

    Args:
        recipe: names the groups.
        manifests: manifests, folders or files, as `NAME=PLACE` where they belong to a group. Those without a name make
            up a group "".

    Raises:
        RestoreError: if the recipe has no group of that name, or there are no pictures.
        ManifestError: if a manifest can't be read.
    """
    named = [
        split_name(os.fspath(m)) if not isinstance(m, Manifest) else ("", m) for m in manifests
    ]
    for name, place in named:
        if name and name not in recipe.data:
            near = difflib.get_close_matches(name, recipe.data, n=1, cutoff=0.5)
            known = (
                f"did you mean {near[0]}={place}?"
                if near
                else f"its groups: {', '.join(recipe.data) or 'none'}"
            )
            raise RestoreError(f"recipe {recipe.name} has no data group {name!r}; {known}")
    sources = [(name, open_source(place)) for name, place in named]
    # a run may leave its test split empty; that is no reason not to train on the rest
    rows = [len(source) if isinstance(source, Manifest) else 1 for _, source in sources]
    sources = [
        source for source, count in zip(sources, rows, strict=True) if count or not any(rows)
    ]
    pictures: dict[str, list[Picture]] = {}
    told = []
    for name, source in sources:
        found = open_pictures(source)
        pictures.setdefault(name, []).extend(found)
        told.append(_describe(name, source, found))
    settings = {**recipe.data, "": DataGroup()}  # in the recipe's order, whatever the command's
    groups = {
        name: Group(pictures[name], group.degradations or recipe.degradations, group.repeat)
        for name, group in settings.items()
        if name in pictures
    }
    return groups, sorted(told, key=lambda each: list(settings).index(each.group))


def _describe(group: str, source: str | Manifest, pictures: Sequence[Picture]) -> TrainedOn:
    if isinstance(source, Manifest):
        name, digest = source.path, source.fingerprint
    else:
        name = source
        digest = hashlib.sha256("\n".join(picture.id for picture in pictures).encode()).hexdigest()
    return TrainedOn(
        name=PurePath(name).name, group=group, pictures=len(pictures), fingerprint=digest
    )


class TrainedOn(BaseModel, frozen=True):
    """Pictures that a model was trained on."""

    name: str
    """File or folder name, without its place."""
    group: str = ""
    """The recipe's name for them, if it has one."""
    pictures: int
    fingerprint: str
