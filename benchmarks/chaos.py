"""kill -9 at random moments: every run must end with the bytes of an undisturbed run.

    python -m benchmarks.chaos [--runs 30] [--seed 0] [--keep FOLDER]

A kill hits a worker, the scheduler, or all processes. Runs crawl a misbehaving site on loopback, by
either engine in turn, and are killed one to three times each. A run that is killed as a whole, or
loses its scheduler, is started again by the same command until it is done. Meanwhile a watcher
gets every change of the run folder from the kernel. A file under a final name must arrive by a
rename, be whole, and equal the undisturbed run's file. Linux only. Exits with 1 if any run fails.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.pipeline.digests import digests
from tests.pipeline.kills import Command, Kind, Moment, Survival, disturb, draw_moments
from tests.pipeline.watcher import check_whole
from tests.site.hostile import HostileSite

ENGINES = ("stream", "img2dataset")
KINDS: tuple[tuple[Kind, str], ...] = (
    ("worker", "local"),
    ("scheduler", "own"),
    ("all", "local"),
    ("all", "own"),
)
"""Killed process, and scheduler of the run."""

RECIPE: dict[str, Any] = {
    "name": "chaos",
    "candidates": {"shard_size": 16},
    "fetch": {
        "allow_networks": ["127.0.0.1/32"], "per_host": 3, "deadline": 60, "max_bytes": 200_000,
        "backoff": 0.1,
        "host_failures": 1000,
    },
    "filters": {"min": {"width": 48, "height": 48}},
    "label": {"model": "bundled", "pretrained": None},
    "select": {
        "train": 25, "test": {"per_category": 1, "max_share": 0.3}, "frequency": {"bins": 3},
    },
}  # fmt: skip

MISDEEDS = (
    "status/404", "html", "truncated", "hang-up", "redirect/3", "fails-once", "empty", "gzipped",
    "sized/40", "chunked",
    "endless", "loop", "status/500", "resets-once", "bomb", "ok", "tagged?noai", "busy/0",
)  # fmt: skip
"""Misdeeds whose result doesn't depend on the machine's load; slow ones only take time."""


def main() -> None:
    """Disturb, compare, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--keep", type=Path, help="a folder for the runs that is not removed in the end"
    )
    arguments = parser.parse_args()
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit("ended")
    )  # as Ctrl-C does, with all that was started
    with HostileSite() as site, tempfile.TemporaryDirectory(prefix="curate-chaos-") as temporary:
        folder = arguments.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        sys.exit(_chaos(folder, site, arguments.runs, arguments.seed))


def _chaos(folder: Path, site: HostileSite, runs: int, seed: int) -> int:
    recipe, urls = folder / "recipe.yaml", folder / "urls.txt"
    recipe.write_text(json.dumps(RECIPE))  # JSON is YAML
    urls.write_text("".join(f"{url}\n" for url in _urls(site)))
    commands = {
        engine: Command(recipe, urls, folder / engine, [f"fetch.engine={engine}"])
        for engine in ENGINES
    }
    expected = {engine: _undisturbed(command) for engine, command in commands.items()}
    _check_engines_agree(expected)
    print(
        "| run | engine | killed | moments (files there + s) | stages hit | restarts | files "
        "| read | s | identical |"
    )
    print("| ---: | --- | --- | --- | --- | ---: | ---: | ---: | ---: | --- |")
    start, done, hits, faults = time.monotonic(), 0, Counter[str](), []
    try:
        for number in range(runs):
            chance = random.Random(f"{seed} {number}")
            engine = ENGINES[number % 2]
            kind, scheduler = KINDS[number // 2 % len(KINDS)]
            moments = draw_moments(chance, len(expected[engine]), chance.choice((1, 2, 2, 3)))
            command = Command(recipe, urls, folder / f"run-{number}", commands[engine].settings)
            began = time.monotonic()
            survival = disturb(command, scheduler, kind, moments, expected[engine], chance)
            killed = f"{kind}{' (own cluster)' if scheduler == 'own' else ''}"
            _print(number, engine, killed, moments, survival, time.monotonic() - began)
            faults += [f"run {number}: {fault}" for fault in survival.faults]
            hits.update(survival.stages)
            done += 1
    finally:  # print the results so far, however the loop ends
        counts = ", ".join(f"{stage} {count}" for stage, count in hits.most_common())
        print(
            f"\n{hits.total()} kills in {done} runs, {time.monotonic() - start:.0f} s; "
            f"while at work on: {counts}"
        )
        print("\n".join(faults) or "no promise broken")
    return bool(faults)


def _print(
    number: int,
    engine: str,
    killed: str,
    moments: Sequence[Moment],
    survival: Survival,
    seconds: float,
) -> None:
    times = ", ".join(f"{moment.files} + {moment.seconds:.2f}" for moment in moments)
    print(
        f"| {number} | {engine} | {killed} | {times} | {', '.join(survival.stages)}"
        f" | {survival.restarts} | {survival.files} | {survival.checks}"
        f" | {seconds:.0f} | {'NO' if survival.faults else 'yes'} |",
        flush=True,
    )


def _urls(site: HostileSite) -> list[str]:
    """Return URLs of pictures, every fifth a misdeed."""
    misdeeds = iter(MISDEEDS)
    paths = [
        next(misdeeds, "ok") if n % 5 == 0 else f"numbered/{n}" for n in range(5 * len(MISDEEDS))
    ]
    return [site.url(f"{number}/{path}") for number, path in enumerate(paths)]


def _undisturbed(command: Command) -> dict[str, str]:
    """Return the files of an undisturbed run; all are whole."""
    with command.start("serial") as run:
        status, errors = run.end()
    if status:
        sys.exit(f"the undisturbed run failed: {errors}")
    found = digests(command.out)
    for name in found:
        check_whole(name, (command.out / name).read_bytes())
    return found


def _check_engines_agree(expected: dict[str, dict[str, str]]) -> None:
    """Check that both engines give the same files but the recipe, which names the engine.

    The recipe is a file, and a part of the report.
    """
    one, other = (
        {n: d for n, d in e.items() if n != "recipe.yaml" and "report/" not in n}
        for e in expected.values()
    )
    if one != other:
        sys.exit(
            f"the engines differ in {sorted(n for n in one | other if one.get(n) != other.get(n))}"
        )


if __name__ == "__main__":
    main()
