"""Which images become the dataset: duplicates out, then the benchmark split, then a balanced training split."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from math import log10
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curate.errors import Reason
from curate.recipe import Dedup, Filters, Select
from curate.select.balance import FrequencyBins, balance, share_out
from curate.select.duplicates import DUPLICATE_COLUMNS, find_clusters

__all__ = ["Selection", "needed_columns", "select"]


@dataclass(frozen=True)
class Selection:
    """What was decided of every row, and what the decision aimed at."""

    decisions: pa.Table
    """id, status, reason, dup_cluster, contaminated_by, frequency_bin, split: a row for each of the input, in order."""
    summary: dict[str, Any]
    """Targets and what was reached, JSON-like."""


def needed_columns(config: Select) -> list[str]:
    """Columns that `select` reads."""
    return list(dict.fromkeys(["reason", "category", config.frequency.column, *DUPLICATE_COLUMNS]))


def select(
    rows: pa.Table,
    config: Select,
    filters: Filters,
    categories: Sequence[str],
    seed: int,
    vectors_ND: NDArray[np.float32] | None = None,
) -> Selection:
    """Decide every row of the ledger. A pure function, and the order of the rows does not matter.

    Of each cluster of duplicates the best stays, or none if one of them is contaminated: so no picture is in both
    splits, and none in a benchmark. Then the benchmark split takes its quota of each named sub-category, spread over
    the frequency bins; then the training split is balanced (see `balance`). Within a cell images are taken in the
    order of a seeded hash of their ids.

    Args:
        rows: the columns of `needed_columns`, and `contaminated_by`; rows with a reason stay rejected for it.
        config: sizes and targets.
        filters: the bounds that the rows have passed; the frequency target has nothing below its minimum.
        categories: the taxonomy's, in its order.
        seed: of the order within cells.
        vectors_ND: embeddings of the rows, where `config.dedup.semantic` wants them.
    """
    ids = np.asarray(rows["id"].to_pylist(), dtype=object)
    reason = np.asarray(rows["reason"].to_pylist(), dtype=object)
    cluster, contaminated_by = _mark_duplicates(rows, config.dedup, vectors_ND, ids, reason)
    pool_N = np.flatnonzero(reason == None)  # noqa: E711 - element by element

    ratio_N = pc.fill_null(rows[config.frequency.column], 0.0).to_numpy()[pool_N]
    log_ratio_N = np.log10(np.maximum(ratio_N, 1e-12))
    minimum = filters.min.get(config.frequency.column)
    bins = FrequencyBins.fit(
        log_ratio_N,
        config.frequency.bins,
        config.frequency.mean,
        config.frequency.std,
        log10(minimum) if minimum is not None and minimum > 0 else None,
    )
    category_N = pc.index_in(rows["category"].take(pa.array(pool_N)), pa.array(categories)).to_numpy()
    pool = _Pool(
        ids[pool_N], category_N.astype(np.int64), bins.place(log_ratio_N), len(categories), config.frequency.bins
    )

    split_N = np.full(len(pool_N), None, dtype=object)
    wanted_test_C = np.array([config.test.quota(name) for name in categories])
    test_C = np.minimum(
        wanted_test_C, np.floor(config.test.max_share * pool.counts().sum(axis=1) + 1e-9).astype(np.int64)
    )
    # evenly over the bins; which bins get the odd images is drawn, or it would always be the lowest
    draw = np.random.default_rng([seed, 0x7E57])
    test_CB = np.array(
        [
            share_out(available_B, np.ones(len(available_B)), int(wanted), draw.permutation(len(available_B)))
            for available_B, wanted in zip(pool.counts(), test_C, strict=True)
        ]
    )
    split_N[pool.take(test_CB, f"{seed}:test", split_N == None)] = "test"  # noqa: E711
    free_N = split_N == None  # noqa: E711
    weights_C = np.array([config.category_weights.get(name, 1.0) for name in categories])
    balanced = balance(pool.counts(free_N), config.train, weights_C, np.array(bins.weights))
    split_N[pool.take(balanced.counts_CB, f"{seed}:train", free_N)] = "train"

    reason[pool_N[split_N == None]] = Reason.SURPLUS.value  # noqa: E711
    split = np.full(len(ids), None, dtype=object)
    split[pool_N] = split_N
    bin_ = np.full(len(ids), None, dtype=object)
    bin_[pool_N] = pool.bin_N.tolist()
    decisions = pa.table(
        {
            "id": rows["id"],
            "status": pa.array(np.where(split == None, "rejected", "kept").tolist(), pa.string()),  # noqa: E711
            "reason": pa.array(reason.tolist(), pa.string()),
            "dup_cluster": pa.array(cluster.tolist(), pa.string()),
            "contaminated_by": pa.array(contaminated_by.tolist(), pa.string()),
            "frequency_bin": pa.array(bin_.tolist(), pa.int16()),
            "split": pa.array(split.tolist(), pa.string()),
        }
    )
    summary = {
        "pool": len(pool_N),
        "train": {"wanted": config.train, "taken": int((split_N == "train").sum())},
        "test": {"wanted": int(wanted_test_C.sum()), "taken": int((split_N == "test").sum())},
        "categories": list(categories),
        "category_target": balanced.category_target_C.tolist(),
        "category_taken": balanced.counts_CB.sum(axis=1).tolist(),
        "frequency_column": config.frequency.column,
        "frequency_edges": list(bins.edges),
        "frequency_mean": bins.mean,
        "frequency_std": bins.std,
        "frequency_target": balanced.frequency_target_B.tolist(),
        "frequency_taken": balanced.counts_CB.sum(axis=0).tolist(),
        "available": pool.counts().tolist(),
        "distance": balanced.distance,
    }
    return Selection(decisions, summary)


@dataclass(frozen=True)
class _Pool:
    """The images to choose from, as cells of category and frequency bin."""

    id_N: NDArray[np.object_]
    category_N: NDArray[np.int64]
    bin_N: NDArray[np.int16]
    categories: int
    bins: int

    def counts(self, free_N: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
        """Images in each cell, shape (categories, bins)."""
        cell_N = self.category_N * self.bins + self.bin_N
        cell_N = cell_N if free_N is None else cell_N[free_N]
        return np.bincount(cell_N, minlength=self.categories * self.bins).reshape(self.categories, self.bins)

    def take(self, counts_CB: NDArray[np.int64], salt: str, free_N: NDArray[np.bool_]) -> NDArray[np.int64]:
        """The first so many free images of each cell, in the order of a hash of salt and id."""
        rank = {n: hashlib.sha256(f"{salt}:{self.id_N[n]}".encode()).digest() for n in np.flatnonzero(free_N)}
        cell_N = self.category_N * self.bins + self.bin_N
        order = np.array(sorted(rank, key=lambda n: (cell_N[n], rank[n])), dtype=np.int64)
        cells = cell_N[order]
        place = np.arange(len(order)) - np.searchsorted(cells, cells, side="left")
        return order[place < counts_CB.ravel()[cells]]


def _mark_duplicates(
    rows: pa.Table,
    config: Dedup,
    vectors_ND: NDArray[np.float32] | None,
    ids: NDArray[np.object_],
    reason: NDArray[np.object_],
) -> tuple[NDArray[np.object_], NDArray[np.object_]]:
    """Reject all but the best of each cluster, or all if one is contaminated; `reason` is changed in place.

    Returns:
        Each row's cluster, None where it is alone, and what it is contaminated by.
    """
    in_N = np.flatnonzero(reason == None)  # noqa: E711
    found = find_clusters(rows.take(pa.array(in_N)), config, None if vectors_ND is None else vectors_ND[in_N])
    cluster, contaminated_by = np.full((2, len(ids)), None, dtype=object)
    best_N = in_N[found.best_N]
    shared_N = found.shared()
    cluster[in_N[shared_N]] = ids[best_N[shared_N]]
    reason[in_N[best_N != in_N]] = Reason.DUPLICATE.value

    matches = np.asarray(rows["contaminated_by"].to_pylist(), dtype=object)[in_N]
    matched = np.flatnonzero(matches != None)  # noqa: E711
    by_cluster: dict[int, str] = {}
    for row in matched:
        label = int(found.label_N[row])
        by_cluster[label] = min(by_cluster.get(label, matches[row]), matches[row])
    tainted = np.flatnonzero(np.isin(found.label_N, list(by_cluster)))
    contaminated_by[in_N[tainted]] = [by_cluster[int(label)] for label in found.label_N[tainted]]
    reason[in_N[tainted]] = Reason.CONTAMINATED.value
    return cluster, contaminated_by
