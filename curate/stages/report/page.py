"""The page of a run: one HTML file that needs nothing else, and is the same bytes for the same run."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from curate.manifest import NAMED_CATEGORIES, Manifest, read_manifest
from curate.manifest.paper_statistics import PUBLISHED
from curate.manifest.statistics import summarise
from curate.recipe import Recipe
from curate.stages.report.card import write_card
from curate.stages.report.funnel import RARE, STAGES, Loss, funnel
from curate.stages.report.ledger_counts import Tally, count_ledger
from curate.stages.report.template import render

if TYPE_CHECKING:
    from curate.engine.stage import Shard
    from curate.stages.report.figures import CategoryBar, Thresholds

__all__ = ["build_report"]

_TOP = 20
_KEPT_PICTURES, _REJECTED_PICTURES = 34, 14


def build_report(shard: Shard) -> None:
    """Write `report/index.html` and the dataset card of a run whose ledger, summary and manifests are there.

    A pure function of these.

    Raises:
        RunError: if the ledger's summary is missing.
        ManifestError: if a manifest is missing or can't be read.
    """
    with shard.open("recipe.yaml") as file:
        recipe_text = file.read().decode()
    recipe = Recipe.parse(yaml.safe_load(recipe_text), where="recipe.yaml")
    with shard.open("select/summary.json") as file:
        summary = json.load(file)
    manifests = {
        split: read_manifest(f"{shard.folder.url}/manifest/{split}.parquet")
        for split in ("train", "test")
    }
    tally = count_ledger(shard, recipe.select.frequency.column)
    content = _content(shard, recipe, summary, manifests, tally)
    with shard.create("report/index.html") as sink:
        sink.write(render("page.html", content | {"recipe_text": recipe_text}).encode())
    write_card(shard, content, manifests)


def _content(
    shard: Shard,
    recipe: Recipe,
    summary: dict[str, Any],
    manifests: dict[str, Manifest],
    tally: Tally,
) -> dict[str, Any]:
    """What the template shows."""
    # Heavy: matplotlib only where a page is made
    from curate.stages.report.figures import category_figure, frequency_figure, size_figure
    from curate.stages.report.thumbnails import FEW, choose, thumbnails

    bars = _category_bars(summary, recipe, tally)
    kept, rejected = (
        thumbnails(choose(rows, group, budget), group, shard)
        for rows, group, budget in (
            (tally.kept_samples, "category", _KEPT_PICTURES),
            (tally.rejected_samples, "reason", _REJECTED_PICTURES),
        )
    )
    column = recipe.select.frequency.column
    losses = funnel(tally.reasons)
    return {
        "recipe": recipe,
        "tally": tally,
        "summary": summary,
        "train": manifests["train"],
        "rows": [
            ("measured", tally.statistics),
            ("train", summarise(manifests["train"].table)),
            ("test", summarise(manifests["test"].table)),
            ("HQ-50K", PUBLISHED["HQ-50K"]),
        ],
        "steps": _steps(tally.rows, losses),
        "meanings": {loss.reason: loss.meaning for loss in losses},
        "demo_labels": any(str(model).startswith("bundled") for model in tally.label_models),
        "frequency": frequency_figure(
            tally.ratio, summary["frequency_mean"], summary["frequency_std"], recipe.filters.min.get(column),
            target=bool(tally.kept),
        ),
        "bars": bars,
        "categories": category_figure(bars),
        "size": size_figure(tally.size, _thresholds(recipe)),
        "heat": _heat(bars, summary, tally),
        "shortfalls": _shortfalls(bars, summary, recipe),
        "benchmarks": [row | {"found": tally.contaminated[row["benchmark"]]} for row in summary["benchmarks"]],
        "few": FEW,
        "hosts": _top(tally.hosts["all"], tally.hosts["kept"]),
        "licences": _top(tally.licences["all"], tally.licences["kept"]),
        "kept_pictures": {bar.name: kept[bar.name] for bar in bars if bar.name in kept},
        "rejected_pictures": {loss.reason: rejected[loss.reason] for loss in losses if loss.reason in rejected},
    }  # fmt: skip


@dataclass(frozen=True)
class Step:
    """A stage of the funnel."""

    stage: str
    what: str
    losses: Sequence[Loss]
    left: int
    """Candidates that are still in after it."""


def _steps(rows: int, losses: Sequence[Loss]) -> list[Step]:
    steps = []
    for stage, what in STAGES.items():
        own = [loss for loss in losses if loss.stage == stage]
        rows -= sum(loss.count for loss in own)
        if own or stage not in RARE:
            steps.append(Step(stage, what, own, rows))
    return steps


def _category_bars(summary: dict[str, Any], recipe: Recipe, tally: Tally) -> list[CategoryBar]:
    from curate.stages.report.figures import CategoryBar

    names = summary["categories"]
    broad = {
        name: broad for broad, own in NAMED_CATEGORIES.items() for name in (*own, f"{broad} others")
    } | tally.broad
    weights = [recipe.select.category_weights.get(name, 1.0) for name in names]
    taken = Counter[tuple[str, str]]()
    for (split, category, _), count in tally.cells.items():
        taken[split, category] += count
    return [
        CategoryBar(
            broad.get(name, "Unseen"), name, sum(pool), taken["train", name], taken["test", name],
            recipe.select.train * weight / (sum(weights) or 1),
        )
        for name, pool, weight in zip(names, summary["available"], weights, strict=True)
    ]  # fmt: skip


def _thresholds(recipe: Recipe) -> Thresholds:
    from curate.stages.report.figures import Thresholds

    least = recipe.filters.min
    sides = least.get("width", 0) * least.get("height", 0)
    return Thresholds(
        max(sides, least.get("pixels", 0)) or None, least.get("nbytes"), least.get("bpp")
    )


@dataclass(frozen=True)
class Heat:
    """Training images by category and frequency bin."""

    edges: Sequence[str]
    """Lower bound of each bin in %; the first is open."""
    rows: Sequence[tuple[CategoryBar, Sequence[int]]]
    most: int
    target: Sequence[int]
    taken: Sequence[int]
    pool: Sequence[int]


def _heat(bars: Sequence[CategoryBar], summary: dict[str, Any], tally: Tally) -> Heat:
    bins = range(len(summary["frequency_target"]))
    rows = [(bar, [tally.cells["train", bar.name, b] for b in bins]) for bar in bars]
    return Heat(
        ["", *(f"{100 * 10**edge:.2g}" for edge in summary["frequency_edges"])],
        rows,
        max((count for _, counts in rows for count in counts), default=0),
        summary["frequency_target"],
        summary["frequency_taken"],
        [sum(column) for column in zip(*summary["available"], strict=True)],
    )


def _shortfalls(bars: Sequence[CategoryBar], summary: dict[str, Any], recipe: Recipe) -> list[str]:
    """Where the pool gave less than the recipe asks for."""
    train, test = summary["train"], summary["test"]
    told = []
    if train["taken"] < train["wanted"]:
        told.append(
            f"{train['taken']:,} of {train['wanted']:,} training images: the pool held no more."
        )
    if test["taken"] < test["wanted"]:
        share = f"at most {recipe.select.test.max_share:.0%} of a sub-category's pool may go there".replace(
            "%", " %"
        )
        told.append(f"{test['taken']:,} of {test['wanted']:,} test images: {share}.")
    short = [f"{bar.name} {bar.train:,}" for bar in bars if bar.is_short]
    if short:
        told.append(f"Fewer training images than their share: {', '.join(short)}.")
    if train["taken"]:
        away = f"{summary['distance']:,} images" if summary["distance"] else "no image"
        gap = summary["objective"]["gap"]
        told.append(
            f"Over sub-categories and frequency bins together the choice is {away} away from what the pool allows; "
            + (
                f"another may be nearer by {gap:,}."
                if gap
                else "no other choice comes nearer (duality gap 0)."
            )
        )
    return told


def _top(everything: Counter[str | None], kept: Counter[str | None]) -> dict[str, Any]:
    """The largest names with (candidates, kept), and what the others come to."""
    names = sorted(everything, key=lambda name: (-kept[name], -everything[name], name or ""))
    top, others = names[:_TOP], names[_TOP:]
    return {
        "rows": [(name, everything[name], kept[name]) for name in top],
        "others": (len(others), sum(everything[n] for n in others), sum(kept[n] for n in others)),
        "stated": any(names),
    }
