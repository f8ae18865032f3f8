"""A curation run over real files: a folder is served on loopback and crawled; time and peak memory of each stage.

    python benchmarks/trial.py FOLDER [--recipe hq50k] [--set A.B=C ...] [--scheduler local] [--out RUN]

Peak memory is the sum of the resident sets of this process, which holds the server too, and of its workers.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import numpy as np
import psutil
from aiohttp import web
from rich.console import Console

from curate.console import reasons_table
from curate.engine import Progress
from curate.manifest import read_manifest
from curate.pipeline import run
from curate.recipe import Recipe


def main() -> None:
    """Serve, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of images")
    parser.add_argument("--recipe", default="hq50k")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="A.B=C")
    parser.add_argument("--scheduler", default="local")
    parser.add_argument("--out", type=Path, default=None, help="run folder; a temporary one by default")
    arguments = parser.parse_args()
    overrides = ["fetch.allow_networks=[127.0.0.1/32]", *arguments.overrides]
    stages = _Stages()
    with tempfile.TemporaryDirectory() as temporary, _served(arguments.folder) as address:
        out = arguments.out or Path(temporary) / "run"
        urls = Path(temporary) / "urls.txt"
        files = sorted(path for path in arguments.folder.rglob("*") if path.is_file())
        urls.write_text("".join(f"{address}/{quote(str(path.relative_to(arguments.folder)))}\n" for path in files))
        with stages:
            outcome = run(
                Recipe.load(arguments.recipe, overrides), [urls], out, scheduler=arguments.scheduler, progress=stages
            )
        console = Console(width=120, highlight=False)
        console.print(reasons_table(outcome.reasons))
        print("\n| stage | seconds | peak memory, MB |\n| --- | ---: | ---: |")
        for name, seconds, peak in stages.done:
            print(f"| {name} | {seconds:.1f} | {peak / 2**20:.0f} |")
        _print_selection(out)


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
            print(", ".join(f"{e:.1f}: {n}" for e, n in zip(edges[:-1], histogram, strict=True) if n))


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
