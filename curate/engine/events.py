"""Events of a run: from workers to the driver, and from the driver to whoever receives them.

A worker reports the whole state of its shard each time, not the change. So each report replaces
what was reported of the shard before, by this worker or by one that has died, and no row is
counted twice.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

__all__ = ["Progress", "ShardProgress", "Wait", "reporting"]

REPORT_SECONDS = 0.5
"""Least time between two reports of a worker, which reports changes only."""

Wait = tuple[str, float]
"""A thing that a shard is waiting for, in words that may be shown, and for how many seconds."""


class Progress:
    """Receiver of a run's events, to draw or log them. This one ignores them.

    `rows_out` counts finished rows by reason, rows still in under "ok". Calls come from any thread.
    """

    def run_started(self, folder: str, recipe: str, fingerprint: str) -> None:
        """Receive the start of a run: its folder, and its recipe's name and fingerprint."""

    def stage_started(self, stage: str, shards: int, rows: int) -> None:
        """Receive the start of a stage."""

    def advanced(
        self, stage: str, shard: str, rows_out: Mapping[str, int], waits: Sequence[Wait]
    ) -> None:
        """Receive the state of a running shard, and its longest waits; replaces earlier states."""

    def shard_done(
        self, stage: str, shard: str, rows_out: dict[str, int], resumed: bool, seconds: float
    ) -> None:
        """Receive a committed shard and its seconds; `resumed` if an earlier run did it."""

    def shard_failed(self, stage: str, shard: str, error: str) -> None:
        """Receive a failed shard; its counts are void, and it is retried."""

    def stage_finished(self, stage: str) -> None:
        """Receive the end of a stage."""


class ShardProgress:
    """Counter of a shard's finished rows, for any number of threads."""

    def __init__(self) -> None:
        self._rows_out: Counter[str] = Counter()
        self._waits: Callable[[], Sequence[Wait]] = tuple
        self._lock = threading.Lock()

    def advance(self, rows: int, reason: str | None) -> None:
        """Count rows that finished with a reason, or are still in."""
        with self._lock:
            self._rows_out[str(reason or "ok")] += rows

    def watch(self, waits: Callable[[], Sequence[Wait]]) -> None:
        """Register a thread-safe callback that returns the longest-running waits, a few at most."""
        self._waits = waits

    def state(self) -> tuple[dict[str, int], list[Wait]]:
        """Return finished rows by reason, and the longest-running waits."""
        with self._lock:
            return dict(self._rows_out), list(self._waits())


@contextmanager
def reporting(report: Callable[[Any], None]) -> Iterator[ShardProgress]:
    """Report a shard's state from a thread while a block runs, whenever it has changed.

    The thread reports while the work itself is waiting: just then one wants to know for what.
    """
    progress, ended = ShardProgress(), threading.Event()

    def run() -> None:
        last: Any = ({}, [])
        while not ended.wait(REPORT_SECONDS):
            state = progress.state()
            if state != last:
                report(state)
                last = state

    thread = threading.Thread(target=run, name="curate-reporting", daemon=True)
    thread.start()
    try:
        yield progress
    finally:
        ended.set()
        thread.join()
