"""Rules for robots: robots.txt (RFC 9309), and the X-Robots-Tag header of a response."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from functools import lru_cache
from itertools import chain

from yarl import URL

from curate.errors import Reason
from curate.stages.fetch.content_coding import Decoder
from curate.stages.fetch.outcome import Failure
from curate.stages.fetch.robot_rules import RuleSet, applicable_names, robot_name, select_rules

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
        rules = select_rules(text or "", applicable_names(user_agent))
        lines = [f"{allows:d}{pattern}" for allows, pattern in rules]
        # stored as text: the arranged rules of a hostile site take 30 times the memory
        self._packed = zlib.compress("\n".join(lines).encode(), 1) if lines else b""

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
        text = _decode(body, encoding)[:MAX_BYTES].decode("utf-8-sig", "replace")
        return cls(text, user_agent)

    def check(self, url: URL) -> None:
        """Raise Failure ROBOTS if a URL must not be requested."""
        if self._packed and not _arrange(self._packed).allow(url.raw_path_qs):
            raise Failure(Reason.ROBOTS)


def _decode(body: bytes, encoding: str) -> bytes:
    """Undo content codings, as far as the text counts and the coding holds."""
    decoder, decoded = Decoder(encoding, 2 * MAX_BYTES), bytearray()
    with suppress(Failure):
        for piece in chain(decoder.feed(body), decoder.finish()):
            decoded += piece
            if len(decoded) >= MAX_BYTES:
                break
    return bytes(decoded)


@lru_cache(maxsize=8)
def _arrange(packed: bytes) -> RuleSet:
    lines = zlib.decompress(packed).decode().split("\n")
    return RuleSet.of((line[0] == "1", line[1:]) for line in lines)


def opted_out(values: Iterable[str], opt_out: Iterable[str], user_agent: str) -> str | None:
    """Return the first X-Robots-Tag directive that opts out; None if there is none.

    Args:
        values: values of the X-Robots-Tag headers.
        opt_out: directives that mean no.
        user_agent: ours; directives for another robot are ignored.
    """
    refused = {directive.lower() for directive in opt_out}
    names = applicable_names(user_agent)
    for value in values:
        for directive in _directives(value.lower(), names):
            if directive in refused or (directive == "none" and "noindex" in refused):
                return directive
    return None


def _directives(value: str, names: Collection[str]) -> Iterator[str]:
    """Yield a header's directives for one robot: `noai, noindex`, or `somebot: noai, noindex`."""
    # a robot's name holds for the directives behind it, until the next name
    addressed = True
    for part in value.split(","):
        name, colon, rest = part.partition(":")
        if colon and name.strip() not in _VALUED:
            addressed = robot_name(name) in names
            part = rest
        if addressed:
            yield part.strip()
