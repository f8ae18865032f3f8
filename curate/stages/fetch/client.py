"""HTTP client of both engines: GETs that are bounded in time, bytes, redirects and addresses."""

from __future__ import annotations

import asyncio
import ssl
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Self

import aiohttp
from yarl import URL

from curate.errors import Reason
from curate.stages.fetch.circuit_breaker import POLL_INTERVAL, CircuitBreaker
from curate.stages.fetch.connection import LenientConnector, MalformedBody
from curate.stages.fetch.context import FetchContext
from curate.stages.fetch.guard import ForbiddenAddress, Guard, GuardedResolver
from curate.stages.fetch.host_limits import HostLimits
from curate.stages.fetch.http_framing import MAX_HEAD_BYTES, MAX_HEADER_LINES
from curate.stages.fetch.http_response import (
    check_response,
    content_encoding,
    next_hop,
    request_headers,
)
from curate.stages.fetch.outcome import Failure, Outcome, contain_failures
from curate.stages.fetch.robots import MAX_BYTES, MAX_CACHED, MAX_REDIRECTS, Robots
from curate.stages.fetch.spool import Spool

__all__ = ["HttpClient"]

_CONNECT_TIMEOUT = 15.0
"""Seconds for TCP and TLS. An address that drops packets isn't worth the whole deadline: the host
may have others."""

_UNKNOWN = {Reason.BAD_RESPONSE, Reason.INTERNAL_ERROR}
"""Lasting failures of a robots.txt after which nobody knows what it allows."""


class HttpClient:
    """Client for any number of attempts at once, in one event loop."""

    def __init__(self, context: FetchContext) -> None:
        self._context, self._config = context, context.config
        self._guard = Guard(self._config.allow_networks)
        self._requests = asyncio.Semaphore(self._config.concurrency)
        self._queues: dict[str, asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(self._config.per_host)
        )
        self._breakers: dict[str, CircuitBreaker] = {}
        self._robots: dict[URL, asyncio.Task[Robots | Failure]] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        path = self._context.limits_file or self._context.scratch / "turns"
        self._limits = self._stack.enter_context(HostLimits.open(path))
        resolver = GuardedResolver(self._guard, self._config.concurrency)
        self._stack.push_async_callback(resolver.close)
        self._session = await self._stack.enter_async_context(self._open_session(resolver))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def fetch(self, text: str, path: Path, outcome: Outcome) -> None:
        """Make one attempt at a URL: follow its redirects, and note the results in `outcome`.

        Args:
            text: a candidate's URL; any text is allowed.
            path: file for the body.
            outcome: outcome of the candidate.

        Raises:
            Failure: if it leads to no image.
            RunError: if the file can't be written.
        """
        with contain_failures():
            await self._follow(text, path, outcome)

    async def _follow(self, text: str, path: Path, outcome: Outcome) -> None:
        """Request a URL and the targets of its redirects, up to a body."""
        visited = [self._guard.url(text)]
        while True:
            async with self._host_slot(visited[-1].raw_host or ""):
                try:
                    async with self._clock(outcome):
                        with self._context.requests.track(visited[-1]):
                            await self._check_robots(visited[-1])
                            hop = await self._get(visited, text, path, outcome)
                except TimeoutError as error:
                    raise self._timeout() from error
            if hop is None:
                return
            visited.append(hop)

    async def reset(self) -> None:
        """Give hosts and robots.txt files that failed another chance."""
        await asyncio.gather(*self._robots.values())  # a failed one leaves the cache when it ends
        for breaker in self._breakers.values():
            breaker.reset()

    def _open_session(self, resolver: GuardedResolver) -> aiohttp.ClientSession:
        connect = min(_CONNECT_TIMEOUT, self._config.deadline)
        return aiohttp.ClientSession(
            connector=LenientConnector(
                resolver=resolver,
                socket_factory=self._guard.open_socket,
                limit=0,  # slots are taken before the clock starts, see `fetch`
            ),
            response_class=_Response,
            headers=request_headers(self._config.user_agent),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            max_line_size=MAX_HEAD_BYTES,
            max_field_size=MAX_HEAD_BYTES,
            max_headers=MAX_HEADER_LINES,
            trust_env=False,
        )

    @asynccontextmanager
    async def _host_slot(self, host: str) -> AsyncIterator[None]:
        """Hold one of a host's slots, and record in its circuit breaker how the block ends."""
        if host not in self._breakers:
            self._breakers[host] = CircuitBreaker(host, self._config, self._limits)
        breaker = self._breakers[host]
        # the host's queue first: a URL that waits for a busy host must not hold up other hosts
        async with self._queues[host]:
            while (slot := breaker.acquire()) is None:  # other workers may have all of them
                await asyncio.sleep(POLL_INTERVAL)
            try:
                await asyncio.sleep(breaker.reserve())
                async with self._requests:
                    try:
                        yield
                    except Failure as failure:
                        breaker.record(failure)
                        raise
                    breaker.record(None)
            finally:
                breaker.release(slot)

    @asynccontextmanager
    async def _clock(self, outcome: Outcome) -> AsyncIterator[None]:
        """Count the block's seconds as the candidate's; raise TimeoutError after its deadline."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        try:
            async with asyncio.timeout(self._config.deadline - outcome.seconds):
                yield
        finally:
            outcome.seconds += loop.time() - start

    def _timeout(self) -> Failure:
        return Failure(Reason.TIMEOUT, f"{self._config.deadline:g} s")

    async def _check_robots(self, url: URL) -> None:
        """Check a URL against the robots.txt of its origin, which is requested once.

        Raises:
            Failure: ROBOTS, or the transient reason why there is no robots.txt: until it can be
                had, everything is forbidden.
        """
        if not self._config.robots:
            return
        # one task for each origin, shared by all that wait for it; the oldest leave the cache
        origin = url.origin()
        task = self._robots.get(origin)
        if task is None:
            if len(self._robots) == MAX_CACHED:
                del self._robots[next(iter(self._robots))]
            task = self._robots[origin] = asyncio.create_task(self._read_robots(origin))
        robots = await asyncio.shield(task)  # a timeout here must not cancel it for the others
        if isinstance(robots, Failure):
            raise Failure(robots.reason, f"robots.txt: {robots.detail}")
        robots.check(url)

    async def _read_robots(self, origin: URL) -> Robots | Failure:
        """Request the robots.txt of an origin.

        One that isn't there allows all; one that can't be had or understood allows nothing (RFC
        9309, 2.3.1).
        """
        try:
            async with asyncio.timeout(self._config.deadline):
                with contain_failures():
                    return await self._follow_robots([origin / "robots.txt"])
        except TimeoutError:
            failure = self._timeout()
        except Failure as error:
            if not error.reason.transient and error.reason not in _UNKNOWN:
                return Robots(None, self._config.user_agent)
            failure = error
        if failure.reason.transient:
            self._robots.pop(origin, None)  # the next candidate requests it again
        return failure

    async def _follow_robots(self, visited: list[URL]) -> Robots:
        """Read a robots.txt, or the target of its redirects."""
        while True:
            response = await self._request(visited[-1])
            status, headers = response.status, response.headers
            try:
                hop = next_hop(status, headers, visited, self._guard, MAX_REDIRECTS)
                if hop is None:
                    body = await _read_start(response)
                    encoding = content_encoding(headers)
                    return Robots.read(status, body, encoding, self._config.user_agent)
                visited.append(hop)
            finally:
                response.close()

    async def _request(self, url: URL) -> aiohttp.ClientResponse:
        try:
            return await self._session.get(url, allow_redirects=False)
        except aiohttp.ClientError as error:
            raise _explain(error) from error

    async def _get(self, visited: list[URL], text: str, path: Path, outcome: Outcome) -> URL | None:
        """Spool the body of one response and return None, or return its redirect's target."""
        response = await self._request(visited[-1])
        status, headers = response.status, response.headers
        try:
            outcome.final_url, outcome.http_status = str(visited[-1]), status
            outcome.address = response.address if isinstance(response, _Response) else None
            hop = next_hop(status, headers, visited, self._guard, self._config.max_redirects)
            if hop is None:
                check_response(status, headers, self._config, outcome)
                await self._read_body(response, text, path, outcome)
            return hop
        finally:
            response.close()  # drops the connection if anything is left in it

    async def _read_body(
        self, response: aiohttp.ClientResponse, text: str, path: Path, outcome: Outcome
    ) -> None:
        encoding = content_encoding(response.headers)
        check, length = self._context.filters.header_check(text), outcome.content_length
        with Spool(path, self._config.max_bytes, encoding, length, check) as spool:
            try:
                async for chunk in response.content.iter_any():
                    spool.write(chunk)
            except aiohttp.ClientError as error:
                raise _explain_body(error) from error
            outcome.body = spool.finish()


async def _read_start(response: aiohttp.ClientResponse) -> bytes:
    """Return as much of a robots.txt as counts."""
    body = bytearray()
    try:
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) >= MAX_BYTES:
                break
    except aiohttp.ClientError as error:
        raise _explain_body(error) from error
    return bytes(body)


class _Response(aiohttp.ClientResponse):
    """Response that remembers its peer: aiohttp drops the connection with the last byte."""

    address: str | None = None

    async def start(self, connection: aiohttp.connector.Connection) -> aiohttp.ClientResponse:
        peer = connection.transport.get_extra_info("peername") if connection.transport else None
        self.address = peer[0] if peer else None
        return await super().start(connection)


def _explain(error: aiohttp.ClientError) -> Failure:
    """Return the reason why a request got no response."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else None
    if isinstance(cause, ForbiddenAddress):
        return Failure(Reason.FORBIDDEN_ADDRESS, str(cause))
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return Failure(Reason.DNS, str(cause))
    certificate = aiohttp.ClientSSLError | aiohttp.ClientConnectorCertificateError
    if isinstance(error, certificate | ssl.SSLError):
        return Failure(Reason.TLS, str(error))
    if isinstance(error, aiohttp.InvalidURL):
        return Failure(Reason.BAD_URL, "its host is no host name")
    if isinstance(error, aiohttp.ClientResponseError):  # of aiohttp's parser or of our own
        return Failure(Reason.BAD_RESPONSE, error.message)
    return Failure(Reason.CONNECT, str(error) or type(error).__name__)


def _explain_body(error: aiohttp.ClientError) -> Failure:
    """Return the reason why a response's body broke off."""
    malformed = isinstance(error, MalformedBody)
    return Failure(Reason.BAD_RESPONSE if malformed else Reason.TRUNCATED, str(error))
