"""What a run tells while it goes: from the workers to the driver, and from there to whoever listens.

A worker tells how its shard stands as a whole each time, not what is new. So whatever was told of a shard before, by
this worker or by one that has died, is void with the next word, and no row is counted twice.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

__all__ = ["Progress", "Teller", "Wait", "telling"]

TELL_SECONDS = 0.5
"""A worker tells so often at most, and only what has changed."""

Wait = tuple[str, float]
"""What a shard is waiting for, in words that may be shown, and for how many seconds it has."""


class Progress:
    """What happens during a run, for whoever draws or logs it. This one does nothing.

    `rows_out` counts rows that came to their end by reason, those still in under "ok". Calls may come from any thread.
    """

    def run_started(self, folder: str, recipe: str, fingerprint: str) -> None:
        """A run begins, in that folder, by the recipe of that name and fingerprint."""

    def stage_started(self, stage: str, shards: int, rows: int) -> None:
        """A stage begins."""

    def advanced(
        self, stage: str, shard: str, rows_out: Mapping[str, int], waits: Sequence[Wait]
    ) -> None:
        """How a shard under way stands, and what it has waited for longest. Takes the place of what was told before."""

    def shard_done(
        self, stage: str, shard: str, rows_out: dict[str, int], resumed: bool, seconds: float
    ) -> None:
        """A shard is committed, after so many seconds of work; `resumed` when an earlier run had done it."""

    def shard_failed(self, stage: str, shard: str, error: str) -> None:
        """A shard failed; nothing of it counts any more. It will be tried again."""

    def stage_finished(self, stage: str) -> None:
        """A stage is done."""


class Teller:
    """Counts the rows of a shard as they come to their end. For any number of threads."""

    def __init__(self) -> None:
        self._rows_out: Counter[str] = Counter()
        self._waits: Callable[[], Sequence[Wait]] = tuple
        self._lock = threading.Lock()

    def advance(self, rows: int, reason: str | None) -> None:
        """So many more rows came to their end, for a reason, or still in."""
        with self._lock:
            self._rows_out[str(reason or "ok")] += rows

    def watch(self, waits: Callable[[], Sequence[Wait]]) -> None:
        """Ask this for what the shard has waited for longest, a handful at most, whenever it is told how it stands."""
        self._waits = waits

    def standing(self) -> tuple[dict[str, int], list[Wait]]:
        """Rows by reason, and what is waited for."""
        with self._lock:
            return dict(self._rows_out), list(self._waits())


@contextmanager
def telling(report: Callable[[Any], None]) -> Iterator[Teller]:
    """A teller whose standing is reported now and then while a block runs, by a thread of its own.

    By a thread, since the work may be waiting, and that is when one wants to know for what.
    """
    teller, ended = Teller(), threading.Event()

    def tell() -> None:
        told: Any = ({}, [])
        while not ended.wait(TELL_SECONDS):
            if (standing := teller.standing()) != told:
                report(standing)
                told = standing

    thread = threading.Thread(target=tell, name="curate-telling", daemon=True)
    thread.start()
    try:
        yield teller
    finally:
        ended.set()
        thread.join()
