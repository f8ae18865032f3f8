"""How long selection takes and how much memory: python benchmarks/select_scale.py [--rows N] [--pool SHARE] [--run]

By default `select` alone on the rows of a ledger that passed the filters, invented: what of a selection grows with the
pool. With --run, the whole stage on an invented run folder: reads every shard, writes the ledger, the manifests and the
shopping list.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate import engine
from curate.engine import CommitRecord, Progress, RunFolder
from curate.errors import Reason
from curate.manifest import CATEGORIES, LEDGER
from curate.manifest.schema import BROAD
from curate.recipe import Recipe
from curate.select import needed_columns, select
from curate.stages import FOLDERS, write_selection

SHARD = 1000
PLACES = {
    "candidates": ("id", "url", "host", "source", "licence", "caption"),
    "fetched": ("id", "http_status", "final_url", "sha256", "tar", "offset", "nbytes"),
    "labelled": ("id", "broad", "category", "label_score", "label_margin", "label_model"),
}
"""Which columns a stage's file has; `measured` has the rest."""
DECIDED = ("dup_cluster", "contaminated_by", "frequency_bin", "split", "status", "reason")


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
        "url": pc.binary_join_element_wise("https://host.example/pictures", ids, "photograph.jpg", "/"),
        "sha256": pc.binary_repeat(ids, 4),
        "pixel_sha256": pc.binary_repeat(ids, 4),
        "phash": pa.array(rng.integers(0, 2**64, count, dtype=np.uint64)),
        "keypoints": pa.nulls(count, pa.binary()),
        "caption": pc.binary_join_element_wise("a picture of something, number", ids, " "),
        "category": pa.array(CATEGORIES).take(pa.array(category, mask=~passed)),
        "broad": pa.array([BROAD[min(c // 6, 2)] for c in range(16)]).take(pa.array(category, mask=~passed)),
        "reason": pc.if_else(pa.array(passed), pa.scalar(None, pa.string()), Reason.LOW_TEXTURE.value),
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


def invent_run(folder: RunFolder, rows: int, pool: float) -> list[str]:
    """A run folder as the label stage leaves it."""
    columns = [*(column.name for column in LEDGER if column.name not in DECIDED), "keypoints"]
    elsewhere = {name for names in PLACES.values() for name in names}
    places = PLACES | {"measured": ("id", *(name for name in columns if name not in elsewhere))}
    shards = [f"part-{number:05d}" for number in range(rows // SHARD)]
    for number, shard in enumerate(shards):
        table = invent(SHARD, pool, number, [*columns, "status", "reason"])
        for stage in FOLDERS[:4]:
            part = table.select([*places[stage], "status", "reason"])
            sha256 = folder.write(f"{stage}/{shard}.parquet", engine.encode_table(part))
            CommitRecord(stage, shard, "", "", SHARD, {}, {f"{stage}/{shard}.parquet": sha256}).write(folder)
    return shards


def _begin() -> tuple[float, float]:
    """Forget the memory that inventing took; the time, and the processor's."""
    Path("/proc/self/clear_refs").write_text("5")
    return time.perf_counter(), time.process_time()


def main() -> None:
    """Measure once and print a line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--pool", type=float, default=1.0, help="share of the rows that passed the filters")
    parser.add_argument("--run", action="store_true", help="the whole stage, on disk")
    parser.add_argument("--folder", type=Path, help="where the run folder is invented; a temporary one by default")
    args = parser.parse_args()
    recipe = Recipe.load("hq50k")
    with tempfile.TemporaryDirectory(dir=args.folder) as scratch:
        if args.run:
            folder = RunFolder(scratch)
            shards = invent_run(folder, args.rows, args.pool)
            start, cpu = _begin()
            outcome = write_selection(folder, recipe, shards, Progress())
            kept = outcome.rows_out["ok"]
        else:
            columns = [*needed_columns(recipe.select), "contaminated_by"]
            parts = (invent(SHARD, args.pool, number, columns) for number in range(args.rows // SHARD))
            pool = [part.filter(pc.is_null(part["reason"])) for part in parts]
            start, cpu = _begin()
            rows = pa.concat_tables(pool).combine_chunks()
            summary = select(rows, recipe.select, recipe.filters, CATEGORIES, 0, candidates=args.rows).summary
            kept = summary["train"]["taken"] + summary["test"]["taken"]
        wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    lines = Path("/proc/self/status").read_text().splitlines()
    peak = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 2**20
    what = "stage" if args.run else "select"
    print(f"{what}: {args.rows:,} rows, {args.pool:.0%} of them in the pool, {kept:,} kept")
    print(f"{wall:.1f} s, {cpu:.1f} s of processor time, {peak:.2f} GiB at most")


if __name__ == "__main__":
    main()
