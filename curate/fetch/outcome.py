"""What became of one candidate's bytes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from curate.errors import Reason

__all__ = ["Body", "Failure", "Outcome"]


class Failure(Exception):  # noqa: N818 - it ends a candidate, not the program
    """Ends a try at one candidate; never leaves the fetch room."""

    def __init__(self, reason: Reason, detail: str = "", *, retry_after: float | None = None) -> None:
        self.reason = reason
        self.detail = detail[:200]  # a server's words may be long
        super().__init__(f"{reason}: {self.detail}")
        self.retry_after = retry_after
        """Seconds that the server asked to wait."""


@dataclass(frozen=True)
class Body:
    """The bytes of one candidate, spooled to a local file."""

    path: Path
    nbytes: int
    sha256: str
    format: str


@dataclass
class Outcome:
    """One candidate's way through the fetch: either a body or a reason at its end."""

    body: Body | None = None
    reason: Reason | None = None
    final_url: str | None = None
    http_status: int | None = None

    # what differs from run to run, for the log
    detail: str | None = None
    started_at: datetime | None = None
    seconds: float = 0.0
    """Spent on it, waits between tries included, waits for its turn not."""
    attempts: int = 0
    address: str | None = None
    content_type: str | None = None
    content_length: int | None = None

    def begin(self) -> None:
        """Start another try, forgetting what the last one found."""
        self.started_at = self.started_at or datetime.now(UTC)
        self.attempts += 1
        self.body = self.reason = self.detail = None
        self.final_url = self.http_status = self.address = self.content_type = self.content_length = None

    def fail(self, failure: Failure) -> None:
        """End a try without bytes."""
        self.reason, self.detail = failure.reason, failure.detail
