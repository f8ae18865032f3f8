"""What became of one candidate's bytes."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from curate.errors import Reason
from curate.images.header import Header
from curate.recipe import Fetch

__all__ = ["Body", "Failure", "Outcome", "clean"]


class Failure(Exception):  # noqa: N818 - it ends a candidate, not the program
    """Ends a try at one candidate; never leaves the fetch room."""

    def __init__(
        self,
        reason: Reason,
        detail: str = "",
        *,
        retry_after: float | None = None,
        asked: bool = True,
        header: Header | None = None,
        nbytes: int | None = None,
    ) -> None:
        self.reason = reason
        self.detail = clean(detail)
        super().__init__(f"{reason}: {self.detail}")
        self.retry_after = retry_after
        """Seconds that the server asked to wait."""
        self.asked = asked
        """Whether anything was sent."""
        self.header = header
        """What the head of the file told, where that decided."""
        self.head: int | None = None
        """Bytes of the file that told that."""
        self.nbytes = nbytes
        """Length of the file, where that decided; of one that is too large, at least."""


def clean(text: str) -> str:
    """A server's words, as a table can hold them: short, and without what is no Unicode."""
    return text[:200].encode("utf-8", "replace").decode("utf-8")


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

    # what it was rejected by, so that other bounds can be held against that instead of asking again
    header: Header | None = None
    head: int | None = None
    nbytes: int | None = None
    held: str | None = None
    """SHA-256 of bytes that were fetched, and that these bounds would not have let come; they are put aside."""
    unasked: bool = False
    """Rejected by what its list says of it, so that the answer there was once is none of this run's."""

    # what differs from run to run, for the log
    detail: str | None = None
    started_at: datetime | None = None
    seconds: float = 0.0
    """Spent on it, waits between tries included, waits for its turn not. Hardly more than the deadline,
    which is a new one for the last try."""
    attempts: int = 0
    postponed: bool = False
    """Not asked for, since its host failed too often."""
    altered: bool = False
    """Bytes on a disk that are not those that were served."""
    retry_after: float | None = None
    address: str | None = None
    content_type: str | None = None
    content_length: int | None = None

    def begin(self) -> None:
        """Start another try, forgetting what the last one found."""
        self.started_at = self.started_at or datetime.now(UTC)
        self.attempts += 1
        self.body = self.reason = self.detail = self.retry_after = None
        self.final_url = self.http_status = self.address = self.content_type = (
            self.content_length
        ) = None
        self.header = self.head = self.nbytes = self.held = None

    def fail(self, failure: Failure) -> None:
        """End a try without bytes."""
        self.reason, self.detail, self.retry_after = (
            failure.reason,
            failure.detail,
            failure.retry_after,
        )
        self.header, self.head, self.nbytes = failure.header, failure.head, failure.nbytes
        self.postponed = not failure.asked
        if self.postponed:
            self.attempts -= 1

    def pause(self, config: Fetch) -> float | None:
        """Seconds to wait before another try; None if there is nothing to try again for now."""
        if (
            self.reason is None
            or not self.reason.transient
            or self.postponed
            or self.attempts >= config.retries
        ):
            return None
        seconds = self.retry_after
        if seconds is None:
            seconds = config.backoff * 2 ** (self.attempts - 1) * random.uniform(1, 1.5)
        return seconds if self.seconds + seconds < config.deadline else None

    def may_end_otherwise(self, config: Fetch) -> bool:
        """Whether it is worth a last try when everything else is done."""
        if self.reason is None or not self.reason.transient or self.attempts > config.retries:
            return False
        return self.retry_after is None or self.retry_after < config.deadline
