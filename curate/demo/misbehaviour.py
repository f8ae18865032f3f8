"""Faults of web servers, one handler each.

A handler answers a `Visit`. `MISBEHAVIOURS` lists all of them; a site accepts further ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

__all__ = ["MISBEHAVIOURS", "Handler", "Visit"]


@dataclass(frozen=True)
class Visit:
    """One request to a path that misbehaves."""

    request: web.Request
    number: int
    """1 for the first request to this path, 2 for the next."""
    body: bytes
    """The picture that a good server would send."""
    media_type: str
    elsewhere: str
    """URL of a picture that is served correctly."""
    forbidden: str
    """URL on another loopback address, where only a canary may be listening."""

    @property
    def wants_body(self) -> bool:
        """Whether the request expects a body: False for HEAD."""
        return self.request.method != "HEAD"


Handler = Callable[[Visit], Awaitable[web.StreamResponse]]


async def _begin(visit: Visit, length: int | None = None) -> web.StreamResponse:
    """Start a response that is written piece by piece; its connection closes afterwards."""
    response = web.StreamResponse(headers={"Content-Type": visit.media_type})
    response.content_length = length
    response.force_close()
    await response.prepare(visit.request)
    return response


async def not_found(visit: Visit) -> web.StreamResponse:
    """Answer 404 with an HTML page."""
    return web.Response(status=404, text="<h1>Not here</h1>", content_type="text/html")


async def gone(visit: Visit) -> web.StreamResponse:
    """Answer 410."""
    return web.Response(status=410)


async def refused(visit: Visit) -> web.StreamResponse:
    """Answer 403, like a host that blocks crawlers."""
    return web.Response(status=403, text="Forbidden")


async def recovering(visit: Visit) -> web.StreamResponse:
    """Answer 500 to the first request, then the picture."""
    if visit.number == 1:
        return web.Response(status=500, text="try again")
    return web.Response(body=visit.body, content_type=visit.media_type)


async def busy(visit: Visit) -> web.StreamResponse:
    """Answer 429 with Retry-After to the first request, then the picture."""
    if visit.number == 1:
        return web.Response(status=429, headers={"Retry-After": "1"})
    return web.Response(body=visit.body, content_type=visit.media_type)


async def unavailable(visit: Visit) -> web.StreamResponse:
    """Answer 503 to every request."""
    return web.Response(status=503)


async def slow(visit: Visit) -> web.StreamResponse:
    """Send the picture at one byte a second, then zeros at that rate without end."""
    response = await _begin(visit)
    position = 0
    while visit.wants_body:
        await response.write(visit.body[position : position + 1] or b"\0")
        position += 1
        await asyncio.sleep(1)
    return response


async def endless(visit: Visit) -> web.StreamResponse:
    """Send the picture, then zeros without end, as fast as the client reads."""
    response = await _begin(visit)
    chunk = visit.body
    while visit.wants_body:
        await response.write(chunk)
        chunk = bytes(1 << 16)
    return response


async def truncated(visit: Visit) -> web.StreamResponse:
    """Promise the whole picture in Content-Length, and close the connection after half of it."""
    response = await _begin(visit, length=len(visit.body))
    if visit.wants_body:
        await response.write(visit.body[: len(visit.body) // 2])
    return response


async def damaged(visit: Visit) -> web.StreamResponse:
    """Send half the picture with a matching Content-Length: only decoding reveals it."""
    return web.Response(body=visit.body[: len(visit.body) // 2], content_type=visit.media_type)


async def empty(visit: Visit) -> web.StreamResponse:
    """Answer 200 with an empty body."""
    return web.Response(body=b"", content_type=visit.media_type)


async def disguised(visit: Visit) -> web.StreamResponse:
    """Send a web page as image/jpeg."""
    head = b"<!doctype html><html><head><title>Domain for sale</title></head>"
    page = head + b"<body><h1>Buy it</h1></body></html>"
    return web.Response(body=page, content_type="image/jpeg")


async def mislabelled(visit: Visit) -> web.StreamResponse:
    """Send the picture as text/html."""
    return web.Response(body=visit.body, content_type="text/html")


async def opted_out(visit: Visit) -> web.StreamResponse:
    """Send the picture with an X-Robots-Tag that forbids use for AI."""
    headers = {"X-Robots-Tag": "noai, noimageai"}
    return web.Response(body=visit.body, content_type=visit.media_type, headers=headers)


async def moved(visit: Visit) -> web.StreamResponse:
    """Redirect (302) to a good picture."""
    return web.Response(status=302, headers={"Location": visit.elsewhere})


async def looping(visit: Visit) -> web.StreamResponse:
    """Redirect (302) to the same URL."""
    return web.Response(status=302, headers={"Location": visit.request.path_qs})


async def to_private(visit: Visit) -> web.StreamResponse:
    """Redirect (302) to an address that no recipe allows.

    It is another loopback address, so no packet leaves the machine.
    """
    return web.Response(status=302, headers={"Location": visit.forbidden})


async def to_file(visit: Visit) -> web.StreamResponse:
    """Redirect (302) to file:///etc/passwd."""
    return web.Response(status=302, headers={"Location": "file:///etc/passwd"})


MISBEHAVIOURS: dict[str, Handler] = {
    handler.__name__.replace("_", "-"): handler
    for handler in (
        not_found, gone, refused, recovering, busy, unavailable, slow, endless, truncated, damaged,
        empty, disguised, mislabelled, opted_out, moved, looping, to_private, to_file,
    )
}  # fmt: skip
