"""A run's recipe: the one it was made with, and what a changed one means for what is there."""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike
from typing import Any

import yaml

from curate import engine
from curate.config import fingerprint
from curate.engine import RunFolder
from curate.errors import RecipeError, RunError
from curate.pipeline.earlier_picks import PICKS
from curate.recipe import Recipe, TestSplit
from curate.stages.chain import FOLDERS, STAGES
from curate.stages.label.taxonomy import load_taxonomy

__all__ = ["RECIPE", "begin", "end", "is_under_way", "open_run", "revise", "settle"]

RECIPE = "recipe.yaml"
_REDO = ".redo"
"""Says which `--from` has removed what it makes anew, until that is made."""

# recipe section or setting -> the first stage that it matters to; what isn't named here matters to every stage. Some
# filters matter to fetch, see Recipe.early_bounds
_FIRST_STAGE = {
    "fetch": "fetch",
    "measure": "measure",
    "filters": "label",
    "label": "label",
    "select": "select",
}
_FIRST_STAGE |= {"select.benchmarks": "match", "seed": "select", "name": "select"}


def open_run(out: str | PathLike[str]) -> tuple[RunFolder, Recipe]:
    """An existing run folder and its recipe.

    Raises:
        RunError: if there is none.
    """
    folder = RunFolder(out)
    if not folder.exists(RECIPE):
        raise RunError(f"{folder} is no run folder: it has no {RECIPE}")
    try:
        return folder, Recipe.parse(yaml.safe_load(folder.read(RECIPE)), where=f"{folder}/{RECIPE}")
    except yaml.YAMLError as error:
        raise RunError(f"{folder}/{RECIPE} is damaged: {' '.join(str(error).split())}") from error


def revise(
    out: str | PathLike[str], stage: str, settings: Iterable[str]
) -> tuple[Recipe, str | None]:
    """The recipe of an existing run with `a.b=c` overrides, and what `run` must redo from to do `stage` with it.

    That is nothing where the overrides change no result: more connections are no reason to download all again.

    Raises:
        RunError: if an earlier stage depends on what they change.
    """
    settings = list(settings)
    known = open_run(out)[1]
    recipe = known.override(settings)
    first = _first_stage(known, recipe)
    if first is not None and STAGES.index(first) < STAGES.index(stage):
        options = " ".join(f"--set {setting}" for setting in settings)
        again = f"curate run RECIPE --input URLS --out {out} --from {first} {options}"
        raise RunError(
            f"{', '.join(settings)} matters to the {first} stage already: start there, with  {again}"
        )
    return recipe, first


def settle(
    folder: RunFolder, recipe: Recipe | str | PathLike[str] | None, redo_from: str | None
) -> Recipe:
    """The recipe to run.

    Raises:
        RunError: if it differs from the run's in what an earlier stage than `redo_from` depends on.
        RecipeError: if it names a category that its taxonomy doesn't have.
    """
    known = open_run(folder.url)[1] if folder.exists(RECIPE) else None
    if recipe is None:
        if known is None:
            raise RunError(f"{folder} is no run folder: it has no {RECIPE}")
        recipe = known
    if not isinstance(recipe, Recipe):
        recipe = Recipe.load(str(recipe))
    if known is not None:
        changes = _changes(known.essence(), recipe.essence())
        first = _first_stage(known, recipe)
        if first is not None and (
            redo_from is None or STAGES.index(first) < STAGES.index(redo_from)
        ):
            told = "; ".join(f"{key}: {old} -> {new}" for key, (old, new) in changes.items())
            raise RunError(
                f"the recipe differs from the one {folder} was made with ({told}): add --from {first} to make "
                "that stage and all later ones anew (bytes that are there need no download), or choose another --out"
            )
    _check_categories(recipe)
    return recipe


def _check_categories(recipe: Recipe) -> None:
    """Refuse settings for a category that the taxonomy doesn't have: a slip of the pen would unbalance in silence."""
    known = load_taxonomy(recipe.label.taxonomy).names
    overrides = recipe.select.test.overrides.keys() - TestSplit().overrides.keys()
    for setting, names in (
        ("category_weights", recipe.select.category_weights),
        ("test.overrides", overrides),
    ):
        for name in names:
            if name not in known:
                raise RecipeError(
                    f"select.{setting}: no category {name!r}; the taxonomy has {', '.join(known)}"
                )


def begin(folder: RunFolder, recipe: Recipe, source: str | None, redo_from: str | None) -> None:
    """Write the recipe into the folder, and remove what is to be made anew.

    Once: when the same is asked for again after a kill, what was made since then stays.

    Args:
        folder: of the run.
        recipe: as `settle` found it.
        source: fingerprint of what candidates are read from, if they are.
        redo_from: the first stage that is made anew.
    """
    folder.write(RECIPE, recipe.to_yaml().encode())
    if redo_from is None or is_under_way(folder, recipe, source, redo_from):
        return
    if redo_from == "candidates":
        folder.remove(PICKS)
    for name in FOLDERS[
        max(1, STAGES.index(redo_from)) :
    ]:  # candidates are replaced when they are read
        engine.forget(folder, name, keep_outputs=name == "fetched")  # see curate.stages.fetch.reuse
    folder.write(_REDO, _mark(recipe, source, redo_from))


def end(folder: RunFolder) -> None:
    """What was to be made anew is made."""
    folder.remove(_REDO)


def is_under_way(folder: RunFolder, recipe: Recipe, source: str | None, redo_from: str) -> bool:
    """Whether the same was to be made anew before, and isn't finished."""
    return folder.exists(_REDO) and folder.read(_REDO) == _mark(recipe, source, redo_from)


def _mark(recipe: Recipe, source: str | None, redo_from: str) -> bytes:
    return fingerprint([redo_from, recipe.essence(), source]).encode()


def _first_stage(old: Recipe, new: Recipe) -> str | None:
    """The first stage that the difference of two recipes matters to; None if there is none."""
    changes = _changes(old.essence(), new.essence())
    stages = [
        _FIRST_STAGE.get(key) or _FIRST_STAGE.get(key.split(".")[0], "candidates")
        for key in changes
    ]
    if old.early_bounds != new.early_bounds:
        stages.append("fetch")
    return min(stages, key=STAGES.index, default=None)


def _changes(
    old: dict[str, Any], new: dict[str, Any], prefix: str = ""
) -> dict[str, tuple[Any, Any]]:
    """Dotted key -> (old, new) for each setting that differs."""
    found: dict[str, tuple[Any, Any]] = {}
    for key in old | new:
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            found |= _changes(before, after, f"{prefix}{key}.")
        elif before != after:
            found[f"{prefix}{key}"] = before, after
    return found
