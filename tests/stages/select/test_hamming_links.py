import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from curate.stages.select.hamming_links import components, hamming_links

STEADY = settings(deadline=None, derandomize=True, max_examples=60)
BITS = np.uint64(1) << np.arange(64, dtype=np.uint64)


def near_some(
    count: int, centres: int, flips: int, seed: int, alive: int = 64
) -> NDArray[np.uint64]:
    """Draw hashes near a few centres; only the first `alive` bits differ, as in plain pictures."""
    rng = np.random.default_rng(seed)
    hash_N = rng.integers(0, 2**63, centres, np.uint64)[rng.integers(0, centres, count)]
    for _ in range(flips):
        hash_N = hash_N ^ BITS[rng.integers(0, alive, count)]
    return hash_N


def all_pairs(hash_N: NDArray[np.uint64], radius: int) -> NDArray[np.int32]:
    near_NN = np.bitwise_count(hash_N[:, None] ^ hash_N) <= radius
    return components(np.argwhere(near_NN), len(hash_N))


@STEADY
@given(
    st.integers(0, 120), st.integers(1, 5), st.integers(0, 6), st.integers(0, 99),
    st.integers(0, 10),
    st.sampled_from([1, 8, 64]),
)  # fmt: skip
def test_components_equal_all_pairs(
    count: int, centres: int, flips: int, seed: int, radius: int, alive: int
) -> None:
    hash_N = near_some(count, centres, flips, seed, alive)
    assert (
        components(hamming_links(hash_N, radius), count).tolist()
        == all_pairs(hash_N, radius).tolist()
    )


@pytest.mark.parametrize("radius", [0, 3, 8])
@pytest.mark.parametrize("alive", [5, 14, 64])
def test_crowd_under_one_key_gives_same_components(
    monkeypatch: pytest.MonkeyPatch, radius: int, alive: int
) -> None:
    monkeypatch.setattr("curate.stages.select.hamming_links._CROWD", 5)
    monkeypatch.setattr("curate.stages.select.hamming_links._MANY_LINKS", 20)
    hash_N = near_some(150, 4, 5, 1, alive)
    assert (
        components(hamming_links(hash_N, radius), 150).tolist()
        == all_pairs(hash_N, radius).tolist()
    )


def test_crowd_of_plain_pictures_needs_few_links() -> None:
    """20,000 hashes that differ in 15 bits of 64: as pairs they would be 200 million."""
    hash_N = np.unique(near_some(40_000, 1, 15, 0, alive=15))
    assert len(hash_N) > 10_000
    links = hamming_links(hash_N, 4)
    assert len(links) < len(hash_N)
    assert len(set(components(links, len(hash_N)))) == 1


def test_links_join_only_near_hashes() -> None:
    far = np.array([0, 0xFF, 0xFF00, 0xFF0000], np.uint64)
    assert len(hamming_links(far, 7)) == 0
    assert len(set(components(hamming_links(far, 8), 4).tolist())) == 1


def test_components_do_not_depend_on_partitions() -> None:
    hash_N = near_some(600, 80, 3, 2)
    one, many = (components(hamming_links(hash_N, 4, rows), 600) for rows in (10**6, 500))
    assert one.tolist() == many.tolist() == all_pairs(hash_N, 4).tolist()
