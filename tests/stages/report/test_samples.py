"""Samples are those of the whole ledger, however it is cut, and bounded in number."""

import hashlib

import numpy as np
import pyarrow as pa
import pytest

from curate.errors import Reason
from curate.recipe import Bound
from curate.stages.report.samples import Samples

WIDTH = Bound("width", "min", 1024, Reason.TOO_SMALL)


@pytest.fixture(scope="module")
def ledger() -> pa.Table:
    random = np.random.default_rng(3)
    rows = []
    for number in range(400):
        width = int(random.integers(700, 1400))
        id_ = hashlib.sha256(str(number).encode()).hexdigest()[:16]
        cluster = hashlib.sha256(str(number % 90).encode()).hexdigest()[:16]
        rows.append(
            {
                "id": id_,
                "tar": None if number % 9 == 0 else "images/part-00000.tar",
                "hf_ratio": None if number % 11 == 0 else 0.01,
                "width": width,
                "category": f"c{number % 3}",
                "frequency_bin": number % 4,
                "label_margin": float(random.random()),
                "dup_cluster": cluster if number % 2 else None,
                "contaminated_by": "Set14/lenna" if number % 25 == 0 else None,
                "status": "kept" if width >= WIDTH.value and number % 25 else "rejected",
                "reason": None if width >= WIDTH.value else "too_small",
            }
        )
        if number % 25 == 0:
            rows[-1]["reason"] = "contaminated"
    return pa.Table.from_pylist(rows)


def take(ledger: pa.Table, parts: int) -> Samples:
    samples = Samples([WIDTH])
    step = -(-len(ledger) // parts)
    for start in range(0, len(ledger), step):
        samples.add(ledger.slice(start, step))
    return samples


def ids(table: pa.Table | None) -> list[str]:
    assert table is not None
    return table["id"].to_pylist()


def test_samples_do_not_depend_on_parts(ledger: pa.Table) -> None:
    one, many = take(ledger, 1), take(ledger, 23)
    for name in ("cells", "reasons", "clusters", "contaminated", "uncertain"):
        assert ids(getattr(one, name)) == ids(getattr(many, name))
    assert ids(one.above[WIDTH]) == ids(many.above[WIDTH])
    assert ids(one.below[WIDTH]) == ids(many.below[WIDTH])


def test_samples_hold_nearest_images_on_both_sides_of_bound(ledger: pa.Table) -> None:
    samples = take(ledger, 5)
    rows = [row for row in ledger.to_pylist() if row["tar"] and row["hf_ratio"]]
    kept = sorted(row["width"] for row in rows if row["status"] == "kept")
    lost = sorted(row["width"] for row in rows if row["width"] < WIDTH.value)
    above, below = samples.above[WIDTH], samples.below[WIDTH]
    assert above["width"].to_pylist() == kept[: len(above)]
    assert below["width"].to_pylist() == lost[::-1][: len(below)]


def test_samples_hold_no_image_that_was_not_measured(ledger: pa.Table) -> None:
    samples = take(ledger, 2)
    for table in (samples.cells, samples.reasons, samples.clusters, samples.contaminated):
        assert table is not None and not table["hf_ratio"].null_count + table["tar"].null_count


def test_samples_of_cells_are_smallest_ids(ledger: pa.Table) -> None:
    cells: dict[tuple[str, int], list[str]] = {}
    for row in sorted(ledger.to_pylist(), key=lambda row: row["id"]):
        if row["status"] == "kept" and row["tar"] and row["hf_ratio"]:
            cells.setdefault((row["category"], row["frequency_bin"]), []).append(row["id"])
    table = take(ledger, 4).cells
    assert table is not None
    for (category, bin_), expected in cells.items():
        own = [
            row["id"]
            for row in table.to_pylist()
            if (row["category"], row["frequency_bin"]) == (category, bin_)
        ]
        assert own == expected[: len(own)] and own


def test_samples_of_cluster_begin_with_preferred_image(ledger: pa.Table) -> None:
    table = take(ledger, 3).clusters
    assert table is not None
    seen = set()
    for row in table.to_pylist():
        first = row["dup_cluster"] not in seen
        seen.add(row["dup_cluster"])
        others = [r["id"] for r in table.to_pylist() if r["dup_cluster"] == row["dup_cluster"]]
        if row["dup_cluster"] in others:
            assert first == (row["id"] == row["dup_cluster"])


def test_samples_with_least_certain_label_come_first(ledger: pa.Table) -> None:
    table = take(ledger, 3).uncertain
    assert table is not None
    margins = table["label_margin"].to_pylist()
    assert margins == sorted(margins) and margins
