"""Selection of the dataset: no duplicates, a benchmark split and a balanced training split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
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
from curate.stages.select.seeded_order import id_numbers, seeded_hash
from curate.stages.select.shopping_list import Yields, by_category, missing_test, missing_train
from curate.stages.select.tile_choice import worth
from curate.stages.select.tile_units import mark_tiles, of_image, tile_units

__all__ = ["Selection", "needed_columns", "select"]

_SPLITS = (None, "train", "test")
_TRAIN, _TEST = 1, 2
_FEW = 5


@dataclass(frozen=True)
class Selection:
    """Decisions on all rows, and how near they come to their targets."""

    decisions: pa.Table
    """id, status, reason, dup_cluster, contaminated_by, frequency_bin, split; one each row.

    With tiles also their number, and no frequency bin: each tile has its own.
    """
    summary: dict[str, Any]
    """Targets and results, JSON-like."""
    tiles: pa.Table | None = None
    """Decisions on tiles that are kept, where tiles were chosen."""


def needed_columns(config: Select) -> list[str]:
    """Return the columns that `select` reads."""
    columns = ["reason", "category", config.frequency.column, *DUPLICATE_COLUMNS]
    if config.prefer:
        columns.append(config.prefer.removeprefix("-"))
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
    tiles: pa.Table | None = None,
) -> Selection:
    """Decide every row of the ledger. A pure function, and the order of the rows does not matter.

    Of each cluster of duplicates the best image stays, a pinned one before others. None stays if
    one of them is contaminated. So no picture is in both splits, and none in a benchmark. Then the
    benchmark split takes its quota of each named sub-category, spread over the frequency bins. Then
    the training split is balanced (see `balance`).

    Within a cell, pins come first, for training the best by `config.prefer` next, then images in
    the order of a seeded hash of their ids. So new candidates change the picks of a cell only where
    they rank before them, or where its count changes.

    With tiles, those are balanced in place of the images. Duplicates are looked for among images
    first, then among tiles. The benchmark split takes one tile of an image, and none of its other
    tiles, nor of images that share a picture with it, goes into the training split.

    Args:
        rows: the columns of `needed_columns`, and `contaminated_by`; rows that have a reason are
            rejected for it.
        config: sizes and targets.
        filters: the bounds that the rows have passed; the frequency target starts at its minimum.
        categories: the taxonomy's, in its order.
        seed: of the order within cells.
        vectors_ND: embeddings of the rows, where `config.dedup.semantic` wants them.
        pins: earlier picks, which count towards their cells first.
        candidates: their number, if rejected ones are not among the rows.
        tiles: tiles to choose in place of the rows, each with `tile_of`; pins are of tiles then,
            and `filters` are the bounds of tiles.
    """
    pins = pins or {}
    units = rows if tiles is None else tile_units(tiles, rows)
    pinned_N = _splits_of(units["id"], pins)
    if tiles is None:
        images = marked = _mark_duplicates(rows, config.dedup, vectors_ND, pinned_N)
        group_N = np.arange(len(rows), dtype=np.int32)
    else:
        pinned_images_N = of_image(rows, units, pinned_N)
        images = _mark_duplicates(rows, config.dedup, vectors_ND, pinned_images_N)
        marked_tiles = mark_tiles(units, images, config.dedup, pinned_N)
        marked, group_N = marked_tiles.table, marked_tiles.group_N
    pool_N = np.flatnonzero(pc.is_null(marked["reason"]).to_numpy())
    group_N = group_N[pool_N]
    pool, bins = _cells(units, pool_N, pinned_N[pool_N], config, filters, categories)

    # the benchmark split takes its cells first
    quota_C = np.array([config.test.quota(name) for name in categories])
    testable_N = _testable(pool, group_N, seed)
    test_CB = _benchmark(pool, testable_N, quota_C, config.test.max_share, seed)
    split_N = np.zeros(len(pool_N), np.int8)
    split_N[pool.take(test_CB, f"{seed}:test", _TEST, testable_N)] = _TEST

    # the training split is balanced over the rest
    free_N = ~np.isin(group_N, group_N[split_N == _TEST])
    free_CB, least_CB = pool.counts(free_N), pool.counts(free_N & (pool.pinned_N == _TRAIN))
    weights_C = np.array([config.category_weights.get(name, 1.0) for name in categories])
    weights_B = np.array(bins.weights)
    importance = config.importance.category, config.importance.frequency
    balanced = balance(
        free_CB, config.train, weights_C, weights_B, least_CB=least_CB, importance=importance
    )
    worth_N = worth(units, config.prefer)[pool_N] if config.prefer else None
    split_N[pool.take(balanced.counts_CB, f"{seed}:train", _TRAIN, free_N, worth_N)] = _TRAIN

    decisions = _decisions(marked, pool_N, pool.cell_N % pool.bins, split_N)
    yields = Yields(len(rows) if candidates is None else candidates, pool.counts())
    asked_CB, missing_CB = shortage(free_CB, config.train, weights_C, weights_B)
    lacking = [
        *missing_train(asked_CB, missing_CB, categories, bins.edges, yields),
        *missing_test(
            quota_C,
            test_CB.sum(axis=1),
            config.test.max_share,
            categories,
            replace(yields, pool_CB=pool.counts(testable_N)),
        ),
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
        "pins": _pins_kept(pins, decisions, pinned_N),
        "shopping": {"rows": lacking, "categories": by_category(lacking)},
    }
    if tiles is None:
        return Selection(decisions, summary)
    kept = decisions.filter(pc.equal(decisions["status"], "kept"))
    kept = kept.append_column("tile_of", units["tile_of"].filter(pc.is_valid(decisions["split"])))
    summary["tiles"] = _images_of_tiles(units["tile_of"].take(pa.array(pool_N)), kept)
    return Selection(_decide_images(images, marked, kept, units), summary, kept)


@dataclass(frozen=True)
class _Pool:
    """Images to choose from, in cells of category and frequency bin."""

    number_N: NDArray[np.uint64]
    """Their ids."""
    cell_N: NDArray[np.int32]
    """category x bins + bin."""
    log_ratio_N: NDArray[np.float64]
    pinned_N: NDArray[np.int8]
    """Split that each is pinned to, 0 for none."""
    categories: int
    bins: int

    def counts(self, free_N: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
        """Return the number of images in each cell, shape (categories, bins)."""
        cell_N = self.cell_N if free_N is None else self.cell_N[free_N]
        counts = np.bincount(cell_N, minlength=self.categories * self.bins)
        return counts.reshape(self.categories, self.bins)

    def take(
        self,
        counts_CB: NDArray[np.int64],
        salt: str,
        split: int,
        free_N: NDArray[np.bool_] | None = None,
        worth_N: NDArray[np.float64] | None = None,
    ) -> NDArray[np.int64]:
        """Return the first `counts_CB` images of each cell.

        Images pinned to the split come first, then those of most worth, then by seeded hash.
        """
        # open: free, not pinned to the other split, and of a cell that wants images
        wanted = counts_CB.ravel()
        open_N = (wanted > 0)[self.cell_N] & ((self.pinned_N == 0) | (self.pinned_N == split))
        row_N = np.flatnonzero(open_N if free_N is None else open_N & free_N)
        cell_N = self.cell_N[row_N]
        keys = [seeded_hash(self.number_N[row_N], salt), self.pinned_N[row_N] == 0, cell_N]
        if worth_N is not None:
            keys.insert(1, -worth_N[row_N])
        # sort by cell; an image's place is its distance from the first one of its cell
        order = np.lexsort(keys)
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
    """Return the pool in cells, and the bins that fit it."""
    wanted = config.frequency
    ratio_N = pc.fill_null(rows[wanted.column], 0).to_numpy().astype(np.float64)[pool_N]
    log_ratio_N = np.log10(np.maximum(ratio_N, 1e-12))
    minimum = filters.min.get(wanted.column)
    low = log10(minimum) if minimum is not None and minimum > 0 else None
    bins = FrequencyBins.fit(log_ratio_N, wanted.bins, wanted.mean, wanted.std, low)
    category_N = _places(rows["category"], categories)[pool_N]
    cell_N = category_N * np.int32(wanted.bins) + bins.place(log_ratio_N)
    number_N = id_numbers(rows["id"])[pool_N]
    return _Pool(number_N, cell_N, log_ratio_N, pinned_N, len(categories), wanted.bins), bins


def _testable(pool: _Pool, group_N: NDArray[np.integer[Any]], seed: int) -> NDArray[np.bool_]:
    """Return what may go to the benchmark split: one of each group, by seeded hash.

    Of groups with pins only those that are pinned to that split.
    """
    if len(np.unique(group_N)) == len(group_N):
        return np.ones(len(group_N), bool)
    order = np.lexsort([seeded_hash(pool.number_N, f"{seed}:tile"), group_N])
    is_first = np.diff(group_N[order], prepend=-1) != 0
    first_N = np.zeros(len(group_N), bool)
    first_N[order[is_first]] = True
    has_pin_N = np.isin(group_N, group_N[pool.pinned_N > 0])
    return np.asarray((first_N & ~has_pin_N) | (pool.pinned_N == _TEST))


def _benchmark(
    pool: _Pool,
    testable_N: NDArray[np.bool_],
    quota_C: NDArray[np.int64],
    max_share: float,
    seed: int,
) -> NDArray[np.int64]:
    """Return how many images of each cell go to the benchmark split.

    The pinned ones go, and others so that the bins are even.
    """
    test_CB = pool.counts(pool.pinned_N == _TEST)
    available_CB = pool.counts(testable_N & (pool.pinned_N != _TRAIN))
    allowed_C = np.floor(max_share * pool.counts(testable_N).sum(axis=1) + 1e-9).astype(np.int64)
    total_C = np.minimum(quota_C, allowed_C)
    # the bins of the odd images are drawn, or it would always be the lowest
    draw = np.random.default_rng([seed, 0x7E57])
    for test_B, available_B, total in zip(test_CB, available_CB, total_C, strict=True):
        even_B = share_out(available_B, np.ones(pool.bins), int(total), draw.permutation(pool.bins))
        # the pins stay; the other images go where they fall short of an even share
        short_B = np.maximum(even_B - test_B, 0).astype(float)
        test_B += share_out(available_B - test_B, short_B, max(int(total - test_B.sum()), 0))
    return test_CB


def _mark_duplicates(
    rows: pa.Table,
    config: Dedup,
    vectors_ND: NDArray[np.float32] | None,
    pinned_N: NDArray[np.int8],
) -> pa.Table:
    """Reject all but the best of each cluster, or all if one is contaminated.

    Pinned images are better than others.

    Returns:
        id, reason, dup_cluster (null where a row is alone) and contaminated_by of each row.
    """
    count = len(rows)
    in_N = np.flatnonzero(pc.is_null(rows["reason"]).to_numpy())
    pool = rows if len(in_N) == count else rows.take(pa.array(in_N))
    # a published image stays, even where a better copy turns up; and no copy of a test image may
    # become a training image
    vectors_ND = None if vectors_ND is None else vectors_ND[in_N]
    found = find_clusters(pool, config, vectors_ND, pinned_N[in_N])
    best_N, shared_N = in_N[found.best_N], found.shared()
    cluster_N = np.full(count, -1)
    cluster_N[in_N[shared_N]] = best_N[shared_N]

    # of each contaminated cluster the first match by name, for all of its rows
    matched = np.flatnonzero(pc.is_valid(pool["contaminated_by"]).to_numpy())
    matches = pool["contaminated_by"].drop_null().to_pylist()
    by_cluster: dict[int, str] = {}
    for label, match in zip(found.label_N[matched].tolist(), matches, strict=True):
        by_cluster[label] = min(by_cluster.get(label, match), match)
    names = sorted(set(by_cluster.values()))
    name_L = np.full(int(found.label_N.max(initial=-1)) + 1, -1)
    name_L[list(by_cluster)] = [names.index(match) for match in by_cluster.values()]
    match_N = np.full(count, -1)
    match_N[in_N] = name_L[found.label_N]

    # contamination is the graver reason of the two
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
    """Return the split that each row is pinned to, 0 for none."""
    split_P = np.array([*map(_SPLITS.index, pins.values()), 0], np.int8)  # place -1 takes the 0
    return split_P[_places(ids, list(pins))]


def _places(values: pa.ChunkedArray, names: Sequence[str]) -> NDArray[np.int32]:
    """Return the place of each value among the names, -1 for others."""
    return pc.fill_null(pc.index_in(values, pa.array(names, pa.string())), -1).to_numpy()


def _decisions(
    marked: pa.Table,
    pool_N: NDArray[np.int64],
    bin_N: NDArray[np.int32],
    pool_split_N: NDArray[np.int8],
) -> pa.Table:
    """Return the decision on every row, in the ledger's columns."""
    # scatter the pool's splits and bins over all rows; -1 for rows outside the pool
    split_N, frequency_N = np.zeros(len(marked), np.int8), np.full(len(marked), -1, np.int16)
    split_N[pool_N], frequency_N[pool_N] = pool_split_N, bin_N
    kept = pa.array(split_N > 0)
    surplus = pc.if_else(kept, pa.scalar(None, pa.string()), Reason.SURPLUS.value)
    return pa.table(
        {
            "id": marked["id"],
            "status": pc.if_else(kept, "kept", "rejected"),
            "reason": pc.coalesce(marked["reason"], surplus),
            "dup_cluster": marked["dup_cluster"],
            "contaminated_by": marked["contaminated_by"],
            "frequency_bin": pa.array(frequency_N, mask=frequency_N < 0),
            "split": pa.array(_SPLITS, pa.string()).take(pa.array(split_N)),
        }
    )


def _decide_images(images: pa.Table, marked: pa.Table, kept: pa.Table, units: pa.Table) -> pa.Table:
    """Return the decision on every image, in the ledger's columns, from those on its tiles."""
    # an image with no tile left is a duplicate like all of them
    unmarked = units["tile_of"].filter(pc.is_null(marked["reason"]))
    counts = kept["tile_of"].value_counts()
    place = pc.index_in(images["id"], counts.field("values"))
    tiles = counts.field("counts").cast(pa.int32()).take(place.combine_chunks())
    is_kept = pc.is_valid(tiles)
    has_tile = pc.is_in(images["id"], unmarked.combine_chunks())
    lost = pc.if_else(has_tile, Reason.SURPLUS.value, Reason.DUPLICATE.value)
    of_tiles = pc.if_else(is_kept, pa.scalar(None, pa.string()), lost)
    first = pc.index_in(images["id"], kept["tile_of"].combine_chunks()).combine_chunks()
    return pa.table(
        {
            "id": images["id"],
            "status": pc.if_else(is_kept, "kept", "rejected"),
            "reason": pc.coalesce(images["reason"], of_tiles),
            "dup_cluster": images["dup_cluster"],
            "contaminated_by": images["contaminated_by"],
            "frequency_bin": pa.nulls(len(images), pa.int16()),
            "split": kept["split"].combine_chunks().take(first),
            "tiles": tiles,
        }
    )


def _images_of_tiles(tile_of: pa.ChunkedArray, kept: pa.Table) -> dict[str, int]:
    """Return the number of images that tiles are of: in the pool, and in each split."""
    counts = {"pool": len(tile_of.unique())}
    for split in ("train", "test"):
        counts[split] = len(kept["tile_of"].filter(pc.equal(kept["split"], split)).unique())
    return counts


def _summarise(
    balanced: Balance, bins: FrequencyBins, categories: Sequence[str], config: Select
) -> dict[str, Any]:
    """Return the balance's targets and results, JSON-like."""
    taken_C, taken_B = balanced.counts_CB.sum(axis=1), balanced.counts_CB.sum(axis=0)
    distance_C = np.abs(taken_C - balanced.category_target_C)
    distance_B = np.abs(taken_B - balanced.frequency_target_B)
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
        "distance": int(distance_C.sum() + distance_B.sum()),
        "objective": {
            "value": balanced.distance,
            "bound": balanced.bound,
            "gap": balanced.gap,
            "spread": balanced.spread,
            "importance": config.importance.model_dump(),
        },
    }


def _pins_kept(pins: Pins, decisions: pa.Table, pinned_N: NDArray[np.int8]) -> dict[str, Any]:
    """Return how many pins are kept, and why the others are lost."""
    rows = decisions.filter(pa.array(pinned_N > 0))
    lost = rows.filter(pc.equal(rows["status"], "rejected"))
    return {
        "named": len(pins),
        "kept": len(rows) - len(lost),
        "unknown": len(pins) - len(rows),
        "lost": dict(sorted(Counter(lost["reason"].to_pylist()).items())),
        "few": sorted(lost["id"].to_pylist())[:_FEW],
    }
