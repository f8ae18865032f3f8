"""A long crawl of a misbehaving site: memory, descriptors and threads stay flat, no row is lost.

    python -m benchmarks.soak [--urls 20000] [--engines stream,img2dataset] [--share 0.1]
                              [--deadline 5] [--keep FOLDER]

The crawl requests every route of tests/site/hostile.py in a random order, through `curate fetch`
with one Dask worker; a share of the URLs goes through img2dataset. The site has its own process.
The first fifth of the shards is for warming up. Of the others, the peak use of worker and driver in
the second half may hardly exceed that in the first. Linux only. Exits with 1 if any promise is
broken. If a busy machine can't answer within the deadline, good URLs time out: raise it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import psutil
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curate.storage import atomic
from tests.pipeline.kills import dask_workers
from tests.site.hostile import HostileSite
from tests.site.zoo import FETCH, MIN_SIDE, ROBOTS, End, mix

MB = 1 << 20
SHARDS = 10
MOST = 500 * MB
"""Allowed growth of a worker's memory."""
SLACK = {"rss": 16 * MB, "fds": 16, "threads": 4}
"""Excess of the second half's peak that is allowed: more requests at once, a pool's thread."""


class Gauge(NamedTuple):
    """Memory, descriptors and threads of a process at a moment."""

    rss: int
    fds: int
    threads: int


class Soak(NamedTuple):
    """Observations of one crawl."""

    gauges: dict[str, list[Gauge]]
    """Process -> what it had in use, after the warm-up."""
    peak: int
    """Bytes that the worker had in memory at most, by the kernel's count."""
    seconds: float
    ends: Counter[str]
    faults: list[str]


def main() -> None:
    """Crawl, check, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--urls", type=int, default=20_000)
    parser.add_argument("--engines", default="stream,img2dataset")
    parser.add_argument(
        "--share", type=float, default=0.1, help="of the URLs that img2dataset gets"
    )
    parser.add_argument(
        "--deadline",
        type=float,
        default=5,
        help="seconds of a URL; slow ones take all of it, twice",
    )
    parser.add_argument(
        "--keep", type=Path, help="a folder for the runs that is not removed in the end"
    )
    arguments = parser.parse_args()
    faults: list[str] = []
    with tempfile.TemporaryDirectory(prefix="curate-soak-") as temporary:
        for engine in arguments.engines.split(","):
            count = int(arguments.urls * (arguments.share if engine == "img2dataset" else 1))
            place = (arguments.keep or Path(temporary)) / engine
            place.mkdir(parents=True)
            with _site() as (site, process, canary_hits):
                soak = _soak(place, site, process, engine, count, arguments.deadline)
                if canary_hits():
                    soak.faults.append("an address was contacted that is not allowed")
            _print(engine, count, soak)
            faults += [f"{engine}: {fault}" for fault in soak.faults]
    print("\n".join(faults) or "no promise broken")
    sys.exit(bool(faults))


def _print(engine: str, count: int, soak: Soak) -> None:
    print(
        f"{engine}: {count:,} URLs in {soak.seconds:.0f} s; "
        f"the worker's peak RSS {soak.peak / MB:.0f} MB\n"
    )
    print(
        "| process | RSS, first half | second half | descriptors | second half | threads "
        "| second half |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for process, gauges in soak.gauges.items():
        one, other = _peaks(gauges)
        print(
            f"| {process} | {one.rss / MB:.0f} MB | {other.rss / MB:.0f} MB"
            f" | {one.fds} | {other.fds}"
            f" | {one.threads} | {other.threads} |"
        )
    course = soak.gauges["worker"][:: -(-len(soak.gauges["worker"]) // 20) or 1]
    print(
        "\nthe worker's RSS in MB, over time: "
        f"{' '.join(f'{gauge.rss / MB:.0f}' for gauge in course)}"
    )
    print(
        f"ends: {', '.join(f'{end} {count}' for end, count in soak.ends.most_common())}\n",
        flush=True,
    )


def _soak(
    place: Path, site: HostileSite, server: psutil.Process, engine: str, count: int, deadline: float
) -> Soak:
    promised = mix(site, count)
    recipe = {
        "name": "soak",
        "candidates": {"shard_size": -(-count // SHARDS)},
        "fetch": {**FETCH, "engine": engine, "deadline": deadline},
        "filters": {"min": {"width": MIN_SIDE}},
    }
    (place / "recipe.yaml").write_text(json.dumps(recipe))  # JSON is YAML
    (place / "urls.txt").write_text("".join(f"{url}\n" for url in promised))
    (place / "tmp").mkdir()
    environment = os.environ | {
        "TMPDIR": str(place / "tmp"),
        "DASK_TEMPORARY_DIRECTORY": str(place / "dask"),
    }
    curate = [sys.executable, "-m", "curate"]
    subprocess.run(
        [
            *curate,
            "candidates",
            place / "recipe.yaml",
            "--input",
            place / "urls.txt",
            "--out",
            place / "run",
        ],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    start = time.monotonic()
    with (place / "errors.txt").open("wb") as errors:
        crawl = subprocess.Popen(
            [*curate, "fetch", place / "run", "--workers", "1"],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
    try:
        gauges, peak = _measure(crawl, server, place / "run")
    finally:
        crawl.kill()
    seconds = time.monotonic() - start
    ends, faults = _check_rows(place / "run", promised)
    if crawl.wait():
        faults.append(f"exit status {crawl.returncode}: {(place / 'errors.txt').read_text()}")
    left = [*(place / "tmp").iterdir(), *(place / "run").glob(f"**/{atomic.TEMPORARY}*")]
    faults += [f"{path} is left over" for path in left]
    faults += [
        fault for process in ("worker", "driver") for fault in _check_flat(process, gauges[process])
    ]
    if peak > MOST:
        faults.append(f"the worker's memory is {peak / MB:.0f} MB at its peak")
    return Soak(gauges, peak, seconds, ends, faults)


def _measure(
    crawl: subprocess.Popen[bytes], server: psutil.Process, run: Path
) -> tuple[dict[str, list[Gauge]], int]:
    """Look at all three processes until the crawl ends."""
    gauges: dict[str, list[Gauge]] = {"worker": [], "driver": [], "site": []}
    peak, driver, worker = 0, psutil.Process(crawl.pid), None
    while crawl.poll() is None:
        time.sleep(0.1)
        with suppress(
            psutil.Error, OSError, IndexError
        ):  # one of them has just ended, or not begun
            worker = worker or dask_workers(crawl.pid)[0]
            status = Path(f"/proc/{worker.pid}/status").read_text()
            peak = int(status.partition("VmHWM:")[2].split()[0]) * 1024
            if len([*(run / "fetched").glob("*.json")]) >= SHARDS // 5:
                for name, process in (("worker", worker), ("driver", driver), ("site", server)):
                    now = Gauge(process.memory_info().rss, process.num_fds(), process.num_threads())
                    gauges[name].append(now)
    return gauges, peak


def _peaks(gauges: list[Gauge]) -> tuple[Gauge, Gauge]:
    """Return the maximum of each in the first half, and in the second."""
    middle = len(gauges) // 2
    one, other = (
        Gauge(*map(max, zip(*half, strict=True))) for half in (gauges[:middle], gauges[middle:])
    )
    return one, other


def _check_flat(process: str, gauges: list[Gauge]) -> Iterator[str]:
    if len(gauges) < 20:
        yield f"{process}: over too soon to be measured"
        return
    one, other = _peaks(gauges)
    for what, slack in SLACK.items():
        before, after = getattr(one, what), getattr(other, what)
        if after > before + slack:
            yield f"{process}: {what} grew from {before} to {after}"


def _check_rows(run: Path, promised: dict[str, frozenset[End]]) -> tuple[Counter[str], list[str]]:
    """Check that each candidate has one row, in order, with the promised end and bytes."""
    columns = ["id", "reason", "sha256", "tar", "offset", "nbytes"]
    given = pa.concat_tables(
        pq.read_table(path, columns=["id", "url"]) for path in _parts(run / "candidates")
    )
    rows = pa.concat_tables(
        pq.read_table(path, columns=columns) for path in _parts(run / "fetched")
    )
    faults = []
    if given["url"].to_pylist() != [*promised] or rows["id"].to_pylist() != given["id"].to_pylist():
        faults.append(f"{len(promised)} URLs became {len(given)} candidates and {len(rows)} rows")
    ends = [reason or "bytes" for reason in rows["reason"].to_pylist()]
    for (url, allowed), end in zip(promised.items(), ends, strict=False):
        if end not in {reason or "bytes" for reason in allowed}:
            faults.append(
                f"{url}: {end}, not {' or '.join(reason or 'bytes' for reason in allowed)}"
            )
    kept = rows.filter(pc.is_null(rows["reason"]))
    bodies = atomic.read_images(lambda path: (run / path).open("rb"), kept)
    for id_, sha256, body in zip(
        kept["id"].to_pylist(), kept["sha256"].to_pylist(), bodies, strict=True
    ):
        if hashlib.sha256(body).hexdigest() != sha256:
            faults.append(f"{id_}: other bytes in the tar than were fetched")
    return Counter(ends), faults


def _parts(folder: Path) -> list[Path]:
    return sorted(folder.glob("part-*.parquet"))


@contextmanager
def _site() -> Iterator[tuple[HostileSite, psutil.Process, Callable[[], int]]]:
    """Run the site in its own process; yield it, the process, and the canary's count."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=_serve, args=(there,), daemon=True
    )
    process.start()
    site = HostileSite()
    site.port, site.canary_port = here.recv()

    def canary_hits() -> int:
        here.send(None)
        return int(here.recv())

    try:
        yield site, psutil.Process(process.pid), canary_hits
    finally:
        process.terminate()
        process.join()


def _serve(pipe: Connection) -> None:
    with HostileSite() as site:
        site.robots_txt = ROBOTS
        pipe.send((site.port, site.canary_port))
        while True:
            pipe.recv()
            pipe.send(site.canary_hits)


if __name__ == "__main__":
    main()
