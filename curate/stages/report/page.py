"""Page of a run: one self-contained HTML file, with the same bytes for the same run."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import yaml

from curate.humanize import counted, distinct
from curate.manifest import NAMED_CATEGORIES, Manifest, read_manifest
from curate.manifest.paper_statistics import PUBLISHED
from curate.manifest.statistics import Statistics, summarise
from curate.recipe import Recipe
from curate.stages.report.album import Album
from curate.stages.report.card import write_card
from curate.stages.report.funnel import RARE, STAGES, Loss, funnel
from curate.stages.report.galleries import band_names, build_galleries
from curate.stages.report.ledger_counts import Bounds, Tally, count_ledger
from curate.stages.report.template import render

if TYPE_CHECKING:
    from markupsafe import Markup

    from curate.engine.stage import Shard
    from curate.stages.report.figures import CategoryBar

__all__ = ["build_report"]

_TOP = 20
_REASONS_OF_HOST = 3


def build_report(shard: Shard) -> None:
    """Write `report/index.html` and the dataset card.

    A pure function of the run's ledger, summary and manifests.

    Raises:
        RunError: if the ledger's summary is missing.
        ManifestError: if a manifest is missing or can't be read.
    """
    with shard.open("recipe.yaml") as file:
        recipe_text = file.read().decode()
    recipe = Recipe.parse(yaml.safe_load(recipe_text), where="recipe.yaml")
    with shard.open("select/summary.json") as file:
        summary = json.load(file)
    folder = f"{shard.folder.url}/manifest"
    manifests = {split: read_manifest(f"{folder}/{split}.parquet") for split in ("train", "test")}
    column = recipe.select.frequency.column
    bounds, listed = recipe.filters.bounds, recipe.candidates.keep
    tally = count_ledger(shard, column, smallest_passing(recipe), bounds, listed)
    if recipe.tiles is not None:
        tiles = pa.concat_tables([manifest.table for manifest in manifests.values()])
        tally.count_tiles(tiles, column)
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
    """Return the template's content."""
    bars = category_bars(summary, recipe, tally)
    names = [bar.name for bar in bars]
    losses = funnel(tally.losses)
    statistics = {split: summarise(manifest.table) for split, manifest in manifests.items()}
    wide, narrow = _figures(summary, recipe, tally, bars, statistics["train"])
    meanings = {loss.reason: loss.meaning for loss in losses}
    demo_labels = any(str(model).startswith("bundled") for model in tally.label_models)
    benchmarks = [
        row | {"found": tally.contaminated[row["benchmark"]]} for row in summary["benchmarks"]
    ]
    hosts = _top(tally.hosts["all"], tally.hosts["kept"])
    galleries = build_galleries(tally, Album(shard), names, summary["frequency_edges"])
    return {
        "recipe": recipe,
        "tally": tally,
        "summary": summary,
        "train": manifests["train"],
        "rows": [
            ("measured", tally.statistics),
            ("train", statistics["train"]),
            ("test", statistics["test"]),
            ("HQ-50K", PUBLISHED["HQ-50K"]),
        ],
        "steps": _steps(tally.rows, losses),
        "meanings": meanings,
        "demo_labels": demo_labels,
        **wide,
        "narrow": narrow,
        "bars": bars,
        "heat": _heat(bars, summary, tally, galleries.cells),
        "galleries": galleries,
        "shortfalls": _shortfalls(bars, summary, recipe),
        "benchmarks": benchmarks,
        "hosts": hosts,
        "host_losses": _host_losses(tally, [name for name, *_ in hosts["rows"]]),
        "licences": _top(tally.licences["all"], tally.licences["kept"]),
    }


def _figures(
    summary: dict[str, Any],
    recipe: Recipe,
    tally: Tally,
    bars: Sequence[CategoryBar],
    train: Statistics,
) -> tuple[dict[str, Markup], dict[str, Markup]]:
    """Return the figures for a wide page and for a narrow one, by name."""
    # heavy: matplotlib is imported only where a page is rendered
    from curate.stages.report import figures
    from curate.stages.report.radar import published_beside, radar_figure

    least = recipe.filters.min
    nbytes = least.get("coded_nbytes", least.get("nbytes"))
    mean, std = summary["frequency_mean"], summary["frequency_std"]
    by_width = []
    for page in (figures.WIDE, figures.NARROW):
        drawn = {
            "frequency": figures.frequency_figure(
                tally.ratio, mean, std, tally.bounds.ratio, bool(tally.kept), page
            ),
            "categories": figures.category_figure(bars, page),
            "density": figures.density_figure(tally.size, tally.bounds, page),
            "size": figures.size_figure(tally.size, tally.bounds, nbytes, page),
        }
        by_width.append(drawn)
    radar = radar_figure({"train": train} | published_beside())
    return by_width[0] | {"radar": radar}, by_width[1]


@dataclass(frozen=True)
class Step:
    """A stage of the funnel."""

    stage: str
    what: str
    losses: Sequence[Loss]
    left: int
    """Candidates that remain after it."""


def _steps(rows: int, losses: Sequence[Loss]) -> list[Step]:
    steps = []
    for stage, what in STAGES.items():
        own = [loss for loss in losses if loss.stage == stage]
        rows -= sum(loss.count for loss in own)
        if own or stage not in RARE:
            steps.append(Step(stage, what, own, rows))
    return steps


def category_bars(summary: dict[str, Any], recipe: Recipe, tally: Tally) -> list[CategoryBar]:
    """Return a bar of each sub-category of the recipe's taxonomy."""
    from curate.stages.report.figures import CategoryBar

    names = summary["categories"]
    broad_of: dict[str, str] = {}
    for broad, own in NAMED_CATEGORIES.items():
        broad_of |= dict.fromkeys((*own, f"{broad} others"), broad)
    broad_of |= tally.broad
    weights = [recipe.select.category_weights.get(name, 1.0) for name in names]
    taken = Counter[tuple[str, str]]()
    for (split, category, _), count in tally.cells.items():
        taken[split, category] += count
    bars = []
    for name, pool, weight in zip(names, summary["available"], weights, strict=True):
        train, test = taken["train", name], taken["test", name]
        wanted = recipe.select.train * weight / (sum(weights) or 1)
        bars.append(CategoryBar(broad_of.get(name, "Unseen"), name, sum(pool), train, test, wanted))
    return bars


def smallest_passing(recipe: Recipe) -> Bounds:
    """Return the smallest values that pass the recipe's filters."""
    least = recipe.filters.min
    sides = least.get("width", 0) * least.get("height", 0)
    pixels = max(sides, least.get("pixels", 0)) or None
    return Bounds(least.get(recipe.select.frequency.column), pixels, least.get("bpp"))


class Cell(NamedTuple):
    """Images of one category and frequency bin."""

    available: int
    train: int
    test: int
    missing: int
    """Training images that the pool would need besides."""
    anchor: str | None
    """Id of its first picture, if the page shows one."""


@dataclass(frozen=True)
class Heat:
    """Images by category and frequency bin."""

    edges: Sequence[str]
    """Lower bound of each bin in %; the first is open."""
    names: Sequence[str]
    """Each bin in words."""
    rows: Sequence[tuple[CategoryBar, Sequence[Cell]]]
    most: int
    target: Sequence[int]
    taken: Sequence[int]
    pool: Sequence[int]


def _heat(
    bars: Sequence[CategoryBar], summary: dict[str, Any], tally: Tally, shown: frozenset[str]
) -> Heat:
    bins = range(len(summary["frequency_target"]))
    missing = Counter[tuple[str, int]]()
    for row in summary["shopping"]["rows"]:
        if row["split"] == "train":
            missing[row["category"], row["bin"]] += row["lacking"]
    rows = []
    for place, (bar, available) in enumerate(zip(bars, summary["available"], strict=True)):
        cells = []
        for b in bins:
            train, test = tally.cells["train", bar.name, b], tally.cells["test", bar.name, b]
            anchor = f"cell-{place}-{b}"
            cells.append(
                Cell(
                    available[b],
                    train,
                    test,
                    missing[bar.name, b],
                    anchor if anchor in shown else None,
                )
            )
        rows.append((bar, cells))
    names = band_names(summary["frequency_edges"])
    edges = ["", *distinct([100 * 10**edge for edge in summary["frequency_edges"]])]
    most = max((cell.train for _, cells in rows for cell in cells), default=0) or 1
    pool = list(map(sum, zip(*summary["available"], strict=True)))
    target, taken = summary["frequency_target"], summary["frequency_taken"]
    return Heat(edges, names, rows, most, target, taken, pool)


def _shortfalls(bars: Sequence[CategoryBar], summary: dict[str, Any], recipe: Recipe) -> list[str]:
    """Return sentences on targets of the recipe that the pool does not meet."""
    train, test = summary["train"], summary["test"]
    sentences = []
    if train["taken"] < train["wanted"]:
        sentences.append(
            f"{train['taken']:,} of {train['wanted']:,} training images: the pool held no more."
        )
    if test["taken"] < test["wanted"]:
        share = f"{100 * recipe.select.test.max_share:.0f} %"
        sentences.append(
            f"{test['taken']:,} of {test['wanted']:,} test images: at most {share} of a "
            "sub-category's pool may go there."
        )
    short = [f"{bar.name} {bar.train:,}" for bar in bars if bar.is_short]
    if short:
        sentences.append(f"Fewer training images than their share: {', '.join(short)}.")
    if train["taken"]:
        away = counted(summary["distance"], "image") if summary["distance"] else "no image"
        gap = summary["objective"]["gap"]
        others = "no other choice comes nearer"
        if gap:
            others = f"another may come nearer, by {counted(gap, 'image')} at most"
        sentences.append(
            f"Over sub-categories and frequency bins together the choice is {away} away from what "
            f"the pool allows; {others}."
        )
    return sentences


def _top(everything: Counter[str | None], kept: Counter[str | None]) -> dict[str, Any]:
    """Return (name, candidates, kept) of the largest names, and the sums of the others."""
    names = sorted(everything, key=lambda name: (-kept[name], -everything[name], name or ""))
    rows = [(name, everything[name], kept[name]) for name in names]
    others = names[_TOP:]
    sums = len(others), sum(map(everything.__getitem__, others)), sum(map(kept.__getitem__, others))
    return {"rows": rows[:_TOP], "others": sums, "stated": any(names)}


def _host_losses(tally: Tally, hosts: Collection[str | None]) -> dict[str, str]:
    """Return the reasons of most losses of each of the hosts, in words."""
    by_host: dict[str, list[tuple[int, str]]] = {}
    for (host, reason), count in tally.host_losses.items():
        if host in hosts:
            by_host.setdefault(host, []).append((-count, reason))
    losses = {}
    for host, counts in by_host.items():
        largest = sorted(counts)[:_REASONS_OF_HOST]
        losses[host] = ", ".join(f"{reason} {-count:,}" for count, reason in largest)
    return losses
