"""Log of a run's events for other programs: one JSON object a line.

docs/reference/events.md describes every event, and is generated from EVENTS. Names and meanings
are stable; fields may be added.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from curate._version import __version__
from curate.cli.stage_tally import StageTally, TalliedProgress
from curate.storage import atomic

__all__ = ["EVENTS", "EventLog"]

EVENTS: dict[str, tuple[str, dict[str, str]]] = {
    "run_started": (
        "the recipe is settled, and work begins",
        {
            "run": "the run folder",
            "recipe": "the recipe's name",
            "recipe_fingerprint": "of what results depend on; manifests carry the same",
            "versions": "of curate, Python and the libraries that matter: name -> version",
        },
    ),
    "stage_started": (
        "a stage begins",
        {
            "stage": "candidates, fetch, measure, label, match, select or report",
            "shards": "shards of the stage; 0 where that shows at its end",
            "rows": "candidates in all of them; 0 where that shows at its end",
        },
    ),
    "progress": (
        "state of the running stage, every ten seconds at most",
        {
            "stage": "which one",
            "done": "candidates that it has finished",
            "rows": "candidates in all its shards",
            "rows_out": "of those done: reason -> count, those still in under `ok`",
            "rows_per_second": "recent rate",
            "seconds_left": "at that rate; null if unknown",
            "slowest": "longest open requests: a list of `url` (without its query) and `seconds`",
        },
    ),
    "shard_done": (
        "a shard is committed",
        {
            "stage": "of which stage",
            "shard": "its name",
            "rows_out": "reason -> count, those still in under `ok`",
            "resumed": "whether an earlier run had done it",
            "seconds": "taken by its worker, or by checking that it is up to date",
        },
    ),
    "shard_failed": (
        "a shard failed, and will be retried",
        {"stage": "of which stage", "shard": "its name", "error": "what happened"},
    ),
    "stage_finished": (
        "all shards of a stage are done",
        {
            "stage": "which one",
            "rows_out": "reason -> count over all shards, those still in under `ok`",
            "seconds": "that the stage took",
        },
    ),
    "run_finished": ("the command is done", {"seconds": "since the log was opened"}),
    "run_failed": (
        "the run ended early; may come without a `run_started`",
        {
            "error": "type of the error, such as RunError; KeyboardInterrupt after Ctrl-C",
            "message": "text of the error",
            "seconds": "since the log was opened",
        },
    ),
}
"""Event -> its meaning, and its fields beside `time` and `event`."""

_LIBRARIES = ("aiohttp", "distributed", "numpy", "pillow", "pyarrow")


class EventLog(TalliedProgress):
    """Progress that appends events to a file, or writes them to standard error.

    When the log can't be written any more, `complain` is called once, and the run goes on.
    """

    def __init__(
        self,
        path: str,
        complain: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open the log.

        Args:
            path: a local file, which is appended to, or `-` for standard error.
            complain: called with a message when the log can't be written any more.
            clock: monotonic clock, in seconds.

        Raises:
            RunError: if the file can't be opened.
        """
        super().__init__(clock)
        self._complain = complain
        self._path = path
        self._opened = clock()
        self._file: IO[bytes] | None = sys.stderr.buffer if path == "-" else _open(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Log how the run ended."""
        seconds = round(self._clock() - self._opened, 3)
        if kind is None:
            self._write("run_finished", seconds=seconds)
        else:
            self._write("run_failed", error=kind.__name__, message=str(error), seconds=seconds)
        self._close()

    def run_started(self, folder: str, recipe: str, fingerprint: str) -> None:
        """See engine.Progress."""
        versions = {"curate": __version__, "python": platform.python_version()}
        versions |= {name: metadata.version(name) for name in _LIBRARIES}
        self._write(
            "run_started",
            run=folder,
            recipe=recipe,
            recipe_fingerprint=fingerprint,
            versions=versions,
        )

    def stage_started(self, stage: str, shards: int, rows: int) -> None:
        """See engine.Progress."""
        super().stage_started(stage, shards, rows)
        self._write("stage_started", stage=self._stage, shards=shards, rows=rows)

    def shard_done(
        self, stage: str, shard: str, rows_out: dict[str, int], resumed: bool, seconds: float
    ) -> None:
        """See engine.Progress."""
        super().shard_done(stage, shard, rows_out, resumed, seconds)
        facts = {"stage": self._stage, "shard": shard, "rows_out": rows_out, "resumed": resumed}
        self._write("shard_done", **facts, seconds=round(seconds, 3))

    def shard_failed(self, stage: str, shard: str, error: str) -> None:
        """See engine.Progress."""
        super().shard_failed(stage, shard, error)
        self._write("shard_failed", stage=self._stage, shard=shard, error=error)

    def _interim(self, tally: StageTally, now: float) -> None:
        left = tally.seconds_left(now)
        slowest = [{"url": url, "seconds": round(wait, 1)} for url, wait in tally.slowest[:5]]
        self._write(
            "progress",
            stage=tally.stage,
            done=tally.done,
            rows=tally.rows,
            rows_out=dict(tally.rows_out),
            rows_per_second=round(tally.rate(now), 3),
            seconds_left=None if left is None else round(left, 1),
            slowest=slowest,
        )

    def _finished(self, tally: StageTally, seconds: float) -> None:
        self._write(
            "stage_finished",
            stage=tally.stage,
            rows_out=dict(tally.rows_out),
            seconds=round(seconds, 3),
        )

    def _close(self) -> None:
        if self._file is not None and self._path != "-":
            self._file.close()
        self._file = None

    @property
    def _stage(self) -> str:
        return self._tally.stage if self._tally is not None else ""

    def _write(self, event: str, **facts: Any) -> None:
        moment = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = json.dumps({"time": moment, "event": event, **facts}).encode() + b"\n"
        with self._lock:
            if self._file is None:
                return
            try:
                written = self._file.write(line)
                self._file.flush()
                trouble = "" if written == len(line) else "no room for a whole line"
            except (OSError, ValueError) as error:  # ValueError: somebody closed it
                trouble = str(error)
            if trouble:
                self._close()
        if trouble:
            self._complain(f"{self._path}: {trouble}; no more events are logged, the run goes on")


def _open(path: str) -> IO[bytes]:
    """Open a file for appending whole lines, unbuffered."""
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        file = Path(path).open("ab+", buffering=0)  # noqa: SIM115 - closed at the run's end
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":  # a full disk or a kill cut off the last line
                file.write(b"\n")
        return file
    except OSError as error:
        raise atomic.explain(error, path) from error
