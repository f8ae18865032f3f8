"""Open requests of a shard, and the progress callback for its finished candidates."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice

from yarl import URL

from curate.stages.fetch.outcome import Outcome

__all__ = ["OpenRequests"]

MOST_SHOWN = 5
"""Number of open URLs that `slowest` returns."""
_MAX_LENGTH = 100


class OpenRequests:
    """Tracker of open requests and finished candidates, for any number of threads.

    Args:
        advance: called with 1 and the reason (None: it has bytes) for each finished candidate.
    """

    def __init__(
        self, advance: Callable[[int, str | None], None] = lambda rows, reason: None
    ) -> None:
        self._advance = advance
        self._open: dict[object, tuple[URL, float]] = {}
        """URL and start time of each, oldest first."""

    def finish(self, outcome: Outcome) -> None:
        """Report one candidate as finished."""
        self._advance(1, outcome.reason and outcome.reason.value)

    @contextmanager
    def track(self, url: URL) -> Iterator[None]:
        """Count a request as open while the block runs."""
        request = object()
        self._open[request] = url, time.monotonic()
        try:
            yield
        finally:
            del self._open[request]

    def slowest(self) -> list[tuple[str, float]]:
        """Return the URLs that have been open longest, and for how many seconds."""
        now = time.monotonic()
        oldest = islice(list(self._open.values()), MOST_SHOWN)
        return [(display(url), now - start) for url, start in oldest]


def display(url: URL) -> str:
    """Return a URL for a terminal: without its query, which may be a signature, and short."""
    text = str(url.with_user(None).with_query(None).with_fragment(None))
    return text if len(text) <= _MAX_LENGTH else f"{text[: _MAX_LENGTH - 33]}...{text[-30:]}"
