"""Counts over the ledger in one pass, in memory that does not grow with the rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from curate.errors import Reason
from curate.manifest.statistics import Statistics, diversity, natural_diversity
from curate.recipe import SCORE, Bound
from curate.stages.report.funnel import rejecting_stage
from curate.stages.report.samples import Samples
from curate.stages.report.what_if import BoundEffect, add_effects

if TYPE_CHECKING:
    from curate.engine.stage import Shard

__all__ = [
    "BPP_EDGES",
    "PIXEL_EDGES",
    "RATIO_EDGES",
    "Bounds",
    "ScoreTally",
    "Tally",
    "count_ledger",
    "part_at",
]

RATIO_EDGES = np.linspace(-8, 0, 801)
"""Edges of the counted log10 ratios: so fine that any coarser histogram can be merged from them."""
PIXEL_EDGES = np.linspace(0, 9, 181)
"""Edges of log10 pixels."""
BPP_EDGES = np.linspace(-3, 2, 101)
"""Edges of log10 bits per pixel."""

_MEANS = ("pixels", "bpp", "hf_ratio", "hf_ratio_032")
_COLUMNS = (
    "id", "url", "host", "source", "licence", "tar", "offset", "nbytes", "width", "height", "phash",
    *_MEANS, "broad", "category", "label_model", "label_margin", "dup_cluster", "contaminated_by",
    "frequency_bin", "tile_of", "tile_x", "tile_y", "split", "status", "reason",
)  # fmt: skip

Counts = NDArray[np.int64]
Names = dict[str, Counter[str | None]]
"""Counts of names, over "all" candidates and over those "kept"."""


@dataclass(frozen=True)
class Bounds:
    """Smallest values that pass the recipe's filters, at which bins part; None where none is."""

    ratio: float | None = None
    pixels: float | None = None
    bpp: float | None = None


@dataclass
class ScoreTally:
    """Sums of one score over all scored images and over the kept ones."""

    scored: int = 0
    total: float = 0.0
    kept: int = 0
    kept_total: float = 0.0
    least: float | None = None
    """Least value of a kept image."""
    most: float | None = None
    """Greatest value of a kept image."""

    def add(self, scores: pa.ChunkedArray, kept: pa.ChunkedArray) -> None:
        """Count the scores of all images, and those of the kept ones, of a part of the ledger."""
        self.scored += len(scores) - scores.null_count
        self.total += pc.sum(scores).as_py() or 0
        self.kept += len(kept) - kept.null_count
        self.kept_total += pc.sum(kept).as_py() or 0
        least, most = pc.min_max(kept).as_py().values()
        if least is not None:
            self.least = least if self.least is None else min(self.least, least)
            self.most = most if self.most is None else max(self.most, most)

    @property
    def mean(self) -> float | None:
        """Mean over all scored images."""
        return self.total / self.scored if self.scored else None

    @property
    def kept_mean(self) -> float | None:
        """Mean over the kept images."""
        return self.kept_total / self.kept if self.kept else None


@dataclass
class Tally:
    """Counts over the rows seen so far."""

    bounds: Bounds = Bounds()
    rows: int = 0
    losses: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Rejected candidates by the stage that rejected them, and the reason."""
    host_losses: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Rejected candidates by host and reason."""
    hosts: Names = field(default_factory=lambda: {"all": Counter(), "kept": Counter()})
    licences: Names = field(default_factory=lambda: {"all": Counter(), "kept": Counter()})
    contaminated: Counter[str] = field(default_factory=Counter)
    """Candidates by benchmark: they, or duplicates of them, show a part of it."""
    label_models: Counter[str | None] = field(default_factory=Counter)
    broad: dict[str, str] = field(default_factory=dict)
    """Sub-category -> broad class, of those seen."""
    labelled: Counter[str] = field(default_factory=Counter)
    """Images by sub-category."""
    cells: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    """Kept images, or tiles, by split, sub-category and frequency bin."""
    tiled_images: int | None = None
    """Images that kept tiles are of; None where whole images were chosen."""
    measured: int = 0
    flat: int = 0
    """Measured images without any high frequency: their logarithm has no place in the histogram."""
    ratio: dict[str, Counts] = field(default_factory=lambda: _zeros(RATIO_EDGES))
    """Measured and kept images over RATIO_EDGES."""
    size: dict[str, Counts] = field(default_factory=lambda: _zeros(PIXEL_EDGES, BPP_EDGES))
    """Measured and kept images over PIXEL_EDGES and BPP_EDGES."""
    samples: Samples = field(default_factory=Samples)
    effects: list[BoundEffect] = field(default_factory=list)
    """Effect of each bound of the recipe."""
    unmeasured: int = 0
    """Candidates that broke a bound while they were fetched, before they were measured."""
    scores: dict[str, ScoreTally] = field(default_factory=dict)
    """Scores by their columns."""
    sums: dict[str, float] = field(default_factory=lambda: dict.fromkeys(_MEANS, 0.0))

    @property
    def kept(self) -> int:
        """Images, or tiles, that became part of the dataset."""
        return self.cells.total()

    @property
    def reasons(self) -> Counter[str]:
        """Rejected candidates by reason."""
        reasons: Counter[str] = Counter()
        for (_, reason), count in self.losses.items():
            reasons[reason] += count
        return reasons

    @property
    def statistics(self) -> Statistics:
        """Statistics of all measured images, kept or not."""
        means = {
            name: s / self.measured if self.measured else None for name, s in self.sums.items()
        }
        broad: Counter[str] = Counter()
        for category, count in self.labelled.items():
            broad[self.broad[category]] += count
        return Statistics(
            self.measured,
            **means,
            diversity=diversity(self.labelled.values()) if broad else None,
            natural_diversity=natural_diversity(broad.values()) if broad else None,
        )

    def add(self, table: pa.Table, frequency_column: str) -> None:
        """Count the rows of a part of the ledger."""
        # images and where they came from
        kept = table.filter(pc.equal(table["status"], "kept"))
        measured = table.filter(pc.is_valid(table["hf_ratio"]))
        self.rows += table.num_rows
        self._add_losses(table)
        for column, counters in (("host", self.hosts), ("licence", self.licences)):
            counters["all"].update(_count(table[column]))
            counters["kept"].update(_count(kept[column]))
        for shown, count in _count(table["contaminated_by"].drop_null()).items():
            self.contaminated[shown.partition("/")[0]] += count
        # labels, and kept images by cell
        self.label_models.update(_count(table["label_model"].drop_null()))
        self.labelled.update(_count(table["category"].drop_null()))
        labelled = table.select(["category", "broad"]).drop_null()
        for pair in labelled.group_by(labelled.column_names).aggregate([]).to_pylist():
            self.broad[pair["category"]] = pair["broad"]
        self._add_cells(kept)
        # sums and histograms of the measures
        self.measured += measured.num_rows
        for name in _MEANS:
            self.sums[name] += pc.sum(measured[name]).as_py() or 0
        for name in table.column_names:
            if name.startswith(SCORE):
                self.scores.setdefault(name, ScoreTally()).add(table[name], kept[name])
        self.flat += pc.sum(pc.less_equal(measured[frequency_column], 0)).as_py() or 0
        ratio_edges = part_at(RATIO_EDGES, self.bounds.ratio)
        edges = part_at(PIXEL_EDGES, self.bounds.pixels), part_at(BPP_EDGES, self.bounds.bpp)
        for group, rows in (("measured", measured), ("kept", kept)):
            self.ratio[group] += np.histogram(_logs(rows[frequency_column]), ratio_edges)[0]
            histogram, *_ = np.histogram2d(_logs(rows["pixels"]), _logs(rows["bpp"]), edges)
            self.size[group] += histogram.astype(np.int64)
        self.samples.add(table)
        add_effects(self.effects, table)

    def count_tiles(self, tiles: pa.Table, frequency_column: str) -> None:
        """Count tiles as what was kept, in place of their images: the rows of all manifests."""
        self.tiled_images = self.kept
        self.cells.clear()
        self._add_cells(tiles)
        ratio_edges = part_at(RATIO_EDGES, self.bounds.ratio)
        self.ratio["kept"] = np.histogram(_logs(tiles[frequency_column]), ratio_edges)[0]
        self.samples.take_tiles(tiles)

    def _add_cells(self, kept: pa.Table) -> None:
        key = ["split", "category", "frequency_bin"]
        for row in kept.group_by(key).aggregate([([], "count_all")]).to_pylist():
            self.cells[row["split"], row["category"], row["frequency_bin"]] += row["count_all"]

    def _add_losses(self, table: pa.Table) -> None:
        """Count the rejected rows of a part of the ledger."""
        rejected = table.filter(pc.is_valid(table["reason"]))
        facts = pa.table(
            {
                "reason": rejected["reason"],
                "fetched": pc.is_valid(rejected["tar"]),
                "measured": pc.is_valid(rejected["hf_ratio"]),
            }
        )
        reasons = {str(reason): reason for reason in Reason}
        for row in facts.group_by(facts.column_names).aggregate([([], "count_all")]).to_pylist():
            stage = rejecting_stage(reasons[row["reason"]], row["fetched"], row["measured"])
            self.losses[stage, row["reason"]] += row["count_all"]
            if stage == "fetch" and reasons[row["reason"]].stage == "filter":
                self.unmeasured += row["count_all"]
        by_host = rejected.select(["host", "reason"])
        by_host = by_host.filter(pc.is_valid(by_host["host"]))
        for row in by_host.group_by(["host", "reason"]).aggregate([([], "count_all")]).to_pylist():
            self.host_losses[row["host"], row["reason"]] += row["count_all"]


def part_at(edges: NDArray[np.float64], bound: float | None) -> NDArray[np.float64]:
    """Return edges of log10 values, the nearest one moved to a bound: no bin has both sides."""
    if bound is None or bound <= 0 or not edges[0] < np.log10(bound) < edges[-1]:
        return edges
    parted = edges.copy()
    parted[np.argmin(np.abs(edges - np.log10(bound)))] = np.log10(bound)
    return parted


def count_ledger(
    shard: Shard,
    frequency_column: str,
    bounds: Bounds = Bounds(),
    filters: Sequence[Bound] = (),
    listed: Collection[str] = (),
) -> Tally:
    """Count a run's ledger, part by part.

    Args:
        shard: gives the run folder.
        frequency_column: the measure that was balanced.
        bounds: of the recipe's filters, at which bins part.
        filters: all bounds of the recipe, of which the effects are counted.
        listed: columns that the list brought along, which are no scores whatever their names.
    """
    tally = Tally(bounds, samples=Samples(filters), effects=list(map(BoundEffect, filters)))
    wanted = {*_COLUMNS, frequency_column, *(bound.column for bound in filters)}
    for name in shard.folder.names("ledger", ".parquet"):
        with shard.open(name) as file:
            part = pq.ParquetFile(file)
            names = part.schema_arrow.names
            scores = {name for name in names if name.startswith(SCORE)} - {*listed}
            columns = [name for name in names if name in wanted | scores]
            tally.add(part.read(columns), frequency_column)
    return tally


def _count(column: pa.ChunkedArray) -> dict[Any, int]:
    return {row["values"]: row["counts"] for row in column.value_counts().to_pylist()}


def _logs(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """Return log10 of the values; -inf for zeros and nulls, which no histogram counts."""
    values = pc.fill_null(column, 0).to_numpy().astype(np.float64)
    return np.log10(values, out=np.full(len(values), -np.inf), where=values > 0)


def _zeros(*edges: NDArray[np.float64]) -> dict[str, Counts]:
    shape = [len(axis) - 1 for axis in edges]
    return {"measured": np.zeros(shape, np.int64), "kept": np.zeros(shape, np.int64)}
