"""The stages of a run, put together out of what the rooms offer; `whole` has those that need all shards at once."""

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
from curate.stages.label.shard import SCHEMA as LABEL_SCHEMA
from curate.stages.label.shard import LabelShard
from curate.stages.match.shard import SCHEMA as MATCH_SCHEMA
from curate.stages.match.shard import MatchShard
from curate.stages.measure import MeasureShard

__all__ = [
    "FOLDERS",
    "NAMES",
    "SHARD_FOLDERS",
    "SHARD_STAGES",
    "STAGES",
    "forget_other_shards",
    "placed",
    "retried",
    "retry_reasons",
]

STAGES = ("candidates", "fetch", "measure", "label", "match", "select", "report")
"""Stages as a user names them, in order."""
FOLDERS = ("candidates", "fetched", "measured", "labelled", "matched", "select", "report")
"""Their folders in the run folder."""
SHARD_FOLDERS = FOLDERS[:5]
"""Those that have a file for each shard."""
NAMES = dict(zip(FOLDERS, STAGES, strict=True))
"""Folder -> stage."""


def _fetch_stage(recipe: Recipe) -> Stage:
    function = FetchShard(recipe.fetch, recipe.early_bounds)
    return Stage(
        "fetched", function, FETCH_SCHEMA, FOLDERS[:1], function.settings, repeatable=False
    )


def retried(stage: Stage, reasons: tuple[str, ...]) -> Stage:
    """The fetch stage, going back to shards that have rows of some reasons."""
    assert isinstance(stage.function, FetchShard)
    return replace(
        stage, function=replace(stage.function, retry=reasons), redo=partial(_has_reason, reasons)
    )


def _has_reason(reasons: tuple[str, ...], table: pa.Table) -> bool:
    return bool(pc.any(pc.is_in(table["reason"], pa.array(reasons, pa.string()))).as_py())


def forget_other_shards(folder: RunFolder, shards: Collection[str]) -> None:
    """Remove what there is of all shards but these: a list that takes another's place may be shorter.

    By the names of files, since what a kill left behind is in no commit record.
    """
    numbers = {shard.removeprefix("part-") for shard in shards}
    for place in (*SHARD_FOLDERS, "images", "aside", "embeddings", "keypoints", "ledger", "log"):
        for name in folder.names(place, ""):
            number = re.search(r"-(\d+)\.\w+$", name)
            if number and number[1] not in numbers:
                folder.remove(name)


def retry_reasons(names: Sequence[str]) -> tuple[str, ...]:
    """The fetch stage's reasons that a user means.

    Raises:
        RunError: if a name is none of them.
    """
    of_fetch = [reason for reason in Reason if reason.stage == "fetch"]
    transient = [reason.value for reason in of_fetch if reason.transient]
    for name in names:
        if name not in ("transient", *of_fetch):
            raise RunError(
                f"{name!r} can't be tried again: name transient ({', '.join(transient)}), or one of "
                f"{', '.join(of_fetch)}"
            )
    return tuple(
        dict.fromkeys(r for name in names for r in (transient if name == "transient" else [name]))
    )


def placed(stage: Stage, executor: Executor) -> Stage:
    """The label stage, on the workers that offer a GPU; on the processor where none does.

    Raises:
        LabelError: if it must be a GPU.
    """
    assert isinstance(stage.function, FilterAndLabel)
    config = stage.function.label.config
    if config.device == "cpu":
        return stage
    if executor.offers(engine.GPU):
        return replace(stage, resource=engine.GPU)
    if config.device == "cuda":
        raise LabelError(
            "label.device is cuda, but no worker offers a GPU: use auto or cpu; a cluster's workers offer theirs when "
            "they are started with --resources GPU=1"
        )
    # not auto: workers that don't offer their GPU would share it with their neighbours
    on_cpu = LabelShard(config.model_copy(update={"device": "cpu"}))
    return replace(stage, function=replace(stage.function, label=on_cpu))


def _measure_stage(recipe: Recipe) -> Stage:
    function = MeasureShard(recipe.measure)
    return Stage(
        "measured", function, function.schema, FOLDERS[:2], recipe.measure.essence(), version=2
    )


def _label_stage(recipe: Recipe) -> Stage:
    function = FilterAndLabel(recipe.filters, LabelShard(recipe.label))
    settings = {"filters": recipe.filters.essence(), "label": function.label.settings}
    return Stage("labelled", function, LABEL_SCHEMA, FOLDERS[:3], settings)


def _match_stage(recipe: Recipe) -> Stage:
    function = MatchShard.against(recipe.select.benchmarks)
    return Stage("matched", function, MATCH_SCHEMA, FOLDERS[:4], function.settings)


SHARD_STAGES: dict[str, Callable[[Recipe], Stage]] = {
    "fetch": _fetch_stage,
    "measure": _measure_stage,
    "label": _label_stage,
    "match": _match_stage,
}
