"""A curation run over real files, served from a folder on loopback: time and memory of each stage.

    python -m benchmarks.trial FOLDER [--recipe hq50k] [--set A.B=C ...] [--scheduler local]
                               [--out RUN]
    python -m benchmarks.trial FOLDER --identical [--kills 2] [--recipe hq50k] [--set A.B=C ...]

Peak memory is the sum of the resident sets of this process, which holds the server too, and of its
workers.

With --identical the crawl runs in one process, with one worker, with two, and with two that are
killed (kill -9, all processes) and started again by the same command. Every file of the run folders
but the logs must be the same, byte for byte. Exits with 1 if one isn't. Linux only.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import numpy as np
import psutil
from aiohttp import web
from rich.console import Console

from curate.cli.tables import reasons_table
from curate.engine import Progress
from curate.manifest import read_manifest
from curate.pipeline.execute import run
from curate.recipe import Recipe
from tests.pipeline.digests import digests
from tests.pipeline.kills import Command, disturb, draw_moments

_PATIENCE = 1800.0
"""Seconds after which a crawl that should have ended hangs."""


def main() -> None:
    """Serve, run, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="folder of images")
    parser.add_argument("--recipe", default="hq50k")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="A.B=C")
    parser.add_argument("--scheduler", default="local")
    parser.add_argument(
        "--out", type=Path, default=None, help="run folder; a temporary one by default"
    )
    parser.add_argument(
        "--identical", action="store_true", help="compare runs that go on differently"
    )
    parser.add_argument("--kills", type=int, default=2, help="of the run that is killed")
    arguments = parser.parse_args()
    overrides = ["fetch.allow_networks=[127.0.0.1/32]", *arguments.overrides]
    with tempfile.TemporaryDirectory() as temporary, _served(arguments.folder) as address:
        urls = Path(temporary) / "urls.txt"
        files = sorted(path for path in arguments.folder.rglob("*") if path.is_file())
        urls.write_text(
            "".join(
                f"{address}/{quote(str(path.relative_to(arguments.folder)))}\n" for path in files
            )
        )
        if arguments.identical:
            sys.exit(_compare(Path(temporary), urls, arguments.recipe, overrides, arguments.kills))
        recipe = Recipe.load(arguments.recipe, overrides)
        _time(recipe, urls, arguments.out or Path(temporary) / "run", arguments.scheduler)


def _time(recipe: Recipe, urls: Path, out: Path, scheduler: str) -> None:
    stages = _Stages()
    with stages:
        outcome = run(recipe, [urls], out, scheduler=scheduler, progress=stages)
    console = Console(width=120, highlight=False)
    console.print(reasons_table(outcome.reasons))
    print("\n| stage | seconds | peak memory, MB |\n| --- | ---: | ---: |")
    for name, seconds, peak in stages.done:
        print(f"| {name} | {seconds:.1f} | {peak / 2**20:.0f} |")
    _print_selection(out)


def _compare(folder: Path, urls: Path, recipe: str, overrides: list[str], kills: int) -> bool:
    """Whether any run came out otherwise than the first."""
    overrides = [
        "candidates.shard_size=40",
        *overrides,
    ]  # or one shard might hold all, and one worker do all
    print(
        "| run | killed while at work on | files | train.parquet | test.parquet | identical | s |"
    )
    print("| --- | --- | ---: | --- | --- | --- | ---: |", flush=True)
    command = Command(Path(recipe), urls, folder / "serial", overrides, patience=_PATIENCE)
    began = time.perf_counter()
    with command.start("serial") as first:
        status, errors = first.end()
    if status:
        sys.exit(f"the undisturbed run failed: {errors}")
    expected = digests(command.out)
    _print_run("in one process", [], expected, "", time.perf_counter() - began)
    faults: list[str] = []
    for name, workers, count in (
        ("one worker", 1, 0),
        ("two workers", 2, 0),
        ("two workers, killed", 2, kills),
    ):
        seed, began = random.Random(name), time.perf_counter()
        command = Command(
            Path(recipe), urls, folder / f"{workers}-{count}", overrides, workers, _PATIENCE
        )
        survival = disturb(
            command, "local", "all", draw_moments(seed, len(expected), count), expected, seed
        )
        same = "NO" if survival.faults else "yes"
        _print_run(name, survival.stages, digests(command.out), same, time.perf_counter() - began)
        faults += [f"{name}: {fault}" for fault in survival.faults]
    for fault in faults:
        print(fault)
    return len(faults) > 0


def _print_run(
    name: str, stages: Sequence[str], found: Mapping[str, str], same: str, seconds: float
) -> None:
    splits = " | ".join(
        found.get(f"manifest/{split}.parquet", "none")[:16] for split in ("train", "test")
    )
    print(
        f"| {name} | {', '.join(stages)} | {len(found)} | {splits} | {same} | {seconds:.0f} |",
        flush=True,
    )


def _print_selection(out: Path) -> None:
    for split in ("train", "test"):
        table = read_manifest(out / f"manifest/{split}.parquet").table
        categories, counts = np.unique(table["category"].to_pylist(), return_counts=True)
        print(f"\n{split}: {len(table)} images; ", end="")
        print(", ".join(f"{name} {count}" for name, count in zip(categories, counts, strict=True)))
        log_ratio = np.log10(table["hf_ratio_032"].to_numpy())
        if len(log_ratio):
            histogram, edges = np.histogram(log_ratio, bins=np.arange(-2.4, 0.01, 0.2))
            print("log10 hf_ratio_032: ", end="")
            print(
                ", ".join(f"{e:.1f}: {n}" for e, n in zip(edges[:-1], histogram, strict=True) if n)
            )


class _Stages(Progress):
    """Seconds and peak memory of each stage."""

    def __init__(self) -> None:
        self.done: list[tuple[str, float, int]] = []
        self._peak = 0
        self._ended = threading.Event()

    def __enter__(self) -> None:
        self._sampler = threading.Thread(target=self._sample, daemon=True)
        self._sampler.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._sampler.join()

    def stage_started(self, stage: str, shards: int, rows: int) -> None:
        self._start, self._peak = time.perf_counter(), 0

    def stage_finished(self, stage: str) -> None:
        self.done.append((stage, time.perf_counter() - self._start, self._peak))

    def _sample(self) -> None:
        while not self._ended.wait(0.05):
            total = 0
            for process in [own := psutil.Process(), *own.children(recursive=True)]:
                try:
                    total += process.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            self._peak = max(self._peak, total)


@contextmanager
def _served(folder: Path) -> Iterator[str]:
    """Address of a plain web server of the folder, on loopback."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()

    async def start() -> tuple[web.AppRunner, int]:
        app = web.Application()
        app.router.add_static("/", folder)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner, runner.addresses[0][1]

    runner, port = asyncio.run_coroutine_threadsafe(start(), loop).result()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
        loop.call_soon_threadsafe(loop.stop)


if __name__ == "__main__":
    main()
