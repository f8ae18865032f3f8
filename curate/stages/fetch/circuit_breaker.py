"""Circuit breaker of one host: stops requests after too many failures in a row."""

from __future__ import annotations

from curate.errors import Reason
from curate.recipe import Fetch
from curate.stages.fetch.host_limits import HostLimits
from curate.stages.fetch.outcome import Failure

__all__ = ["POLL_INTERVAL", "CircuitBreaker"]

POLL_INTERVAL = 0.05
"""Seconds between attempts to get a slot of a host while other workers have them all."""

_HOST_FAILURES = {Reason.DNS, Reason.CONNECT, Reason.TIMEOUT, Reason.HTTP_5XX, Reason.HTTP_429}
"""Failures of a host that is down or overloaded. Any other outcome shows that it works."""


class CircuitBreaker:
    """Circuit breaker of one host in one worker, in front of the limits that all workers share."""

    def __init__(self, host: str, config: Fetch, limits: HostLimits) -> None:
        self._host = host
        self._limits = limits
        self._slots = config.per_host
        self._gap = 1 / config.per_host_rate if config.per_host_rate else 0.0
        self._longest = config.deadline
        self._threshold = config.host_failures
        self._failures = 0

    def acquire(self) -> int | None:
        """Take one of the host's slots; return None if all are taken.

        Raises:
            Failure: one that was not requested, if the host has failed too often.
        """
        if self._failures >= self._threshold:
            detail = f"not asked: its host failed {self._failures} times in a row"
            raise Failure(self._reason, detail, requested=False)
        return self._limits.acquire(self._host, self._slots)

    def release(self, slot: int) -> None:
        """Give a slot back."""
        self._limits.release(slot)

    def reserve(self) -> float:
        """Reserve the next request; return how many seconds from now it may be sent."""
        # each slot has at most one reservation, and a Retry-After may come before the first
        longest = self._longest + self._slots * self._gap
        return self._limits.reserve(self._host, self._gap, longest)

    def record(self, failure: Failure | None) -> None:
        """Record how a request ended."""
        if failure is None or failure.reason not in _HOST_FAILURES:
            self._failures = 0
            return
        self._failures += 1
        self._reason = failure.reason
        if failure.retry_after is not None:  # it holds for all other requests too
            self._limits.postpone(self._host, min(failure.retry_after, self._longest))

    def reset(self) -> None:
        """Forget the failures, so that the host gets another chance."""
        self._failures = 0
