"""Page of several runs side by side: measures, losses, categories, bounds and settings."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from curate.manifest import read_manifest
from curate.manifest.statistics import Statistics, summarise
from curate.recipe import Recipe
from curate.stages.report.funnel import funnel
from curate.stages.report.ledger_counts import Tally, count_ledger
from curate.stages.report.page import smallest_passing
from curate.stages.report.template import render

if TYPE_CHECKING:
    from curate.engine.stage import Shard

__all__ = ["render_comparison"]

_ABSENT = "\N{EN DASH}"


@dataclass(frozen=True)
class _Run:
    """A run as the page shows it."""

    name: str
    recipe: Recipe
    tally: Tally
    train: Statistics
    test: Statistics
    summary: Mapping[str, Any]


def render_comparison(shards: Mapping[str, Shard]) -> str:
    """Return the page of several runs; the same bytes for the same runs.

    Args:
        shards: give the run folders, by the name that the page calls each.

    Raises:
        RunError: if a run has no selection yet.
        ManifestError: if a manifest can't be read.
    """
    from curate.stages.report import figures
    from curate.stages.report.radar import radar_figure

    runs = [_read(name, shard) for name, shard in shards.items()]
    ratios = {run.name: run.tally.ratio["kept"] for run in runs}
    return render(
        "comparison.html",
        {
            "runs": runs,
            "losses": _losses(runs),
            "categories": _categories(runs),
            "settings": _settings(runs),
            "radar": radar_figure({run.name: run.train for run in runs}),
            "frequency": figures.overlay_figure(ratios, figures.WIDE),
            "narrow": figures.overlay_figure(ratios, figures.NARROW),
        },
    )


def _read(name: str, shard: Shard) -> _Run:
    with shard.open("recipe.yaml") as file:
        recipe = Recipe.parse(yaml.safe_load(file.read()), where=f"{shard.folder}/recipe.yaml")
    with shard.open("select/summary.json") as file:
        summary = json.load(file)
    folder = f"{shard.folder.url}/manifest"
    train, test = (
        summarise(read_manifest(f"{folder}/{split}.parquet").table) for split in ("train", "test")
    )
    column = recipe.select.frequency.column
    tally = count_ledger(shard, column, smallest_passing(recipe), recipe.filters.bounds)
    return _Run(name, recipe, tally, train, test, summary)


def _losses(runs: Sequence[_Run]) -> list[tuple[str, str, list[int]]]:
    """Return (reason, meaning, losses of each run), in the order of the stages."""
    together = sum((run.tally.losses for run in runs), start=type(runs[0].tally.losses)())
    rows = {}
    for loss in funnel(together):
        counts = [run.tally.reasons[loss.reason] for run in runs]
        rows[loss.reason] = (loss.reason, loss.meaning, counts)
    return list(rows.values())


def _categories(runs: Sequence[_Run]) -> list[tuple[str, list[int]]]:
    """Return (sub-category, kept images of each run), in the order of the taxonomies."""
    names = dict.fromkeys(name for run in runs for name in run.summary["categories"])
    rows = []
    for name in names:
        counts = []
        for run in runs:
            cells = run.tally.cells.items()
            counts.append(sum(count for (_, shown, _), count in cells if shown == name))
        rows.append((name, counts))
    return rows


def _settings(runs: Sequence[_Run]) -> list[tuple[str, list[str]]]:
    """Return (setting, value in each run) of the settings that differ."""
    flat = [dict(_flat(run.recipe.model_dump(mode="json"))) for run in runs]
    names = dict.fromkeys(name for settings in flat for name in settings)
    rows = []
    for name in names:
        values = [settings.get(name, _ABSENT) for settings in flat]
        if len(set(values)) > 1:
            rows.append((name, values))
    return rows


def _flat(settings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return settings of all groups as ("group.name", value as JSON)."""
    found = []
    for name, value in settings.items():
        if isinstance(value, dict) and value:
            found += _flat(value, f"{prefix}{name}.")
        else:
            found.append((f"{prefix}{name}", json.dumps(value, ensure_ascii=False)))
    return found
