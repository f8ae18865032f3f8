from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pytest

pytest.importorskip("duckdb")

from curate.errors import Reason
from curate.pipeline.sampling import wilson_interval
from curate.recipe import Bound, Filters
from curate.review.bound_samples import BoundSample, BoundSamples
from curate.review.image_table import ImageTable


def rows() -> pa.Table:
    """A thousand images with bpp from 0 to 10; images under 4 are rejected for it."""
    bpp = np.random.default_rng(3).permutation(np.arange(1000) / 100)
    passed = np.resize(np.array(["surplus", None]), 1000)
    reasons = np.where(bpp < 4, "low_bpp", passed).tolist()
    reasons[int(np.argmin(np.abs(bpp - 3.99)))] = "too_small"
    ids = [f"{number:016x}" for number in range(1000)]
    tars = [None if number % 10 == 0 else "a.tar" for number in range(1000)]
    columns: dict[str, Any] = {"id": ids, "bpp": bpp, "reason": reasons, "tar": tars}
    return pa.table(columns)


@pytest.fixture
def table() -> Iterator[ImageTable]:
    with ImageTable(ds.dataset(rows())) as table:
        yield table


BOUNDS = tuple(bound for bound in Filters(min={"bpp": 4.0}).bounds if bound.test != "in")


def sample_of(table: ImageTable, seed: int = 0) -> BoundSample:
    (sample,) = BoundSamples(table, BOUNDS, seed).samples
    return sample


def test_sample_lies_just_inside_and_just_outside_of_the_bound(table: ImageTable) -> None:
    sample = sample_of(table)
    facts = {row["id"]: row for row in rows().to_pylist()}
    outside = [facts[id_] for id_ in sample.outside]
    inside = [facts[id_] for id_ in sample.inside]
    assert len(outside) == len(inside) == 30
    assert {row["reason"] for row in outside} == {"low_bpp"}
    assert {row["reason"] for row in inside} <= {"surplus", None}
    assert all(1.5 < row["bpp"] < 4 for row in outside)
    assert all(4 <= row["bpp"] < 6.5 for row in inside)
    assert all(row["tar"] for row in outside + inside)
    assert sample.near_outside == sample.near_inside == 200


def test_sample_is_the_same_for_the_same_seed_only(table: ImageTable) -> None:
    with ImageTable(ds.dataset(rows())) as again:
        assert sample_of(table) == sample_of(again)
    assert sample_of(table, 1).outside != sample_of(table).outside


def test_precision_is_the_dropped_share_with_wilsons_interval(table: ImageTable) -> None:
    sample = sample_of(table)
    samples = BoundSamples(table, BOUNDS)
    assert samples.tally(sample.outside, 200).share is None
    for number, id_ in enumerate(sample.outside[:10]):
        table.set_verdict(id_, "keep" if number < 3 else "drop", None)
    tally = samples.tally(sample.outside, 200)
    assert (tally.judged, tally.dropped) == (10, 7)
    assert tally.share == wilson_interval(7, 10, 200)
    assert samples.tally(sample.inside, 200).judged == 0


def test_bound_of_a_maximum_rejects_above_it() -> None:
    table = rows().set_column(2, "reason", [["noisy"] * 1000])
    with ImageTable(ds.dataset(table)) as images:
        bound = Bound("bpp", "max", 6.0, Reason.NOISY)
        (sample,) = BoundSamples(images, (bound,)).samples
        facts = {row["id"]: row for row in table.to_pylist()}
        assert sample.inside == ()
        assert all(facts[id_]["bpp"] > 6 for id_ in sample.outside)


def test_bound_on_a_column_that_is_not_there_has_no_sample(table: ImageTable) -> None:
    assert BoundSamples(table, (Bound("none", "min", 1.0, Reason.NOISY),)).samples == ()
