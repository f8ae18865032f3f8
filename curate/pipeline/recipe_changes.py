"""The recipe of a run folder, and what a changed recipe means for the results in it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from os import PathLike
from typing import Any

import yaml

from curate import engine
from curate.config import fingerprint
from curate.engine import RunFolder
from curate.errors import RecipeError, RunError
from curate.pipeline.earlier_picks import PICKS
from curate.recipe import Fetch, Recipe, TestSplit
from curate.stages.label.scores import check_scores
from curate.stages.label.taxonomy import load_taxonomy
from curate.stages.names import StageName
from curate.storage import places

__all__ = [
    "RECIPE",
    "begin_redo",
    "changed_settings",
    "check_word",
    "end_redo",
    "is_redo_pending",
    "open_run",
    "resolve_recipe",
    "revise_recipe",
    "write_recipe",
]

RECIPE = "recipe.yaml"
_REDO = ".redo"
"""Fingerprint of the `--from` that has voided results, until they are made again."""

_FIRST_STAGE = {
    "fetch": StageName.FETCH,
    "measure": StageName.MEASURE,
    "tiles": StageName.MEASURE,
    "tiles.min": StageName.LABEL,
    "tiles.max": StageName.LABEL,
    "tiles.per_image": StageName.SELECT,
    "tiles.prefer": StageName.SELECT,
    "tiles.overlap": StageName.SELECT,
    "filters": StageName.LABEL,
    "label": StageName.LABEL,
    "select": StageName.SELECT,
    "select.benchmarks": StageName.MATCH,
    "seed": StageName.SELECT,
    "name": StageName.SELECT,
}
"""Setting or section of a recipe -> the first stage that depends on it. All stages depend on the
others. Some filters matter to fetch as well: see Recipe.early_bounds."""


_OPENING = ("allow_networks", "robots", "opt_out")
"""Settings of `fetch` by which a recipe of others could open what is closed by default."""


def open_run(out: str | PathLike[str]) -> tuple[RunFolder, Recipe]:
    """Open an existing run folder, and read its recipe.

    Raises:
        RunError: if there is none, or others wrote it and it names servers.
    """
    folder = RunFolder(out)
    recipe = _read_recipe(folder)
    if not _is_own(folder):
        _refuse_addresses(folder, recipe)
    return folder, recipe


def write_recipe(folder: RunFolder, recipe: Recipe, *, is_own: bool = True) -> None:
    """Write a run's recipe, and note that it is the user's own, if it is."""
    digest = folder.write(RECIPE, recipe.to_yaml().encode())
    if is_own:
        places.remember(digest)


def check_word(folder: RunFolder, recipe: Recipe, settings: Sequence[str]) -> None:
    """Refuse what a folder's recipe opens, unless it is the user's own or `settings` say the same.

    Args:
        folder: of the run.
        recipe: its recipe, without the settings.
        settings: the user's overrides, as `a.b=c`.

    Raises:
        RunError: names the overrides that allow it.
    """
    if not _opened(recipe) or _is_own(folder):
        return
    closed = dict.fromkeys(_opened(recipe))
    defaults = {name: getattr(Fetch(), name) for name in closed}
    own = recipe.model_copy(update={"fetch": recipe.fetch.model_copy(update=defaults)})
    heeded, said = recipe.override(settings).fetch, own.override(settings).fetch
    options = [
        f"--set 'fetch.{name}={json.dumps(_opened(recipe)[name])}'"
        for name in closed
        if getattr(heeded, name) != getattr(said, name)
    ]
    if options:
        raise RunError(
            f"{folder}/{RECIPE} opens what is closed by default, and this user has not written it: "
            f"if you want that, add  {' '.join(options)}"
        )


def _opened(recipe: Recipe) -> dict[str, Any]:
    """Return the settings of `fetch` that open something, with their values."""
    fetch, default = recipe.fetch.model_dump(mode="json"), Fetch().model_dump(mode="json")
    return {name: fetch[name] for name in _OPENING if fetch[name] != default[name]}


def _read_recipe(folder: RunFolder) -> Recipe:
    if not folder.exists(RECIPE):
        raise RunError(f"{folder} is no run folder: it has no {RECIPE}")
    try:
        return Recipe.parse(yaml.safe_load(folder.read(RECIPE)), where=f"{folder}/{RECIPE}")
    except yaml.YAMLError as error:
        raise RunError(f"{folder}/{RECIPE} is damaged: {' '.join(str(error).split())}") from error


def _is_own(folder: RunFolder) -> bool:
    return places.is_allowed(folder.url) or places.is_remembered(folder.sha256(RECIPE) or "")


def _refuse_addresses(folder: RunFolder, recipe: Recipe) -> None:
    """Refuse a recipe of others that names files on servers of its choice."""
    where = f"{folder}/{RECIPE}"
    for url in (*recipe.select.benchmarks, *recipe.select.pins):
        places.check_recorded(url, where)


def revise_recipe(
    out: str | PathLike[str], stage: str, settings: Iterable[str]
) -> tuple[Recipe, StageName | None]:
    """Return the recipe of a run with overrides, and the stage that `run` must redo from.

    That is None where the overrides change no result: more connections need no new download.

    Args:
        out: the run folder.
        stage: the stage that is to run with the overrides.
        settings: the overrides, as `a.b=c`.

    Raises:
        RunError: if an earlier stage depends on a setting that they change.
    """
    settings = list(settings)
    known = open_run(out)[1]
    recipe = known.override(settings)
    first = _first_changed_stage(known, recipe)
    if first is not None and first.position < StageName.parse(stage).position:
        options = " ".join(f"--set {setting}" for setting in settings)
        command = f"curate run RECIPE --input URLS --out {out} --from {first} {options}"
        raise RunError(
            f"{', '.join(settings)} matters to the {first} stage already: start there, with  "
            f"{command}"
        )
    return recipe, first


def changed_settings(out: str | PathLike[str], recipe: Recipe) -> list[str]:
    """Return each setting of a run's recipe that another recipe changes: `select.train: 9 -> 3`.

    Args:
        out: the run folder; without a recipe there are no changes.
        recipe: the other recipe.

    Raises:
        RunError: if the run's recipe is damaged.
    """
    if not RunFolder(out).exists(RECIPE):
        return []
    known = open_run(out)[1]
    return _listed(_changes(known.model_dump(mode="json"), recipe.model_dump(mode="json")))


def resolve_recipe(
    folder: RunFolder, recipe: Recipe | str | PathLike[str] | None, redo_from: StageName | None
) -> Recipe:
    """Return the recipe to run: the given one, or the run's own where None is given.

    Raises:
        RunError: if a stage before `redo_from` depends on a setting that differs from the run's.
        RecipeError: if it names a category that its taxonomy doesn't have, or a score that no
            pair of prompts makes.
    """
    known = _read_recipe(folder) if folder.exists(RECIPE) else None
    if recipe is None:
        recipe = open_run(folder.url)[1]
    if not isinstance(recipe, Recipe):
        recipe = Recipe.load(str(recipe))
    if known is not None:
        _refuse_change(folder, known, recipe, redo_from)
    _check_categories(recipe)
    check_scores(recipe)
    return recipe


def _refuse_change(
    folder: RunFolder, known: Recipe, recipe: Recipe, redo_from: StageName | None
) -> None:
    first = _first_changed_stage(known, recipe)
    if first is None or (redo_from is not None and redo_from.position <= first.position):
        return
    listed = "; ".join(_listed(_changes(known.essence(), recipe.essence())))
    raise RunError(
        f"the recipe differs from the one {folder} was made with ({listed}): add --from {first} to "
        "make that stage and all later ones anew (bytes that are there need no download), or "
        "choose another --out"
    )


def _check_categories(recipe: Recipe) -> None:
    """Refuse settings for unknown categories: a slip of the pen would unbalance silently."""
    known = load_taxonomy(recipe.label.taxonomy).names
    overrides = recipe.select.test.overrides.keys() - TestSplit().overrides.keys()
    settings = {"category_weights": recipe.select.category_weights, "test.overrides": overrides}
    for setting, names in settings.items():
        for name in names:
            if name not in known:
                raise RecipeError(
                    f"select.{setting}: no category {name!r}; the taxonomy has {', '.join(known)}"
                )


def begin_redo(
    folder: RunFolder, recipe: Recipe, source: str | None, redo_from: StageName | None
) -> None:
    """Write the recipe into the folder, and void the results of the stages to redo.

    They are voided once: when the same redo is asked for again after a kill, results made since
    then stay.

    Args:
        folder: of the run.
        recipe: from `resolve_recipe`.
        source: fingerprint of the input, if candidates are read.
        redo_from: the first stage to redo, if any.
    """
    write_recipe(folder, recipe, is_own=not _opens_for_others(folder, recipe))
    if redo_from is None or is_redo_pending(folder, recipe, source, redo_from):
        return
    if redo_from is StageName.CANDIDATES:
        folder.remove(PICKS)
    for stage in redo_from.onwards:
        # candidates are replaced when they are read; for fetch see curate.stages.fetch.reuse
        if stage is not StageName.CANDIDATES:
            engine.forget(folder, stage.folder, keep_outputs=stage is StageName.FETCH)
    folder.write(_REDO, _redo_mark(recipe, source, redo_from))


def _opens_for_others(folder: RunFolder, recipe: Recipe) -> bool:
    """Return whether a recipe opens what a recipe of others in the folder has opened.

    Going on with a run doesn't make its recipe the user's own.
    """
    if not folder.exists(RECIPE) or _is_own(folder):
        return False
    theirs = _opened(_read_recipe(folder))
    return any(theirs.get(name) == value for name, value in _opened(recipe).items())


def end_redo(folder: RunFolder) -> None:
    """Note that all voided results are made again."""
    folder.remove(_REDO)


def is_redo_pending(
    folder: RunFolder, recipe: Recipe, source: str | None, redo_from: StageName
) -> bool:
    """Return whether the same redo has begun before, and isn't finished."""
    if not folder.exists(_REDO):
        return False
    return folder.read(_REDO) == _redo_mark(recipe, source, redo_from)


def _redo_mark(recipe: Recipe, source: str | None, redo_from: StageName) -> bytes:
    return fingerprint([str(redo_from), recipe.essence(), source]).encode()


def _first_changed_stage(old: Recipe, new: Recipe) -> StageName | None:
    """Return the first stage that depends on a difference of two recipes; None if none does."""
    stages = [StageName.FETCH] if old.early_bounds != new.early_bounds else []
    for key in _changes(old.essence(), new.essence()):
        section, _, rest = key.partition(".")
        group = f"{section}.{rest.partition('.')[0]}"
        of_section = _FIRST_STAGE.get(section, StageName.CANDIDATES)
        stages.append(_FIRST_STAGE.get(group, of_section))
    return min(stages, key=lambda stage: stage.position, default=None)


def _listed(changes: dict[str, tuple[Any, Any]]) -> list[str]:
    return [f"{key}: {old} -> {new}" for key, (old, new) in changes.items()]


def _changes(
    old: dict[str, Any], new: dict[str, Any], prefix: str = ""
) -> dict[str, tuple[Any, Any]]:
    """Return dotted key -> (old, new) for each setting that differs."""
    found: dict[str, tuple[Any, Any]] = {}
    for key in old | new:
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            found |= _changes(before, after, f"{prefix}{key}.")
        elif before != after:
            found[f"{prefix}{key}"] = before, after
    return found
