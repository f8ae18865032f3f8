"""The stream engine: asynchronous GETs that are bounded in time, bytes, redirects and addresses."""

from __future__ import annotations

import asyncio
import ssl
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from yarl import URL

from curate.errors import Reason
from curate.fetch.answer import judge, next_hop, request_headers
from curate.fetch.guard import ForbiddenAddress, Guard, GuardedResolver
from curate.fetch.outcome import Failure, Outcome
from curate.fetch.screen import Screen
from curate.fetch.spool import Spool
from curate.recipe import Fetch

__all__ = ["fetch_stream"]

_CONNECT_TIMEOUT = 15.0
"""Seconds for TCP and TLS: a black hole isn't worth the whole deadline, and may be only one of a host's addresses."""


def fetch_stream(
    urls: Sequence[str], config: Fetch, scratch: Path, done: Callable[[], None], screen: Screen | None = None
) -> list[Outcome]:
    """Fetch every URL once, with retries of what may pass.

    Args:
        urls: what candidates are called; anything may stand there.
        config: bounds and manners.
        scratch: local folder for the bodies, one file each.
        done: called as each URL comes to its end.
        screen: rejects what the head of a file tells to be of no use.

    Returns:
        One outcome for each URL, in order.

    Raises:
        RunError: if the scratch folder can't be written.
    """
    return asyncio.run(_StreamEngine(config, scratch, done, screen or Screen()).run(urls))


class _StreamEngine:
    def __init__(self, config: Fetch, scratch: Path, done: Callable[[], None], screen: Screen) -> None:
        self._config = config
        self._screen = screen
        self._scratch = scratch
        self._done = done
        self._guard = Guard(config.allow_networks)
        self._slots = asyncio.Semaphore(config.concurrency)
        self._hosts: dict[str | None, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(config.per_host))

    async def run(self, urls: Sequence[str]) -> list[Outcome]:
        resolver = GuardedResolver(self._guard, self._config.concurrency)
        try:
            async with self._open_session(resolver) as self._session, asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._candidate(url, self._scratch / f"{i}")) for i, url in enumerate(urls)]
        except ExceptionGroup as troubles:  # not of a URL but of this machine, such as a full disk: the first tells
            raise troubles.exceptions[0] from None
        finally:
            await resolver.close()
        return [task.result() for task in tasks]

    def _open_session(self, resolver: GuardedResolver) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=resolver,
                socket_factory=self._guard.open_socket,
                limit=0,  # turns are taken before the clock starts, see _try
            ),
            response_class=_Answer,
            headers=request_headers(self._config.user_agent),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=min(_CONNECT_TIMEOUT, self._config.deadline)),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
        )

    async def _candidate(self, text: str, path: Path) -> Outcome:
        outcome = Outcome()
        while True:
            outcome.begin()
            try:
                await self._try(text, path, outcome)
            except Failure as failure:
                outcome.fail(failure)
            pause = outcome.pause(self._config)
            if pause is None:
                break
            outcome.seconds += pause
            await asyncio.sleep(pause)
        self._done()
        return outcome

    async def _try(self, text: str, path: Path, outcome: Outcome) -> None:
        """Follow one URL to its end.

        Raises:
            Failure: if no image comes of it.
        """
        visited = [self._guard.url(text)]
        while True:
            try:
                async with self._turn(visited[-1].host), self._clock(outcome):
                    hop = await self._get(visited, text, path, outcome)
            except TimeoutError as error:
                raise Failure(Reason.TIMEOUT, f"{self._config.deadline:g} s") from error
            if hop is None:
                return
            visited.append(hop)

    @asynccontextmanager
    async def _turn(self, host: str | None) -> AsyncIterator[None]:
        # the host first: who waits for a busy host must not keep a slot from the others
        async with self._hosts[host], self._slots:
            yield

    @asynccontextmanager
    async def _clock(self, outcome: Outcome) -> AsyncIterator[None]:
        """Let a candidate's seconds pass while a block runs; TimeoutError when they are used up."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        try:
            async with asyncio.timeout(self._config.deadline - outcome.seconds):
                yield
        finally:
            outcome.seconds += loop.time() - start

    async def _get(self, visited: list[URL], text: str, path: Path, outcome: Outcome) -> URL | None:
        """One request: spools the body and returns None, or returns where it redirects to."""
        try:
            response = await self._session.get(visited[-1], allow_redirects=False)
        except aiohttp.ClientError as error:
            raise _explain(error) from error
        try:
            outcome.final_url, outcome.http_status = str(visited[-1]), response.status
            outcome.address = response.address if isinstance(response, _Answer) else None
            hop = next_hop(response.status, response.headers, visited, self._guard, self._config.max_redirects)
            if hop is None:
                judge(response.status, response.headers, self._config.max_bytes, outcome)
                await self._read(response, text, path, outcome)
            return hop
        finally:
            response.close()  # drops the connection if anything is left in it

    async def _read(self, response: aiohttp.ClientResponse, text: str, path: Path, outcome: Outcome) -> None:
        encoding = response.headers.get("Content-Encoding", "")
        with Spool(path, self._config.max_bytes, encoding, outcome.content_length, self._screen.of(text)) as spool:
            try:
                async for chunk in response.content.iter_any():
                    spool.write(chunk)
            except aiohttp.ClientError as error:
                raise Failure(Reason.TRUNCATED, str(error)) from error
            outcome.body = spool.finish()


class _Answer(aiohttp.ClientResponse):
    """A response that remembers its peer: aiohttp lets the connection go with the last byte, often before we look."""

    address: str | None = None

    async def start(self, connection: aiohttp.connector.Connection) -> aiohttp.ClientResponse:
        peer = connection.transport.get_extra_info("peername") if connection.transport else None
        self.address = peer[0] if peer else None
        return await super().start(connection)


def _explain(error: aiohttp.ClientError) -> Failure:
    """The reason behind a request that got no answer."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else None
    if isinstance(cause, ForbiddenAddress):
        return Failure(Reason.FORBIDDEN_ADDRESS, str(cause))
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return Failure(Reason.DNS, str(cause))
    if isinstance(error, aiohttp.ClientSSLError | aiohttp.ClientConnectorCertificateError | ssl.SSLError):
        return Failure(Reason.TLS, str(error))
    if isinstance(error, aiohttp.InvalidURL):
        return Failure(Reason.BAD_URL, "its host is no host name")
    return Failure(Reason.CONNECT, str(error) or type(error).__name__)
