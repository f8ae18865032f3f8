"""The stream engine: asynchronous GETs that are bounded in time, bytes, redirects and addresses."""

from __future__ import annotations

import asyncio
import ssl
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from yarl import URL

from curate.errors import Reason
from curate.recipe import Fetch
from curate.stages.fetch.circuit_breaker import ANOTHER_LOOK, Host
from curate.stages.fetch.early_filters import Screen
from curate.stages.fetch.guard import ForbiddenAddress, Guard, GuardedResolver
from curate.stages.fetch.host_limits import Turns
from curate.stages.fetch.http_response import judge, next_hop, request_headers
from curate.stages.fetch.open_requests import Watch
from curate.stages.fetch.outcome import Failure, Outcome
from curate.stages.fetch.robots import MAX_BYTES, MAX_KEPT, MAX_REDIRECTS, Robots
from curate.stages.fetch.spool import Spool

__all__ = ["fetch_stream"]

_CONNECT_TIMEOUT = 15.0
"""Seconds for TCP and TLS: a black hole isn't worth the whole deadline, and may be only one of a host's addresses."""


def fetch_stream(
    urls: Sequence[str],
    config: Fetch,
    scratch: Path,
    watch: Watch,
    screen: Screen | None = None,
    *,
    turns: Path | None = None,
) -> list[Outcome]:
    """Fetch every URL once, with retries of what may pass.

    Args:
        urls: what candidates are called; anything may stand there.
        config: bounds and manners.
        scratch: local folder for the bodies, one file each.
        watch: told which URLs are open, and how each came to its end.
        screen: rejects what the head of a file tells to be of no use.
        turns: file of the turns at hosts, to share them with others; its own by default.

    Returns:
        One outcome for each URL, in order.

    Raises:
        RunError: if the scratch folder can't be written.
    """
    with Turns.open(turns or scratch / "turns") as opened:
        return asyncio.run(
            _StreamEngine(config, scratch, watch, screen or Screen(), opened).run(urls)
        )


class _StreamEngine:
    def __init__(
        self, config: Fetch, scratch: Path, watch: Watch, screen: Screen, turns: Turns
    ) -> None:
        self._config = config
        self._screen = screen
        self._scratch = scratch
        self._watch = watch
        self._guard = Guard(config.allow_networks)
        self._slots = asyncio.Semaphore(config.concurrency)
        self._queues: dict[str, asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(config.per_host)
        )
        self._turns = turns
        self._hosts: dict[str, Host] = {}
        self._robots: dict[URL, asyncio.Task[Robots | Failure]] = {}
        self._is_last = False

    async def run(self, urls: Sequence[str]) -> list[Outcome]:
        outcomes = [Outcome() for _ in urls]
        resolver = GuardedResolver(self._guard, self._config.concurrency)
        try:
            async with self._open_session(resolver) as self._session:
                await self._round(urls, outcomes, [*range(len(urls))])
                self._is_last = True
                last = [
                    i
                    for i, outcome in enumerate(outcomes)
                    if outcome.may_end_otherwise(self._config)
                ]
                for host in self._hosts.values():
                    host.forgive()
                for i in last:
                    outcomes[i].seconds = 0.0
                await asyncio.sleep(self._config.backoff if last else 0)
                await self._round(urls, outcomes, last)
        finally:
            await resolver.close()
        return outcomes

    async def _round(self, urls: Sequence[str], outcomes: list[Outcome], wanted: list[int]) -> None:
        """Try some candidates, all at once as far as there are turns."""
        try:
            async with asyncio.TaskGroup() as self._group:
                for i in wanted:
                    self._group.create_task(
                        self._candidate(urls[i], self._scratch / f"{i}", outcomes[i])
                    )
        except (
            ExceptionGroup
        ) as troubles:  # not of a URL but of this machine, such as a full disk: the first tells
            raise troubles.exceptions[0] from None

    def _open_session(self, resolver: GuardedResolver) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=resolver,
                socket_factory=self._guard.open_socket,
                limit=0,  # turns are taken before the clock starts, see _try
            ),
            response_class=_Answer,
            headers=request_headers(self._config.user_agent),
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=min(_CONNECT_TIMEOUT, self._config.deadline)
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
        )

    async def _candidate(self, text: str, path: Path, outcome: Outcome) -> None:
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
        if self._is_last or not outcome.may_end_otherwise(self._config):
            self._watch.done(outcome)

    async def _try(self, text: str, path: Path, outcome: Outcome) -> None:
        """Follow one URL to its end.

        Raises:
            Failure: if no image comes of it.
        """
        visited = [self._guard.url(text)]
        while True:
            async with self._turn(visited[-1].host or ""):
                try:
                    async with self._clock(outcome):
                        with self._watch.asking(visited[-1]):
                            await self._ask_leave(visited[-1])
                            hop = await self._get(visited, text, path, outcome)
                except TimeoutError as error:
                    raise Failure(Reason.TIMEOUT, f"{self._config.deadline:g} s") from error
            if hop is None:
                return
            visited.append(hop)

    @asynccontextmanager
    async def _turn(self, name: str) -> AsyncIterator[None]:
        """Wait for one's turn at a host, and tell the host how it ended."""
        host = self._hosts.setdefault(name, Host(name, self._config, self._turns))
        # the host first: who waits for a busy host must not keep a slot from the others
        async with self._queues[name], self._place(host):
            await asyncio.sleep(host.reserve())
            async with self._slots:
                try:
                    yield
                except Failure as failure:
                    host.tell(failure)
                    raise
                host.tell(None)

    @asynccontextmanager
    async def _place(self, host: Host) -> AsyncIterator[None]:
        """One of a host's places, for which other workers may stand in line too."""
        host.check()
        while (place := host.enter()) is None:
            await asyncio.sleep(ANOTHER_LOOK)
            host.check()
        try:
            yield
        finally:
            host.leave(place)

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

    async def _ask_leave(self, url: URL) -> None:
        """Heed the robots.txt of a URL's origin, which is asked for once.

        Raises:
            Failure: ROBOTS, or why the robots.txt could not be had, if that may pass: it is a no until then.
        """
        if not self._config.robots:
            return
        origin = url.origin()
        task = self._robots.get(origin)
        if task is None:
            if len(self._robots) == MAX_KEPT:
                del self._robots[next(iter(self._robots))]
            task = self._robots[origin] = self._group.create_task(self._read_robots(origin))
        robots = await asyncio.shield(task)  # who runs out of time doesn't take it from the others
        if isinstance(robots, Failure):
            raise Failure(robots.reason, f"robots.txt: {robots.detail}")
        robots.permit(url)

    async def _read_robots(self, origin: URL) -> Robots | Failure:
        """The robots.txt of an origin. What can't be had for ever forbids nothing (RFC 9309, 2.3.1)."""
        visited, agent = [origin / "robots.txt"], self._config.user_agent
        try:
            async with asyncio.timeout(self._config.deadline):
                while True:
                    response = await self._ask(visited[-1])
                    try:
                        hop = next_hop(
                            response.status, response.headers, visited, self._guard, MAX_REDIRECTS
                        )
                        if hop is None:
                            body, encoding = (
                                await _beginning(response),
                                response.headers.get("Content-Encoding", ""),
                            )
                            return Robots.read(response.status, body, encoding, agent)
                        visited.append(hop)
                    finally:
                        response.close()
        except TimeoutError:
            trouble = Failure(Reason.TIMEOUT, f"{self._config.deadline:g} s")
        except Failure as failure:
            if not failure.reason.transient:
                return Robots(None, agent)
            trouble = failure
        self._robots.pop(origin, None)  # who asks next, asks anew
        return trouble

    async def _ask(self, url: URL) -> aiohttp.ClientResponse:
        try:
            return await self._session.get(url, allow_redirects=False)
        except aiohttp.ClientError as error:
            raise _explain(error) from error

    async def _get(self, visited: list[URL], text: str, path: Path, outcome: Outcome) -> URL | None:
        """One request: spools the body and returns None, or returns where it redirects to."""
        response = await self._ask(visited[-1])
        try:
            outcome.final_url, outcome.http_status = str(visited[-1]), response.status
            outcome.address = response.address if isinstance(response, _Answer) else None
            hop = next_hop(
                response.status, response.headers, visited, self._guard, self._config.max_redirects
            )
            if hop is None:
                judge(response.status, response.headers, self._config, outcome)
                await self._read(response, text, path, outcome)
            return hop
        finally:
            response.close()  # drops the connection if anything is left in it

    async def _read(
        self, response: aiohttp.ClientResponse, text: str, path: Path, outcome: Outcome
    ) -> None:
        encoding = response.headers.get("Content-Encoding", "")
        with Spool(
            path, self._config.max_bytes, encoding, outcome.content_length, self._screen.of(text)
        ) as spool:
            try:
                async for chunk in response.content.iter_any():
                    spool.write(chunk)
            except aiohttp.ClientError as error:
                raise Failure(Reason.TRUNCATED, str(error)) from error
            outcome.body = spool.finish()


async def _beginning(response: aiohttp.ClientResponse) -> bytes:
    """As much of a robots.txt as is read."""
    body = bytearray()
    try:
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) >= MAX_BYTES:
                break
    except aiohttp.ClientError as error:
        raise Failure(Reason.TRUNCATED, str(error)) from error
    return bytes(body)


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
    if isinstance(
        error, aiohttp.ClientSSLError | aiohttp.ClientConnectorCertificateError | ssl.SSLError
    ):
        return Failure(Reason.TLS, str(error))
    if isinstance(error, aiohttp.InvalidURL):
        return Failure(Reason.BAD_URL, "its host is no host name")
    return Failure(Reason.CONNECT, str(error) or type(error).__name__)
