"""One host as a worker sees it while it fetches a shard: when it may be asked, and whether it is worth asking."""

from __future__ import annotations

from curate.errors import Reason
from curate.recipe import Fetch
from curate.stages.fetch.host_limits import Turns
from curate.stages.fetch.outcome import Failure

__all__ = ["ANOTHER_LOOK", "Host"]

ANOTHER_LOOK = 0.05
"""Seconds until a host is looked at again whose places other workers have."""

_HARD = {Reason.DNS, Reason.CONNECT, Reason.TIMEOUT, Reason.HTTP_5XX, Reason.HTTP_429}
"""What a host that is down, or has had enough of us, answers to everything. Any other end shows that it lives."""


class Host:
    """Keeps a host's limits, with all workers of the run, and breaks off when it fails again and again."""

    def __init__(self, name: str, config: Fetch, turns: Turns) -> None:
        self._name = name
        self._turns = turns
        self._places = config.per_host
        self._gap = 1 / config.per_host_rate if config.per_host_rate else 0.0
        self._longest = config.deadline
        self._limit = config.host_failures
        self._failures = 0

    def enter(self) -> int | None:
        """Take one of its places; None if all are taken."""
        return self._turns.enter(self._name, self._places)

    def leave(self, place: int) -> None:
        """Give a place back."""
        self._turns.leave(place)

    def reserve(self) -> float:
        """Take the next turn; returns how many seconds from now it is."""
        # whoever has a place has a turn at most, and before the first of them there may be a Retry-After
        return self._turns.reserve(self._name, self._gap, self._longest + self._places * self._gap)

    def check(self) -> None:
        """Raise a Failure that was not asked for if the host has failed too often."""
        if self._failures >= self._limit:
            raise Failure(
                self._reason,
                f"not asked: its host failed {self._failures} times in a row",
                asked=False,
            )

    def tell(self, failure: Failure | None) -> None:
        """Say how a request ended."""
        if failure is None or failure.reason not in _HARD:
            self._failures = 0
            return
        self._failures += 1
        self._reason = failure.reason
        if failure.retry_after is not None:  # nobody else need try before that either
            self._turns.postpone(self._name, min(failure.retry_after, self._longest))

    def forgive(self) -> None:
        """Give it another chance."""
        self._failures = 0
