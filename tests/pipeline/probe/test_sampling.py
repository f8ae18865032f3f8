import gc
import hashlib
from collections.abc import Iterator

import pyarrow as pa
import pytest

from curate.errors import InputError
from curate.pipeline.sampling import Listing, Sample, draw_sample


def listing(numbers: range, caption: str = "") -> pa.Table:
    ids = [hashlib.sha256(str(n).encode()).hexdigest()[:16] for n in numbers]
    return pa.table(
        {
            "id": ids,
            "host": pa.array([f"host{n % 3}.test" for n in numbers], pa.string()),
            "caption": pa.array([caption for _ in numbers], pa.string()),
            "local_path": pa.nulls(len(numbers), pa.string()),
            "reason": pa.nulls(len(numbers), pa.string()),
        }
    )


def cut(rows: int, size: int) -> Iterator[pa.Table]:
    return (listing(range(start, min(start + size, rows))) for start in range(0, rows, size))


def ids(drawn: tuple[pa.Table, Listing]) -> list[str]:
    return drawn[0]["id"].to_pylist()


@pytest.mark.parametrize(
    ("text", "listed", "size"),
    [
        ("1%", 500_000, 5_000),
        ("1%", 10_000, 2_000),  # fewer would tell too little
        ("1%", 10_000_000, 20_000),  # more would tell hardly more
        ("1%", 700, 700),
        ("0.5 %", 1_000_000, 5_000),
        ("300", 10_000, 300),
        ("300", 100, 100),
        ("100,000", 10_000_000, 100_000),
        (40, 1000, 40),
        ("all", 10_000_000, 10_000_000),
    ],
)
def test_sample_of_each_form_has_expected_size(text: str | int, listed: int, size: int) -> None:
    assert Sample.parse(text).size(listed) == size


@pytest.mark.parametrize("text", ["", "some", "0", "0%", "101%", "-5", "1.5", "5%%"])
def test_sample_with_wrong_form_is_refused(text: str) -> None:
    with pytest.raises(
        InputError, match="--sample takes a share such as 1%, a number such as 2000, or all, not"
    ):
        Sample.parse(text)


def test_sample_does_not_depend_on_order_or_tables() -> None:
    sample = Sample.parse("50")
    once = draw_sample(cut(3000, 3000), sample, 7)
    assert len(set(ids(once))) == 50
    assert once[1].candidates == 3000
    for tables in (cut(3000, 17), reversed([*cut(3000, 100)])):
        assert ids(draw_sample(tables, sample, 7)) == ids(once)
    assert set(ids(draw_sample(cut(3000, 3000), sample, 8))) != set(ids(once))


def test_sample_with_same_seed_contains_smaller_one() -> None:
    assert set(ids(draw_sample(cut(900, 90), Sample.parse(30), 0))) < set(
        ids(draw_sample(cut(900, 90), Sample.parse(60), 0))
    )


def test_sample_of_short_list_is_whole_list() -> None:
    drawn = draw_sample(cut(40, 7), Sample.parse("1%"), 0)
    assert sorted(ids(drawn)) == sorted(listing(range(40))["id"].to_pylist())


def test_sample_covers_every_part_of_list() -> None:
    drawn = set(ids(draw_sample(cut(10_000, 1000), Sample.parse(1000), 1)))
    tenths = [len(drawn & set(table["id"].to_pylist())) for table in cut(10_000, 1000)]
    assert min(tenths) > 65  # of 100 expected, with a standard deviation of 9
    assert max(tenths) < 135


def test_sample_of_long_list_uses_bounded_memory() -> None:
    largest = 0

    def tables() -> Iterator[pa.Table]:
        nonlocal largest
        before = pa.total_allocated_bytes()
        for start in range(0, 60_000, 1000):
            gc.collect(0)
            largest = max(largest, pa.total_allocated_bytes() - before)
            yield listing(
                range(start, start + 1000), "a caption of some length " * 40
            )  # a megabyte each

    draw_sample(tables(), Sample.parse(500), 0)
    assert largest < 5e6


def test_sample_counts_hosts_of_whole_list() -> None:
    table = listing(range(9))
    there = table.set_column(3, "local_path", pa.array(["/there", *[None] * 8]))
    broken = listing(range(9, 12)).set_column(4, "reason", pa.array([None, "bad_url", None]))
    assert draw_sample([there, broken], Sample.parse(1), 0)[1].hosts == {
        "host0.test": 3,
        "host1.test": 3,
        "host2.test": 4,
    }


def test_sample_of_list_sorted_by_host_reports_crowding() -> None:
    mixed = [*cut(900, 90)]
    assert draw_sample(mixed, Sample.parse(1), 0)[1].crowd == 300
    ordered = pa.concat_tables(mixed).sort_by("host")
    assert (
        draw_sample((ordered.slice(start, 90) for start in range(0, 900, 90)), Sample.parse(1), 0)[
            1
        ].crowd
        > 800
    )


def test_sample_of_empty_list_is_refused() -> None:
    with pytest.raises(InputError, match="names no candidates"):
        draw_sample([], Sample.parse(1), 0)
