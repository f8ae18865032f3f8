"""Kill a run at chosen moments and resume it, while a watcher sees every change; Linux only."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import psutil

from tests.pipeline.digests import digests
from tests.pipeline.watcher import Watcher

Kind = Literal["worker", "scheduler", "all"]


@dataclass(frozen=True)
class Moment:
    """When to kill."""

    files: int
    """Final names that are there, and"""
    seconds: float
    """so long after that."""


def draw_moments(seed: random.Random, files: int, count: int) -> list[Moment]:
    """Moments in the life of a run that makes so many files, in order."""
    counts = sorted(seed.sample(range(files - 2), count))
    return [Moment(count, round(seed.uniform(0, 0.3), 3)) for count in counts]


@dataclass
class Command:
    """`curate run`, of one recipe over one input into one folder."""

    recipe: Path
    input: Path
    out: Path
    settings: Sequence[str] = ()
    workers: int = 2
    patience: float = 180.0
    """Seconds after which a run that should have ended hangs."""

    def words(self) -> tuple[object, ...]:
        """Arguments of `curate`, without settings and scheduler."""
        return ("run", self.recipe, "--input", self.input, "--out", self.out)

    def start(self, scheduler: str) -> Run:
        """Start it on a scheduler: serial, local, or own, which starts a Dask cluster too."""
        return Run(self, scheduler)


def dask_workers(pid: int) -> list[psutil.Process]:
    """The processes that work for a `--scheduler local`."""
    return [
        process for process in psutil.Process(pid).children(recursive=True) if _is_worker(process)
    ]


def _is_worker(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):  # or a zombie
        return "spawn_main" in " ".join(process.cmdline())
    return False


class Run:
    """Running command in its own process group, with its Dask cluster, if any, in another one."""

    def __init__(self, command: Command, scheduler: str) -> None:
        self._place = command.out.with_name(f"{command.out.name}-{time.monotonic_ns()}")
        self._place.mkdir()
        self._patience = command.patience
        self._cluster: list[subprocess.Popen[bytes]] = []
        if scheduler == "own":
            scheduler = self._start_cluster()
        settings = [word for setting in command.settings for word in ("--set", setting)]
        self.process = self._popen(
            "curate",
            *command.words(),
            *settings,
            "--scheduler",
            scheduler,
            "--workers",
            command.workers,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in (self.process, *self._cluster):
            if process.poll() is None:  # its number may be somebody else's by now
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def _popen(self, module: str, *arguments: object) -> subprocess.Popen[bytes]:
        with (self._place / "errors.txt").open("ab") as errors:
            return subprocess.Popen(
                [sys.executable, "-m", module, *map(str, arguments)],
                start_new_session=True,
                stdout=subprocess.DEVNULL,
                stderr=errors if module == "curate" else subprocess.DEVNULL,
            )

    def _start_cluster(self) -> str:
        file, here = self._place / "scheduler.json", ("--host", "127.0.0.1", "--no-dashboard")
        known = ("--scheduler-file", file)
        self._cluster.append(self._popen("dask", "scheduler", *here, "--port", 0, *known))
        self._cluster.append(
            self._popen(
                "dask",
                "worker",
                *here,
                *known,
                "--nworkers",
                2,
                "--nthreads",
                1,
                "--local-directory",
                file.parent,
            )
        )
        while True:
            with suppress(FileNotFoundError, ValueError):  # not there yet, or not yet whole
                return str(json.loads(file.read_text())["address"])
            assert self._cluster[0].poll() is None, "the Dask scheduler did not start"
            time.sleep(0.01)

    def wait_for(self, moment: Moment, watcher: Watcher) -> bool:
        """Until that moment; False if the run ends before."""
        while len(watcher.seen) < moment.files:
            if self.process.poll() is not None:
                return False
            time.sleep(0.002)
        time.sleep(moment.seconds)  # it is the moment that is chosen; nothing is waited for
        return self.process.poll() is None

    def kill(self, kind: Kind, seed: random.Random) -> bool:
        """kill -9; False if there is none of the kind."""
        if kind == "all":
            for process in (self.process, *self._cluster):
                os.killpg(process.pid, signal.SIGKILL)
        elif kind == "scheduler":
            self._cluster[0].kill()
        else:
            workers = dask_workers(self.process.pid)
            if not workers:
                return False
            seed.choice(workers).kill()
        return True

    def end(self) -> tuple[int, str]:
        """Wait until it ends by itself; returns its status and what it said."""
        try:
            status = self.process.wait(self._patience)
        except subprocess.TimeoutExpired:
            status = -1
        return status, (self._place / "errors.txt").read_text()


@dataclass
class Survival:
    """Outcome of a run that was killed."""

    stages: list[str] = field(default_factory=list)
    """Stages in which it was killed."""
    restarts: int = 0
    faults: list[str] = field(default_factory=list)
    """Broken promises; should be empty."""
    checks: int = 0
    files: int = 0


def disturb(
    command: Command,
    scheduler: str,
    kind: Kind,
    moments: Sequence[Moment],
    expected: dict[str, str],
    seed: random.Random,
) -> Survival:
    """Kill a run at some moments, resume it until it is done, and compare it with a whole one.

    The workers of a killed scheduler stay alive beside the run that resumes.
    """
    survival = Survival()
    runs: list[Run] = []
    try:
        with Watcher(command.out, expected) as watcher:
            runs.append(command.start(scheduler))
            for moment in moments:
                if not runs[-1].wait_for(moment, watcher):
                    break
                stage = watcher.stage
                if runs[-1].kill(kind, seed):
                    survival.stages.append(stage)
                    if kind != "worker":
                        _check_death(kind, *runs[-1].end(), survival)
                        runs.append(command.start(scheduler))
            status, errors = runs[-1].end()
            if status:
                survival.faults.append(
                    f"{'hangs' if status == -1 else f'exit status {status}'}: {errors.strip()}"
                )
    finally:
        for run in runs:
            run.__exit__(None, None, None)
    survival.restarts, survival.checks, survival.files = (
        len(runs) - 1,
        watcher.checks,
        len(watcher.seen),
    )
    found = digests(command.out)
    survival.faults += watcher.breaches
    survival.faults += [
        f"{name}: differs in the end" for name, d in expected.items() if found.get(name) != d
    ]
    survival.faults += [f"{name}: left over" for name in found.keys() - expected.keys()]
    return survival


def _check_death(kind: Kind, status: int, errors: str, survival: Survival) -> None:
    """Check that a run whose scheduler was killed names the remedy, or needed none."""
    advised = "run the same command again" in errors and "Traceback" not in errors
    if kind == "scheduler" and status != 0 and not (status == 1 and advised):
        survival.faults.append(
            f"its scheduler killed, it ended with {status}: {errors.strip()[-2000:]}"
        )
