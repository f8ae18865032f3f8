import itertools
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from curate.stages.select import FrequencyBins, balance, share_out, shortage

STEADY = settings(deadline=None, derandomize=True, max_examples=200)

weights = st.one_of(st.just(0.0), st.floats(1e-3, 1e3), st.sampled_from([1.0, 1e-320, 1e-12, 1e12]))


@st.composite
def shares(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, int]:
    """Draw available counts, weights and a total."""
    available = draw(
        arrays(
            np.int64,
            st.integers(1, 6),
            elements=st.one_of(st.integers(0, 9), st.integers(0, 10**9)),
        )
    )
    weight = draw(arrays(np.float64, len(available), elements=weights))
    return available, weight, draw(st.integers(0, int(available.sum()) + 3))


# Sharing out


@STEADY
@given(shares())
def test_share_out_is_integer_and_within_available(
    case: tuple[np.ndarray, np.ndarray, int],
) -> None:
    available, weight, total = case
    share = share_out(available, weight, total)
    assert share.dtype == np.int64
    assert (share >= 0).all()
    assert (share <= available).all()
    assert share.sum() == min(total, available.sum())


@STEADY
@given(st.lists(st.integers(1, 50), min_size=1, max_size=6), st.integers(0, 1000))
def test_share_out_is_proportional_if_plenty_is_available(weight: list[int], total: int) -> None:
    share = share_out(np.full(len(weight), 10**6), np.array(weight, float), total)
    fair = total * np.array(weight) / sum(weight)
    assert (np.abs(share - fair) < 1).all()


@STEADY
@given(shares(), st.integers(1, 50))
def test_share_out_of_more_lowers_no_share_but_by_rounding(
    case: tuple[np.ndarray, np.ndarray, int], more: int
) -> None:
    available, weight, total = case
    assert (
        share_out(available, weight, total + more) >= share_out(available, weight, total) - 1
    ).all()


@STEADY
@given(shares())
def test_share_out_fills_vessels_to_one_level(case: tuple[np.ndarray, np.ndarray, int]) -> None:
    # water in vessels as wide as their weights: each is full, or at one level with the others
    available, weight, total = case
    share = share_out(available, weight, total)
    wide = weight > 1e-6
    if weight.min(initial=1.0, where=weight > 0) < 1e-6 or not wide.any():
        return
    level = np.min(
        (share[wide & (share < available)] + 1) / weight[wide & (share < available)], initial=np.inf
    )
    assert (share[wide] <= level * weight[wide] + 1 + 1e-6 * share[wide]).all()
    if share[~wide].any():  # what has no weight comes last
        assert (share[wide] == available[wide]).all()


def test_share_out_matches_hand_computed_shares() -> None:
    def of(available: list[int], weight: list[float], total: int) -> list[int]:
        return share_out(np.array(available), np.array(weight), total).tolist()

    assert of([10, 10, 10], [1, 1, 1], 9) == [3, 3, 3]
    assert of([10, 10, 10], [1, 1, 1], 10) == [4, 3, 3]  # the odd one to the first of equals
    assert of([1, 10, 10], [1, 1, 1], 9) == [
        1,
        4,
        4,
    ]  # what the first can't hold is shared by the others
    assert of([10, 10, 10], [2, 1, 1], 8) == [4, 2, 2]
    assert of([10, 10, 10], [0, 1, 1], 8) == [0, 4, 4]
    assert of([10, 2, 3], [0, 1, 1], 8) == [3, 2, 3]  # no weight, but there is nothing else left
    assert of([5, 5], [0, 0], 4) == [2, 2]
    assert of([2, 3], [1, 1], 99) == [2, 3]
    assert of([0, 0], [1, 1], 5) == [0, 0]


def test_share_out_breaks_ties_by_given_order() -> None:
    share = share_out(np.full(3, 9), np.ones(3), 4, np.array([2, 0, 1]))
    assert share.tolist() == [1, 2, 1]


# The balance


@st.composite
def pools(draw: st.DrawFn) -> tuple[np.ndarray, int, np.ndarray, np.ndarray]:
    shape = draw(st.sampled_from([(1, 1), (1, 3), (2, 2), (2, 3), (3, 2)]))
    available_CB = draw(arrays(np.int64, shape, elements=st.integers(0, 3)))
    total = draw(st.integers(0, int(available_CB.sum()) + 2))
    weights_C = draw(
        arrays(np.float64, shape[0], elements=st.sampled_from([0.0, 0.5, 1.0, 1.0, 3.0]))
    )
    weights_B = draw(arrays(np.float64, shape[1], elements=st.sampled_from([0.1, 0.2, 0.7])))
    return available_CB, total, weights_C, weights_B


@settings(STEADY, max_examples=120)
@given(pools())
def test_balance_is_nearest_of_all_choices(
    pool: tuple[np.ndarray, int, np.ndarray, np.ndarray],
) -> None:
    available_CB, wanted, weights_C, weights_B = pool
    total = min(wanted, int(available_CB.sum()))
    chosen = balance(available_CB, wanted, weights_C, weights_B)
    assert (chosen.counts_CB >= 0).all()
    assert (chosen.counts_CB <= available_CB).all()
    assert chosen.counts_CB.sum() == total

    target_C = share_out(available_CB.sum(axis=1), weights_C, total)
    target_B = share_out(available_CB.sum(axis=0), weights_B, total)
    cells = share_out(
        available_CB.ravel(), np.outer(target_C, target_B).ravel() / max(total, 1), total
    )

    def distances(counts_CB: np.ndarray) -> tuple[int, int]:
        by_category, by_bin = counts_CB.sum(axis=1) - target_C, counts_CB.sum(axis=0) - target_B
        return int(np.abs(by_category).sum() + np.abs(by_bin).sum()), int(
            np.abs(counts_CB.ravel() - cells).sum()
        )

    every = itertools.product(*(range(n + 1) for n in available_CB.ravel()))
    best = min(distances(np.reshape(x, available_CB.shape)) for x in every if sum(x) == total)
    assert distances(chosen.counts_CB) == best
    assert chosen.distance == best[0]


def test_balance_meets_both_marginals_if_possible() -> None:
    rng = np.random.default_rng(0)
    available_CB = rng.integers(60, 400, (16, 12))
    weights_B = np.exp(-0.5 * np.linspace(-2, 2, 12) ** 2)
    chosen = balance(available_CB, 4800, np.ones(16), weights_B)
    assert chosen.distance == 0
    assert chosen.counts_CB.sum(axis=1).tolist() == [300] * 16
    assert (np.abs(chosen.counts_CB.sum(axis=0) - 4800 * weights_B / weights_B.sum()) < 1).all()
    # and each category spreads over the frequencies as the whole does
    assert np.abs(chosen.counts_CB - 300 * weights_B / weights_B.sum()).mean() < 1


def test_balance_of_uneven_pool_is_deterministic() -> None:
    rng = np.random.default_rng(1)
    available_CB = (rng.pareto(0.7, (16, 12)) * 20).astype(np.int64).clip(0, 30_000)
    first, again = (balance(available_CB, 5000, np.ones(16), np.ones(12)) for _ in range(2))
    assert first.counts_CB.sum() == 5000
    assert (first.counts_CB <= available_CB).all()
    assert (first.counts_CB == again.counts_CB).all()


def test_balance_of_pool_of_papers_size_is_optimal() -> None:
    rng = np.random.default_rng(2)
    available_CB = rng.integers(0, 2_000_000, (16, 12))
    chosen = balance(available_CB, 50_000, np.ones(16), np.ones(12))
    assert chosen.distance == 0
    assert chosen.counts_CB.sum() == 50_000


@settings(STEADY, max_examples=60)
@given(pools(), st.tuples(st.integers(0, 10), st.integers(0, 10)), st.data())
def test_balance_with_pins_and_importance_is_optimal(
    pool: tuple[np.ndarray, int, np.ndarray, np.ndarray],
    importance: tuple[int, int],
    data: st.DataObject,
) -> None:
    available_CB, wanted, weights_C, weights_B = pool
    total = min(wanted, int(available_CB.sum()))
    least_CB = np.minimum(
        available_CB, data.draw(arrays(np.int64, available_CB.shape, elements=st.integers(0, 1)))
    )
    chosen = balance(
        available_CB, wanted, weights_C, weights_B, least_CB=least_CB, importance=importance
    )
    assert chosen.counts_CB.sum() == total
    assert chosen.gap == 0
    if least_CB.sum() > total:
        assert (chosen.counts_CB <= least_CB).all()
        return
    assert ((least_CB <= chosen.counts_CB) & (chosen.counts_CB <= available_CB)).all()

    def distance(counts_CB: np.ndarray) -> int:
        by_category = np.abs(counts_CB.sum(axis=1) - chosen.category_target_C).sum()
        by_bin = np.abs(counts_CB.sum(axis=0) - chosen.frequency_target_B).sum()
        return int(importance[0] * by_category + importance[1] * by_bin)

    spans = zip(least_CB.ravel(), available_CB.ravel(), strict=True)
    every = itertools.product(*(range(low, high + 1) for low, high in spans))
    best = min(distance(np.reshape(x, available_CB.shape)) for x in every if sum(x) == total)
    assert (distance(chosen.counts_CB), chosen.distance, chosen.bound) == (best, best, best)


@STEADY
@given(pools())
def test_pool_with_its_shortage_added_meets_both_targets(
    pool: tuple[np.ndarray, int, np.ndarray, np.ndarray],
) -> None:
    available_CB, wanted, weights_C, weights_B = pool
    asked_CB, missing_CB = shortage(available_CB, wanted, weights_C, weights_B)
    assert (missing_CB >= 0).all()
    assert (asked_CB - missing_CB <= available_CB).all()
    plenty = np.full(99, wanted)
    assert (
        asked_CB.sum(axis=1).tolist()
        == share_out(plenty[: len(weights_C)], weights_C, wanted).tolist()
    )
    assert (
        asked_CB.sum(axis=0).tolist()
        == share_out(plenty[: len(weights_B)], weights_B, wanted).tolist()
    )
    there = balance(available_CB + missing_CB, wanted, weights_C, weights_B)
    if weights_C.any():
        assert there.distance == 0


def test_shortage_is_minimal() -> None:
    # two categories, two bands: each category makes up for the band that the other lacks
    asked_CB, missing_CB = shortage(np.array([[9, 0], [0, 9]]), 8, np.ones(2), np.ones(2))
    assert missing_CB.sum() == 0
    assert asked_CB.tolist() == [[4, 0], [0, 4]]
    _, missing_CB = shortage(np.array([[9, 0], [9, 0]]), 8, np.ones(2), np.ones(2))
    assert missing_CB.tolist() == [[0, 2], [0, 2]]


def test_balance_of_empty_pool_is_empty() -> None:
    chosen = balance(np.zeros((3, 4), np.int64), 10, np.ones(3), np.ones(4))
    assert chosen.counts_CB.tolist() == [[0] * 4] * 3
    assert chosen.distance == 0


# Frequency bins


@STEADY
@given(
    arrays(np.float64, st.integers(0, 40), elements=st.floats(-12, 0)),
    st.integers(1, 20),
    st.one_of(st.none(), st.floats(-6, 0)),
    st.one_of(st.none(), st.floats(1e-3, 3)),
    st.one_of(st.none(), st.floats(-8, 0)),
)
def test_bins_cover_every_value_once(
    log_ratio_N: np.ndarray, bins: int, mean: float | None, std: float | None, minimum: float | None
) -> None:
    fitted = FrequencyBins.fit(log_ratio_N, bins, mean, std, minimum)
    assert len(fitted.edges) == bins - 1
    assert list(fitted.edges) == sorted(fitted.edges)
    assert len(fitted.weights) == bins
    assert all(weight >= 0 for weight in fitted.weights)
    assert sum(fitted.weights) == pytest.approx(1)
    place_N = fitted.place(log_ratio_N)
    assert ((place_N >= 0) & (place_N < bins)).all()
    assert (np.diff(place_N[np.argsort(log_ratio_N, kind="stable")]) >= 0).all()


def test_bin_weights_are_normal() -> None:
    fitted = FrequencyBins.fit(np.array([]), 6, -1.5, 0.4, None)
    normal = NormalDist(-1.5, 0.4)
    assert fitted.edges == pytest.approx(
        [-2.3, -1.9, -1.5, -1.1, -0.7]
    )  # of equal width over three deviations
    cumulated = [0, *(normal.cdf(edge) for edge in fitted.edges), 1]
    assert fitted.weights == pytest.approx(np.diff(cumulated).tolist())


def test_target_is_zero_below_minimum() -> None:
    fitted = FrequencyBins.fit(np.array([]), 2, -1.5, 0.4, -1.5)
    normal = NormalDist(-1.5, 0.4)
    assert fitted.edges == pytest.approx([-0.9])
    assert fitted.weights[0] == pytest.approx((normal.cdf(-0.9) - 0.5) / 0.5)


def test_target_is_fitted_to_pool_by_default() -> None:
    log_ratio_N = np.array([-3.0, -2.0, -1.0, -2.0])
    fitted = FrequencyBins.fit(log_ratio_N, 4, None, None, None)
    assert (fitted.mean, fitted.std) == (pytest.approx(-2), pytest.approx(0.5**0.5))
    assert FrequencyBins.fit(log_ratio_N, 4, -1.0, None, None).mean == -1
    assert FrequencyBins.fit(log_ratio_N, 4, None, 0.3, None).std == 0.3


def test_edge_belongs_to_bin_above() -> None:
    fitted = FrequencyBins.fit(np.array([]), 3, 0.0, 1.0, None)
    assert fitted.edges == pytest.approx([-1, 1])
    assert fitted.place(
        np.array([-9, fitted.edges[0] - 1e-9, fitted.edges[0], fitted.edges[1], 9])
    ).tolist() == [
        0,
        0,
        1,
        2,
        2,
    ]


def test_target_wholly_below_minimum_becomes_even() -> None:
    fitted = FrequencyBins.fit(np.array([]), 4, -9.0, 0.1, -1.0)
    assert fitted.weights == pytest.approx([0.25] * 4)
