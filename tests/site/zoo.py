"""Routes of the site and the ends that each promises; a soak mixes and checks them."""

from __future__ import annotations

import itertools
import random
from typing import Any

from curate.errors import Reason
from tests.site.hostile import ROUTES, HostileSite

End = Reason | None
"""None for bytes."""

FETCH: dict[str, Any] = {
    "max_bytes": 4_000_000,
    "retries": 2,  # one more than any route needs: a busy machine has mishaps of its own
    "backoff": 0.01,
    "per_host": 64,
    "host_failures": 1_000_000,  # one host serves all, fails on purpose, and must not be skipped
    "allow_networks": ["127.0.0.1/32"],
}
"""Settings under which ENDS holds."""

ROBOTS = b"User-agent: *\nDisallow: /*?private\n"
"""The site's robots.txt under which ENDS holds."""

MIN_SIDE = 48
"""The filter under which ENDS holds: no shorter side is kept."""

SLOW = ("silent", "slow-headers", "drip", "stalls", "head-only/20000")
"""Paths that take a whole deadline, and so are a fifth as frequent as others."""

_OF_FETCH = frozenset(
    {None, *(reason for reason in Reason if reason.stage in ("fetch", "candidates"))}
)

ENDS: dict[str, frozenset[End]] = {
    path: frozenset(ends)
    for paths, ends in (
        (
            "ok wakes unclosed-length chunked gzipped format/PNG format/WEBP format/GIF format/BMP "
            "format/TIFF",
            [None],
        ),
        (
            "numbered/{} sized/300 redirect/3 redirect-in-utf8 fails-once resets-once busy/0 nap",
            [None],
        ),
        ("tagged?all drawn/60/PNG drawn/60/JPEG/chunked late-size/60/45000", [None]),
        ("sized/40 drawn/20/JPEG/chunked late-size/20/45000", [Reason.TOO_SMALL]),
        ("ok?private", [Reason.ROBOTS]),
        ("tagged?noai", [Reason.OPTED_OUT]),
        ("odd/length-twice odd/chunk-trailers unknown-encoding longer-than-said", [None]),
        ("html robots-text", [Reason.NOT_IMAGE]),
        ("empty no-content", [Reason.EMPTY]),
        ("status/404 status/410", [Reason.HTTP_404]),
        ("status/403", [Reason.HTTP_4XX]),
        ("status/206 status/300", [Reason.HTTP_OTHER]),
        ("status/429", [Reason.HTTP_429]),
        ("status/500 status/503", [Reason.HTTP_5XX]),
        ("endless endless-chunks promises-much bomb large", [Reason.TOO_LARGE]),
        ("loop redirect/6 redirect-slowly", [Reason.REDIRECTS]),
        ("redirect-to?file:///etc/passwd redirect-to?ftp://127.0.0.1/x", [Reason.FORBIDDEN_SCHEME]),
        ("redirect-to?{canary}", [Reason.FORBIDDEN_ADDRESS]),
        ("redirect-with-password", [Reason.CREDENTIALS]),
        ("redirect-to?http://[", [Reason.BAD_URL]),
        ("hang-up", [Reason.CONNECT]),
        ("garbage long-header malformed/icy broken-chunks", [Reason.BAD_RESPONSE]),
        ("truncated cut-chunks cut-gzip", [Reason.TRUNCATED]),
        (" ".join(SLOW), [Reason.TIMEOUT]),
        ("fuzz/{} bad-bytes", _OF_FETCH),
    )
    for path in paths.split()
}
"""Path -> its promised ends; {} stands for a number, {canary} for the forbidden URL."""

assert {path.partition("?")[0].partition("/")[0] for path in ENDS} == ROUTES.keys()


def mix(site: HostileSite, count: int, seed: int = 0) -> dict[str, frozenset[End]]:
    """Return `count` different URLs of all routes in random order -> their promised ends."""
    rounds = (
        [path for path in ENDS if path not in SLOW or number % 5 == 0]
        for number in itertools.count()
    )
    paths = [*itertools.islice(itertools.chain.from_iterable(rounds), count)]
    random.Random(seed).shuffle(paths)
    return {
        site.url(f"{number}/{path.format(number, canary=site.canary_url)}"): ENDS[path]
        for number, path in enumerate(paths)
    }
