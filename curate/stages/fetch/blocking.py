"""Blocking GETs within the same bounds as the stream engine's, for an engine that brings its own threads."""

from __future__ import annotations

import http.client
import math
import socket
import ssl
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from multidict import CIMultiDict
from yarl import URL

from curate.errors import Reason
from curate.recipe import Fetch
from curate.stages.fetch.circuit_breaker import ANOTHER_LOOK, Host
from curate.stages.fetch.early_filters import Screen
from curate.stages.fetch.guard import ForbiddenAddress, Guard
from curate.stages.fetch.host_limits import Turns
from curate.stages.fetch.http_response import judge, next_hop, request_headers
from curate.stages.fetch.open_requests import Watch
from curate.stages.fetch.outcome import Failure, Outcome
from curate.stages.fetch.robots import MAX_BYTES, MAX_KEPT, MAX_REDIRECTS, Robots
from curate.stages.fetch.spool import Spool

__all__ = ["BlockingClient"]

_CHUNK = 1 << 18
_CONNECT_TIMEOUT = 15.0


class BlockingClient:
    """Fetches one URL at a time into a file, from any number of threads.

    Unlike the stream engine's it opens a connection for each request, and a name server that never answers holds its
    thread for as long as the system's resolver waits, whatever the deadline.
    """

    def __init__(self, config: Fetch, screen: Screen, turns: Turns, watch: Watch) -> None:
        self._config = config
        self._screen = screen
        self._watch = watch
        self._guard = Guard(config.allow_networks)
        self._queues: dict[str, threading.Semaphore] = defaultdict(
            lambda: threading.Semaphore(config.per_host)
        )
        self._turns = turns
        self._hosts: dict[str, Host] = {}
        self._robots: dict[URL, Robots] = {}
        self._readers: dict[URL, threading.Lock] = defaultdict(threading.Lock)
        self._lock = threading.Lock()
        self._tls = ssl.create_default_context()
        self._tls.sslsocket_class = _TLSSocket

    def fetch(self, text: str, path: Path, outcome: Outcome) -> None:
        """One try at a URL: notes in `outcome` what it finds.

        Raises:
            Failure: if no image comes of it.
        """
        visited = [self._guard.url(text)]
        while True:
            with self._turn(visited[-1].host or ""):
                start = time.monotonic()
                try:
                    until = start + self._config.deadline - outcome.seconds
                    with self._watch.asking(visited[-1]):
                        self._ask_leave(visited[-1], until)
                        hop = self._get(visited, text, path, outcome, until)
                except TimeoutError as error:
                    raise Failure(Reason.TIMEOUT, f"{self._config.deadline:g} s") from error
                finally:
                    outcome.seconds += time.monotonic() - start
            if hop is None:
                return
            visited.append(hop)

    def forgive(self) -> None:
        """Give hosts that failed again and again another chance."""
        for host in self._hosts.values():
            host.forgive()

    @contextmanager
    def _turn(self, name: str) -> Iterator[None]:
        """Wait for one's turn at a host, and tell the host how it ended."""
        with self._lock:
            queue, host = (
                self._queues[name],
                self._hosts.setdefault(name, Host(name, self._config, self._turns)),
            )
        with queue, self._place(host):
            time.sleep(host.reserve())
            end: Failure | None = None
            try:
                yield
            except Failure as failure:
                end = failure
                raise
            finally:
                with self._lock:
                    host.tell(end)

    @contextmanager
    def _place(self, host: Host) -> Iterator[None]:
        """One of a host's places, for which other workers may stand in line too."""
        host.check()
        while (place := host.enter()) is None:
            time.sleep(ANOTHER_LOOK)
            host.check()
        try:
            yield
        finally:
            host.leave(place)

    def _ask_leave(self, url: URL, until: float) -> None:
        """Heed the robots.txt of a URL's origin, which is asked for once.

        Raises:
            Failure: ROBOTS, or why the robots.txt could not be had, if that may pass: it is a no until then.
        """
        if not self._config.robots:
            return
        origin = url.origin()
        with self._lock:
            reader = self._readers[origin]
        with reader:
            robots = self._robots.get(origin) or self._read_robots(origin / "robots.txt", until)
            with self._lock:
                if len(self._robots) == MAX_KEPT and origin not in self._robots:
                    del self._robots[next(iter(self._robots))]
                self._robots[origin] = robots
        robots.permit(url)

    def _read_robots(self, url: URL, until: float) -> Robots:
        """The robots.txt of an origin. What can't be had for ever forbids nothing (RFC 9309, 2.3.1)."""
        visited, agent = [url], self._config.user_agent
        try:
            while True:
                with self._request(visited[-1], until) as (response, headers, _):
                    hop = next_hop(response.status, headers, visited, self._guard, MAX_REDIRECTS)
                    if hop is None:
                        body = b""
                        while len(body) < MAX_BYTES and (data := _receive(response)):
                            body += data
                        if response.length and len(body) < MAX_BYTES:
                            raise Failure(Reason.TRUNCATED, f"{response.length} bytes short")
                        return Robots.read(
                            response.status, body, headers.get("Content-Encoding", ""), agent
                        )
                    visited.append(hop)
        except Failure as failure:
            if failure.reason.transient:
                raise Failure(failure.reason, f"robots.txt: {failure.detail}") from failure
            return Robots(None, agent)

    @contextmanager
    def _request(
        self, url: URL, until: float
    ) -> Iterator[tuple[http.client.HTTPResponse, CIMultiDict[str], str]]:
        """An answer, its headers, and the address that it came from."""
        with closing(http.client.HTTPConnection(url.raw_host or "", url.port)) as connection:
            connection.sock, address = self._connect(url, until)
            with self._ask(connection, url) as response:
                yield (
                    response,
                    CIMultiDict((n, _as_utf8(v)) for n, v in response.headers.items()),
                    address,
                )

    def _get(
        self, visited: list[URL], text: str, path: Path, outcome: Outcome, until: float
    ) -> URL | None:
        """One request: spools the body and returns None, or returns where it redirects to."""
        url = visited[-1]
        with self._request(url, until) as (response, headers, address):
            outcome.final_url, outcome.http_status, outcome.address = (
                str(url),
                response.status,
                address,
            )
            hop = next_hop(
                response.status, headers, visited, self._guard, self._config.max_redirects
            )
            if hop is None:
                judge(response.status, headers, self._config, outcome)
                self._read(response, text, path, outcome)
            return hop

    def _ask(self, connection: http.client.HTTPConnection, url: URL) -> http.client.HTTPResponse:
        try:
            headers = {"Host": url.raw_authority, **request_headers(self._config.user_agent)}
            connection.request("GET", url.raw_path_qs, headers=headers)
            return connection.getresponse()
        except TimeoutError:
            raise
        except (OSError, http.client.HTTPException) as error:
            raise Failure(Reason.CONNECT, str(error) or type(error).__name__) from error

    def _connect(self, url: URL, until: float) -> tuple[socket.socket, str]:
        """A connection to the first of a host's permitted addresses that takes one, and that address."""
        try:
            infos = self._guard.permitted(
                socket.getaddrinfo(url.raw_host, url.port, 0, socket.SOCK_STREAM)
            )
        except ForbiddenAddress as error:
            raise Failure(Reason.FORBIDDEN_ADDRESS, str(error)) from error
        except (OSError, UnicodeError) as error:  # UnicodeError: a label that is empty or too long
            raise Failure(Reason.DNS, str(error)) from error
        refusal = Failure(Reason.CONNECT, "it has no address")
        for info in infos:
            sock = self._guard.open_socket(info, _PlainSocket)
            try:
                sock.settimeout(min(_CONNECT_TIMEOUT, _left(until)))
                sock.connect(info[4])
                return self._secure(sock, url, until), info[4][0]
            except OSError as error:
                sock.close()
                refusal = Failure(
                    Reason.TLS if isinstance(error, ssl.SSLError) else Reason.CONNECT, str(error)
                )
        _left(until)
        raise refusal

    def _secure(self, sock: socket.socket, url: URL, until: float) -> socket.socket:
        if url.scheme == "https":
            sock.settimeout(min(_CONNECT_TIMEOUT, _left(until)))
            sock = self._tls.wrap_socket(sock, server_hostname=url.raw_host)
        assert isinstance(sock, _Clocked)
        sock.until = until
        return sock

    def _read(
        self, response: http.client.HTTPResponse, text: str, path: Path, outcome: Outcome
    ) -> None:
        encoding = response.headers.get("Content-Encoding", "")
        with Spool(
            path, self._config.max_bytes, encoding, outcome.content_length, self._screen.of(text)
        ) as spool:
            while data := _receive(response):
                spool.write(data)
            if response.length:
                raise Failure(Reason.TRUNCATED, f"{response.length} bytes short")
            outcome.body = spool.finish()


class _Clocked(socket.socket):
    """A socket whose reads all end by the same moment: a timeout of each alone would let a drip go on for ever."""

    until = math.inf

    def recv_into(self, *args: Any) -> int:
        self.settimeout(_left(self.until))
        return super().recv_into(*args)


class _PlainSocket(_Clocked):
    pass


class _TLSSocket(_Clocked, ssl.SSLSocket):
    pass


def _left(until: float) -> float:
    """Seconds until then; TimeoutError if there are none."""
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _as_utf8(value: str) -> str:
    """A header as aiohttp reads it; http.client takes it for Latin-1."""
    return value.encode("latin-1", "replace").decode("utf-8", "surrogateescape")


def _receive(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read1(_CHUNK)
    except TimeoutError:
        raise
    except (OSError, http.client.HTTPException) as error:
        raise Failure(Reason.TRUNCATED, str(error) or type(error).__name__) from error
