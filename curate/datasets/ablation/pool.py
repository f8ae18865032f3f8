"""What subsets can be chosen from: the rows of a run that have bytes, measures and a category, test images never."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

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

__all__ = ["MEASURES", "Pool", "Rejected", "read_pool"]

MEASURES = {"resolution": "pixels", "bpp": "bpp", "frequency": "hf_ratio_032"}
"""Aspect -> the measure whose mean it is."""

_LIFTED = {
    "resolution": ("width", "height", "pixels", "nbytes"),
    "bpp": ("bpp", "nbytes"),
    "frequency": ("hf_ratio", "hf_ratio_032"),
}
"""Aspect -> columns whose minima make images of little of it `rejected`; a small file goes with a small image."""
_LOOKED_AT = 5
"""Rejected images that are looked at, for each that a subset has: they have to be labelled first."""


@dataclass(frozen=True)
class Rejected:
    """Images that the filters rejected for one aspect, and would have let pass otherwise."""

    table: pa.Table
    there: int
    """Those with bytes, before a lot was drawn and duplicates and benchmark images were taken out."""
    not_fetched: int
    """Those that the fetch stage rejected by a list's claim or the head of a file: of these there are no bytes."""


@dataclass(frozen=True)
class Pool:
    """Rows in the order of their ids, with a manifest's columns."""

    table: pa.Table
    rejected: Rejected | None = None
    """Which of the rows were rejected."""

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def column(self, name: str) -> NDArray[np.float64]:
        """A measure."""
        values: NDArray[np.float64] = self.table[name].cast(pa.float64()).to_numpy()
        return values

    def categories(self) -> list[str]:
        """Those that there are."""
        names: list[str] = self.table["category"].unique().to_pylist()
        return names

    def groups(self, categories: Sequence[str]) -> NDArray[np.int64]:
        """Each row's category by its place in the list."""
        return (
            pc.index_in(self.table["category"], pa.array(categories, pa.string()))
            .to_numpy()
            .astype(np.int64)
        )

    def lots(self, seed: int) -> NDArray[np.float64]:
        """A seeded hash of each id, 0 to 1: the same for all subsets, so that they have images in common."""
        return seeded_hash(id_numbers(self.table["id"]), f"{seed}:ablate") / 2.0**64

    def has(self, other: Pool) -> NDArray[np.bool_]:
        """Which rows another pool has, too."""
        there: NDArray[np.bool_] = pc.is_in(
            self.table["id"], other.table["id"].combine_chunks()
        ).to_numpy()
        return there

    def where(self, mask_N: NDArray[np.bool_]) -> Pool:
        """Some of the rows."""
        return Pool(self.table.filter(pa.array(mask_N)))

    def train(self) -> Pool:
        """The rows of the training split."""
        return self.where(pc.fill_null(pc.equal(self.table["split"], "train"), False).to_numpy())


def read_pool(
    folder: RunFolder, recipe: Recipe, aspects: Iterable[str], images: int, seed: int
) -> tuple[Pool, dict[str, Pool]]:
    """The training split and the surplus of a run; and that with the images rejected for an aspect, for each aspect.

    The surplus is as good as the training split: it passed filters, and is free of duplicates and of parts of benchmark
    images. What was rejected for an aspect is held against all of that here, test images included, and labelled.

    Args:
        folder: of a run whose selection is done.
        recipe: the run's.
        aspects: those of MEASURES whose rejected images are wanted too.
        images: of a subset.
        seed: of the lot that decides which rejected images are looked at, if they are many.

    Raises:
        RunError: if the run has no ledger yet, or its files are not whole.
        LabelError: if rejected images have to be labelled, and the labeller can't be loaded.
    """
    if CommitRecord.read(folder, "select", "whole") is None:
        raise RunError(
            f"{folder} has no dataset yet: run  curate run  or  curate select {folder}  first"
        )
    lifted = {aspect: _lifted(recipe.filters, aspect) for aspect in aspects}
    parts, hashes, rejected = [], [], {aspect: [] for aspect in lifted}  # type: ignore[var-annotated]
    for name in folder.names("ledger", ".parquet"):
        ledger = read_run_table(folder, name)
        good = pc.or_kleene(
            pc.equal(ledger["split"], "train"), pc.equal(ledger["reason"], Reason.SURPLUS.value)
        )
        parts.append(_measured(ledger.filter(pc.fill_null(good, False))))
        passed = pc.is_in(
            ledger["reason"], pa.array([Reason.SURPLUS, Reason.DUPLICATE, Reason.CONTAMINATED])
        )
        hashes.append(
            ledger.filter(pc.or_(passed, pc.is_null(ledger["reason"]))).select(
                list(DUPLICATE_COLUMNS)
            )
        )
        for aspect, (filters, reasons) in lifted.items():
            rows = ledger.filter(pc.is_in(ledger["reason"], pa.array(reasons, pa.string())))
            rejected[aspect].append(rows.filter(pc.is_null(rejections(rows, filters))))
    base = Pool(_by_id(_manifest_columns(pa.concat_tables(parts))))
    known = pa.concat_tables(hashes)
    pools = {}
    for aspect, tables in rejected.items():
        whole = pa.concat_tables(tables)
        found = _measured(whole)
        fit = _vetted(_first_by_lot(found, _LOOKED_AT * images, seed), known, folder, recipe)
        told = Rejected(fit, len(found), len(whole) - len(found))
        pools[aspect] = Pool(
            _by_id(pa.concat_tables([base.table, fit.select(base.table.column_names)])), told
        )
    return base, pools


def _lifted(filters: Filters, aspect: str) -> tuple[Filters, list[str]]:
    """The filters without the minima of an aspect, and the reasons that these give."""
    columns = _LIFTED[aspect]
    reasons = sorted(
        {b.reason.value for b in filters.bounds if b.test == "min" and b.column in columns}
    )
    return filters.model_copy(
        update={"min": {c: v for c, v in filters.min.items() if c not in columns}}
    ), reasons


def _measured(rows: pa.Table) -> pa.Table:
    """Those that have bytes and all measures."""
    there = pc.is_valid(rows["tar"])
    for measure in MEASURES.values():
        there = pc.and_(there, pc.is_valid(rows[measure]))
    return rows.filter(there)


def _manifest_columns(rows: pa.Table) -> pa.Table:
    return rows.drop_columns([name for name in ("status", "reason") if name in rows.column_names])


def _by_id(rows: pa.Table) -> pa.Table:
    return rows.sort_by("id").combine_chunks()


def _first_by_lot(rows: pa.Table, count: int, seed: int) -> pa.Table:
    order = np.argsort(seeded_hash(id_numbers(rows["id"]), f"{seed}:rejected"))
    return rows.take(pa.array(np.sort(order[:count])))


def _vetted(rows: pa.Table, known: pa.Table, folder: RunFolder, recipe: Recipe) -> pa.Table:
    """Those that are no duplicates and show no benchmark image, labelled, and whose labels the filters let pass."""
    clusters = find_clusters(
        pa.concat_tables([known, rows.select(list(DUPLICATE_COLUMNS))]),
        recipe.select.dedup.model_copy(update={"semantic": None}),  # they have no embeddings
    )
    taken = np.unique(clusters.label_N[: len(known)])
    own_N = np.arange(len(known), len(known) + len(rows))
    alone_N = ~np.isin(clusters.label_N[own_N], taken) & (clusters.best_N[own_N] == own_N)
    rows = rows.filter(pa.array(alone_N))
    rows = rows.filter(
        pc.is_null(_matches(rows, folder, Benchmarks.load(recipe.select.benchmarks)))
    )
    rows = _labelled(rows, folder, recipe.label)
    return rows.filter(pc.is_null(rejections(rows.select(LABELS.names), recipe.filters)))


def _matches(rows: pa.Table, folder: RunFolder, benchmarks: Benchmarks) -> pa.Array:
    """The benchmark image that each row shows a part of; the match stage has looked at no rejected image."""
    if not len(benchmarks.table):
        return pa.nulls(len(rows), pa.string())
    found = []
    for data in read_images(folder.open, rows):
        with open_image(io.BytesIO(data)) as image:
            luma_HW = to_luma(image)
        found.append((find_keypoints(luma_HW).tobytes(), luma_HW.shape[1], luma_HW.shape[0]))
    return pa.array(benchmarks.match(found), pa.string())


def _labelled(rows: pa.Table, folder: RunFolder, config: Label) -> pa.Table:
    """Rows with the labels that they never had; those that can't be decoded are left out."""
    if not len(rows):
        return rows
    from curate.stages.label.clip import load_labeller  # torch: only where labels are made

    labeller = load_labeller(config)
    found = list(labeller.embed(map(io.BytesIO, read_images(folder.open, rows))))
    good_N = np.array([not isinstance(embedding, ImageError) for embedding in found])
    rows = rows.filter(pa.array(good_N))
    vectors = [embedding for embedding in found if not isinstance(embedding, ImageError)]
    results = labeller.classify(np.array(vectors, np.float32).reshape(-1, labeller.dim))
    values = [
        [getattr(r, n) for r in results] for n in ("broad", "category", "score", "margin", "model")
    ]
    for field, column in zip(LABELS, values, strict=True):
        rows = rows.set_column(
            rows.column_names.index(field.name), field.name, pa.array(column, field.type)
        )
    return rows
