"""What a fetch tells while it goes: how each URL came to its end, and which ones are open right now."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice

from yarl import URL

from curate.stages.fetch.outcome import Outcome

__all__ = ["Watch"]

HANDFUL = 5
"""Open URLs that are named at once."""
_LONGEST = 100


class Watch:
    """Told by an engine, from any number of threads."""

    def __init__(
        self, advance: Callable[[int, str | None], None] = lambda rows, reason: None
    ) -> None:
        """`advance` is called with 1 and the reason as each candidate comes to its end."""
        self._advance = advance
        self._open: dict[object, tuple[URL, float]] = {}
        """In the order in which they were opened."""

    def done(self, outcome: Outcome) -> None:
        """A candidate has come to its end."""
        self._advance(1, outcome.reason and outcome.reason.value)

    @contextmanager
    def asking(self, url: URL) -> Iterator[None]:
        """A URL is being asked for while the block runs."""
        request = object()
        self._open[request] = url, time.monotonic()
        try:
            yield
        finally:
            del self._open[request]

    def slowest(self) -> list[tuple[str, float]]:
        """The URLs that have been open for longest, and for how many seconds."""
        now = time.monotonic()
        return [
            (show(url), now - start) for url, start in islice(list(self._open.values()), HANDFUL)
        ]


def show(url: URL) -> str:
    """What may be shown of a URL: no query, which may be somebody's signature, and not more than fits a line."""
    text = str(url.with_user(None).with_query(None).with_fragment(None))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 33]}...{text[-30:]}"
