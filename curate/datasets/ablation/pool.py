"""Pools of rows that subsets are chosen from; they have bytes, measures and a category.

Test images are never among them.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curate.engine import CommitRecord, RunFolder
from curate.errors import ImageError, Reason, RunError
from curate.images.decode import open_image, to_luma
from curate.recipe import Filters, Label, Recipe
from curate.stages.filters import rejections
from curate.stages.label.shard import SCHEMA as LABELS
from curate.stages.match.benchmarks import Benchmarks
from curate.stages.match.keypoints import find_keypoints
from curate.stages.select import find_clusters
from curate.stages.select.duplicates import DUPLICATE_COLUMNS
from curate.stages.select.seeded_order import id_numbers, seeded_hash
from curate.storage.atomic import read_images
from curate.storage.parquet import read_run_table

__all__ = ["MEASURES", "Counts", "Pool", "Rejected", "read_pool"]

Counts = NDArray[np.int64]

MEASURES = {"resolution": "pixels", "bpp": "bpp", "frequency": "hf_ratio_032"}
"""Aspect -> the measure whose mean it is."""

_MINIMA = {
    "resolution": ("width", "height", "pixels", "nbytes", "coded_nbytes"),
    "bpp": ("bpp", "nbytes", "coded_nbytes"),
    "frequency": ("hf_ratio", "hf_ratio_032"),
}
"""Aspect -> columns whose minima reject images of little of it; small images have small files."""
_EXAMINED = 5
"""Rejected images that are examined, for each that a subset has: they have to be labelled first."""


@dataclass(frozen=True)
class Rejected:
    """Images that the filters rejected for one aspect, and would have let pass otherwise."""

    table: pa.Table
    there: int
    """Images with bytes, sampled or not, duplicates and benchmark images among them."""
    not_fetched: int
    """Images without bytes: rejected by a list's claim or the head of a file."""


@dataclass(frozen=True)
class Pool:
    """Rows in the order of their ids, with a manifest's columns."""

    table: pa.Table
    rejected: Rejected | None = None
    """The rejected images among them."""

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def column(self, name: str) -> NDArray[np.float64]:
        """Return a measure."""
        values: NDArray[np.float64] = self.table[name].cast(pa.float64()).to_numpy()
        return values

    def categories(self) -> list[str]:
        """Return the names of its categories."""
        names: list[str] = self.table["category"].unique().to_pylist()
        return names

    def groups(self, categories: Sequence[str]) -> Counts:
        """Return each row's category by its place in the list."""
        # positions in the list, as NumPy's integers
        place = pc.index_in(self.table["category"], pa.array(categories, pa.string()))
        return place.to_numpy().astype(np.int64)

    def counts(self, categories: Sequence[str]) -> Counts:
        """Return the number of rows of each category."""
        return np.bincount(self.groups(categories), minlength=len(categories))

    def priorities(self, seed: int) -> NDArray[np.float64]:
        """Return a seeded hash of each id, 0 to 1: a row that is low in one subset is so in all."""
        return seeded_hash(id_numbers(self.table["id"]), f"{seed}:ablate") / 2.0**64

    def has(self, other: Pool) -> NDArray[np.bool_]:
        """Return a mask of the rows that another pool has, too."""
        ids = other.table["id"].combine_chunks()
        there: NDArray[np.bool_] = pc.is_in(self.table["id"], ids).to_numpy()
        return there

    def where(self, mask_N: NDArray[np.bool_]) -> Pool:
        """Return some of the rows."""
        return Pool(self.table.filter(pa.array(mask_N)))

    def train(self) -> Pool:
        """Return the rows of the training split."""
        return self.where(pc.fill_null(pc.equal(self.table["split"], "train"), False).to_numpy())


def read_pool(
    folder: RunFolder, recipe: Recipe, aspects: Iterable[str], images: int, seed: int
) -> tuple[Pool, dict[str, Pool]]:
    """Read the training split and the surplus of a run, and images rejected for some aspects.

    The surplus is as good as the training split: it passed filters, and is free of duplicates and
    of parts of benchmark images. Images that were rejected for an aspect are compared with all of
    that here, test images included, and labelled.

    Args:
        folder: run whose selection is done.
        recipe: the run's.
        aspects: keys of MEASURES whose rejected images are wanted too.
        images: number of images of a subset.
        seed: seed of the sample of rejected images to examine, if they are many.

    Returns:
        The base pool; and for each aspect the base with the images rejected for it.

    Raises:
        RunError: if the run has no ledger yet, or its files are not whole.
        LabelError: if rejected images have to be labelled, and the labeller can't be loaded.
    """
    if CommitRecord.read(folder, "select", "whole") is None:
        raise RunError(
            f"{folder} has no dataset yet: run  curate run  or  curate select {folder}  first"
        )
    relaxed = {aspect: _drop_minima(recipe.filters, aspect) for aspect in aspects}
    rejected: dict[str, list[pa.Table]] = {aspect: [] for aspect in relaxed}
    good, hashes = [], []
    compared = pa.array([Reason.SURPLUS, Reason.DUPLICATE, Reason.CONTAMINATED])
    for name in folder.names("ledger", ".parquet"):
        ledger = read_run_table(folder, name)
        reason = ledger["reason"]
        # rows of the training split, and surplus
        surplus = pc.equal(reason, Reason.SURPLUS.value)
        fit = pc.or_kleene(pc.equal(ledger["split"], "train"), surplus)
        good.append(_measured(ledger.filter(pc.fill_null(fit, False))))
        # hashes of all rows that passed the filters, whatever the selection did with them
        passed = ledger.filter(pc.or_(pc.is_in(reason, compared), pc.is_null(reason)))
        hashes.append(passed.select(list(DUPLICATE_COLUMNS)))
        # rows that only the minima of an aspect reject
        for aspect, (filters, reasons) in relaxed.items():
            rows = ledger.filter(pc.is_in(reason, pa.array(reasons, pa.string())))
            rejected[aspect].append(rows.filter(pc.is_null(rejections(rows, filters))))
    table = pa.concat_tables(good)
    ledger_only = [name for name in ("status", "reason") if name in table.column_names]
    base = Pool(_sort_by_id(table.drop_columns(ledger_only)))
    known = pa.concat_tables(hashes)
    pools = {}
    for aspect, tables in rejected.items():
        whole = pa.concat_tables(tables)
        measured = _measured(whole)
        # a seeded sample, in the ledger's order
        order_N = np.argsort(seeded_hash(id_numbers(measured["id"]), f"{seed}:rejected"))
        sample = measured.take(pa.array(np.sort(order_N[: _EXAMINED * images])))
        # keep the sound ones, and join them with the base pool
        sound = _examine(sample, known, folder, recipe)
        both = pa.concat_tables([base.table, sound.select(base.table.column_names)])
        found = Rejected(sound, len(measured), len(whole) - len(measured))
        pools[aspect] = Pool(_sort_by_id(both), found)
    return base, pools


def _drop_minima(filters: Filters, aspect: str) -> tuple[Filters, list[str]]:
    """Return the filters without the minima of an aspect, and the reasons that these give."""
    columns, reasons = _MINIMA[aspect], set()
    for bound in filters.bounds:
        if bound.test == "min" and bound.column in columns:
            reasons.add(bound.reason.value)
    others = {column: value for column, value in filters.min.items() if column not in columns}
    return filters.model_copy(update={"min": others}), sorted(reasons)


def _measured(rows: pa.Table) -> pa.Table:
    """Return the rows that have bytes and all measures."""
    there = pc.is_valid(rows["tar"])
    for measure in MEASURES.values():
        there = pc.and_(there, pc.is_valid(rows[measure]))
    return rows.filter(there)


def _sort_by_id(rows: pa.Table) -> pa.Table:
    return rows.sort_by("id").combine_chunks()


def _examine(rows: pa.Table, known: pa.Table, folder: RunFolder, recipe: Recipe) -> pa.Table:
    """Return labelled rows without duplicates, benchmark images and labels that filters reject."""
    hashes = pa.concat_tables([known, rows.select(list(DUPLICATE_COLUMNS))])
    # rejected images have no embeddings
    dedup = recipe.select.dedup.model_copy(update={"semantic": None})
    clusters = find_clusters(hashes, dedup)
    # alone: the best of their cluster, in which there is no known image
    taken = np.unique(clusters.label_N[: len(known)])
    own_N = np.arange(len(known), len(known) + len(rows))
    alone_N = ~np.isin(clusters.label_N[own_N], taken) & (clusters.best_N[own_N] == own_N)
    rows = rows.filter(pa.array(alone_N))
    matches = _matches(rows, folder, Benchmarks.load(recipe.select.benchmarks))
    rows = _labelled(rows.filter(pc.is_null(matches)), folder, recipe.label)
    return rows.filter(pc.is_null(rejections(rows.select(LABELS.names), recipe.filters)))


def _matches(rows: pa.Table, folder: RunFolder, benchmarks: Benchmarks) -> pa.Array:
    """Return the benchmark image that each row shows a part of; the match stage saw no such row."""
    if not len(benchmarks.table):
        return pa.nulls(len(rows), pa.string())
    found = []
    for data in read_images(folder.open, rows):
        with open_image(io.BytesIO(data)) as image:
            luma_HW = to_luma(image)
        found.append((find_keypoints(luma_HW).tobytes(), luma_HW.shape[1], luma_HW.shape[0]))
    return pa.array(benchmarks.match(found), pa.string())


def _labelled(rows: pa.Table, folder: RunFolder, config: Label) -> pa.Table:
    """Label rows that never were; rows that can't be decoded are left out."""
    if not len(rows):
        return rows
    from curate.stages.label.clip import load_labeller  # torch: only where labels are made

    labeller = load_labeller(config)
    found = list(labeller.embed(map(io.BytesIO, read_images(folder.open, rows))))
    vectors = [embedding for embedding in found if not isinstance(embedding, ImageError)]
    rows = rows.filter(pa.array([not isinstance(embedding, ImageError) for embedding in found]))
    results = labeller.classify(np.array(vectors, np.float32).reshape(-1, labeller.dim))
    # the fields of a result, in the order of the columns
    names = ("broad", "category", "score", "margin", "model")
    for field, name in zip(LABELS, names, strict=True):
        values = pa.array(list(map(attrgetter(name), results)), field.type)
        rows = rows.set_column(rows.column_names.index(field.name), field.name, values)
    return rows
