"""What is known of the stage under way, for whoever tells it: the console, or a log of events."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from threading import RLock
from types import TracebackType
from typing import Self

from curate import engine
from curate.engine import Wait
from curate.stages.names import StageName

__all__ = ["Listeners", "StageTally", "TalliedProgress"]

TELL_SECONDS = 10.0
"""Where it isn't drawn all the time, the stage under way is told of so often at most."""
_LONG = 5.0
"""Seconds after which what is waited for is worth a word."""
_RECENT = 30.0
"""Seconds that a rate is taken over."""


class StageTally:
    """What is known of a stage under way. Moments are seconds of any steady clock."""

    def __init__(self, stage: str, shards: int, rows: int, now: float) -> None:
        self.stage = StageName.of_folder(stage) or stage
        """As a user names it."""
        self.shards, self.rows, self.started = shards, rows, now
        self.resumed = 0
        """Rows that an earlier run had done."""
        self._ended: set[str] = set()
        self._counts: Counter[str] = Counter()
        self._under_way: dict[str, Mapping[str, int]] = {}
        self._waits: dict[str, Sequence[Wait]] = {}
        self._marks = deque([(now, 0)])
        """Moments, about a second apart, and how many rows had been done in this run."""

    def advanced(
        self, shard: str, rows_out: Mapping[str, int], waits: Sequence[Wait], now: float
    ) -> None:
        """See engine.Progress."""
        if shard not in self._ended:  # word from a worker may be overtaken by its result
            self._under_way[shard], self._waits[shard] = rows_out, waits
            self._mark(now)

    def shard_done(
        self, shard: str, rows_out: Mapping[str, int], resumed: bool, now: float
    ) -> None:
        """See engine.Progress."""
        self.shard_failed(shard)
        self._ended.add(shard)
        self._counts.update(rows_out)
        self.resumed += sum(rows_out.values()) if resumed else 0
        self._mark(now)

    def shard_failed(self, shard: str) -> None:
        """See engine.Progress."""
        self._under_way.pop(shard, None)
        self._waits.pop(shard, None)

    @property
    def shards_done(self) -> int:
        """Shards that are committed."""
        return len(self._ended)

    @property
    def rows_out(self) -> Counter[str]:
        """Rows by reason, those of shards under way included."""
        total = self._counts.copy()
        for rows_out in self._under_way.values():
            total.update(rows_out)
        return total

    @property
    def done(self) -> int:
        """Rows that came to their end."""
        return self.rows_out.total()

    @property
    def reasons(self) -> list[tuple[str, int]]:
        """Reasons of rows that are out, the most frequent first."""
        counts = self.rows_out
        del counts["ok"]
        return counts.most_common()

    @property
    def slowest(self) -> list[Wait]:
        """What has been waited for longest, over all shards under way."""
        waits = [
            (what, seconds)
            for waits in self._waits.values()
            for what, seconds in waits
            if seconds >= _LONG
        ]
        return sorted(waits, key=lambda wait: -wait[1])

    def rate(self, now: float) -> float:
        """Rows a second of late, without those that an earlier run had done."""
        then, before = self._marks[0]
        return max(0.0, (self.done - self.resumed - before) / (now - then)) if now > then else 0.0

    def seconds_left(self, now: float) -> float | None:
        """At the rate of late; None if nobody knows."""
        rate = self.rate(now)
        return max(0.0, (self.rows - self.done) / rate) if rate and self.rows else None

    def _mark(self, now: float) -> None:
        if now - self._marks[-1][0] >= 1:
            self._marks.append((now, self.done - self.resumed))
        while len(self._marks) > 2 and now - self._marks[1][0] >= _RECENT:
            self._marks.popleft()


class TalliedProgress(engine.Progress):
    """Keeps the tally of the stage under way, and calls `_interim` with it now and then."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = RLock()
        self._tally: StageTally | None = None
        self._told = clock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass

    def stage_started(self, stage: str, shards: int, rows: int) -> None:
        """See engine.Progress."""
        with self._lock:
            self._told = self._clock()
            self._tally = StageTally(stage, shards, rows, self._told)

    def advanced(
        self, stage: str, shard: str, rows_out: Mapping[str, int], waits: Sequence[Wait]
    ) -> None:
        """See engine.Progress."""
        with self._lock:
            if self._tally is not None:
                self._tally.advanced(shard, rows_out, waits, self._clock())
                self._tell(self._tally)

    def shard_done(
        self, stage: str, shard: str, rows_out: dict[str, int], resumed: bool, seconds: float
    ) -> None:
        """See engine.Progress."""
        with self._lock:
            if self._tally is not None:
                self._tally.shard_done(shard, rows_out, resumed, self._clock())
                self._tell(self._tally)

    def shard_failed(self, stage: str, shard: str, error: str) -> None:
        """See engine.Progress."""
        with self._lock:
            if self._tally is not None:
                self._tally.shard_failed(shard)

    def stage_finished(self, stage: str) -> None:
        """See engine.Progress."""
        with self._lock:
            tally, self._tally = self._tally, None
        if tally is not None:
            self._finished(tally, self._clock() - tally.started)

    def _tell(self, tally: StageTally) -> None:
        if (now := self._clock()) - self._told >= TELL_SECONDS:
            self._told = now
            self._interim(tally, now)

    def _interim(self, tally: StageTally, now: float) -> None:
        """Every ten seconds at most."""

    def _finished(self, tally: StageTally, seconds: float) -> None:
        """A stage is done."""


class Listeners(engine.Progress):
    """Tells several listeners."""

    def __init__(self, *listeners: engine.Progress) -> None:
        self._listeners = listeners

    def run_started(self, folder: str, recipe: str, fingerprint: str) -> None:
        """See engine.Progress."""
        for listener in self._listeners:
            listener.run_started(folder, recipe, fingerprint)

    def stage_started(self, stage: str, shards: int, rows: int) -> None:
        """See engine.Progress."""
        for listener in self._listeners:
            listener.stage_started(stage, shards, rows)

    def advanced(
        self, stage: str, shard: str, rows_out: Mapping[str, int], waits: Sequence[Wait]
    ) -> None:
        """See engine.Progress."""
        for listener in self._listeners:
            listener.advanced(stage, shard, rows_out, waits)

    def shard_done(
        self, stage: str, shard: str, rows_out: dict[str, int], resumed: bool, seconds: float
    ) -> None:
        """See engine.Progress."""
        for listener in self._listeners:
            listener.shard_done(stage, shard, rows_out, resumed, seconds)

    def shard_failed(self, stage: str, shard: str, error: str) -> None:
        """See engine.Progress."""
        for listener in self._listeners:
            listener.shard_failed(stage, shard, error)

    def stage_finished(self, stage: str) -> None:
        """See engine.Progress."""
        for listener in self._listeners:
            listener.stage_finished(stage)
