"""The sample crawl site: a web server on loopback, in a thread of its own.

    with DemoSite() as site:
        site.write_list("urls.txt")

Pictures are drawn on first request, or all at once by `prepare`, and cached in a folder. The port
is part of every URL, and a candidate's id is a hash of its URL. So the default port is fixed:
resuming a run needs the same port again.
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
"""Seconds that requests in flight have to finish when the site closes."""


class DemoSite:
    """Serves a catalogue on 127.0.0.1 while its `with` block lasts.

    Attributes:
        entries: entries of the site, in the order of the list.
        requests: number of requests for each path, decoded and with its query.
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
            port: the port to listen on; 0 takes any free port.
            folder: cache of drawn pictures; a temporary folder by default.
            entries: entries to serve; `catalogue()` by default.
            handlers: misbehaviours by name; they extend or override `MISBEHAVIOURS`.
        """
        self.port = port
        self.entries = catalogue() if entries is None else entries
        self.requests: Counter[str] = Counter()
        self._folder = folder
        self._handlers = {**MISBEHAVIOURS, **(handlers or {})}
        self._by_path = {_decoded(URL(entry.path)): entry for entry in self.entries}

    @property
    def url(self) -> str:
        """URL of the site, without a slash at the end."""
        return f"http://{HOST}:{self.port}"

    def urls(self) -> list[str]:
        """Return the URLs of all entries, in order."""
        return [self.url + entry.path for entry in self.entries]

    def write_list(self, path: str | os.PathLike[str]) -> None:
        """Write the candidates: `.jsonl` with captions and licences, else one URL a line."""
        lines = self.urls()
        if Path(path).suffix == ".jsonl":
            rows = zip(self.entries, lines, strict=True)
            lines = [
                json.dumps({"url": url, "caption": e.caption, "licence": e.licence})
                for e, url in rows
            ]
        write(path, "".join(f"{line}\n" for line in lines).encode())

    def prepare(self, progress: Callable[[int, int], None] | None = None) -> None:
        """Draw all pictures now, inside the `with` block, so that a crawl waits for no drawing.

        Args:
            progress: called after each picture with the numbers of drawn and of all pictures.
        """
        pictures = list(dict.fromkeys(entry.picture for entry in self.entries))
        for done, _ in enumerate(self._drawers.map(self._bytes, pictures), start=1):
            if progress:
                progress(done, len(pictures))

    def __enter__(self) -> Self:
        """Start listening.

        Raises:
            CurateError: if the port can't be used.
        """
        self._temporary = tempfile.TemporaryDirectory(prefix="curate-demo-")
        self._drawers = ThreadPoolExecutor(2, "drawer")
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
                f"the sample site can't listen on {HOST}:{self.port}: "
                f"{os.strerror(error.errno or 0)}; end what uses that port, or give another one "
                "(its URLs, and so its ids, will be others)"
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
        """Stop listening and abort every response in flight; a second call does nothing."""
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
        # wait for pictures that are being drawn: they are written to the temporary folder
        self._drawers.shutdown(cancel_futures=True)
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
            self._drawers, self._bytes, entry.picture
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
            # the site closes: bytes that the client hasn't read would keep the connection open
            if transport:
                transport.abort()
            raise

    @property
    def _elsewhere(self) -> str:
        """URL of a picture that is served correctly."""
        return self.url + next(
            (entry.path for entry in self.entries if entry.behaviour is None), "/"
        )

    def _bytes(self, picture: Picture) -> bytes:
        path = Path(self._folder or self._temporary.name) / fingerprint(picture)
        if not path.is_file():
            write(path, encode(picture))
        return path.read_bytes()


class Canary:
    """Listener on 127.0.0.2 that counts connections; a guarded fetch never connects there.

    The site redirects `to-private` to its own port number there: `Canary(site.port)`.
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
    """Return path and query without percent-encoding: every spelling of a URL finds its entry."""
    return f"{url.path}?{url.query_string}" if url.query_string else url.path
