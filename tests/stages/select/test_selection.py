import hashlib
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import InputError, Reason
from curate.manifest import CATEGORIES, LEDGER
from curate.recipe import Dedup, Filters, Frequency, Select, TestSplit
from curate.stages.select import needed_columns, read_pins, select, shopping_csv
from curate.stages.select.selection import Selection

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


def pool(
    count: int, seed: int = 0, *, rejected: float = 0.2, twins: int = 0, categories: int = 16
) -> pa.Table:
    """Measured candidates: some rejected before, some with the same bytes as another."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        out = rng.random() < rejected
        twin = number < twins
        rows.append(
            {
                "id": hashlib.sha256(f"{seed} {number}".encode()).hexdigest()[:16],
                "reason": Reason.LOW_TEXTURE.value if out else None,
                "sha256": f"{int(rng.integers(count // 2 + 1)) if twin else count + number:064x}",
                "category": None if out else CATEGORIES[int(rng.zipf(1.5)) % categories],
                "hf_ratio_032": None if out else float(10 ** rng.normal(-1.7, 0.5)),
            }
        )
    return pa.Table.from_pylist(rows, SCHEMA)


def choose(
    rows: pa.Table, config: Select, *, seed: int = 0, filters: Filters | None = None
) -> Selection:
    return select(rows, config, filters or Filters(), CATEGORIES, seed)


def decided(selection: Selection) -> dict[str, dict]:
    return {row["id"]: row for row in selection.decisions.to_pylist()}


def kept(selection: Selection, split: str) -> set[str]:
    return {row["id"] for row in selection.decisions.to_pylist() if row["split"] == split}


@STEADY
@given(
    st.integers(0, 120), st.integers(0, 99), st.integers(1, 80), st.integers(0, 60), st.floats(0, 1)
)
def test_select_decides_every_row_once(
    count: int, seed: int, train: int, twins: int, max_share: float
) -> None:
    rows = pool(count, seed, twins=twins)
    config = Select(
        train=train, test=TestSplit(per_category=3, overrides={"Food": 1}, max_share=max_share)
    )
    selection = choose(rows, config, seed=seed)
    decisions = selection.decisions
    assert decisions["id"].to_pylist() == rows["id"].to_pylist()
    types = {column.name: column.type for column in LEDGER}
    assert all(decisions.schema.field(name).type == types[name] for name in decisions.column_names)
    for before, after in zip(rows.to_pylist(), decisions.to_pylist(), strict=True):
        assert (
            (after["status"] == "kept")
            == (after["split"] in ("train", "test"))
            == (after["reason"] is None)
        )
        assert after["reason"] is None or after["reason"] in set(Reason)
        if before["reason"]:
            assert (after["reason"], after["frequency_bin"]) == (before["reason"], None)
        else:
            assert after["reason"] in (None, Reason.DUPLICATE, Reason.SURPLUS)
            assert (after["frequency_bin"] is None) == (after["reason"] == Reason.DUPLICATE)
    in_pool = sum(row["frequency_bin"] is not None for row in decisions.to_pylist())
    summary = selection.summary
    assert summary["pool"] == in_pool
    assert (
        summary["train"]["taken"]
        == len(kept(selection, "train"))
        == min(train, in_pool - summary["test"]["taken"])
    )
    assert summary["test"]["taken"] == len(kept(selection, "test"))


@STEADY
@given(st.integers(0, 99), st.randoms(use_true_random=False), st.integers(1, 50))
def test_select_does_not_depend_on_row_order(seed: int, random: object, cut: int) -> None:
    rows = pool(120, seed, twins=40)
    config = Select(train=30, test=TestSplit(per_category=2, overrides={}, max_share=0.3))
    order = list(range(len(rows)))
    random.shuffle(order)
    shuffled = rows.take(order)
    chunked = pa.concat_tables([shuffled.slice(i, cut) for i in range(0, len(rows), cut)])
    first, second = choose(rows, config), choose(chunked, config)
    assert decided(first) == decided(second)
    assert first.summary == second.summary


def test_select_is_seeded() -> None:
    rows = pool(400)
    config = Select(train=100, test=TestSplit(per_category=3, max_share=0.5))
    first, again, other = choose(rows, config), choose(rows, config), choose(rows, config, seed=1)
    assert first.decisions.equals(again.decisions)
    for split in ("train", "test"):
        assert kept(first, split) != kept(other, split)
        assert len(kept(first, split)) == len(kept(other, split))


def test_training_split_without_benchmark_follows_seed() -> None:
    first, other = (
        choose(pool(400), Select(train=100, test=NO_TEST), seed=seed) for seed in (0, 1)
    )
    assert first.summary | {"shape": None} == other.summary | {
        "shape": None
    }  # of which images, not of how many
    assert kept(first, "train") != kept(other, "train")


def test_smallest_id_of_equal_bytes_stays() -> None:
    rows = pa.Table.from_pylist(
        [
            {
                "id": "c" * 16,
                "reason": None,
                "sha256": "1" * 64,
                "category": "Food",
                "hf_ratio_032": 0.02,
            },
            {
                "id": "a" * 16,
                "reason": None,
                "sha256": "1" * 64,
                "category": "Food",
                "hf_ratio_032": 0.02,
            },
            {
                "id": "b" * 16,
                "reason": None,
                "sha256": "2" * 64,
                "category": "Food",
                "hf_ratio_032": 0.02,
            },
            {
                "id": "d" * 16,
                "reason": None,
                "sha256": "1" * 64,
                "category": "Food",
                "hf_ratio_032": 0.02,
            },
            # rejected before: neither a duplicate nor preferred to one that is good
            {
                "id": "0" * 16,
                "reason": "low_texture",
                "sha256": "1" * 64,
                "category": None,
                "hf_ratio_032": None,
            },
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


def test_cluster_with_contaminated_image_is_rejected() -> None:
    rows = [
        {
            "id": f"{n:016x}",
            "reason": None,
            "sha256": f"{n // 2:064x}",
            "category": "Food",
            "hf_ratio_032": 0.02,
        }
        for n in range(6)
    ]
    rows[1] |= {"contaminated_by": "Set5/bird"}  # the duplicate that would have gone
    rows[2] |= {"contaminated_by": "Set5/head", "pixels": 9}
    rows[3] |= {"contaminated_by": "Set5/baby"}
    found = decided(choose(pa.Table.from_pylist(rows, SCHEMA), Select(train=9, test=NO_TEST)))
    assert [
        (row["reason"], row["contaminated_by"], row["dup_cluster"]) for row in found.values()
    ] == [
        (Reason.CONTAMINATED, "Set5/bird", f"{0:016x}"),
        (Reason.CONTAMINATED, "Set5/bird", f"{0:016x}"),
        (Reason.CONTAMINATED, "Set5/baby", f"{2:016x}"),
        (Reason.CONTAMINATED, "Set5/baby", f"{2:016x}"),
        (None, None, f"{4:016x}"),
        (Reason.DUPLICATE, None, f"{4:016x}"),
    ]


def test_splits_share_no_bytes() -> None:
    rows = pool(300, twins=300)
    selection = choose(rows, Select(train=100, test=TestSplit(per_category=5, max_share=0.5)))
    digest = dict(zip(rows["id"].to_pylist(), rows["sha256"].to_pylist(), strict=True))
    everything = [digest[id_] for split in ("train", "test") for id_ in kept(selection, split)]
    assert len(everything) == len(set(everything))


@STEADY
@given(st.integers(0, 99), st.integers(0, 6), st.booleans())
def test_splits_share_no_cluster(seed: int, radius: int, pinned: bool) -> None:
    """Not even one in each split where pins want it; compared with all pairs and their chains."""
    rng = np.random.default_rng(seed)
    originals = rng.integers(0, 2**64, 99, dtype=np.uint64)
    originals = originals[np.bitwise_count(originals) > 20]  # plain ones would tell nothing
    flips = [
        int(rng.integers(2**64, dtype=np.uint64))
        if rng.random() < 0.3
        else 1 << int(rng.integers(64))
        for _ in range(60)
    ]
    hashes = [int(originals[n % 12]) ^ (flip if n >= 12 else 0) for n, flip in enumerate(flips)]
    rows = pool(60, seed, rejected=0, categories=3)
    rows = rows.set_column(rows.column_names.index("phash"), "phash", pa.array(hashes, pa.uint64()))
    ids = rows["id"].to_pylist()
    pins = {id_: ("train", "test")[n % 2] for n, id_ in enumerate(ids[:24])} if pinned else {}
    config = Select(
        train=20,
        test=TestSplit(per_category=4, overrides={}, max_share=0.5),
        dedup=Dedup(perceptual=radius, mirrored=False),
    )
    selection = select(rows, config, Filters(), CATEGORIES, seed, pins=pins)
    split = dict(zip(ids, selection.decisions["split"].to_pylist(), strict=True))
    clusters: list[set[int]] = []
    for n in range(60):
        near = [
            c for c in clusters if any((hashes[n] ^ hashes[m]).bit_count() <= radius for m in c)
        ]
        clusters = [c for c in clusters if c not in near] + [{n}.union(*near)]
    taken = [[split[ids[n]] for n in cluster if split[ids[n]]] for cluster in clusters]
    assert max(map(len, taken)) == 1
    assert {name for names in taken for name in names} == {"train", "test"}


def test_benchmark_takes_quota_of_named_categories() -> None:
    rows = pool(3000, rejected=0)
    there = Counter(rows["category"].to_pylist())
    config = Select(
        train=500, test=TestSplit(per_category=20, overrides={"Text Scene": 7}, max_share=0.25)
    )
    selection = choose(rows, config)
    category = dict(zip(rows["id"].to_pylist(), rows["category"].to_pylist(), strict=True))
    taken = Counter(category[id_] for id_ in kept(selection, "test"))
    for name in CATEGORIES:
        wanted = 7 if name == "Text Scene" else 0 if name.endswith("others") else 20
        assert taken[name] == min(wanted, there[name] // 4), name
    assert selection.summary["test"]["wanted"] == 12 * 20 + 7


def test_benchmark_of_paper_has_1250_images() -> None:
    assert sum(TestSplit().quota(name) for name in CATEGORIES) == 1250
    assert TestSplit().quota("a category of the user's own") == 100


def test_benchmark_spreads_over_frequency_bins() -> None:
    rows = pool(4000, rejected=0, categories=1)
    selection = choose(
        rows, Select(train=1, test=TestSplit(per_category=48, overrides={}, max_share=1))
    )
    there, taken = (
        Counter(
            row["frequency_bin"]
            for row in selection.decisions.to_pylist()
            if split is None or row["split"] == split
        )
        for split in (None, "test")
    )
    few = sum(min(4, there[bin_]) for bin_ in range(12))
    assert all(taken[bin_] >= min(4, there[bin_]) for bin_ in range(12))
    assert sum(taken.values()) == 48 >= few


def test_training_categories_are_even_if_pool_suffices() -> None:
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
    middle, edge = (
        selection.summary["frequency_taken"][5:7],
        selection.summary["frequency_taken"][::11],
    )
    assert min(middle) > 5 * max(edge)


def test_category_weights_change_balance() -> None:
    rows = pool(2000, rejected=0, categories=3)
    weights = {CATEGORIES[0]: 0.0, CATEGORIES[1]: 3.0}
    selection = choose(rows, Select(train=100, test=NO_TEST, category_weights=weights))
    assert selection.summary["category_taken"][:3] == [0, 75, 25]


def test_pool_smaller_than_wanted_is_taken_whole() -> None:
    rows = pool(50, rejected=0)
    selection = choose(rows, Select(train=1000, test=NO_TEST))
    assert len(kept(selection, "train")) == 50
    assert selection.summary["train"] == {"wanted": 1000, "taken": 50}


@pytest.mark.parametrize("rows", [pool(0), pool(9, rejected=1.1)], ids=["no rows", "none left"])
def test_select_from_empty_pool_is_empty(rows: pa.Table) -> None:
    selection = choose(rows, Select(train=5))
    assert len(selection.decisions) == len(rows)
    assert set(selection.decisions["status"].to_pylist()) <= {"rejected"}
    assert selection.summary["pool"] == 0
    json.dumps(selection.summary, allow_nan=False)


def test_images_without_high_frequencies_can_be_selected() -> None:
    rows = [
        {
            "id": f"{n:016x}",
            "reason": None,
            "sha256": f"{n:064x}",
            "category": "Food",
            "hf_ratio_032": ratio,
        }
        for n, ratio in enumerate([0.0, None, 1e-300, 1e-6, 0.02, 1.0])
    ]
    selection = choose(pa.Table.from_pylist(rows, SCHEMA), Select(train=9, test=NO_TEST))
    assert set(selection.decisions["status"].to_pylist()) == {"kept"}
    bins = selection.decisions["frequency_bin"].to_pylist()
    assert bins == sorted(bins)
    json.dumps(selection.summary, allow_nan=False)


def test_images_with_equal_ratios_can_be_selected() -> None:
    rows = [
        {
            "id": f"{n:016x}",
            "reason": None,
            "sha256": f"{n:064x}",
            "category": "Food",
            "hf_ratio_032": 0.02,
        }
        for n in range(9)
    ]
    selection = choose(pa.Table.from_pylist(rows, SCHEMA), Select(train=4, test=NO_TEST))
    assert selection.summary["train"]["taken"] == 4


@pytest.mark.parametrize("minimum", [-1.0, 0.0, 0.005])
def test_select_accepts_any_filter_minimum(minimum: float) -> None:
    selection = choose(
        pool(60), Select(train=20, test=NO_TEST), filters=Filters(min={"hf_ratio_032": minimum})
    )
    assert selection.summary["train"]["taken"] == 20


def test_select_balances_another_column() -> None:
    config = Select(train=20, test=NO_TEST, frequency=Frequency(column="pixels", bins=3))
    assert needed_columns(config).count("pixels") == 1
    rows = pool(90, rejected=0).drop_columns(["hf_ratio_032", "pixels"])
    rows = rows.append_column(
        "pixels", pa.array([10**6 + n * 10**5 for n in range(90)], pa.int64())
    )
    selection = choose(rows, config)
    assert selection.summary["train"]["taken"] == 20
    assert len(selection.summary["frequency_taken"]) == 3


def test_rejected_rows_do_not_change_selection() -> None:
    rows = pool(200, rejected=0)
    config = Select(train=60, test=TestSplit(per_category=2, max_share=0.2))
    more = pa.concat_tables([rows, pool(100, seed=9, rejected=1.1)])
    alone, among = decided(choose(rows, config)), decided(choose(more, config))
    assert {id_: among[id_] for id_ in alone} == alone


# The order within a cell, and what new candidates change


def ranked(rows: pa.Table, prefer: str | None) -> list[tuple[float, str]]:
    selection = choose(
        rows, Select(train=20, test=NO_TEST, frequency=Frequency(bins=1), prefer=prefer)
    )
    ids = kept(selection, "train")
    return [(r["label_margin"], r["id"]) for r in rows.to_pylist() if r["id"] in ids]


def test_prefer_ranks_images_of_cell() -> None:
    rows = pool(200, rejected=0, categories=1)
    values = [None, *np.random.default_rng(3).permutation(199).astype(float)]
    rows = rows.append_column("label_margin", pa.array(values, pa.float64()))
    assert sorted(value for value, _ in ranked(rows, "label_margin")) == list(range(179, 199))
    assert sorted(value for value, _ in ranked(rows, "-label_margin")) == list(range(20))
    assert needed_columns(Select(prefer="-label_margin"))[-1] == "label_margin"


def test_equal_preferred_values_go_by_hash() -> None:
    rows = pool(200, rejected=0, categories=1).append_column("label_margin", pa.array([1.0] * 200))
    assert ranked(rows, "label_margin") == ranked(rows, None)
    assert {id_ for _, id_ in ranked(rows, "label_margin")} != set(
        sorted(rows["id"].to_pylist())[:20]
    )


@STEADY
@given(
    st.integers(0, 99),
    st.integers(0, 60),
    st.integers(1, 60),
    st.sampled_from([None, "hf_ratio_032"]),
)
def test_new_candidates_change_only_necessary_picks(
    seed: int, more: int, train: int, prefer: str | None
) -> None:
    old = pool(150, seed, categories=4)
    new = pool(more, seed + 1000, categories=4)
    config = Select(
        train=train, test=NO_TEST, frequency=Frequency(mean=-1.7, std=0.5, bins=4), prefer=prefer
    )
    before, after = (
        decided(choose(old, config)),
        decided(choose(pa.concat_tables([old, new]), config)),
    )
    category = dict(zip(old["id"].to_pylist(), old["category"].to_pylist(), strict=True))
    category |= dict(zip(new["id"].to_pylist(), new["category"].to_pylist(), strict=True))

    def by_cell(found: dict[str, dict]) -> dict[tuple[str, int], set[str]]:
        cells: dict[tuple[str, int], set[str]] = {}
        for id_, row in found.items():
            if row["split"]:
                cells.setdefault((category[id_], row["frequency_bin"]), set()).add(id_)
        return cells

    first, second = by_cell(before), by_cell(after)
    for cell in first.keys() | second.keys():
        was, now = first.get(cell, set()), second.get(cell, set())
        newcomers = now - set(before)
        assert len(was & now) == min(
            len(was), len(now) - len(newcomers)
        )  # nobody leaves for another old one


# Pins


def test_pins_stay_with_new_candidates() -> None:
    rows = pool(300, rejected=0, categories=4)
    config = Select(train=60, test=TestSplit(per_category=4, overrides={}, max_share=0.5))
    first = choose(rows, config)
    pins = {id_: split for split in ("train", "test") for id_ in kept(first, split)}
    more = pa.concat_tables([rows, pool(600, seed=7, rejected=0, categories=9)])
    free = choose(more, config, seed=3)
    pinned = select(more, config, Filters(), CATEGORIES, 3, pins=pins)
    for split in ("train", "test"):
        assert not kept(first, split) <= kept(free, split)
        assert kept(first, split) <= kept(pinned, split)
    assert pinned.summary["pins"] == {
        "named": len(pins),
        "kept": len(pins),
        "unknown": 0,
        "lost": {},
        "few": [],
    }
    assert pinned.summary["train"]["taken"] == 60


def test_pin_stays_when_better_copy_comes() -> None:
    rows = pool(120, rejected=0)
    config = Select(train=20, test=TestSplit(per_category=2, overrides={}, max_share=0.5))
    first = choose(rows, config)
    pins = {id_: split for split in ("train", "test") for id_ in kept(first, split)}
    better = [
        {**row, "id": f"{number:016x}", "pixels": 10**6, "bpp": 24.0}
        for number, row in enumerate(row for row in rows.to_pylist() if row["id"] in pins)
    ]
    more = pa.concat_tables([rows, pa.Table.from_pylist(better, SCHEMA)])
    assert kept(choose(more, config), "test").isdisjoint(pins)
    pinned = select(more, config, Filters(), CATEGORIES, 0, pins=pins)
    assert pinned.summary["pins"]["lost"] == {}
    for split in ("train", "test"):
        assert kept(pinned, split) == kept(first, split)


def test_pins_fill_their_cells() -> None:
    rows = pool(300, rejected=0, categories=3)
    config = Select(train=60, test=NO_TEST)
    own = choose(rows, config).summary
    food = [r["id"] for r in rows.to_pylist() if r["category"] == CATEGORIES[2]][:5]
    pinned = select(rows, config, Filters(), CATEGORIES, 0, pins=dict.fromkeys(food, "train"))
    assert set(food) <= kept(pinned, "train")
    assert pinned.summary["category_taken"] == own["category_taken"]


def test_more_pins_than_places_leave_no_other_picks() -> None:
    rows = pool(100, rejected=0)
    pins = dict.fromkeys(rows["id"].to_pylist()[:40], "train")
    pinned = select(rows, Select(train=30, test=NO_TEST), Filters(), CATEGORIES, 0, pins=pins)
    assert len(kept(pinned, "train")) == 30
    assert kept(pinned, "train") <= set(pins)
    assert pinned.summary["pins"]["lost"] == {"surplus": 10}


def test_pin_that_no_longer_passes_is_reported() -> None:
    rows = pool(60)
    lost = [r["id"] for r in rows.to_pylist() if r["reason"]][:2]
    passes = next(r["id"] for r in rows.to_pylist() if not r["reason"])
    pins = dict.fromkeys([*lost, passes, "f" * 16], "train")
    found = select(
        rows, Select(train=10, test=NO_TEST), Filters(), CATEGORIES, 0, pins=pins
    ).summary["pins"]
    assert found == {
        "named": 4,
        "kept": 1,
        "unknown": 1,
        "lost": {"low_texture": 2},
        "few": sorted(lost),
    }


def test_pins_are_read_from_manifests_and_lists(tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text(f"{'a' * 16}\n\n {'b' * 16} \n")
    assert read_pins([str(tmp_path / "ids.txt")]) == {"a" * 16: "train", "b" * 16: "train"}
    (tmp_path / "bad.txt").write_text(f"{'a' * 16}\nhttps://x.example/1.jpg\n")
    with pytest.raises(
        InputError, match=r"bad\.txt line 2: 'https://x\.example/1\.jpg' is no id: 16 hex digits"
    ):
        read_pins([str(tmp_path / "bad.txt")])
    with pytest.raises(InputError, match=r"select\.pins: can't read .*none\.txt"):
        read_pins([str(tmp_path / "none.txt")])


# What was aimed at, and what is lacking


def test_summary_has_distance_and_bound() -> None:
    rng = np.random.default_rng(0)
    rows = pool(6000, rejected=0, categories=4)
    ratio = 10 ** np.concatenate([rng.normal(-2.2, 0.6, 5000), rng.uniform(-3, 0, 1000)])
    rows = rows.set_column(4, "hf_ratio_032", pa.array(ratio)).filter(pa.array(ratio >= 10**-1.8))
    config = Select(train=600, test=NO_TEST, frequency=Frequency(mean=-1.5, std=0.3, bins=24))
    summary = choose(rows, config, filters=Filters(min={"hf_ratio_032": 10**-1.8})).summary
    near, far = summary["shape"]["train"], summary["shape"]["pool"]
    assert near["ks"] < 0.05 < far["ks"]
    assert near["wasserstein"] < 0.03 < far["wasserstein"]
    for moment in ("mean", "std", "skewness"):
        assert near[moment] == pytest.approx(summary["shape"]["target"][moment], abs=0.1)
    assert summary["objective"]["gap"] == 0
    assert summary["diversity"]["train"] == pytest.approx(np.log10(4), abs=1e-4)


def test_shopping_list_of_sufficient_pool_is_empty() -> None:
    rows = pool(3000, rejected=0, categories=3)
    config = Select(train=100, test=NO_TEST, category_weights=dict.fromkeys(CATEGORIES[3:], 0.0))
    assert choose(rows, config).summary["shopping"] == {"rows": [], "categories": []}


def test_shopping_list_names_cells_and_candidates() -> None:
    rows = [
        {
            "id": f"{n:016x}",
            "reason": None,
            "sha256": f"{n:064x}",
            "category": category,
            "hf_ratio_032": ratio,
        }
        for n, (category, ratio) in enumerate(
            [("Food", 0.01)] * 30 + [("Food", 0.1)] * 30 + [("Map", 0.01)] * 10
        )
    ]
    config = Select(
        train=80,
        test=TestSplit(per_category=0, overrides={"Map": 4}, max_share=0.2),
        frequency=Frequency(bins=2, mean=-1.5, std=0.2),
        category_weights={name: float(name in ("Food", "Map")) for name in CATEGORIES},
    )
    table = pa.Table.from_pylist(rows, SCHEMA)
    found = select(table, config, Filters(), CATEGORIES, 0, candidates=700).summary["shopping"]
    low, high, test = found["rows"]
    # 2 of 10 maps go to the benchmark; 80 images are 40 of each category, 20 in each band
    assert (low["category"], low["bin"], low["asked"], low["there"], low["lacking"]) == (
        "Map",
        0,
        20,
        8,
        12,
    )
    assert (high["category"], high["bin"], high["asked"], high["there"], high["lacking"]) == (
        "Map",
        1,
        20,
        0,
        20,
    )
    assert high["low"] == pytest.approx(10**-1.5)
    # 1 of 10 passes, 1 of 70 is a map
    assert (low["candidates_searched"], low["candidates_as_before"]) == (120, 840)
    # 3 of 7 of all are in its band
    assert (high["candidates_searched"], high["candidates_as_before"]) == (467, None)
    assert (test["split"], test["lacking"]) == ("test", 2)
    assert (test["candidates_searched"], test["candidates_as_before"]) == (100, 700)
    (maps,) = found["categories"]
    assert (
        maps["train"],
        maps["test"],
        maps["candidates_searched"],
        maps["candidates_as_before"],
    ) == (32, 2, 467, 840)
    assert maps["unknown_as_before"]
    assert not maps["unknown_searched"]
    lines = shopping_csv(found["rows"]).decode().splitlines()
    assert lines[0].startswith("split,category,bin,low,high,asked,there,lacking,")
    assert lines[-1] == "test,Map,,,,4,2,2,100,700"
