"""Galleries of a page: which pictures stand where, and of how many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.humanize import distinct
from curate.stages.report.album import Album, Picture
from curate.stages.report.ledger_counts import Tally

__all__ = ["Border", "Cluster", "Galleries", "Gallery", "band_names", "build_galleries"]

_OF_CATEGORIES, _PER_CATEGORY = 360, 24
"""Pictures of all sub-categories, and of each."""
_OF_BANDS, _PER_BAND = 144, 12
_OF_REASONS = 96
_BOUNDS = 10
"""Bounds whose borderline is shown."""
_BENCHMARKS = 8
_MIRROR = 0x5555_5555_5555_5555
"""Bits of a perceptual hash that change in a mirrored picture; see `select`'s `mirror_hash`."""


@dataclass(frozen=True)
class Gallery:
    """Pictures under one heading."""

    key: str
    """Its id in the page."""
    title: str
    total: int
    """Images that there are; the pictures are some of them."""
    pictures: Sequence[Picture]
    anchors: Mapping[int, str]
    """Place of a picture -> id of the heat map's cell that it is the first of."""


class Border(NamedTuple):
    """Pictures on both sides of a bound."""

    name: str
    column: str
    kept: Sequence[Picture]
    rejected: Sequence[Picture]
    broken: int


class Cluster(NamedTuple):
    """Duplicates beside the image that was preferred."""

    best: Picture
    others: Sequence[tuple[Picture, str]]
    """Duplicates, each with a note."""


@dataclass(frozen=True)
class Galleries:
    """All pictures of a page."""

    categories: Sequence[Gallery]
    bands: Sequence[Gallery]
    borders: Sequence[Border]
    clusters: Sequence[Cluster]
    benchmarks: Sequence[Gallery]
    uncertain: Sequence[Picture]
    reasons: Sequence[Gallery]
    cells: frozenset[str]
    """Ids of cells that have pictures."""
    damaged: int
    left_out: int


def build_galleries(
    tally: Tally, album: Album, categories: Sequence[str], edges: Sequence[float]
) -> Galleries:
    """Decode the samples of a tally, and put them under their headings.

    Args:
        tally: of the ledger.
        album: decodes, and bounds all pictures together.
        categories: names of sub-categories in the page's order.
        edges: the frequency bins' inner edges, log10.
    """
    samples = tally.samples
    # the few pictures that tell most come first, should the page fill up
    borders = list(_borders(tally, album))
    clusters = list(_clusters(samples.clusters, album))
    benchmarks = list(_benchmarks(tally, album))
    uncertain = album.pictures(samples.uncertain)
    reasons = list(_reasons(tally, album))
    of_categories = list(_categories(tally, album, categories))
    bands = list(_bands(tally, album, band_names(edges)))
    cells = {anchor for gallery in of_categories for anchor in gallery.anchors.values()}
    return Galleries(
        of_categories,
        bands,
        borders,
        clusters,
        benchmarks,
        uncertain,
        reasons,
        frozenset(cells),
        album.damaged,
        album.left_out,
    )


def band_names(edges: Sequence[float]) -> list[str]:
    """Return names of frequency bins, in %: under 0.5 %, 0.5 to 0.7 %, over 0.7 %."""
    ends = distinct([100 * 10**edge for edge in edges])
    if not ends:
        return ["all"]
    inner = [f"{low} to {high} %" for low, high in pairwise(ends)]
    return [f"under {ends[0]} %", *inner, f"over {ends[-1]} %"]


def _categories(tally: Tally, album: Album, names: Sequence[str]) -> Iterator[Gallery]:
    """Yield a gallery of each sub-category, in the order of frequency."""
    kept = Counter[str]()
    for (_, category, _), count in tally.cells.items():
        kept[category] += count
    shown = [name for name in names if kept[name]]
    most = int(np.clip(_OF_CATEGORIES // max(1, len(shown)), 1, _PER_CATEGORY))
    for name in shown[:_OF_CATEGORIES]:
        place = names.index(name)
        rows = _spread(_rows_of(tally.samples.cells, "category", name), "frequency_bin", most)
        pictures = album.pictures(rows)
        anchors, seen = {}, set[int]()
        for number, picture in enumerate(pictures):
            bin_ = picture.row["frequency_bin"]
            if bin_ not in seen:
                anchors[number] = f"cell-{place}-{bin_}"
                seen.add(bin_)
        yield Gallery(f"category-{place}", name, kept[name], pictures, anchors)


def _bands(tally: Tally, album: Album, names: Sequence[str]) -> Iterator[Gallery]:
    """Yield a gallery of each frequency bin, from many sub-categories."""
    kept = Counter[int]()
    for (_, _, bin_), count in tally.cells.items():
        kept[bin_] += count
    most = int(np.clip(_OF_BANDS // len(names), 1, _PER_BAND))
    for bin_, name in enumerate(names[:_OF_BANDS]):
        if kept[bin_]:
            rows = _rows_of(tally.samples.cells, "frequency_bin", bin_)
            pictures = album.pictures(_spread(rows, "category", most))
            yield Gallery(f"band-{bin_}", name, kept[bin_], pictures, {})


def _borders(tally: Tally, album: Album) -> Iterator[Border]:
    samples = tally.samples
    for effect in tally.effects[:_BOUNDS]:
        if effect.bound in samples.below and len(samples.below[effect.bound]):
            kept = album.pictures(samples.above[effect.bound])
            rejected = album.pictures(samples.below[effect.bound])
            if rejected:
                column = effect.bound.column
                yield Border(effect.name, column, kept, rejected, effect.broken)


def _clusters(rows: pa.Table | None, album: Album) -> Iterator[Cluster]:
    """Yield clusters whose best image and one more can be shown."""
    names = pc.unique(rows["dup_cluster"]).to_pylist() if rows is not None else []
    for name in names:
        pictures = album.pictures(_rows_of(rows, "dup_cluster", name))
        if len(pictures) > 1 and pictures[0].row["id"] == name:
            first, others = pictures[0], pictures[1:]
            yield Cluster(first, [(other, _likeness(first.row, other.row)) for other in others])


def _likeness(best: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """Return how far the perceptual hashes of two images are apart, in words."""
    if best["phash"] is None or other["phash"] is None:
        return ""
    difference = best["phash"] ^ other["phash"]
    bits, mirrored = difference.bit_count(), (difference ^ _MIRROR).bit_count()
    if mirrored < bits:
        return f"mirrored, hash: {mirrored} of 64 bits differ"
    return "same hash" if not bits else f"hash: {bits} of 64 bits differ"


def _benchmarks(tally: Tally, album: Album) -> Iterator[Gallery]:
    rows = tally.samples.contaminated
    names = pc.unique(rows["sample_key"]).to_pylist() if rows is not None else []
    for name in names[:_BENCHMARKS]:
        pictures = album.pictures(_rows_of(rows, "sample_key", name))
        yield Gallery(f"benchmark-{name}", name, tally.contaminated[name], pictures, {})


def _reasons(tally: Tally, album: Album) -> Iterator[Gallery]:
    """Yield a gallery of each reason of which there are pictures, in the order of the funnel."""
    rows = tally.samples.reasons
    names = pc.unique(rows["reason"]).to_pylist() if rows is not None else []
    most = max(1, _OF_REASONS // max(1, len(names)))
    for name in names:
        pictures = album.pictures(_rows_of(rows, "reason", name).slice(0, most))
        if pictures:
            yield Gallery(f"reason-{name}", name, tally.reasons[name], pictures, {})


def _rows_of(rows: pa.Table | None, column: str, value: Any) -> pa.Table:
    assert rows is not None
    return rows.filter(pc.equal(rows[column], value))


def _spread(rows: pa.Table, column: str, count: int) -> pa.Table:
    """Return so many rows, of as many values of a column as can be, sorted by it."""
    rows = rows.sort_by([(column, "ascending"), ("id", "ascending")])
    values = rows[column].to_numpy()
    rank = np.arange(len(rows)) - np.searchsorted(values, values)
    first = np.sort(np.argsort(rank, kind="stable")[:count])
    return rows.take(pa.array(first))
