"""Rules for robots: robots.txt (RFC 9309), and the X-Robots-Tag header of a response."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from functools import lru_cache

from protego import Protego
from yarl import URL

from curate.errors import Reason
from curate.stages.fetch.outcome import Failure

__all__ = ["MAX_BYTES", "MAX_CACHED", "MAX_REDIRECTS", "Robots", "opted_out"]

MAX_BYTES = 500 * 1024
"""Bytes of a robots.txt that are read: the least that RFC 9309 allows."""
MAX_CACHED = 200
"""Origins whose rules are cached; the oldest are dropped, and requested again when needed."""
MAX_REDIRECTS = 5
"""Redirects that are followed to a robots.txt: the least that RFC 9309 allows."""

_VALUED = ("unavailable_after", "max-snippet", "max-image-preview", "max-video-preview")
"""Directives with a colon of their own. Any other word before a colon is a robot's name."""


class Robots:
    """Rules of one origin for one robot."""

    def __init__(self, text: str | None, user_agent: str) -> None:
        # stored unparsed: the parsed rules of a hostile site take 30 times the memory of their text
        self._packed = zlib.compress(text.encode("utf-8", "replace"), 1) if text else b""
        self._user_agent = product(user_agent)

    @classmethod
    def read(cls, status: int, body: bytes, encoding: str, user_agent: str) -> Robots:
        """Return the rules in a response to the request for a robots.txt.

        Raises:
            Failure: HTTP_429 or HTTP_5XX, which forbid everything for now. Another 4xx allows
                everything.
        """
        if status == 429 or 500 <= status < 600:
            raise Failure(Reason.HTTP_429 if status == 429 else Reason.HTTP_5XX, f"status {status}")
        if not 200 <= status < 300:
            return cls(None, user_agent)
        if encoding.strip().lower() in ("gzip", "x-gzip", "deflate"):  # though we don't ask for it
            try:
                body = zlib.decompressobj(47).decompress(body, MAX_BYTES)
            except zlib.error:
                body = b""
        return cls(body[:MAX_BYTES].decode("utf-8-sig", "replace"), user_agent)

    def check(self, url: URL) -> None:
        """Raise Failure ROBOTS if a URL must not be requested."""
        if self._packed and not _parse(self._packed).can_fetch(str(url), self._user_agent):
            raise Failure(Reason.ROBOTS)


@lru_cache(maxsize=8)
def _parse(packed: bytes) -> Protego:
    return Protego.parse(zlib.decompress(packed).decode())


def product(user_agent: str) -> str:
    """Return the robot's name in a User-Agent: the part before the version."""
    return user_agent.partition("/")[0].strip()


def opted_out(values: Iterable[str], opt_out: Iterable[str], user_agent: str) -> str | None:
    """Return the first X-Robots-Tag directive that opts out; None if there is none.

    Args:
        values: values of the X-Robots-Tag headers.
        opt_out: directives that mean no.
        user_agent: ours; directives for another robot are ignored.
    """
    refused = {directive.lower() for directive in opt_out}
    for value in values:
        for directive in _directives(value.lower(), product(user_agent).lower()):
            if directive in refused or (directive == "none" and "noindex" in refused):
                return directive
    return None


def _directives(value: str, robot: str) -> Iterator[str]:
    """Yield a header's directives for one robot: `noai, noindex`, or `somebot: noai, noindex`."""
    # a robot's name holds for the directives behind it, until the next name
    addressed = True
    for part in value.split(","):
        name, colon, rest = part.partition(":")
        if colon and name.strip() not in _VALUED:
            addressed = name.strip() in (robot, "*")
            part = rest
        if addressed:
            yield part.strip()
