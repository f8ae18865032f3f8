import hashlib
import json
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import Reason
from curate.manifest import CATEGORIES, LEDGER
from curate.recipe import Filters, Frequency, Select, TestSplit
from curate.select import needed_columns, select
from curate.select.selection import Selection

STEADY = settings(deadline=None, derandomize=True, max_examples=40)
NO_TEST = TestSplit(per_category=0, overrides={})
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("reason", pa.string()),
        ("sha256", pa.string()),
        ("category", pa.string()),
        ("hf_ratio_032", pa.float64()),
        ("pixel_sha256", pa.string()),
        ("phash", pa.uint64()),
        ("pixels", pa.int64()),
        ("bpp", pa.float64()),
        ("contaminated_by", pa.string()),
    ]
)


def pool(count: int, seed: int = 0, *, rejected: float = 0.2, twins: int = 0, categories: int = 16) -> pa.Table:
    """Measured candidates: some rejected before, some with the same bytes as another."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        out = rng.random() < rejected
        rows.append(
            {
                "id": hashlib.sha256(f"{seed} {number}".encode()).hexdigest()[:16],
                "reason": Reason.LOW_TEXTURE.value if out else None,
                "sha256": f"{int(rng.integers(count // 2 + 1)) if number < twins else count + number:064x}",
                "category": None if out else CATEGORIES[int(rng.zipf(1.5)) % categories],
                "hf_ratio_032": None if out else float(10 ** rng.normal(-1.7, 0.5)),
            }
        )
    return pa.Table.from_pylist(rows, SCHEMA)


def choose(rows: pa.Table, config: Select, *, seed: int = 0, filters: Filters | None = None) -> Selection:
    return select(rows, config, filters or Filters(), CATEGORIES, seed)


def decided(selection: Selection) -> dict[str, dict]:
    return {row["id"]: row for row in selection.decisions.to_pylist()}


def kept(selection: Selection, split: str) -> set[str]:
    return {row["id"] for row in selection.decisions.to_pylist() if row["split"] == split}


@STEADY
@given(st.integers(0, 120), st.integers(0, 99), st.integers(1, 80), st.integers(0, 60), st.floats(0, 1))
def test_every_row_is_decided_once(count: int, seed: int, train: int, twins: int, max_share: float) -> None:
    rows = pool(count, seed, twins=twins)
    config = Select(train=train, test=TestSplit(per_category=3, overrides={"Food": 1}, max_share=max_share))
    selection = choose(rows, config, seed=seed)
    decisions = selection.decisions
    assert decisions["id"].to_pylist() == rows["id"].to_pylist()
    types = {column.name: column.type for column in LEDGER}
    assert all(decisions.schema.field(name).type == types[name] for name in decisions.column_names)
    for before, after in zip(rows.to_pylist(), decisions.to_pylist(), strict=True):
        assert (after["status"] == "kept") == (after["split"] in ("train", "test")) == (after["reason"] is None)
        assert after["reason"] is None or after["reason"] in set(Reason)
        if before["reason"]:
            assert (after["reason"], after["frequency_bin"]) == (before["reason"], None)
        else:
            assert after["reason"] in (None, Reason.DUPLICATE, Reason.SURPLUS)
            assert (after["frequency_bin"] is None) == (after["reason"] == Reason.DUPLICATE)
    in_pool = sum(row["frequency_bin"] is not None for row in decisions.to_pylist())
    summary = selection.summary
    assert summary["pool"] == in_pool
    assert summary["train"]["taken"] == len(kept(selection, "train")) == min(train, in_pool - summary["test"]["taken"])
    assert summary["test"]["taken"] == len(kept(selection, "test"))


@STEADY
@given(st.integers(0, 99), st.randoms(use_true_random=False), st.integers(1, 50))
def test_the_order_of_rows_decides_nothing(seed: int, random: object, cut: int) -> None:
    rows = pool(120, seed, twins=40)
    config = Select(train=30, test=TestSplit(per_category=2, overrides={}, max_share=0.3))
    order = list(range(len(rows)))
    random.shuffle(order)
    shuffled = rows.take(order)
    chunked = pa.concat_tables([shuffled.slice(i, cut) for i in range(0, len(rows), cut)])
    first, second = choose(rows, config), choose(chunked, config)
    assert decided(first) == decided(second)
    assert first.summary == second.summary


def test_the_same_twice_and_another_by_another_seed() -> None:
    rows = pool(400)
    config = Select(train=100, test=TestSplit(per_category=3, max_share=0.5))
    first, again, other = choose(rows, config), choose(rows, config), choose(rows, config, seed=1)
    assert first.decisions.equals(again.decisions)
    for split in ("train", "test"):
        assert kept(first, split) != kept(other, split)
        assert len(kept(first, split)) == len(kept(other, split))


def test_the_training_split_alone_follows_the_seed_too() -> None:
    first, other = (choose(pool(400), Select(train=100, test=NO_TEST), seed=seed) for seed in (0, 1))
    assert first.summary == other.summary
    assert kept(first, "train") != kept(other, "train")


def test_of_equal_bytes_the_smallest_id_stays() -> None:
    rows = pa.Table.from_pylist(
        [
            {"id": "c" * 16, "reason": None, "sha256": "1" * 64, "category": "Food", "hf_ratio_032": 0.02},
            {"id": "a" * 16, "reason": None, "sha256": "1" * 64, "category": "Food", "hf_ratio_032": 0.02},
            {"id": "b" * 16, "reason": None, "sha256": "2" * 64, "category": "Food", "hf_ratio_032": 0.02},
            {"id": "d" * 16, "reason": None, "sha256": "1" * 64, "category": "Food", "hf_ratio_032": 0.02},
            # rejected before: neither a duplicate nor preferred to one that is good
            {"id": "0" * 16, "reason": "low_texture", "sha256": "1" * 64, "category": None, "hf_ratio_032": None},
        ],
        SCHEMA,
    )
    found = decided(choose(rows, Select(train=9, test=NO_TEST)))
    assert {id_[0]: (row["reason"], row["dup_cluster"]) for id_, row in found.items()} == {
        "a": (None, "a" * 16),
        "b": (None, None),
        "c": (Reason.DUPLICATE, "a" * 16),
        "d": (Reason.DUPLICATE, "a" * 16),
        "0": (Reason.LOW_TEXTURE, None),
    }


def test_a_cluster_goes_as_a_whole_if_one_of_it_shows_a_benchmark() -> None:
    rows = [
        {"id": f"{n:016x}", "reason": None, "sha256": f"{n // 2:064x}", "category": "Food", "hf_ratio_032": 0.02}
        for n in range(6)
    ]
    rows[1] |= {"contaminated_by": "Set5/bird"}  # the duplicate that would have gone
    rows[2] |= {"contaminated_by": "Set5/head", "pixels": 9}
    rows[3] |= {"contaminated_by": "Set5/baby"}
    found = decided(choose(pa.Table.from_pylist(rows, SCHEMA), Select(train=9, test=NO_TEST)))
    assert [(row["reason"], row["contaminated_by"], row["dup_cluster"]) for row in found.values()] == [
        (Reason.CONTAMINATED, "Set5/bird", f"{0:016x}"),
        (Reason.CONTAMINATED, "Set5/bird", f"{0:016x}"),
        (Reason.CONTAMINATED, "Set5/baby", f"{2:016x}"),
        (Reason.CONTAMINATED, "Set5/baby", f"{2:016x}"),
        (None, None, f"{4:016x}"),
        (Reason.DUPLICATE, None, f"{4:016x}"),
    ]


def test_no_bytes_are_in_both_splits() -> None:
    rows = pool(300, twins=300)
    selection = choose(rows, Select(train=100, test=TestSplit(per_category=5, max_share=0.5)))
    digest = dict(zip(rows["id"].to_pylist(), rows["sha256"].to_pylist(), strict=True))
    everything = [digest[id_] for split in ("train", "test") for id_ in kept(selection, split)]
    assert len(everything) == len(set(everything))


def test_the_benchmark_takes_its_quota_of_named_categories() -> None:
    rows = pool(3000, rejected=0)
    there = Counter(rows["category"].to_pylist())
    config = Select(train=500, test=TestSplit(per_category=20, overrides={"Text Scene": 7}, max_share=0.25))
    selection = choose(rows, config)
    category = dict(zip(rows["id"].to_pylist(), rows["category"].to_pylist(), strict=True))
    taken = Counter(category[id_] for id_ in kept(selection, "test"))
    for name in CATEGORIES:
        wanted = 7 if name == "Text Scene" else 0 if name.endswith("others") else 20
        assert taken[name] == min(wanted, there[name] // 4), name
    assert selection.summary["test"]["wanted"] == 12 * 20 + 7


def test_the_papers_benchmark_has_1250_images() -> None:
    assert sum(TestSplit().quota(name) for name in CATEGORIES) == 1250
    assert TestSplit().quota("a category of the user's own") == 100


def test_the_benchmark_spreads_over_frequencies() -> None:
    rows = pool(4000, rejected=0, categories=1)
    selection = choose(rows, Select(train=1, test=TestSplit(per_category=48, overrides={}, max_share=1)))
    there, taken = (
        Counter(
            row["frequency_bin"] for row in selection.decisions.to_pylist() if split is None or row["split"] == split
        )
        for split in (None, "test")
    )
    few = sum(min(4, there[bin_]) for bin_ in range(12))
    assert all(taken[bin_] >= min(4, there[bin_]) for bin_ in range(12))
    assert sum(taken.values()) == 48 >= few


def test_categories_come_out_even_where_there_are_enough() -> None:
    rng = np.random.default_rng(0)
    rows = pa.Table.from_pylist(
        [
            {
                "id": f"{n:016x}",
                "reason": None,
                "sha256": f"{n:064x}",
                "category": CATEGORIES[n % 16] if n % 3 else CATEGORIES[0],
                "hf_ratio_032": float(10 ** rng.normal(-1.7, 0.4)),
            }
            for n in range(4000)
        ],
        SCHEMA,
    )
    selection = choose(rows, Select(train=320, test=NO_TEST))
    assert selection.summary["category_taken"] == selection.summary["category_target"] == [20] * 16
    assert selection.summary["frequency_taken"] == selection.summary["frequency_target"]
    assert selection.summary["distance"] == 0
    middle, edge = selection.summary["frequency_taken"][5:7], selection.summary["frequency_taken"][::11]
    assert min(middle) > 5 * max(edge)


def test_weights_turn_the_balance() -> None:
    rows = pool(2000, rejected=0, categories=3)
    weights = {CATEGORIES[0]: 0.0, CATEGORIES[1]: 3.0}
    selection = choose(rows, Select(train=100, test=NO_TEST, category_weights=weights))
    assert selection.summary["category_taken"][:3] == [0, 75, 25]


def test_fewer_than_wanted_are_all_taken() -> None:
    rows = pool(50, rejected=0)
    selection = choose(rows, Select(train=1000, test=NO_TEST))
    assert len(kept(selection, "train")) == 50
    assert selection.summary["train"] == {"wanted": 1000, "taken": 50}


@pytest.mark.parametrize("rows", [pool(0), pool(9, rejected=1.1)], ids=["no rows", "none left"])
def test_an_empty_pool_is_no_error(rows: pa.Table) -> None:
    selection = choose(rows, Select(train=5))
    assert len(selection.decisions) == len(rows)
    assert set(selection.decisions["status"].to_pylist()) <= {"rejected"}
    assert selection.summary["pool"] == 0
    json.dumps(selection.summary, allow_nan=False)


def test_images_without_any_high_frequency_have_a_place() -> None:
    rows = [
        {"id": f"{n:016x}", "reason": None, "sha256": f"{n:064x}", "category": "Food", "hf_ratio_032": ratio}
        for n, ratio in enumerate([0.0, None, 1e-300, 1e-6, 0.02, 1.0])
    ]
    selection = choose(pa.Table.from_pylist(rows, SCHEMA), Select(train=9, test=NO_TEST))
    assert set(selection.decisions["status"].to_pylist()) == {"kept"}
    bins = selection.decisions["frequency_bin"].to_pylist()
    assert bins == sorted(bins)
    json.dumps(selection.summary, allow_nan=False)


def test_images_that_are_all_alike_have_a_place() -> None:
    rows = [
        {"id": f"{n:016x}", "reason": None, "sha256": f"{n:064x}", "category": "Food", "hf_ratio_032": 0.02}
        for n in range(9)
    ]
    selection = choose(pa.Table.from_pylist(rows, SCHEMA), Select(train=4, test=NO_TEST))
    assert selection.summary["train"]["taken"] == 4


@pytest.mark.parametrize("minimum", [-1.0, 0.0, 0.005])
def test_any_minimum_of_the_filters_will_do(minimum: float) -> None:
    selection = choose(pool(60), Select(train=20, test=NO_TEST), filters=Filters(min={"hf_ratio_032": minimum}))
    assert selection.summary["train"]["taken"] == 20


def test_another_measure_can_be_balanced() -> None:
    config = Select(train=20, test=NO_TEST, frequency=Frequency(column="pixels", bins=3))
    assert needed_columns(config).count("pixels") == 1
    rows = pool(90, rejected=0).drop_columns(["hf_ratio_032", "pixels"])
    rows = rows.append_column("pixels", pa.array([10**6 + n * 10**5 for n in range(90)], pa.int64()))
    selection = choose(rows, config)
    assert selection.summary["train"]["taken"] == 20
    assert len(selection.summary["frequency_taken"]) == 3


def test_rejected_rows_do_not_sway_the_rest() -> None:
    rows = pool(200, rejected=0)
    config = Select(train=60, test=TestSplit(per_category=2, max_share=0.2))
    more = pa.concat_tables([rows, pool(100, seed=9, rejected=1.1)])
    alone, among = decided(choose(rows, config)), decided(choose(more, config))
    assert {id_: among[id_] for id_ in alone} == alone
