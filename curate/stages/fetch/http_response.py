"""What an HTTP answer means for its candidate: the same for every engine."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from multidict import MultiMapping
from yarl import URL

from curate.errors import Reason
from curate.recipe import Fetch
from curate.stages.fetch.guard import Guard
from curate.stages.fetch.outcome import Failure, Outcome, clean
from curate.stages.fetch.robots import opted_out

__all__ = ["judge", "next_hop", "request_headers"]

_REDIRECTS = {301, 302, 303, 307, 308}


def request_headers(user_agent: str) -> dict[str, str]:
    """What we say of ourselves: no cookies, no referrer, bytes as they are."""
    return {"User-Agent": user_agent, "Accept": "image/*,*/*;q=0.5", "Accept-Encoding": "identity"}


def next_hop(
    status: int, headers: MultiMapping[str], visited: list[URL], guard: Guard, limit: int
) -> URL | None:
    """Where an answer of `visited[-1]` redirects to; None if it does not.

    Raises:
        Failure: REDIRECTS for a loop or too many, or what the guard says of the target.
    """
    location = headers.get("Location")
    if status not in _REDIRECTS or not location:
        return None
    url = guard.url(location, base=visited[-1])
    if url in visited:
        raise Failure(Reason.REDIRECTS, f"a loop of {len(visited) - visited.index(url)}")
    if len(visited) > limit:
        raise Failure(Reason.REDIRECTS, f"more than {limit}")
    return url


def judge(status: int, headers: MultiMapping[str], config: Fetch, outcome: Outcome) -> None:
    """Note an answer's facts, and reject it if its head already tells that there is no image to come.

    Here and in `next_hop`, header names must be found in any case.

    Raises:
        Failure: one of the HTTP reasons, OPTED_OUT by its X-Robots-Tag, or TOO_LARGE by its Content-Length.
    """
    length = headers.get("Content-Length", "")
    outcome.content_type = clean(headers["Content-Type"]) if "Content-Type" in headers else None
    outcome.content_length = (
        int(length) if length.isascii() and length.isdigit() and len(length) < 19 else None
    )
    if not 200 <= status < 300 or status == 206:  # 206: a part that we didn't ask for
        raise Failure(_reason(status), f"status {status}", retry_after=_retry_after(headers))
    if no := opted_out(headers.getall("X-Robots-Tag", ()), config.opt_out, config.user_agent):
        raise Failure(Reason.OPTED_OUT, no)
    if (outcome.content_length or 0) > config.max_bytes:
        raise Failure(
            Reason.TOO_LARGE,
            f"Content-Length {outcome.content_length}",
            nbytes=outcome.content_length,
        )


def _reason(status: int) -> Reason:
    if status in (404, 410):
        return Reason.HTTP_404
    if status == 429:
        return Reason.HTTP_429
    if 400 <= status < 500:
        return Reason.HTTP_4XX
    return Reason.HTTP_5XX if 500 <= status < 600 else Reason.HTTP_OTHER


def _retry_after(headers: MultiMapping[str]) -> float | None:
    """Seconds that a Retry-After header asks to wait (RFC 9110, 10.2.3: a number, or a date)."""
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    date = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max(0.0, (date - datetime.now(UTC)).total_seconds())
