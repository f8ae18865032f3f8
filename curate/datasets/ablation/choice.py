"""Subsets that are chosen from a pool: each has less of one aspect, and as much of the others as the reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from curate.datasets.ablation.pool import MEASURES, Pool
from curate.errors import RunError
from curate.manifest.statistics import diversity
from curate.stages.select.balance import share_out
from curate.stages.select.subset import MeanBetween, Picked, pick

__all__ = ["Choice", "Terms", "choose_concentrated", "choose_larger", "choose_low", "choose_part"]

Counts = NDArray[np.int64]

_STEPS = 12
"""Halvings in search of a concentration of categories."""


@dataclass(frozen=True)
class Choice:
    """Rows of a pool, and why they have no less of an aspect than they do."""

    pool: Pool
    row_N: NDArray[np.int64]
    lowest: float | None = None
    """Where the target could not be reached: what no choice is lower than."""
    freed: dict[str, float] = field(default_factory=dict)
    """What else would let the mean go lower -> how low, if it needn't be held."""
    lacking: dict[str, int] = field(default_factory=dict)
    """Category -> images at or under the target that the pool has too few of."""

    @property
    def rows(self) -> Pool:
        """The rows."""
        mask_N = np.zeros(len(self.pool), bool)
        mask_N[self.row_N] = True
        return self.pool.where(mask_N)


@dataclass(frozen=True)
class Terms:
    """What all choices have in common."""

    categories: Sequence[str]
    """All that there are."""
    tolerance: float
    """Share by which a mean that is held may differ, and one that is aimed at from its target."""
    seed: int


def choose_part(pool: Pool, like: Pool, count: int, terms: Terms) -> Choice:
    """So many rows of a pool that are like others: their categories in proportion, their means within the tolerance.

    Where that can't be, the tolerance is doubled until it can.

    Raises:
        RunError: if there are fewer rows.
    """
    return _choose_size(pool, like, np.zeros(len(pool), bool), count, terms)


def choose_larger(pool: Pool, smaller: Pool, count: int, terms: Terms) -> Choice:
    """The same with all of a smaller choice, which they are like.

    Raises:
        RunError: if there are fewer rows.
    """
    return _choose_size(pool, smaller, pool.has(smaller), count, terms)


def _choose_size(
    pool: Pool, like: Pool, must_N: NDArray[np.bool_], count: int, terms: Terms
) -> Choice:
    if count > len(pool):
        raise RunError(
            f"there are {len(pool):,} images, and a subset wants {count:,}: ask for fewer"
        )
    group_N = pool.groups(terms.categories)
    there_C, must_C, like_C = (
        np.bincount(groups, minlength=len(terms.categories))
        for groups in (group_N, group_N[must_N], like.groups(terms.categories))
    )
    wanted_C = share_out(there_C, like_C.astype(float), count)
    more_C = np.maximum(wanted_C - must_C, 0).astype(float)
    counts_C = must_C + share_out(there_C - must_C, more_C, count - int(must_C.sum()))
    picked = _within(pool, like, counts_C, group_N, terms.tolerance, pool.lots(terms.seed), must_N)
    return Choice(pool, picked.row_N)


def choose_low(pool: Pool, like: Pool, aspect: str, target: float, terms: Terms) -> Choice:
    """As many rows as the reference has, with its categories and its means but one, which is the target.

    By lot among those that reach it within the tolerance; where none does, the choice with the lowest mean, with what
    holds it back.
    """
    measure = MEASURES[aspect]
    value_N, group_N = pool.column(measure), pool.groups(terms.categories)
    counts_C = np.bincount(like.groups(terms.categories), minlength=len(terms.categories))
    held = {
        name: mean for name, mean in _means(pool, like, terms.tolerance).items() if name != measure
    }
    aim = MeanBetween(value_N, (1 - terms.tolerance) * target, (1 + terms.tolerance) * target)
    lots_N = pool.lots(terms.seed)
    if (reached := pick(lots_N, group_N, counts_C, [*held.values(), aim])) is not None:
        return Choice(pool, reached.row_N)
    cost_N = value_N / target + 1e-6 * lots_N  # the lot decides between equals
    lowest = pick(cost_N, group_N, counts_C, list(held.values()))
    if lowest is None:  # a tolerance so small that nothing is found beside the reference itself
        return Choice(pool, np.flatnonzero(pool.has(like)))
    count = len(like)
    freed = {
        name: found.bound * target / count
        for name in (*held, "categories")
        if (found := _without(name, cost_N, group_N, counts_C, held)) is not None
        and found.bound < lowest.bound * (1 - 1e-3)
    }
    under_C = np.bincount(group_N[value_N <= target], minlength=len(terms.categories))
    lacking = {
        name: int(n)
        for name, n in zip(terms.categories, np.maximum(counts_C - under_C, 0), strict=True)
        if n
    }
    return Choice(pool, lowest.row_N, lowest.bound * target / count, freed, lacking)


def choose_concentrated(pool: Pool, like: Pool, target: float, terms: Terms) -> Choice:
    """As many rows as the reference has, with its means, but of fewer categories: the diversity is the target.

    The categories that the pool has most of get the reference's number times a power of one factor, the first of them
    the largest. The factor is found by halving: what comes nearest to the target from below and can be met within the
    tolerance; else the lowest that can.
    """
    group_N = pool.groups(terms.categories)
    there_C, like_C = (
        np.bincount(g, minlength=len(terms.categories))
        for g in (group_N, like.groups(terms.categories))
    )
    rank_C = np.argsort(np.argsort(-there_C, kind="stable"), kind="stable")
    lots_N, means = pool.lots(terms.seed), list(_means(pool, like, terms.tolerance).values())

    def counts(factor: float) -> Counts:
        weights_C = np.maximum(like_C, 1e-9) * factor**rank_C
        return share_out(there_C, weights_C, len(like))

    low, high = 1e-3, 1.0  # counts(high) are the reference's
    for _ in range(_STEPS):  # the least concentrated that is at the target or under it
        middle = (low + high) / 2
        low, high = (
            (middle, high) if diversity(counts(middle).tolist()) <= target else (low, middle)
        )
    reached = diversity(counts(low).tolist()) <= target
    best = pick(lots_N, group_N, counts(low), means)
    if best is not None:
        return Choice(pool, best.row_N, None if reached else diversity(counts(low).tolist()))
    factor, high = low, 1.0
    for _ in range(_STEPS):  # the most concentrated whose means can be held
        middle = (factor + high) / 2
        found = pick(lots_N, group_N, counts(middle), means)
        best, factor, high = (best, middle, high) if found is None else (found, factor, middle)
    if best is None:
        best = _within(pool, like, like_C, group_N, terms.tolerance, lots_N)
    return Choice(pool, best.row_N, diversity(np.bincount(group_N[best.row_N]).tolist()))


def _means(pool: Pool, like: Pool, tolerance: float) -> dict[str, MeanBetween]:
    """The pool's measures, each to have the mean that it has elsewhere."""
    found = {}
    for name in MEASURES.values():
        mean = float(like.column(name).mean())
        found[name] = MeanBetween(pool.column(name), (1 - tolerance) * mean, (1 + tolerance) * mean)
    return found


def _within(
    pool: Pool,
    like: Pool,
    counts_C: Counts,
    group_N: NDArray[np.int64],
    tolerance: float,
    lots_N: NDArray[np.float64],
    must_N: NDArray[np.bool_] | None = None,
) -> Picked:
    """The rows that the lot favours, with the means of others; in twice the tolerance where it can't be done in one."""
    while tolerance < 1:
        means = list(_means(pool, like, tolerance).values())
        if (picked := pick(lots_N, group_N, counts_C, means, must_N)) is not None:
            return picked
        tolerance *= 2
    picked = pick(lots_N, group_N, counts_C, (), must_N)
    assert picked is not None, "each category has as many"
    return picked


def _without(
    name: str,
    cost_N: NDArray[np.float64],
    group_N: NDArray[np.int64],
    counts_C: Counts,
    held: Mapping[str, MeanBetween],
) -> Picked | None:
    """The best choice that needn't hold one thing."""
    if name == "categories":
        group_N, counts_C = np.zeros_like(group_N), np.array([counts_C.sum()])
    return pick(cost_N, group_N, counts_C, [mean for other, mean in held.items() if other != name])
