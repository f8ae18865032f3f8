"""Time and memory of selection: python -m benchmarks.select_scale WHAT [--rows N] [--pool SHARE]

WHAT is one of

    select    `select` alone on invented rows of a ledger that passed the filters: the cost that
              grows with the pool
    stage     the whole stage on an invented run folder: reads every shard, writes the ledger, the
              manifests and the shopping list
    plan      the cost of a list of --rows, 170 million by default, of which 2 % pass: `select` on
              as many real rows as would pass; and the stage, in one process and with --workers, on
              folders of two sizes, whose difference is the cost of a shard
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate import engine
from curate.engine import CommitRecord, Progress, RunFolder
from curate.errors import Reason
from curate.manifest import CATEGORIES, LEDGER
from curate.manifest.schema import BROAD
from curate.pipeline.selection_step import write_selection
from curate.recipe import Recipe
from curate.stages.chain import build_stage
from curate.stages.names import StageName
from curate.stages.select import needed_columns, select

SHARD = 1000
TRIED = 200, 1000
"""Shards of the folders that a plan is made from."""
PLACES = {
    "candidates": ("id", "url", "host", "source", "licence", "caption"),
    "fetched": ("id", "http_status", "final_url", "sha256", "tar", "offset", "nbytes"),
    "labelled": ("id", "broad", "category", "label_score", "label_margin", "label_model"),
    "matched": ("id", "contaminated_by"),
}
"""Columns of a stage's file; `measured` has the rest."""
DECIDED = ("dup_cluster", "frequency_bin", "split", "status", "reason")


def invent(count: int, pool: float, seed: int, columns: list[str]) -> pa.Table:
    """Rows of a ledger, a share of which passed the filters."""
    rng = np.random.default_rng(seed)
    passed = rng.random(count) < pool
    number = rng.integers(0, 2**63, count, dtype=np.uint64)
    hexes = number.astype(">u8").tobytes().hex()
    ids = pa.array([hexes[i : i + 16] for i in range(0, 16 * count, 16)], pa.string())
    category = np.minimum(rng.zipf(1.5, count) - 1, 15).astype(np.int8)
    texts = {
        "id": ids,
        "url": pc.binary_join_element_wise(
            "https://host.example/pictures", ids, "photograph.jpg", "/"
        ),
        "sha256": pc.binary_repeat(ids, 4),
        "pixel_sha256": pc.binary_repeat(ids, 4),
        "phash": pa.array(rng.integers(0, 2**64, count, dtype=np.uint64)),
        "caption": pc.binary_join_element_wise("a picture of something, number", ids, " "),
        "category": pa.array(CATEGORIES).take(pa.array(category, mask=~passed)),
        "broad": pa.array([BROAD[min(c // 6, 2)] for c in range(16)]).take(
            pa.array(category, mask=~passed)
        ),
        "reason": pc.if_else(
            pa.array(passed), pa.scalar(None, pa.string()), Reason.LOW_TEXTURE.value
        ),
        "format": pa.array(np.repeat("JPEG", count)),
        "status": pa.array(np.repeat("ok", count)),
    }
    table = {}
    types = {column.name: column.type for column in LEDGER}
    for name in columns:
        if name in texts:
            table[name] = texts[name]
        elif name.startswith("hf_ratio"):
            table[name] = pa.array(10 ** rng.normal(-1.9, 0.35, count))
        elif pa.types.is_integer(types[name]):
            table[name] = pa.array(rng.integers(1, 120, count)).cast(types[name])
        elif pa.types.is_floating(types[name]):
            table[name] = pa.array(rng.random(count)).cast(types[name])
        else:
            table[name] = pa.nulls(count, types[name])
    return pa.table(table)


def invent_run(folder: RunFolder, recipe: Recipe, rows: int, pool: float) -> list[str]:
    """Write a run folder as the match stage leaves it."""
    columns = [column.name for column in LEDGER if column.name not in DECIDED]
    elsewhere = {name for names in PLACES.values() for name in names}
    places = PLACES | {"measured": ("id", *(name for name in columns if name not in elsewhere))}
    shards = [f"part-{number:05d}" for number in range(rows // SHARD)]
    settings = build_stage(StageName.MATCH, recipe).fingerprint
    for number, shard in enumerate(shards):
        table = invent(SHARD, pool, number, [*columns, "status", "reason"])
        for stage in StageName.SELECT.input_folders:
            part = table.select([*places[stage], "status", "reason"])
            sha256 = folder.write(f"{stage}/{shard}.parquet", engine.encode_table(part))
            CommitRecord(
                stage, shard, "", settings, SHARD, {}, {f"{stage}/{shard}.parquet": sha256}
            ).write(folder)
    return shards


@dataclass(frozen=True)
class Cost:
    """Time and memory of a measurement."""

    kept: int
    seconds: float
    cpu: float
    """Seconds of this process's processor time."""
    memory: float
    """GiB that this process held at most."""

    def __str__(self) -> str:
        return (
            f"{self.kept:,} kept; {self.seconds:.1f} s, {self.cpu:.1f} s of processor time, "
            f"{self.memory:.2f} GiB at most"
        )


def measure(work: Callable[[], int]) -> Cost:
    """Measure a function that returns the number of kept images, without earlier peak memory."""
    Path("/proc/self/clear_refs").write_text("5")
    start, cpu = time.perf_counter(), time.process_time()
    kept = work()
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    lines = Path("/proc/self/status").read_text().splitlines()
    return Cost(
        kept,
        seconds,
        cpu,
        next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 2**20,
    )


def cost_of_select(recipe: Recipe, rows: int, pool: float) -> Cost:
    """Return the cost of deciding over rows; those outside the pool are only counted."""
    columns = [*needed_columns(recipe.select), "contaminated_by"]
    size = 100 * SHARD
    passing = int(rows * pool)
    parts = [invent(min(size, passing - at), 1, at, columns) for at in range(0, passing, size)]

    def work() -> int:
        table = pa.concat_tables(parts).combine_chunks()
        summary = select(
            table, recipe.select, recipe.filters, CATEGORIES, 0, candidates=rows
        ).summary
        return int(summary["train"]["taken"] + summary["test"]["taken"])

    return measure(work)


def cost_of_stage(recipe: Recipe, rows: int, pool: float, workers: int, place: Path | None) -> Cost:
    """Return the cost of the whole stage on disk; workers: 0 for none beside this process."""
    with (
        tempfile.TemporaryDirectory(dir=place) as scratch,
        engine.open_executor("local" if workers else "serial", workers or None) as executor,
    ):
        folder = RunFolder(scratch)
        shards = invent_run(folder, recipe, rows, pool)
        return measure(
            lambda: write_selection(folder, recipe, shards, executor, Progress(), {}).rows_out["ok"]
        )


def plan(recipe: Recipe, rows: int, pool: float, workers: int, place: Path | None) -> None:
    """Print what selecting from so many would take."""
    decided = cost_of_select(recipe, rows, pool)
    print(f"deciding over {rows * pool:,.0f} in the pool: {decided}", flush=True)
    few, many = TRIED
    for count in (0, workers):
        costs = [cost_of_stage(recipe, shards * SHARD, pool, count, place) for shards in TRIED]
        shard = (costs[1].seconds - costs[0].seconds) / (many - few)
        where = f"{count} workers" if count else "one process"
        print(
            f"a shard of {SHARD:,}, {where}: {1e3 * shard:.1f} ms to read and write; "
            f"{rows // SHARD:,} of them: "
            f"{shard * rows / SHARD / 60:.0f} minutes, and with deciding "
            f"{(shard * rows / SHARD + decided.seconds) / 60:.0f}",
            flush=True,
        )


def main() -> None:
    """Measure once and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("select", "stage", "plan"))
    parser.add_argument(
        "--rows", type=int, help="candidates; a million, or 170 million for a plan, by default"
    )
    parser.add_argument(
        "--pool", type=float, help="share of them that passed; all, or 0.02 for a plan, by default"
    )
    parser.add_argument(
        "--workers", type=int, default=0, help="beside this process; 2 for a plan by default"
    )
    parser.add_argument(
        "--folder", type=Path, help="where run folders are invented; a temporary one by default"
    )
    args = parser.parse_args()
    recipe = Recipe.load("hq50k")
    planned = args.what == "plan"
    rows, pool = (
        args.rows or (170_000_000 if planned else 1_000_000),
        args.pool or (0.02 if planned else 1.0),
    )
    if planned:
        plan(recipe, rows, pool, args.workers or 2, args.folder)
        return
    print(f"{args.what}: {rows:,} rows, {pool:.0%} of them in the pool")
    on_disk = args.what == "stage"
    print(
        cost_of_stage(recipe, rows, pool, args.workers, args.folder)
        if on_disk
        else cost_of_select(recipe, rows, pool)
    )


if __name__ == "__main__":
    main()
