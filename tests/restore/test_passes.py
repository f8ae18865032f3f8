"""Order of samples over passes: every one once, and those of one image apart."""

from __future__ import annotations

import numpy as np
import pytest

from curate.restore.data.passes import SPREAD, Passes


def visits_of(passes: Passes, sizes: list[int], pass_: int) -> np.ndarray:
    """The visit of each sample of a pass, in order."""
    visit_N = np.repeat(np.arange(len(sizes)), sizes)
    numbers = range(pass_ * len(passes), (pass_ + 1) * len(passes))
    return visit_N[[passes.entry(number) for number in numbers]]


@pytest.mark.parametrize("sizes", [[1] * 9, [4] * 300, [3, 1, 7] * 50, [5], [2] * SPREAD])
def test_pass_holds_every_sample_once(sizes: list[int]) -> None:
    passes = Passes(sizes, seed=3)
    assert len(passes) == sum(sizes)
    for pass_ in (0, 4, 1):
        numbers = range(pass_ * len(passes), (pass_ + 1) * len(passes))
        assert sorted(map(passes.entry, numbers)) == list(range(sum(sizes)))
    seen = {tuple(visits_of(passes, sizes, pass_)) for pass_ in range(3)}
    assert len(seen) == (3 if len(sizes) > 1 else 1), "each pass has an order of its own"


def test_siblings_are_the_samples_of_one_visit() -> None:
    sizes = [3, 1, 7] * 50
    passes = Passes(sizes, seed=3)
    visit_N = visits_of(passes, sizes, 2)
    for number in (0, 17, 549):
        whole = 2 * len(passes) + number
        places = np.flatnonzero(visit_N == visit_N[number])
        assert passes.siblings(whole) == (2 * len(passes) + places).tolist()


@pytest.mark.parametrize("size", [2, 4, 16])
def test_samples_of_one_visit_lie_as_many_visits_apart_as_are_mixed(size: int) -> None:
    sizes = [size] * 1000
    visit_N = visits_of(Passes(sizes, seed=0), sizes, 0)
    places = np.argsort(visit_N, kind="stable").reshape(1000, size)
    assert np.ptp(places, axis=1).max() <= 2 * SPREAD * size, "no sample waits for long"
    assert np.diff(places, axis=1).min() >= SPREAD // 2, "a batch of 32 holds no image twice"
    inner = places[(places[:, 0] > SPREAD * size) & (places[:, -1] < (1000 - SPREAD) * size)]
    assert np.diff(inner, axis=1).min() >= SPREAD - 1


def test_few_visits_come_in_rounds() -> None:
    visit_N = visits_of(Passes([3] * 10, seed=0), [3] * 10, 0)
    rounds = visit_N.reshape(3, 10)
    assert all(np.array_equal(one, rounds[0]) for one in rounds)
