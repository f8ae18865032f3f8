"""A web site that misbehaves on purpose, a route for each way, and a canary nobody may reach.

The site listens on 127.0.0.1, the canary on 127.0.0.2. A fetch that may reach only the first proves
its guard without a packet leaving the machine. It uses bare streams: HTTP libraries refuse to lie.
"""

from __future__ import annotations

import asyncio
import gzip
import io
import ssl
import threading
import zlib
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote

import numpy as np
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from PIL import Image

from curate.recipe import Fetch

SITE = "127.0.0.1"
CANARY = "127.0.0.2"


def picture(format_: str = "JPEG", side: int = 64, seed: int = 0) -> bytes:
    """Encode an image of seeded noise: it doesn't compress, and has the same bytes everywhere."""
    noise = np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, format_)
    return file.getvalue()


def late_size_jpeg(before: int, side: int = 64) -> bytes:
    """Encode a JPEG with bytes of comments before its frame header, as cameras put previews."""
    body, comments = picture(side=side), b""
    while before > len(comments):
        length = min(before - len(comments), 65_000)
        comments += b"\xff\xfe" + (length + 2).to_bytes(2, "big") + bytes(length)
    return body[:2] + comments + body[2:]


def settings(**changes: Any) -> Fetch:
    """Build fetch settings that open the site's address, lose no time and skip robots.txt."""
    known = {
        "allow_networks": (f"{SITE}/32",),
        "backoff": 0.01,
        "deadline": 20,
        "max_bytes": 200_000,
        "robots": False,
    }
    return Fetch(**known | changes)


@dataclass
class Visit:
    """One request."""

    path: str
    headers: dict[str, str]
    earlier: int
    """Requests of the same path before this one."""
    site: HostileSite
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, body: bytes = b"", status: int = 200, **headers: object) -> None:
        """Send a whole answer; headers as content_type="image/jpeg", None drops a default one."""
        fields = {
            "content_length": len(body),
            "content_type": "image/jpeg",
            "connection": "close",
            **headers,
        }
        lines = [
            f"{name.replace('_', '-')}: {value}\r\n"
            for name, value in fields.items()
            if value is not None
        ]
        await self.send(f"HTTP/1.1 {status} Whatever\r\n{''.join(lines)}\r\n".encode() + body)


Route = Callable[[Visit], Coroutine[Any, Any, None]]
ROUTES: dict[str, Route] = {}


def route(handler: Route) -> Route:
    ROUTES[handler.__name__.replace("_", "-")] = handler
    return handler


@dataclass
class HostileSite:
    """Serves ROUTES from a thread of its own while the `with` block lasts."""

    hits: Counter[str] = field(default_factory=Counter)
    canary_hits: int = 0
    agents: set[str] = field(default_factory=set)
    busy: int = 0
    busiest: int = 0
    """Most of the `numbered` requests that were under way at once."""
    gone: bool = False
    """Everything is 404 by now."""
    robots_txt: bytes = b""
    robots_path: str = "robots-text"
    """Path whose answer /robots.txt gets."""

    def url(self, path: str) -> str:
        return f"http://{SITE}:{self.port}/{path}"

    @property
    def canary_url(self) -> str:
        return f"http://{CANARY}:{self.canary_port}/ok"

    def __enter__(self) -> Self:
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(ready)), daemon=True)
        self._thread.start()
        assert ready.wait(10)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    async def _serve(self, ready: threading.Event) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._servers = [
            await asyncio.start_server(self._visit, SITE, 0),
            await asyncio.start_server(self._canary, CANARY, 0),
        ]
        self.port, self.canary_port = (
            server.sockets[0].getsockname()[1] for server in self._servers
        )
        ready.set()
        await self._stop.wait()
        for server in self._servers:
            server.close()

    def secure(self, folder: Path) -> None:
        """Listen on `tls_port` too, with a certificate that nobody vouches for."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(_own_certificate(folder))
        started = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._visit, SITE, 0, ssl=context), self._loop
        )
        self._servers.append(started.result(10))
        self.tls_port = self._servers[-1].sockets[0].getsockname()[1]

    async def _canary(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.canary_hits += 1
        await self._visit(reader, writer)

    async def _visit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            path = request.split(" ")[1].lstrip("/")
            headers = {
                k.strip().lower(): v.strip()
                for k, _, v in (line.partition(":") for line in lines if line)
            }
            self.agents.add(headers.get("user-agent", ""))
            path = self.robots_path if path == "robots.txt" else path
            self.hits[path] += 1
            earlier = self.hits[path] - 1
            number, _, rest = path.partition("/")
            if number.isdigit():  # 17/status/404 is status/404 under a URL of its own
                path = rest
            path = "status/404" if self.gone else path
            name = path.partition("?")[0].partition("/")[0]
            await _while_connected(
                reader, ROUTES[name](Visit(path, headers, earlier, self, writer))
            )
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the visitor left, or the site closes
        finally:
            writer.close()


async def _while_connected(reader: asyncio.StreamReader, answer: Coroutine[Any, Any, None]) -> None:
    """Answer until the visitor leaves, or thousands of waiting connections would stay open."""
    answering, left = asyncio.create_task(answer), asyncio.create_task(reader.read())
    try:
        await asyncio.wait({answering, left}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        left.cancel()
        answering.cancel()
        await asyncio.gather(left, return_exceptions=True)
    await answering


@route
async def ok(visit: Visit) -> None:
    await visit.answer(picture())


@route
async def robots_text(visit: Visit) -> None:
    """Answer /robots.txt, unless a test chooses another answer."""
    await visit.answer(visit.site.robots_txt, content_type="text/plain")


@route
async def tagged(visit: Visit) -> None:
    """tagged?noai: a picture with that X-Robots-Tag."""
    await visit.answer(picture(), x_robots_tag=unquote(visit.path.partition("?")[2]))


@route
async def numbered(visit: Visit) -> None:
    """numbered/7: a picture of its own, later ones sooner, so that answers come out of order."""
    number = int(visit.path.rpartition("/")[2])
    visit.site.busy += 1
    visit.site.busiest = max(visit.site.busy, visit.site.busiest)
    await asyncio.sleep(0.01 * (10 - number % 10))
    visit.site.busy -= 1
    await visit.answer(picture(seed=number))


@route
async def sized(visit: Visit) -> None:
    """sized/300: a picture of that side."""
    await visit.answer(picture(side=int(visit.path.rpartition("/")[2])))


@route
async def head_only(visit: Visit) -> None:
    """head-only/40000: a picture of 64 x 64 with a header that late, and silence after it."""
    body = late_size_jpeg(int(visit.path.rpartition("/")[2]))
    await visit.answer(body.ljust(1 << 18, b"\0"), content_length=1_000_000)
    await asyncio.sleep(60)


@route
async def drawn(visit: Visit) -> None:
    """drawn/80/JPEG/chunked: a picture with such a side, perhaps without Content-Length."""
    _, side, format_, *how = visit.path.split("/")
    body = picture(format_, int(side), seed=int(side))
    await visit.answer(body, content_length=None if how else len(body))


@route
async def late_size(visit: Visit) -> None:
    """late-size/80/50000: a JPEG with such a side, which it tells after so many bytes."""
    _, side, before = visit.path.split("/")
    await visit.answer(late_size_jpeg(int(before), int(side)))


@route
async def nap(visit: Visit) -> None:
    await asyncio.sleep(0.25)
    await visit.answer(picture())


@route
async def large(visit: Visit) -> None:
    """32 MB that begin like a picture."""
    await visit.answer(picture(), content_length=len(picture()) + (32 << 20))
    for _ in range(512):
        await visit.send(bytes(65536))


@route
async def format(visit: Visit) -> None:
    """format/PNG: that format, under a wrong Content-Type."""
    await visit.answer(picture(visit.path.rpartition("/")[2]), content_type="text/html")


@route
async def unclosed_length(visit: Visit) -> None:
    """No Content-Length: the body ends with the connection."""
    await visit.answer(picture(), content_length=None)


@route
async def chunked(visit: Visit) -> None:
    body = picture()
    await visit.answer(content_length=None, transfer_encoding="chunked")
    await visit.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))


@route
async def html(visit: Visit) -> None:
    await visit.answer(b"<!doctype html><title>Sold!</title>" + b" " * 100)


@route
async def empty(visit: Visit) -> None:
    await visit.answer()


@route
async def no_content(visit: Visit) -> None:
    await visit.answer(status=204)


@route
async def status(visit: Visit) -> None:
    """status/404"""
    await visit.answer(b"no", int(visit.path.partition("?")[0].rpartition("/")[2]))


@route
async def fails_once(visit: Visit) -> None:
    await visit.answer(picture(), 500 if visit.earlier == 0 else 200)


@route
async def wakes(visit: Visit) -> None:
    """500 for the first five requests that the site gets."""
    await visit.answer(picture(), 500 if visit.site.hits.total() <= 5 else 200)


@route
async def resets_once(visit: Visit) -> None:
    if visit.earlier:
        await visit.answer(picture())
    else:
        visit.writer.transport.abort()


@route
async def busy(visit: Visit) -> None:
    """busy/3: 429 once, with a Retry-After of so many seconds."""
    await visit.answer(
        picture(), 200 if visit.earlier else 429, retry_after=visit.path.rpartition("/")[2]
    )


@route
async def hang_up(visit: Visit) -> None:
    visit.writer.transport.abort()


@route
async def garbage(visit: Visit) -> None:
    await visit.send(b"\0\1\2 this is no HTTP\r\n\r\n")


@route
async def fuzz(visit: Visit) -> None:
    """fuzz/7: a good chunked answer of many headers with some bytes of its framing changed."""
    random = np.random.default_rng(int(visit.path.rpartition("/")[2]))
    head = bytearray(
        b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Encoding: identity\r\n"
        b"Set-Cookie: a=b; Path=/\r\nLocation: /ok\r\nRetry-After: 0\r\n"
        b"Keep-Alive: timeout=5\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"40\r\n" + picture()[:64] + b"\r\n0\r\n\r\n"
    )
    for _ in range(random.integers(1, 6)):
        head[random.integers(len(head))] = random.integers(256)
    cut = random.integers(len(head))
    await visit.send(bytes(head[:cut]))
    await asyncio.sleep(0)
    await visit.send(bytes(head[cut:]))


@route
async def bad_bytes(visit: Visit) -> None:
    """Headers that are no UTF-8."""
    fields = b"Content-Type: image/\xff\xfe\r\nLocation: /\xff\r\nContent-Length: 3086\r\n"
    await visit.send(b"HTTP/1.1 200 \xff\r\n" + fields + b"\r\n" + picture())


@route
async def long_header(visit: Visit) -> None:
    await visit.answer(picture(), x_long="a" * 300_000)


@route
async def odd(visit: Visit) -> None:
    """odd/length-twice: a picture in a response by that name of ODD."""
    await visit.send(ODD[visit.path.rpartition("/")[2]])


@route
async def malformed(visit: Visit) -> None:
    """malformed/lengths-differ: a response by that name of MALFORMED."""
    name = visit.path.partition("?")[0].rpartition("/")[2]
    await visit.send(MALFORMED[name])


@route
async def slow_headers(visit: Visit) -> None:
    for byte in b"HTTP/1.1 200 OK\r\nx-slow: " + b"a" * 1000:
        await visit.send(bytes([byte]))
        await asyncio.sleep(0.05)


@route
async def silent(visit: Visit) -> None:
    await asyncio.sleep(60)


@route
async def drip(visit: Visit) -> None:
    await visit.answer(content_length=100_000)
    for byte in picture():
        await visit.send(bytes([byte]))
        await asyncio.sleep(0.05)


@route
async def stalls(visit: Visit) -> None:
    """Half a picture, then nothing, the connection open."""
    body = picture()
    await visit.answer(body[: len(body) // 2], content_length=len(body))
    await asyncio.sleep(60)


@route
async def endless(visit: Visit) -> None:
    await visit.answer(picture(), content_length=None)
    while True:
        await visit.send(b"a" * 65536)


@route
async def endless_chunks(visit: Visit) -> None:
    await visit.answer(content_length=None, transfer_encoding="chunked")
    chunk = b"10000\r\n" + (picture() * 10)[:65536].ljust(65536, b"a") + b"\r\n"
    while True:
        await visit.send(chunk)


@route
async def promises_much(visit: Visit) -> None:
    """A Content-Length over any limit; nothing need be read to reject it."""
    await visit.answer(picture(), content_length=10**12)
    await asyncio.sleep(60)


@route
async def longer_than_said(visit: Visit) -> None:
    body = picture()
    await visit.answer(body[:-100], content_length=len(body) - 100)
    await asyncio.sleep(0.05)
    await visit.send(body[-100:])


@route
async def truncated(visit: Visit) -> None:
    """The connection ends before the Content-Length does."""
    body = picture()
    await visit.answer(body[:-100], content_length=len(body))


@route
async def broken_chunks(visit: Visit) -> None:
    await visit.answer(content_length=None, transfer_encoding="chunked")
    await visit.send(b"%x\r\n%b\r\nthis is no length\r\n" % (len(picture()), picture()))


@route
async def cut_chunks(visit: Visit) -> None:
    await visit.answer(content_length=None, transfer_encoding="chunked")
    await visit.send(b"ffff\r\n" + picture())


@route
async def gzipped(visit: Visit) -> None:
    await visit.answer(_gzip(picture()), content_encoding="gzip")


@route
async def cut_gzip(visit: Visit) -> None:
    await visit.answer(_gzip(picture())[:-50], content_encoding="gzip")


@route
async def bomb(visit: Visit) -> None:
    """50 MB that arrive as 50 kB."""
    await visit.answer(_gzip(picture() + bytes(50_000_000)), content_encoding="gzip")


@route
async def unknown_encoding(visit: Visit) -> None:
    await visit.answer(picture(), content_encoding="br")


@route
async def redirect(visit: Visit) -> None:
    """redirect/3: three hops to a picture."""
    left = int(visit.path.rpartition("/")[2])
    await visit.answer(status=302, location=f"/redirect/{left - 1}" if left > 1 else "/ok")


@route
async def loop(visit: Visit) -> None:
    await visit.answer(status=301, location="/loop")


@route
async def redirect_slowly(visit: Visit) -> None:
    """Every hop in good time, and yet never an end."""
    await asyncio.sleep(0.1)
    await visit.answer(status=302, location=f"/redirect-slowly?{visit.site.hits.total()}")


@route
async def redirect_in_utf8(visit: Visit) -> None:
    await visit.answer(status=302, location="/ok?\N{LATIN SMALL LETTER A WITH DIAERESIS}")


@route
async def redirect_with_password(visit: Visit) -> None:
    await visit.answer(status=302, location=f"http://user:secret@{SITE}/ok")


@route
async def redirect_to(visit: Visit) -> None:
    """redirect-to?URL"""
    await visit.answer(status=302, location=visit.path.partition("?")[2])


def _response(*lines: str, status: str = "HTTP/1.1 200 OK", body: bytes | None = None) -> bytes:
    """Encode a response with exactly these header lines; its connection closes."""
    head = "\r\n".join([status, *lines, "Connection: close", "", ""])
    return head.encode("latin-1") + (picture() if body is None else body)


def _chunks(data: bytes, extension: bytes = b"", last: bytes = b"0\r\n\r\n") -> bytes:
    """Encode data in chunks of 500 bytes."""
    encoded = b""
    for start in range(0, len(data), 500):
        chunk = data[start : start + 500]
        encoded += b"%x%b\r\n%b\r\n" % (len(chunk), extension, chunk)
    return encoded + last


_LENGTH = f"Content-Length: {len(picture())}"
_CHUNKED = "Transfer-Encoding: chunked"
_HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"

ODD: dict[str, bytes] = {
    "line-9k": _response("Content-Security-Policy: " + "a" * 9_000, _LENGTH),
    "line-250k": _response("Set-Cookie: " + "a" * 250_000, _LENGTH),
    "lines-150": _response(*(f"X-{i}: {i}" for i in range(150)), _LENGTH),
    "lines-4000": _response(*["X-Robots-Tag: all"] * 4000, _LENGTH),
    "length-twice": _response(_LENGTH, _LENGTH),
    "length-list": _response(f"{_LENGTH}, {len(picture())}"),
    "length-of-text": _response("Content-Length: unknown"),
    "length-negative": _response("Content-Length: -1"),
    "length-huge": _response("Content-Length: " + "9" * 30),
    "length-empty": _response("Content-Length:"),
    "te-identity": _response("Transfer-Encoding: identity", _LENGTH),
    "te-unknown": _response("Transfer-Encoding: mystery", _LENGTH),
    "te-and-length": _response(_CHUNKED, "Content-Length: 7", body=_chunks(picture())),
    "te-list": _response("Transfer-Encoding: identity, chunked", body=_chunks(picture())),
    "te-twice": _response(_CHUNKED, _CHUNKED, body=_chunks(picture())),
    "te-gzip": _response(
        "Transfer-Encoding: gzip, chunked", body=_chunks(gzip.compress(picture()))
    ),
    "chunk-extensions": _response(_CHUNKED, body=_chunks(picture(), extension=b' ; a="b"')),
    "chunk-trailers": _response(_CHUNKED, body=_chunks(picture(), last=b"0\r\nA: b\r\n\r\n")),
    "chunk-without-end": _response(_CHUNKED, body=_chunks(picture(), last=b"0\r\n")),
    "chunk-excess": _response(_CHUNKED, body=_chunks(picture()) + b"more"),
    "early-hints": _HINTS * 3 + _response(_LENGTH),
    "processing": b"HTTP/1.1 102 Processing\r\n\r\n" + _response(_LENGTH),
    "http-1.0": _response(_LENGTH, status="HTTP/1.0 200"),
    "http-2": _response(_LENGTH, status="http/2  200"),
    "line-feeds": _response(_LENGTH, body=b"").replace(b"\r\n", b"\n") + picture(),
    "blank-before": b"\r\n\n" + _response(_LENGTH),
    "names": _response("no colon", ": none", "Two Words: 1", "X@(y): 2", "\xe9: 3", _LENGTH),
    "space-before-colon": _response("Content-Type : image/jpeg", _LENGTH),
    "folded": _response("X-Long: a", "\tb", "  c", _LENGTH),
    "controls": _response("Content-Type: a\0b\x01c\rd\xff", _LENGTH),
    "cookies": _response("Set-Cookie: \xff=\x7f; expires=x", "Set-Cookie: ;;=;", _LENGTH),
    "excess": _response(_LENGTH, body=picture() + b"more"),
    "upgrade": _response("Upgrade: h2,h2c", "Connection: Upgrade", _LENGTH),
}
"""Responses with a picture that every browser shows."""

MALFORMED: dict[str, bytes] = {
    "lengths-differ": _response(_LENGTH, "Content-Length: 7"),
    "status-2000": _response(_LENGTH, status="HTTP/1.1 2000 OK"),
    "status-0": _response(_LENGTH, status="HTTP/1.1 000 OK"),
    "icy": _response(_LENGTH, status="ICY 200 OK"),
    "ssh": b"SSH-2.0-OpenSSH_9.6\r\n",
    "no-head": picture(),
    "lines-6000": _response(*["A: b"] * 6000, _LENGTH),
    "hints-for-ever": _HINTS * 10_000,
    "blank-for-ever": b"\r\n" * 150_000,
    "chunks-of-nothing": _response(_CHUNKED, body=b"x\r\n" + picture()),
    "chunks-that-are-none": _response(_CHUNKED),
    "chunk-too-long": _response(_CHUNKED, body=b"5\r\n" + picture()),
    "chunk-size-too-long": _response(_CHUNKED, body=b"5;" + b"a" * 20_000),
    "chunks-of-a-byte": _response(_CHUNKED, body=b"1\r\n\xff\r\n" * 12_000),
}
"""Responses that no browser shows."""


def _own_certificate(folder: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, SITE)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(
            name, name, key.public_key(), 1, now - timedelta(1), now + timedelta(1)
        )
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(IPv4Address(SITE))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    path = folder / "certificate.pem"
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + certificate.public_bytes(pem))
    return path


def _gzip(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=31)
    return packer.compress(data) + packer.flush()
