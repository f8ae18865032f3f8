"""The integer programme of subsets, held against every choice that there is."""

from itertools import combinations

import numpy as np
import pytest

from curate.stages.select.subset import MeanBetween, pick


def best_of_all(cost_N, group_N, counts_G, means, must_N) -> float | None:
    """The least cost, by trying all."""
    best = None
    for rows in combinations(range(len(cost_N)), int(counts_G.sum())):
        chosen = list(rows)
        if (np.bincount(group_N[chosen], minlength=len(counts_G)) != counts_G).any():
            continue
        if must_N is not None and not set(np.flatnonzero(must_N)) <= set(chosen):
            continue
        if all(m.low <= m.values_N[chosen].mean() <= m.high for m in means):
            cost = float(cost_N[chosen].sum())
            best = cost if best is None else min(best, cost)
    return best


@pytest.mark.parametrize("seed", range(12))
def test_pick_is_never_dearer_than_any_choice(seed: int) -> None:
    rng = np.random.default_rng(seed)
    group_N = rng.integers(0, 3, 12)
    counts_G = np.minimum(np.bincount(group_N, minlength=3), [2, 1, 2])
    cost_N = rng.random(12)
    means = [
        MeanBetween(values, 0.8 * (mean := values.mean()), 1.1 * mean)
        for values in rng.lognormal(0, 0.5, (2, 12))
    ]
    must_N = None
    if seed % 3 == 0:
        must_N = np.zeros(12, bool)
        must_N[np.flatnonzero(group_N == 0)[:1]] = True
    expected = best_of_all(cost_N, group_N, counts_G, means, must_N)
    found = pick(cost_N, group_N, counts_G, means, must_N)
    assert (found is None) == (expected is None)
    if found is not None:
        assert expected is not None
        assert found.bound - 1e-9 <= expected <= found.cost + 1e-9
        assert found.cost <= expected * (1 + 1e-3)
        assert (np.bincount(group_N[found.row_N], minlength=3) == counts_G).all()
        assert all(m.low - 1e-6 <= m.values_N[found.row_N].mean() <= m.high + 1e-6 for m in means)
        assert must_N is None or must_N[found.row_N].sum() == must_N.sum()


def test_pick_cases_include_feasible_and_infeasible_ones() -> None:
    """Or the test above would say little."""
    cost_N, group_N = np.arange(4.0), np.zeros(4, np.int64)
    values_N = np.array([1.0, 2.0, 3.0, 10.0])
    two = np.array([2])
    assert pick(cost_N, group_N, two, [MeanBetween(values_N, 6.2, 7)]).row_N.tolist() == [2, 3]
    assert pick(cost_N, group_N, two, [MeanBetween(values_N, 6.6, 7)]) is None
    assert pick(cost_N, group_N, np.array([5])) is None
    assert pick(cost_N, group_N, two, [], np.array([False, False, False, True])).row_N.tolist() == [
        0,
        3,
    ]


def test_pick_without_integer_solution_is_none() -> None:
    """Half of each has the mean; no whole row does."""
    assert (
        pick(
            np.ones(2),
            np.zeros(2, np.int64),
            np.array([1]),
            [MeanBetween(np.array([0.0, 2.0]), 0.9, 1.1)],
        )
        is None
    )


def test_pick_from_large_pool_is_near_its_bound() -> None:
    rng = np.random.default_rng(0)
    count = 30_000
    group_N = rng.integers(0, 16, count)
    values = rng.lognormal(-4, 1, count), rng.lognormal(1, 0.5, count)
    low = MeanBetween(values[0], 0.0075, 0.0078)
    held = MeanBetween(values[1], 0.98 * values[1].mean(), 1.02 * values[1].mean())
    found = pick(rng.random(count), group_N, np.full(16, 50), [low, held])
    assert found is not None
    assert found.bound <= found.cost <= found.bound * 1.001
    assert len(np.unique(found.row_N)) == 800


def test_pick_does_not_depend_on_row_order() -> None:
    rng = np.random.default_rng(4)
    cost_N, group_N, values_N = rng.random(200), rng.integers(0, 4, 200), rng.lognormal(0, 1, 200)
    counts_G = np.full(4, 10)
    order = rng.permutation(200)
    first = pick(cost_N, group_N, counts_G, [MeanBetween(values_N, 0.5, 0.6)])
    other = pick(cost_N[order], group_N[order], counts_G, [MeanBetween(values_N[order], 0.5, 0.6)])
    assert first is not None and other is not None
    assert sorted(order[other.row_N].tolist()) == first.row_N.tolist()
