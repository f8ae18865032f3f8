"""Outcome of one candidate's fetch: its bytes, or the reason why there are none."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from curate.errors import Reason, RunError
from curate.images.header import Header
from curate.recipe import Fetch

__all__ = ["Body", "Failure", "Outcome", "clean", "contain_failures"]


class Failure(Exception):  # noqa: N818 - it ends a candidate, not the program
    """Failed attempt at one candidate. Never leaves the fetch room.

    Args:
        reason: why it failed.
        detail: more about it, for the log.
        retry_after: seconds that the server asked to wait.
        requested: whether anything was sent.
        header: header of the image, where that decided.
        nbytes: length of the file, where that decided; a lower bound if it is too large.
    """

    def __init__(
        self,
        reason: Reason,
        detail: str = "",
        *,
        retry_after: float | None = None,
        requested: bool = True,
        header: Header | None = None,
        nbytes: int | None = None,
    ) -> None:
        self.reason, self.detail = reason, clean(detail)
        super().__init__(f"{reason}: {self.detail}")
        self.retry_after, self.requested = retry_after, requested
        self.header, self.nbytes = header, nbytes
        self.head: int | None = None
        """Bytes of the file from which `header` was read."""


@contextmanager
def contain_failures() -> Iterator[None]:
    """Turn any exception of one candidate's work into its Failure, so that no other row suffers.

    Errors of this machine pass: without a disk, room or memory, no other candidate fares better.
    Those of the network come as errors of aiohttp, never as a bare OSError.
    """
    try:
        yield
    except (Failure, RunError, OSError, MemoryError):
        raise
    except Exception as error:
        detail = f"{type(error).__name__}: {error}"
        raise Failure(Reason.INTERNAL_ERROR, detail) from error


def clean(text: str) -> str:
    """Return a server's text as a table can hold it: short, and valid Unicode."""
    return text[:200].encode("utf-8", "replace").decode("utf-8")


@dataclass(frozen=True)
class Body:
    """Bytes of one candidate, spooled to a local file."""

    path: Path
    nbytes: int
    sha256: str
    format: str


@dataclass
class Outcome:
    """State of one candidate's fetch, which ends with either a body or a reason."""

    body: Body | None = None
    reason: Reason | None = None
    final_url: str | None = None
    http_status: int | None = None

    # facts behind a rejection, so that changed bounds can be checked without another request
    header: Header | None = None
    head: int | None = None
    nbytes: int | None = None
    aside_sha256: str | None = None
    """SHA-256 of bytes that an earlier run fetched and the current bounds reject; kept aside."""
    rejected_by_claims: bool = False
    """Rejected by the list's claims, so that an earlier run's response doesn't count."""

    # facts that differ from run to run, for the log
    detail: str | None = None
    started_at: datetime | None = None
    seconds: float = 0.0
    """Time spent, with pauses between attempts but without waits for a host's rate limit.

    Hardly more than the deadline, which starts again for the last retry.
    """
    attempts: int = 0
    postponed: bool = False
    """Not requested, since its host failed too often."""
    changed_on_disk: bool = False
    """Local bytes are not the bytes that were served."""
    retry_after: float | None = None
    address: str | None = None
    content_type: str | None = None
    content_length: int | None = None

    def start_attempt(self) -> None:
        """Start another attempt, and forget the results of the last one."""
        self.started_at = self.started_at or datetime.now(UTC)
        self.attempts += 1
        self.body = self.reason = self.detail = self.retry_after = None
        self.final_url = self.http_status = self.address = None
        self.content_type = self.content_length = None
        self.header = self.head = self.nbytes = self.aside_sha256 = None

    def fail(self, failure: Failure) -> None:
        """End an attempt without bytes."""
        self.reason, self.detail = failure.reason, failure.detail
        self.retry_after = failure.retry_after
        self.header, self.head, self.nbytes = failure.header, failure.head, failure.nbytes
        self.postponed = not failure.requested
        self.attempts -= self.postponed

    def retry_delay(self, config: Fetch) -> float | None:
        """Return the seconds to wait before a retry; None if there is nothing to retry for now."""
        transient = self.reason is not None and self.reason.transient
        if not transient or self.postponed or self.attempts >= config.retries:
            return None
        delay = self.retry_after
        if delay is None:
            delay = config.backoff * 2 ** (self.attempts - 1) * random.uniform(1, 1.5)
        return delay if self.seconds + delay < config.deadline else None

    def deserves_last_retry(self, config: Fetch) -> bool:
        """Return whether to try once more when everything else is done."""
        if self.reason is None or not self.reason.transient or self.attempts > config.retries:
            return False
        return self.retry_after is None or self.retry_after < config.deadline
