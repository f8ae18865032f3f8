"""The sample crawl site: a web server on loopback, in a thread of its own.

    with DemoSite() as site:
        site.write_list("urls.txt")

Pictures are drawn when they are first asked for, or all at once by `prepare`, and kept in a folder. The port is part of
every URL, and a candidate's id is a hash of its URL: a run that is to be resumed needs the same port again, so it is
fixed unless told otherwise.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from aiohttp import web
from yarl import URL

from curate.demo.misbehaviour import MISBEHAVIOURS, Handler, Visit
from curate.demo.pictures import ENCODINGS, Entry, Picture, catalogue, encode, fingerprint
from curate.errors import CurateError
from curate.storage.atomic import write

__all__ = ["CANARY_HOST", "HOST", "PORT", "Canary", "DemoSite"]

HOST, CANARY_HOST = "127.0.0.1", "127.0.0.2"
PORT = 8391
_ROBOTS = "User-agent: *\nDisallow: /private/\n"
_GRACE = 0.1
"""Seconds that requests under way are given when the site closes."""


class DemoSite:
    """Serves a catalogue on 127.0.0.1 while its `with` block lasts.

    Attributes:
        entries: what is served, in the order of the list.
        requests: how often each path was asked for, decoded and with its query.
    """

    def __init__(
        self,
        port: int = PORT,
        folder: str | os.PathLike[str] | None = None,
        *,
        entries: list[Entry] | None = None,
        handlers: Mapping[str, Handler] | None = None,
    ) -> None:
        """Prepare a site; it listens once its `with` block is entered.

        Args:
            port: where it will listen; 0 takes any free port.
            folder: where pictures are kept once they are drawn; a temporary one by default.
            entries: what it serves; `catalogue()` by default.
            handlers: misbehaviours by name, added to `MISBEHAVIOURS` or in place of them.
        """
        self.port = port
        self.entries = catalogue() if entries is None else entries
        self.requests: Counter[str] = Counter()
        self._folder = folder
        self._handlers = {**MISBEHAVIOURS, **(handlers or {})}
        self._by_path = {_decoded(URL(entry.path)): entry for entry in self.entries}

    @property
    def url(self) -> str:
        """Where the site is, without a slash at the end."""
        return f"http://{HOST}:{self.port}"

    def urls(self) -> list[str]:
        """The URLs of all entries, in order."""
        return [self.url + entry.path for entry in self.entries]

    def write_list(self, path: str | os.PathLike[str]) -> None:
        """Write the candidates to crawl: `.jsonl` with captions and licences, anything else with one URL a line."""
        lines = self.urls()
        if Path(path).suffix == ".jsonl":
            rows = zip(self.entries, lines, strict=True)
            lines = [
                json.dumps({"url": url, "caption": e.caption, "licence": e.licence})
                for e, url in rows
            ]
        write(path, "".join(f"{line}\n" for line in lines).encode())

    def prepare(self, progress: Callable[[int, int], None] | None = None) -> None:
        """Draw all pictures now, inside the `with` block, so that a crawl measures the crawler and not the artists.

        Args:
            progress: called with the number of pictures drawn so far and of all, after each.
        """
        pictures = list(dict.fromkeys(entry.picture for entry in self.entries))
        for done, _ in enumerate(self._artists.map(self._bytes, pictures), start=1):
            if progress:
                progress(done, len(pictures))

    def __enter__(self) -> Self:
        """Start listening.

        Raises:
            CurateError: if the port can't be used.
        """
        self._temporary = tempfile.TemporaryDirectory(prefix="curate-demo-")
        self._artists = ThreadPoolExecutor(2, "artist")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="demo-site", daemon=True
        )
        self._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self._open(), self._loop).result()
        except OSError as error:
            self._end()
            raise CurateError(
                f"the sample site can't listen on {HOST}:{self.port}: {os.strerror(error.errno or 0)}; "
                "end what uses that port, or give another one (its URLs, and so its ids, will be others)"
            ) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening and end every answer under way. A second call does nothing."""
        if not self._loop.is_closed():
            asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
            self._end()

    async def _close(self) -> None:
        await self._runner.cleanup()
        answers = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*answers, return_exceptions=True)

    async def _open(self) -> None:
        app = web.Application()
        app.router.add_get("/{path:.*}", self._answer)
        self._runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=_GRACE, handler_cancellation=True
        )
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, HOST, self.port).start()
        except OSError:
            await self._runner.cleanup()
            raise
        self.port = self._runner.addresses[0][1]

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        # a picture half drawn may still be written to the folder that goes away
        self._artists.shutdown(cancel_futures=True)
        self._temporary.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        path = _decoded(request.rel_url)
        self.requests[path] += 1
        if path == "/robots.txt":
            return web.Response(text=_ROBOTS)
        entry = self._by_path.get(path)
        if entry is None:
            raise web.HTTPNotFound
        number = self.requests[path]
        body = await asyncio.get_running_loop().run_in_executor(
            self._artists, self._bytes, entry.picture
        )
        media_type = ENCODINGS[entry.picture.encoding].media_type
        if entry.behaviour is None:
            return web.Response(body=body, content_type=media_type)
        forbidden = f"http://{CANARY_HOST}:{self.port}/canary.jpg"
        visit = Visit(request, number, body, media_type, self._elsewhere, forbidden)
        transport = request.transport
        try:
            return await self._handlers[entry.behaviour](visit)
        except asyncio.CancelledError:
            # the site closes: what the visitor hasn't taken yet would keep the connection open
            if transport:
                transport.abort()
            raise

    @property
    def _elsewhere(self) -> str:
        """A picture that is served well."""
        return self.url + next(
            (entry.path for entry in self.entries if entry.behaviour is None), "/"
        )

    def _bytes(self, picture: Picture) -> bytes:
        path = Path(self._folder or self._temporary.name) / fingerprint(picture)
        if not path.is_file():
            write(path, encode(picture))
        return path.read_bytes()


class Canary:
    """Listens on 127.0.0.2, where a guarded fetch must never come, and counts who connects.

    A site sends visitors of `to-private` to the port of its own number there: `Canary(site.port)`.
    """

    def __init__(self, port: int = 0) -> None:
        self.connections = 0
        self.port = port

    def __enter__(self) -> Self:
        self._socket = socket.create_server((CANARY_HOST, self.port))
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._listen, name="canary", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:  # shut down
                return
            self.connections += 1
            connection.close()


def _decoded(url: URL) -> str:
    """Path and query with percent-encoding undone, so that every way of writing a URL finds its entry."""
    return f"{url.path}?{url.query_string}" if url.query_string else url.path
