"""One pass over the ledger counts what a look at the whole ledger counts."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.engine import Shard
from curate.manifest.statistics import summarise
from curate.stages.report.ledger_counts import BPP_EDGES, PIXEL_EDGES, RATIO_EDGES, count_ledger

MakeRun = Callable[..., Shard]


def whole_ledger(shard: Shard) -> pa.Table:
    return pa.concat_tables(
        pq.read_table(f"{shard.folder}/{name}") for name in shard.folder.names("ledger", ".parquet")
    )


def test_counts_of_parts_add_up(make_run: MakeRun) -> None:
    shard = make_run(parts=3)
    tally = count_ledger(shard, "hf_ratio_032")
    rows = whole_ledger(shard).to_pylist()
    kept = [row for row in rows if row["status"] == "kept"]
    assert (tally.rows, tally.kept) == (300, len(kept))
    assert tally.reasons == Counter(row["reason"] for row in rows if row["reason"])
    assert tally.hosts["all"] == Counter(row["host"] for row in rows)
    assert tally.licences["kept"] == Counter(row["licence"] for row in kept)
    assert tally.cells == Counter(
        (row["split"], row["category"], row["frequency_bin"]) for row in kept
    )


def test_means_cover_measured_rows(make_run: MakeRun) -> None:
    shard = make_run(parts=3)
    table = whole_ledger(shard)
    expected = summarise(table.filter(table["hf_ratio"].is_valid()))
    found = count_ledger(shard, "hf_ratio_032").statistics
    assert vars(found) == pytest.approx(vars(expected), rel=1e-12)


def test_histograms_hold_every_measured_image_or_call_it_flat(make_run: MakeRun) -> None:
    def flatten(row: dict[str, object]) -> None:
        if row.get("category") == "Animals":
            row["hf_ratio"] = row["hf_ratio_032"] = 0.0

    shard = make_run(edit=flatten)
    tally = count_ledger(shard, "hf_ratio_032")
    table = whole_ledger(shard)
    ratios = table["hf_ratio_032"].drop_null().to_numpy()
    assert tally.flat == (ratios == 0).sum() > 0
    assert tally.ratio["measured"].sum() + tally.flat == len(ratios)
    above = RATIO_EDGES[:-1] > -2.0001
    assert tally.ratio["measured"][above].sum() == (ratios > 0.01).sum()
    pixels, bpp = (np.log10(table[name].drop_null().to_numpy()) for name in ("pixels", "bpp"))
    assert (
        tally.size["measured"] == np.histogram2d(pixels, bpp, (PIXEL_EDGES, BPP_EDGES))[0]
    ).all()


def test_counts_use_balanced_column(make_run: MakeRun) -> None:
    shard = make_run()
    assert (
        count_ledger(shard, "hf_ratio").ratio["kept"]
        != count_ledger(shard, "hf_ratio_032").ratio["kept"]
    ).any()
