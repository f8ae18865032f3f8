"""What sites say of robots: robots.txt (RFC 9309), and the X-Robots-Tag of an answer."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from functools import lru_cache

from protego import Protego
from yarl import URL

from curate.errors import Reason
from curate.stages.fetch.outcome import Failure

__all__ = ["MAX_BYTES", "MAX_KEPT", "MAX_REDIRECTS", "Robots", "opted_out"]

MAX_BYTES = 500 * 1024
"""Of a robots.txt that is read: RFC 9309 wants at least so much."""
MAX_KEPT = 200
"""Origins whose rules are remembered; the oldest are forgotten, to be asked for again."""
MAX_REDIRECTS = 5
"""Followed to a robots.txt, as RFC 9309 wants at least."""

_VALUED = ("unavailable_after", "max-snippet", "max-image-preview", "max-video-preview")
"""Directives with a colon of their own: what else stands before a colon is a robot's name."""


class Robots:
    """The rules of one origin for one robot."""

    def __init__(self, text: str | None, user_agent: str) -> None:
        # not parsed: the rules of a hostile site take 30 times the memory of their text
        self._packed = zlib.compress(text.encode("utf-8", "replace"), 1) if text else b""
        self._user_agent = product(user_agent)

    @classmethod
    def read(cls, status: int, body: bytes, encoding: str, user_agent: str) -> Robots:
        """The rules that an answer to the request for a robots.txt means.

        Raises:
            Failure: HTTP_429 or HTTP_5XX, which forbid everything for now. Another 4xx allows everything.
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

    def permit(self, url: URL) -> None:
        """Raise Failure ROBOTS if a URL is not to be asked for."""
        if self._packed and not _parse(self._packed).can_fetch(str(url), self._user_agent):
            raise Failure(Reason.ROBOTS)


@lru_cache(maxsize=8)
def _parse(packed: bytes) -> Protego:
    return Protego.parse(zlib.decompress(packed).decode())


def product(user_agent: str) -> str:
    """The name in a User-Agent by which sites address a robot: what stands before the version."""
    return user_agent.partition("/")[0].strip()


def opted_out(values: Iterable[str], opt_out: Iterable[str], user_agent: str) -> str | None:
    """The first directive among X-Robots-Tag values that a recipe takes for a no; None if there is none.

    Args:
        values: of each X-Robots-Tag header.
        opt_out: directives that mean no.
        user_agent: ours; directives for another robot are passed over.
    """
    refused = {directive.lower() for directive in opt_out}
    for value in values:
        for directive in _directives(value.lower(), product(user_agent).lower()):
            if directive in refused or (directive == "none" and "noindex" in refused):
                return directive
    return None


def _directives(value: str, robot: str) -> Iterator[str]:
    """Directives of one header that are for a robot: `noai, noindex`, or `somebot: noai, noindex`."""
    addressed = True
    for part in value.split(","):
        name, colon, rest = part.partition(":")
        if colon and name.strip() not in _VALUED:
            addressed = name.strip() in (robot, "*")
            part = rest
        if addressed:
            yield part.strip()
