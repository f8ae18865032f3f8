"""Subsets chosen from a pool, with less of one aspect and the reference's means otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from curate.datasets.ablation.pool import MEASURES, Counts, Pool
from curate.errors import RunError
from curate.manifest.statistics import diversity
from curate.stages.select.balance import share_out
from curate.stages.select.subset import MeanBetween, Picked, pick

__all__ = ["Choice", "Terms", "choose_concentrated", "choose_low", "choose_size"]

_STEPS = 12
"""Halvings in search of a concentration of categories."""


@dataclass(frozen=True)
class Choice:
    """Chosen rows of a pool, and the obstacles to less of an aspect."""

    pool: Pool
    row_N: NDArray[np.int64]
    lowest: float | None = None
    """Least mean of any choice, where the target could not be reached."""
    freed: dict[str, float] = field(default_factory=dict)
    """Constraint that holds the mean back -> how low it could go without it."""
    lacking: dict[str, int] = field(default_factory=dict)
    """Category -> images at or under the target that the pool has too few of."""

    @property
    def rows(self) -> Pool:
        """The chosen rows."""
        mask_N = np.zeros(len(self.pool), bool)
        mask_N[self.row_N] = True
        return self.pool.where(mask_N)


@dataclass(frozen=True)
class Terms:
    """Settings that all choices have in common."""

    categories: Sequence[str]
    """All categories of the pools."""
    tolerance: float
    """Share by which a held mean may differ, and an ablated one from its target."""
    seed: int


def choose_size(pool: Pool, like: Pool, count: int, terms: Terms, *, keep: bool = False) -> Choice:
    """Choose rows with the categories of others in proportion, and their means.

    Means may differ by the tolerance; where that can't be met, it is doubled until it can.

    Args:
        pool: rows to choose from.
        like: rows that the chosen ones resemble.
        count: number of rows to choose.
        terms: see there.
        keep: whether all rows of `like` are among the chosen ones.

    Raises:
        RunError: if there are fewer rows.
    """
    must_N = pool.has(like) if keep else np.zeros(len(pool), bool)
    if count > len(pool):
        raise RunError(
            f"there are {len(pool):,} images, and a subset wants {count:,}: ask for fewer"
        )
    # share the count out in proportion, then what is left of it beside the rows that must be in
    there_C = pool.counts(terms.categories)
    must_C = pool.where(must_N).counts(terms.categories)
    wanted_C = share_out(there_C, like.counts(terms.categories).astype(float), count)
    more_C = np.maximum(wanted_C - must_C, 0).astype(float)
    counts_C = must_C + share_out(there_C - must_C, more_C, count - int(must_C.sum()))
    return Choice(pool, _pick_like(pool, like, counts_C, terms, must_N).row_N)


def choose_low(pool: Pool, like: Pool, aspect: str, target: float, terms: Terms) -> Choice:
    """Choose as many rows as the reference has, with one mean at the target.

    Categories and the other means are the reference's. A seeded order decides between choices that
    reach the target within the tolerance. Where none does, it is the choice with the lowest mean,
    and the constraints that hold it back are named.
    """
    measure, held = MEASURES[aspect], _means(pool, like, terms.tolerance)
    del held[measure]
    means = list(held.values())
    value_N, group_N = pool.column(measure), pool.groups(terms.categories)
    counts_C, priority_N = like.counts(terms.categories), pool.priorities(terms.seed)
    # any choice within the tolerance of the target, the first in the seeded order
    aim = _mean_near(value_N, target, terms.tolerance)
    if (reached := pick(priority_N, group_N, counts_C, [*means, aim])) is not None:
        return Choice(pool, reached.row_N)
    cost_N = value_N / target + 1e-6 * priority_N  # the seeded order decides between equals
    lowest = pick(cost_N, group_N, counts_C, means)
    if lowest is None:  # a tolerance so small that nothing is found beside the reference itself
        return Choice(pool, np.flatnonzero(pool.has(like)))
    # leave out one constraint at a time, to see which of them hold the mean back
    relaxed = {}
    for name in held:
        others = [mean for other, mean in held.items() if other != name]
        relaxed[name] = pick(cost_N, group_N, counts_C, others)
    one_group_N, one_count = np.zeros_like(group_N), np.array([len(like)])
    relaxed["categories"] = pick(cost_N, one_group_N, one_count, means)
    freed = {}
    for name, found in relaxed.items():
        if found is not None and found.bound < lowest.bound * (1 - 1e-3):
            freed[name] = found.bound * target / len(like)
    # categories with fewer images at or under the target than the reference has in all
    lacking_C = counts_C - pool.where(value_N <= target).counts(terms.categories)
    named = zip(terms.categories, lacking_C.tolist(), strict=True)
    lacking = {name: count for name, count in named if count > 0}
    return Choice(pool, lowest.row_N, lowest.bound * target / len(like), freed, lacking)


def choose_concentrated(pool: Pool, like: Pool, target: float, terms: Terms) -> Choice:
    """Choose as many rows as the reference has, of fewer categories: diversity at the target.

    Means are the reference's. The categories that the pool has most of get the reference's number
    times a power of one factor, the first of them the largest. The factor is found by halving: the
    one that comes nearest to the target from below and can be met within the tolerance; else the
    lowest that can.
    """
    group_N, there_C = pool.groups(terms.categories), pool.counts(terms.categories)
    like_C = like.counts(terms.categories)
    # rank of each category, 0 for the one that the pool has most of
    rank_C = np.argsort(np.argsort(-there_C, kind="stable"), kind="stable")
    priority_N = pool.priorities(terms.seed)
    means = list(_means(pool, like, terms.tolerance).values())

    def counts(factor: float) -> Counts:
        # share the rows out by weights that fall from rank to rank
        weights_C = np.maximum(like_C, 1e-9) * factor**rank_C
        return share_out(there_C, weights_C, len(like))

    low, high = 1e-3, 1.0  # counts(high) are the reference's
    for _ in range(_STEPS):  # the least concentrated that is at the target or under it
        middle = (low + high) / 2
        if diversity(counts(middle).tolist()) <= target:
            low = middle
        else:
            high = middle
    reached = diversity(counts(low).tolist())
    best = pick(priority_N, group_N, counts(low), means)
    if best is not None:
        return Choice(pool, best.row_N, None if reached <= target else reached)
    high = 1.0
    for _ in range(_STEPS):  # the most concentrated whose means can be held
        middle = (low + high) / 2
        found = pick(priority_N, group_N, counts(middle), means)
        if found is None:
            low = middle
        else:
            best, high = found, middle
    if best is None:
        best = _pick_like(pool, like, like_C, terms)
    return Choice(pool, best.row_N, diversity(np.bincount(group_N[best.row_N]).tolist()))


def _mean_near(value_N: NDArray[np.float64], mean: float, tolerance: float) -> MeanBetween:
    return MeanBetween(value_N, (1 - tolerance) * mean, (1 + tolerance) * mean)


def _means(pool: Pool, like: Pool, tolerance: float) -> dict[str, MeanBetween]:
    """Return the constraints that hold a choice's measures at the means of others."""
    found = {}
    for name in MEASURES.values():
        mean = float(like.column(name).mean())
        found[name] = _mean_near(pool.column(name), mean, tolerance)
    return found


def _pick_like(
    pool: Pool, like: Pool, counts_C: Counts, terms: Terms, must_N: NDArray[np.bool_] | None = None
) -> Picked:
    """Pick the first rows in the seeded order that have the means of others, as near as can be."""
    group_N, priority_N = pool.groups(terms.categories), pool.priorities(terms.seed)
    tolerance = terms.tolerance
    while tolerance < 1:
        means = list(_means(pool, like, tolerance).values())
        if (picked := pick(priority_N, group_N, counts_C, means, must_N)) is not None:
            return picked
        tolerance *= 2
    picked = pick(priority_N, group_N, counts_C, (), must_N)
    assert picked is not None, "each category has as many"
    return picked
