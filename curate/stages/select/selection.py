"""Selection of the dataset: drop duplicates, fill the benchmark split, balance for training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import log10
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curate.errors import Reason
from curate.manifest.statistics import diversity
from curate.recipe import Dedup, Filters, Select
from curate.stages.select.balance import Balance, FrequencyBins, balance, share_out, shortage
from curate.stages.select.distribution_distance import describe, describe_target
from curate.stages.select.duplicates import DUPLICATE_COLUMNS, find_clusters
from curate.stages.select.pins import Pins
from curate.stages.select.seeded_order import id_numbers, seeded_hashes
from curate.stages.select.shopping_list import Yields, by_category, missing_test, missing_train

__all__ = ["Selection", "needed_columns", "select"]

_SPLITS = (None, "train", "test")
_TRAIN, _TEST = 1, 2
_FEW = 5


@dataclass(frozen=True)
class Selection:
    """Decision on every row, and the targets of the decision."""

    decisions: pa.Table
    """Columns id, status, reason, dup_cluster, contaminated_by, frequency_bin and split.

    Has a row for each row of the input, in its order.
    """
    summary: dict[str, Any]
    """Targets and results, as values for JSON."""


def needed_columns(config: Select) -> list[str]:
    """Return the columns that `select` reads."""
    prefer = [config.prefer.removeprefix("-")] if config.prefer else []
    columns = ["reason", "category", config.frequency.column, *DUPLICATE_COLUMNS, *prefer]
    return list(dict.fromkeys(columns))


def select(
    rows: pa.Table,
    config: Select,
    filters: Filters,
    categories: Sequence[str],
    seed: int,
    vectors_ND: NDArray[np.float32] | None = None,
    *,
    pins: Pins | None = None,
    candidates: int | None = None,
) -> Selection:
    """Decide every row of the ledger: a pure function that ignores the order of the rows.

    1. The best image of each cluster of duplicates stays, pinned ones first; none stays if one is
       contaminated. So no picture is in both splits, and none is in a benchmark.
    2. The benchmark split takes its quota of each named sub-category, spread over frequency bins.
    3. The training split is balanced (see `balance`).

    Within a cell, pins come first, then the best by `config.prefer` (training only), then images
    by a seeded hash of their ids. So new candidates change the picks of a cell only if they rank
    before them, or if its count changes.

    Args:
        rows: columns of `needed_columns`, and `contaminated_by`; a row with a reason stays
            rejected.
        config: sizes and targets.
        filters: bounds that the rows have passed; the frequency target is 0 below its minimum.
        categories: categories of the taxonomy, in its order.
        seed: seed of the order within cells.
        vectors_ND: embeddings of the rows, for `config.dedup.semantic`.
        pins: earlier picks, which fill their cells first.
        candidates: number of candidates, if `rows` lacks those with a reason.
    """
    pins = pins or {}
    pinned_N = _splits_of(rows["id"], pins)
    marked = _mark_duplicates(rows, config.dedup, vectors_ND, pinned_N)
    reason = marked["reason"]
    pool_N = np.flatnonzero(pc.is_null(reason).to_numpy())
    pool, bins = _cells(rows, pool_N, pinned_N[pool_N], config, filters, categories)

    quota_C = np.array([config.test.quota(name) for name in categories])
    split_N = np.zeros(len(pool_N), np.int8)
    test_CB = _benchmark(pool, quota_C, config.test.max_share, seed)
    split_N[pool.take(test_CB, f"{seed}:test", _TEST)] = _TEST
    free_N = split_N == 0
    weights_C = np.array([config.category_weights.get(name, 1.0) for name in categories])
    weights_B = np.array(bins.weights)
    balanced = balance(
        pool.counts(free_N),
        config.train,
        weights_C,
        weights_B,
        least_CB=pool.counts(free_N & (pool.pinned_N == _TRAIN)),
        importance=(config.importance.category, config.importance.frequency),
    )
    worth_N = _worth(rows, pool_N, config.prefer)
    split_N[pool.take(balanced.counts_CB, f"{seed}:train", _TRAIN, free_N, worth_N)] = _TRAIN

    decisions = _decisions(marked, pool_N, pool.cell_N % pool.bins, split_N)
    yields = Yields(len(rows) if candidates is None else candidates, pool.counts())
    asked_CB, missing_CB = shortage(pool.counts(free_N), config.train, weights_C, weights_B)
    lacking = [
        *missing_train(asked_CB, missing_CB, categories, bins.edges, yields),
        *missing_test(quota_C, test_CB.sum(axis=1), config.test.max_share, categories, yields),
    ]
    summary = {
        "candidates": yields.candidates,
        "pool": len(pool_N),
        "train": {"wanted": config.train, "taken": int((split_N == _TRAIN).sum())},
        "test": {"wanted": int(quota_C.sum()), "taken": int((split_N == _TEST).sum())},
        **_summarise(balanced, bins, categories, config),
        "category_wanted": asked_CB.sum(axis=1).tolist(),
        "frequency_wanted": asked_CB.sum(axis=0).tolist(),
        "available": pool.counts().tolist(),
        "diversity": {
            "pool": round(diversity(pool.counts().sum(axis=1).tolist()), 6),
            "train": round(diversity(balanced.counts_CB.sum(axis=1).tolist()), 6),
        },
        "shape": {
            "pool": describe(pool.log_ratio_N, bins),
            "train": describe(pool.log_ratio_N[split_N == _TRAIN], bins),
            "target": describe_target(bins),
        },
        "pins": _count_pins(pins, decisions, pinned_N),
        "shopping": {"rows": lacking, "categories": by_category(lacking)},
    }
    return Selection(decisions, summary)


@dataclass(frozen=True)
class _Pool:
    """Images to choose from, in cells of category and frequency bin."""

    number_N: NDArray[np.uint64]
    """Ids as numbers."""
    cell_N: NDArray[np.int32]
    """Cell of each image: category * bins + bin."""
    log_ratio_N: NDArray[np.float64]
    pinned_N: NDArray[np.int8]
    """Split that each image is pinned to, 0 for none."""
    categories: int
    bins: int

    def counts(self, free_N: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
        """Count the images of each cell, shape (categories, bins)."""
        cell_N = self.cell_N if free_N is None else self.cell_N[free_N]
        shape = (self.categories, self.bins)
        return np.bincount(cell_N, minlength=self.categories * self.bins).reshape(shape)

    def take(
        self,
        counts_CB: NDArray[np.int64],
        salt: str,
        split: int,
        free_N: NDArray[np.bool_] | None = None,
        worth_N: NDArray[np.float64] | None = None,
    ) -> NDArray[np.int64]:
        """Return `counts_CB` images of each cell: pins of the split first, by worth, by hash."""
        wanted = counts_CB.ravel()
        open_N = (wanted > 0)[self.cell_N] & ((self.pinned_N == 0) | (self.pinned_N == split))
        row_N = np.flatnonzero(open_N if free_N is None else open_N & free_N)
        cell_N = self.cell_N[row_N]
        keys = [seeded_hashes(self.number_N[row_N], salt), self.pinned_N[row_N] == 0, cell_N]
        if worth_N is not None:
            keys.insert(1, -worth_N[row_N])
        order = np.lexsort(keys)
        # place of each image within its cell, of which the first `wanted` are taken
        cell_N = cell_N[order]
        place_N = np.arange(len(order)) - np.searchsorted(cell_N, np.arange(len(wanted)))[cell_N]
        return row_N[order[place_N < wanted[cell_N]]]


def _cells(
    rows: pa.Table,
    pool_N: NDArray[np.int64],
    pinned_N: NDArray[np.int8],
    config: Select,
    filters: Filters,
    categories: Sequence[str],
) -> tuple[_Pool, FrequencyBins]:
    """Put the images of the pool into cells."""
    wanted = config.frequency
    ratio_N = pc.fill_null(rows[wanted.column], 0).to_numpy().astype(np.float64)[pool_N]
    log_ratio_N = np.log10(np.maximum(ratio_N, 1e-12))
    minimum = filters.min.get(wanted.column)
    low = log10(minimum) if minimum is not None and minimum > 0 else None
    bins = FrequencyBins.fit(log_ratio_N, wanted.bins, wanted.mean, wanted.std, low)
    place = pc.index_in(rows["category"], pa.array(categories, pa.string()))
    category_N = pc.fill_null(place, -1).to_numpy()[pool_N]
    cell_N = category_N * np.int32(wanted.bins) + bins.place(log_ratio_N)
    number_N = id_numbers(rows["id"])[pool_N]
    return _Pool(number_N, cell_N, log_ratio_N, pinned_N, len(categories), wanted.bins), bins


def _benchmark(
    pool: _Pool, quota_C: NDArray[np.int64], max_share: float, seed: int
) -> NDArray[np.int64]:
    """Return the images of each cell for the benchmark split: pins, then evenly over the bins."""
    pinned_CB = pool.counts(pool.pinned_N == _TEST)
    available_CB = pool.counts(pool.pinned_N != _TRAIN)
    most_C = np.floor(max_share * pool.counts().sum(axis=1) + 1e-9).astype(np.int64)
    total_C = np.minimum(quota_C, most_C)
    # bins for the odd images are drawn at random, or they would always be the lowest
    draw = np.random.default_rng([seed, 0x7E57])
    test_CB = pinned_CB.copy()
    for test_B, available_B, total in zip(test_CB, available_CB, total_C, strict=True):
        even_B = share_out(available_B, np.ones(pool.bins), int(total), draw.permutation(pool.bins))
        short_B = np.maximum(even_B - test_B, 0)
        left = max(int(total - test_B.sum()), 0)
        test_B += share_out(available_B - test_B, short_B.astype(float), left)
    return test_CB


def _worth(
    rows: pa.Table, pool_N: NDArray[np.int64], prefer: str | None
) -> NDArray[np.float64] | None:
    """Return the worth of each image by `prefer`, larger is better; -inf where it is null."""
    if prefer is None:
        return None
    value_N = pc.cast(rows[prefer.removeprefix("-")], pa.float64()).to_numpy()[pool_N]
    return np.nan_to_num(-value_N if prefer.startswith("-") else value_N, nan=-np.inf)


def _mark_duplicates(
    rows: pa.Table,
    config: Dedup,
    vectors_ND: NDArray[np.float32] | None,
    pinned_N: NDArray[np.int8],
) -> pa.Table:
    """Reject all but the best of each cluster, pinned ones first, or all if one is contaminated.

    Returns:
        Table of id, reason, dup_cluster (null for a row that is alone) and contaminated_by.
    """
    count = len(rows)
    in_N = np.flatnonzero(pc.is_null(rows["reason"]).to_numpy())
    pool = rows if len(in_N) == count else rows.take(pa.array(in_N))
    # pins rank first: published images stay, and no copy of a test image goes to training
    pool_vectors_ND = None if vectors_ND is None else vectors_ND[in_N]
    found = find_clusters(pool, config, pool_vectors_ND, pinned_N[in_N])
    best_N, shared_N = in_N[found.best_N], found.shared()
    cluster_N = np.full(count, -1)
    cluster_N[in_N[shared_N]] = best_N[shared_N]

    # one contaminated image contaminates its cluster; of several names the first counts
    by_cluster: dict[int, str] = {}
    matched = np.flatnonzero(pc.is_valid(pool["contaminated_by"]).to_numpy())
    matches = pool["contaminated_by"].take(pa.array(matched)).to_pylist()
    for label, match in zip(found.label_N[matched].tolist(), matches, strict=True):
        by_cluster[label] = min(by_cluster.get(label, match), match)
    names = sorted(set(by_cluster.values()))
    name_L = np.full(int(found.label_N.max(initial=-1)) + 1, -1)
    name_L[list(by_cluster)] = [names.index(match) for match in by_cluster.values()]
    match_N = np.full(count, -1)
    match_N[in_N] = name_L[found.label_N]

    lost_N = np.full(count, -1)
    lost_N[in_N[best_N != in_N]] = 0
    lost_N[match_N >= 0] = 1
    lost = _named([Reason.DUPLICATE.value, Reason.CONTAMINATED.value], lost_N)
    return pa.table(
        {
            "id": rows["id"],
            "reason": pc.coalesce(rows["reason"], lost),
            "dup_cluster": rows["id"].take(pa.array(cluster_N, mask=cluster_N < 0)),
            "contaminated_by": _named(names, match_N),
        }
    )


def _named(names: Sequence[str], place_N: NDArray[np.int64]) -> pa.Array:
    """Return names by their places, null for -1."""
    return pa.array(names, pa.string()).take(pa.array(place_N, mask=place_N < 0))


def _splits_of(ids: pa.ChunkedArray, pins: Pins) -> NDArray[np.int8]:
    """Return the split that each id is pinned to, 0 for none."""
    place = pc.fill_null(pc.index_in(ids, pa.array(list(pins), pa.string())), -1).to_numpy()
    splits = [_SPLITS.index(split) for split in pins.values()]
    return np.array([*splits, 0], np.int8)[place]  # -1 is the last one


def _decisions(
    marked: pa.Table,
    pool_N: NDArray[np.int64],
    bin_N: NDArray[np.int32],
    pool_split_N: NDArray[np.int8],
) -> pa.Table:
    """Return the decision on every row, in the ledger's columns."""
    count = len(marked)
    in_pool_N, split_N = np.zeros(count, bool), np.zeros(count, np.int8)
    frequency_N = np.zeros(count, np.int16)
    in_pool_N[pool_N], split_N[pool_N], frequency_N[pool_N] = True, pool_split_N, bin_N
    kept = pa.array(split_N > 0)
    surplus = pc.if_else(kept, pa.scalar(None, pa.string()), Reason.SURPLUS.value)
    return pa.table(
        {
            "id": marked["id"],
            "status": pc.if_else(kept, "kept", "rejected"),
            "reason": pc.coalesce(marked["reason"], surplus),
            "dup_cluster": marked["dup_cluster"],
            "contaminated_by": marked["contaminated_by"],
            "frequency_bin": pa.array(frequency_N, mask=~in_pool_N),
            "split": pa.array(_SPLITS, pa.string()).take(pa.array(split_N)),
        }
    )


def _summarise(
    balanced: Balance, bins: FrequencyBins, categories: Sequence[str], config: Select
) -> dict[str, Any]:
    """Return the targets of the training split and the counts that it reached."""
    taken_C, taken_B = balanced.counts_CB.sum(axis=1), balanced.counts_CB.sum(axis=0)
    distance = np.abs(taken_C - balanced.category_target_C).sum()
    distance += np.abs(taken_B - balanced.frequency_target_B).sum()
    return {
        "categories": list(categories),
        "category_target": balanced.category_target_C.tolist(),
        "category_taken": taken_C.tolist(),
        "frequency_column": config.frequency.column,
        "frequency_edges": list(bins.edges),
        "frequency_mean": bins.mean,
        "frequency_std": bins.std,
        "frequency_target": balanced.frequency_target_B.tolist(),
        "frequency_taken": taken_B.tolist(),
        "distance": int(distance),
        "objective": {
            "value": balanced.distance,
            "bound": balanced.bound,
            "gap": balanced.gap,
            "spread": balanced.spread,
            "importance": config.importance.model_dump(),
        },
    }


def _count_pins(pins: Pins, decisions: pa.Table, pinned_N: NDArray[np.int8]) -> dict[str, Any]:
    """Count the pins that are kept, and the others by reason."""
    rows = decisions.filter(pa.array(pinned_N > 0))
    lost = rows.filter(pc.equal(rows["status"], "rejected"))
    return {
        "named": len(pins),
        "kept": len(rows) - len(lost),
        "unknown": len(pins) - len(rows),
        "lost": dict(sorted(Counter(lost["reason"].to_pylist()).items())),
        "few": sorted(lost["id"].to_pylist())[:_FEW],
    }
