"""What is known of one host while a shard is fetched: when it may be asked next, and whether it is worth asking."""

from __future__ import annotations

from curate.errors import Reason
from curate.fetch.outcome import Failure
from curate.recipe import Fetch

__all__ = ["Host"]

_HARD = {Reason.DNS, Reason.CONNECT, Reason.TIMEOUT, Reason.HTTP_5XX, Reason.HTTP_429}
"""What a host that is down, or has had enough of us, answers to everything. Any other end shows that it lives."""


class Host:
    """Keeps a host's rate, and breaks off when it fails again and again. Moments are seconds of any steady clock."""

    def __init__(self, config: Fetch) -> None:
        self._gap = 1 / config.per_host_rate if config.per_host_rate else 0.0
        self._longest = config.deadline
        self._limit = config.host_failures
        self._free_at = 0.0
        self._failures = 0

    def reserve(self, now: float) -> float:
        """Take the next turn; returns how many seconds from now it is."""
        start = max(now, self._free_at)
        self._free_at = start + self._gap
        return start - now

    def check(self) -> None:
        """Raise a Failure that was not asked for if the host has failed too often."""
        if self._failures >= self._limit:
            raise Failure(self._reason, f"not asked: its host failed {self._failures} times in a row", asked=False)

    def tell(self, failure: Failure | None, now: float) -> None:
        """Say how a request ended."""
        if failure is None or failure.reason not in _HARD:
            self._failures = 0
            return
        self._failures += 1
        self._reason = failure.reason
        if failure.retry_after is not None:  # nobody else need try before that either
            self._free_at = max(self._free_at, now + min(failure.retry_after, self._longest))

    def forgive(self) -> None:
        """Give it another chance."""
        self._failures = 0
