"""Tally of the running stage, for the console and for the log of events."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from threading import RLock
from types import TracebackType
from typing import Self

from curate import engine
from curate.engine import Wait
from curate.stages.names import StageName

__all__ = ["Listeners", "StageTally", "TalliedProgress"]

REPORT_SECONDS = 10.0
"""Least time between two lines, or two logged events, about the running stage."""
_LONG = 5.0
"""Shortest wait that is shown, in seconds."""
_RECENT = 30.0
"""Length of the moving window of rates, in seconds."""


class StageTally:
    """Counts, rate and longest waits of a running stage. Times are seconds of a monotonic clock."""

    def __init__(
        self,
        stage: str,
        shards: int,
        rows: int,
        now: float,
        rejected_before: Mapping[str, int] = {},
    ) -> None:
        """Begin to count.

        Args:
            stage: its folder.
            shards: number of all shards.
            rows: candidates in all shards; 0 where that shows at the stage's end.
            now: the time.
            rejected_before: shard -> rows that earlier stages rejected: they cost this one no time.
        """
        self.stage = StageName.of_folder(stage) or stage
        """User's name of the stage."""
        self.shards, self.rows, self.started = shards, rows, now
        self.resumed = 0
        """Rows to work on that an earlier run finished."""
        self.rejected: dict[str, int] = {}
        """Shard -> rows that are rejected after this stage, of shards that are done."""
        self._rejected_before = rejected_before
        self._ended: set[str] = set()
        self._counts: Counter[str] = Counter()
        self._under_way: dict[str, Mapping[str, int]] = {}
        self._waits: dict[str, Sequence[Wait]] = {}
        self._marks = deque([(now, 0)])
        """(time, rows worked on by this run), about a second apart."""

    def advanced(
        self, shard: str, rows_out: Mapping[str, int], waits: Sequence[Wait], now: float
    ) -> None:
        """See engine.Progress."""
        if shard not in self._ended:  # a report may arrive after the shard's result
            self._under_way[shard], self._waits[shard] = rows_out, waits
            self._mark(now)

    def shard_done(
        self, shard: str, rows_out: Mapping[str, int], resumed: bool, now: float
    ) -> None:
        """See engine.Progress."""
        self.shard_failed(shard)
        self._ended.add(shard)
        self._counts.update(rows_out)
        total = sum(rows_out.values())
        self.rejected[shard] = total - rows_out.get("ok", 0)
        self.resumed += total - self._rejected_before.get(shard, 0) if resumed else 0
        self._mark(now)

    def shard_failed(self, shard: str) -> None:
        """See engine.Progress."""
        self._under_way.pop(shard, None)
        self._waits.pop(shard, None)

    @property
    def shards_done(self) -> int:
        """Number of committed shards."""
        return len(self._ended)

    @property
    def rows_out(self) -> Counter[str]:
        """Finished rows by reason, including rows of running shards."""
        total = self._counts.copy()
        for rows_out in self._under_way.values():
            total.update(rows_out)
        return total

    @property
    def done(self) -> int:
        """Number of finished rows."""
        return self.rows_out.total()

    @property
    def work(self) -> int:
        """Number of rows that came into the stage; 0 where that shows at its end."""
        return max(0, self.rows - sum(self._rejected_before.values()))

    @property
    def work_done(self) -> int:
        """Number of finished rows among them."""
        begun = chain(self._ended, self._under_way)
        return max(0, self.done - sum(self._rejected_before.get(shard, 0) for shard in begun))

    @property
    def is_idle(self) -> bool:
        """Whether earlier stages have rejected every row."""
        return bool(self.rows) and not self.work

    @property
    def reasons(self) -> list[tuple[str, int]]:
        """Reasons of rejected rows with their counts, most frequent first."""
        counts = self.rows_out
        del counts["ok"]
        return counts.most_common()

    @property
    def slowest(self) -> list[Wait]:
        """Longest waits of all running shards, longest first."""
        waits = chain.from_iterable(self._waits.values())
        long = [(what, seconds) for what, seconds in waits if seconds >= _LONG]
        return sorted(long, key=lambda wait: -wait[1])

    def rate(self, now: float) -> float:
        """Return rows per second in the moving window, without rows of an earlier run."""
        then, before = self._marks[0]
        worked = self.work_done - self.resumed - before
        return max(0.0, worked / (now - then)) if now > then else 0.0

    def seconds_left(self, now: float) -> float | None:
        """Return the remaining seconds at the current rate; None if unknown."""
        rate = self.rate(now)
        return max(0.0, (self.work - self.work_done) / rate) if rate and self.rows else None

    def _mark(self, now: float) -> None:
        if now - self._marks[-1][0] >= 1:
            self._marks.append((now, self.work_done - self.resumed))
        while len(self._marks) > 2 and now - self._marks[1][0] >= _RECENT:
            self._marks.popleft()


class TalliedProgress(engine.Progress):
    """Progress that keeps a tally of the running stage, and passes it to `_interim` regularly."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = RLock()
        self._tally: StageTally | None = None
        self._last: tuple[StageName | None, Mapping[str, int]] = None, {}
        self._reported = clock()

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
            self._reported = self._clock()
            after, rejected = self._last
            follows = after is not None and after.following == StageName.of_folder(stage)
            before = rejected if follows else {}
            self._tally = StageTally(stage, shards, rows, self._reported, before)

    def remember(self, stage: StageName, rejected: Mapping[str, int]) -> None:
        """Note how many rows of each shard are rejected after a stage that an earlier run did."""
        self._last = stage, rejected

    def advanced(
        self, stage: str, shard: str, rows_out: Mapping[str, int], waits: Sequence[Wait]
    ) -> None:
        """See engine.Progress."""
        with self._lock:
            if self._tally is not None:
                self._tally.advanced(shard, rows_out, waits, self._clock())
                self._report(self._tally)

    def shard_done(
        self, stage: str, shard: str, rows_out: dict[str, int], resumed: bool, seconds: float
    ) -> None:
        """See engine.Progress."""
        with self._lock:
            if self._tally is not None:
                self._tally.shard_done(shard, rows_out, resumed, self._clock())
                self._report(self._tally)

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
                self._last = StageName.of_folder(stage), tally.rejected
        if tally is not None:
            self._finished(tally, self._clock() - tally.started)

    def _report(self, tally: StageTally) -> None:
        if (now := self._clock()) - self._reported >= REPORT_SECONDS:
            self._reported = now
            self._interim(tally, now)

    def _interim(self, tally: StageTally, now: float) -> None:
        """Receive the tally of the running stage, at most every REPORT_SECONDS."""

    def _finished(self, tally: StageTally, seconds: float) -> None:
        """Receive the tally of a finished stage."""


class Listeners(engine.Progress):
    """Progress that forwards every event to several listeners."""

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
