"""Chain of the shard stages, put together from a recipe and the rooms' shard functions."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from curate import engine
from curate.engine import Executor, RunFolder, Stage
from curate.errors import LabelError, Reason, RunError
from curate.recipe import Recipe
from curate.stages.fetch.shard import SCHEMA as FETCH_SCHEMA
from curate.stages.fetch.shard import FetchShard
from curate.stages.filters import FilterAndLabel
from curate.stages.label.shard import LabelShard
from curate.stages.match.shard import SCHEMA as MATCH_SCHEMA
from curate.stages.match.shard import MatchShard
from curate.stages.measure.shard import MeasureShard
from curate.stages.names import StageName

__all__ = ["SHARD_STAGES", "build_stage", "parse_retry", "place_on_gpu", "remove_other_shards"]


def _fetch(recipe: Recipe) -> Stage:
    function = FetchShard(recipe.fetch, recipe.early_bounds)
    return _stage(StageName.FETCH, function, FETCH_SCHEMA, function.settings, repeatable=False)


def _measure(recipe: Recipe) -> Stage:
    function = MeasureShard(recipe.measure, recipe.tiles)
    settings = function.settings
    return _stage(StageName.MEASURE, function, function.schema, settings, version=4)


def _label(recipe: Recipe) -> Stage:
    function = FilterAndLabel(recipe.filters, LabelShard(recipe.label), recipe.tiles)
    settings = {"filters": recipe.filters.essence(), "label": function.label.settings}
    if recipe.tiles is not None:
        settings["tiles"] = recipe.tiles.filtering
    return _stage(StageName.LABEL, function, function.label.schema, settings)


def _match(recipe: Recipe) -> Stage:
    function = MatchShard.against(recipe.select.benchmarks)
    return _stage(StageName.MATCH, function, MATCH_SCHEMA, function.settings)


def _stage(
    name: StageName,
    function: engine.ShardFunction,
    schema: pa.Schema,
    settings: object,
    *,
    version: int = 1,
    repeatable: bool = True,
) -> Stage:
    folders = name.input_folders
    return Stage(name.folder, function, schema, folders, settings, version, repeatable=repeatable)


SHARD_STAGES: dict[StageName, Callable[[Recipe], Stage]] = {
    StageName.FETCH: _fetch,
    StageName.MEASURE: _measure,
    StageName.LABEL: _label,
    StageName.MATCH: _match,
}
"""Stages that work on one shard at a time, after the candidates, in order."""


def build_stage(name: StageName, recipe: Recipe, retry: Sequence[str] = ()) -> Stage:
    """Return a shard stage as a recipe has it.

    Args:
        name: one of SHARD_STAGES.
        recipe: of the run.
        retry: reasons whose candidates the fetch stage asks for again; see `parse_retry`.

    Raises:
        CurateError: if a file that the stage's settings name can't be read.
    """
    stage = SHARD_STAGES[name](recipe)
    if name is not StageName.FETCH or not retry:
        return stage
    assert isinstance(stage.function, FetchShard)
    function = replace(stage.function, retry=tuple(retry))
    return replace(stage, function=function, redo=partial(_has_reason, tuple(retry)))


def _has_reason(reasons: tuple[str, ...], table: pa.Table) -> bool:
    return bool(pc.any(pc.is_in(table["reason"], pa.array(reasons, pa.string()))).as_py())


def parse_retry(names: Sequence[str]) -> tuple[str, ...]:
    """Return the fetch stage's reasons that a user names; `transient` stands for transient ones.

    Raises:
        RunError: if a name is none of them.
    """
    of_fetch = [reason for reason in Reason if reason.stage == StageName.FETCH]
    of_fetch.append(Reason.INTERNAL_ERROR)  # of any stage
    transient = [reason.value for reason in of_fetch if reason.transient]
    reasons: list[str] = []
    for name in names:
        if name not in ("transient", *of_fetch):
            raise RunError(
                f"{name!r} can't be tried again: name transient ({', '.join(transient)}), or one "
                f"of {', '.join(of_fetch)}"
            )
        reasons += transient if name == "transient" else [name]
    return tuple(dict.fromkeys(reasons))


def place_on_gpu(stage: Stage, executor: Executor) -> Stage:
    """Return the label stage for workers that offer a GPU; for the processor where none does.

    Raises:
        LabelError: if the recipe asks for a GPU and no worker offers one.
    """
    assert isinstance(stage.function, FilterAndLabel)
    config = stage.function.label.config
    if config.device == "cpu":
        return stage
    if executor.offers(engine.GPU):
        return replace(stage, resource=engine.GPU)
    if config.device == "cuda":
        raise LabelError(
            "label.device is cuda, but no worker offers a GPU: use auto or cpu; a cluster's "
            "workers offer theirs when they are started with --resources GPU=1"
        )
    # not auto: workers that don't offer their GPU would share it with their neighbours
    on_cpu = LabelShard(config.model_copy(update={"device": "cpu"}))
    return replace(stage, function=replace(stage.function, label=on_cpu))


def remove_other_shards(folder: RunFolder, shards: Collection[str]) -> None:
    """Remove the files of all other shards: a list that replaces another one may be shorter.

    Goes by the names of files, since files that a kill left behind are in no commit record.
    """
    numbers = {shard.removeprefix("part-") for shard in shards}
    places = list(StageName.SELECT.input_folders)
    for stage in StageName:
        places += [*stage.other_folders, *filter(None, [stage.cache])]
    for place in places:
        for name in folder.names(place, ""):
            number = re.search(r"-(\d+)\.\w+$", name)
            if number and number[1] not in numbers:
                folder.remove(name)
