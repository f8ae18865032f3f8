"""Meaning of an HTTP response for its candidate, by its status and headers."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from multidict import MultiMapping
from yarl import URL

from curate.errors import Reason
from curate.recipe import Fetch
from curate.stages.fetch.guard import Guard
from curate.stages.fetch.outcome import Failure, Outcome, clean
from curate.stages.fetch.robots import opted_out

__all__ = ["check_response", "content_encoding", "next_hop", "request_headers"]

_REDIRECTS = {301, 302, 303, 307, 308}
_SURROGATE = re.compile("[\udc80-\udcff]")
"""A byte of a header that is no UTF-8, as aiohttp decodes it."""


def request_headers(user_agent: str) -> dict[str, str]:
    """Return the headers of a request: no cookies, no referrer, bytes without compression."""
    return {"User-Agent": user_agent, "Accept": "image/*,*/*;q=0.5", "Accept-Encoding": "identity"}


def next_hop(
    status: int, headers: MultiMapping[str], visited: list[URL], guard: Guard, limit: int
) -> URL | None:
    """Return the URL that a response of `visited[-1]` redirects to; None if it does not.

    Raises:
        Failure: REDIRECTS for a loop or too many, or the guard's reason to refuse the target.
    """
    location = _SURROGATE.sub(_escape, headers.get("Location", ""))
    if status not in _REDIRECTS or not location:
        return None
    url = guard.url(location, base=visited[-1])
    if url in visited:
        raise Failure(Reason.REDIRECTS, f"a loop of {len(visited) - visited.index(url)}")
    if len(visited) > limit:
        raise Failure(Reason.REDIRECTS, f"more than {limit}")
    return url


def _escape(byte: re.Match[str]) -> str:
    return f"%{ord(byte[0]) - 0xDC00:02X}"


def content_encoding(headers: MultiMapping[str]) -> str:
    """Return all values of Content-Encoding; some servers send one that is empty first."""
    return ", ".join(headers.getall("Content-Encoding", ()))


def check_response(
    status: int, headers: MultiMapping[str], config: Fetch, outcome: Outcome
) -> None:
    """Note a response's facts in `outcome`, and reject it if its headers rule out an image.

    Here and in `next_hop`, header names must be found in any case.

    Raises:
        Failure: one of the HTTP reasons, OPTED_OUT by its X-Robots-Tag, or TOO_LARGE by its
            Content-Length.
    """
    # a length that isn't a plain 63-bit number counts as missing
    text = headers.get("Content-Length", "")
    length = int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
    outcome.content_length = length
    outcome.content_type = clean(headers["Content-Type"]) if "Content-Type" in headers else None
    if not 200 <= status < 300 or status == 206:  # 206: a part that we didn't ask for
        raise Failure(_reason(status), f"status {status}", retry_after=_retry_after(headers))
    if no := opted_out(headers.getall("X-Robots-Tag", ()), config.opt_out, config.user_agent):
        raise Failure(Reason.OPTED_OUT, no)
    if length is not None and length > config.max_bytes:
        raise Failure(Reason.TOO_LARGE, f"Content-Length {length}", nbytes=length)


def _reason(status: int) -> Reason:
    if status in (404, 410):
        return Reason.HTTP_404
    if status == 429:
        return Reason.HTTP_429
    if 400 <= status < 500:
        return Reason.HTTP_4XX
    return Reason.HTTP_5XX if 500 <= status < 600 else Reason.HTTP_OTHER


def _retry_after(headers: MultiMapping[str]) -> float | None:
    """Return the seconds in a Retry-After header (RFC 9110, 10.2.3: a number, or a date)."""
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])  # enough for 30 years
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    date = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max(0.0, (date - datetime.now(UTC)).total_seconds())
