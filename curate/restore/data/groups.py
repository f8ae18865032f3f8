"""Pictures of a training, in the groups that its recipe names."""

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
    """Return name and place of `NAME=PLACE`; an empty name where the whole is a path."""
    name, equals, rest = place.partition("=")
    if equals and re.fullmatch(r"[\w.-]+", name) and not Path(place).exists():
        return name, rest
    return "", place


def open_groups(
    recipe: TrainRecipe, manifests: Sequence[str | os.PathLike[str] | Manifest]
) -> tuple[dict[str, Group], list[TrainedOn]]:
    """Return the groups that have pictures, by name, and descriptions of their sources.

    Args:
        recipe: recipe that names the groups.
        manifests: manifests, folders or files, as `NAME=PLACE` where they belong to a group. Those
            without a name make up a group "".

    Raises:
        RestoreError: if the recipe has no group of that name, or there are no pictures.
        ManifestError: if a manifest can't be read.
    """
    named = [
        ("", place) if isinstance(place, Manifest) else split_name(os.fspath(place))
        for place in manifests
    ]
    for name, place in named:
        if name and name not in recipe.data:
            known = f"its groups: {', '.join(recipe.data) or 'none'}"
            if near := difflib.get_close_matches(name, recipe.data, n=1, cutoff=0.5):
                known = f"did you mean {near[0]}={place}?"
            raise RestoreError(f"recipe {recipe.name} has no data group {name!r}; {known}")
    sources = [(name, open_source(place)) for name, place in named]
    # a run may leave its test split empty; that is no reason not to train on the rest
    filled = [each for each in sources if not isinstance(each[1], Manifest) or len(each[1])]
    pictures: dict[str, list[Picture]] = {}
    trained_on = []
    for name, source in filled or sources:
        found = open_pictures(source)
        pictures.setdefault(name, []).extend(found)
        trained_on.append(_describe(name, source, found))
    # in the recipe's order, whatever the command's
    groups: dict[str, Group] = {}
    for name, group in {**recipe.data, "": DataGroup()}.items():
        if name in pictures:
            weights = group.degradations or recipe.degradations
            groups[name] = Group(pictures[name], weights, group.repeat)
    return groups, sorted(trained_on, key=lambda source: list(groups).index(source.group))


def _describe(group: str, source: str | Manifest, pictures: Sequence[Picture]) -> TrainedOn:
    if isinstance(source, Manifest):
        path, digest = source.path, source.fingerprint
    else:
        ids = "\n".join(picture.id for picture in pictures)
        path, digest = source, hashlib.sha256(ids.encode()).hexdigest()
    name = PurePath(path).name
    return TrainedOn(name=name, group=group, pictures=len(pictures), fingerprint=digest)


class TrainedOn(BaseModel, frozen=True):
    """Pictures that a model was trained on."""

    name: str
    """Name of the file or folder, without its place."""
    group: str = ""
    """The recipe's name for them, if it has one."""
    pictures: int
    fingerprint: str
