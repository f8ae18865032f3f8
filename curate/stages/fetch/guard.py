"""Guard against forbidden URLs and addresses.

A list of URLs from the open web must not reach services that only this machine can reach: files,
the loopback, the private network, the cloud's metadata service. The guard checks the address that a
socket is about to be connected to, after DNS and after each redirect: a name that resolves
differently the second time gains nothing.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from curate.errors import Reason
from curate.manifest.host_names import ascii_host
from curate.stages.fetch.outcome import Failure

__all__ = ["ForbiddenAddress", "Guard", "GuardedResolver"]

# RFC 3986's characters. A URL of these alone is sent as it is: re-quoting would break signed ones
_AS_GIVEN = re.compile(r"(?:[\w\-.~:/?#\[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})+", re.ASCII)
_AUTHORITY = re.compile(r"^((?:[a-z][a-z0-9+.-]*:)?//)([^/?#]*)", re.ASCII | re.IGNORECASE)
_HOST = re.compile(r"[\w.:%-]+", re.ASCII)

# Public by `is_global` of some or all Python versions, and yet no place for pictures
_NEVER = (
    ipaddress.ip_network("192.0.0.0/24"),  # protocol assignments
    ipaddress.ip_network("192.88.99.0/24"),  # 6to4 relays
    ipaddress.ip_network("2001::/23"),  # protocol assignments, Teredo: wraps any IPv4 address
    ipaddress.ip_network("2002::/16"),  # 6to4, which wraps any IPv4 address
    ipaddress.ip_network("3fff::/20"),  # documentation
)
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")

AddressInfo = tuple[Any, ...]
"""Entry of socket.getaddrinfo's answer: family, type, protocol, name, (address, port, ...)."""


class ForbiddenAddress(OSError):  # noqa: N818
    """A socket was about to be connected to an address that the guard forbids.

    An OSError, so that network code treats it as a failed connection.
    """


class Guard:
    """Decides on URLs and addresses.

    Args:
        allow_networks: CIDR blocks that may be contacted though they are not public.
    """

    def __init__(self, allow_networks: Iterable[str] = ()) -> None:
        self._allowed = tuple(ipaddress.ip_network(block) for block in allow_networks)

    def url(self, text: str, base: URL | None = None) -> URL:
        """Parse a candidate's line, or a redirect's Location with its base, if it is permitted.

        Raises:
            Failure: BAD_URL, FORBIDDEN_SCHEME, CREDENTIALS, or FORBIDDEN_ADDRESS when the host is
                an address itself. Its detail never quotes the URL, which may hold a password.
        """
        try:
            text = _AUTHORITY.sub(_ascii_authority, text)
            url = URL(text, encoded=_AS_GIVEN.fullmatch(text) is not None)
            url = base.join(url) if base else url
            host, authority = url.raw_host, url.raw_authority
            if host and ":" not in host:
                ascii_host(host)  # refuses what stands for no name, such as xn--a
        except (ValueError, IndexError) as error:  # IndexError: yarl's, of https://[]@
            raise Failure(Reason.BAD_URL, "it can't be parsed") from error
        if not url.scheme:
            raise Failure(Reason.BAD_URL, "it has no scheme")
        if url.scheme not in ("http", "https"):
            raise Failure(Reason.FORBIDDEN_SCHEME, url.scheme[:20])
        if "@" in authority:
            raise Failure(Reason.CREDENTIALS)
        if not host or not _HOST.fullmatch(host):
            raise Failure(Reason.BAD_URL, "it has no proper host")
        literal = _literal(host)
        if literal is not None and not self.permits(literal):
            raise Failure(Reason.FORBIDDEN_ADDRESS, literal)
        return url.with_fragment(None)

    def permits(self, address: str) -> bool:
        """Return whether a socket may be connected to an address in its canonical spelling.

        No other spelling is permitted.
        """
        try:
            ip = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
        ip = mapped or ip
        return any(ip in network for network in self._allowed) or _is_public(ip)

    def permitted(self, infos: list[AddressInfo]) -> list[AddressInfo]:
        """Return the permitted ones among getaddrinfo's answers.

        Raises:
            ForbiddenAddress: if there are answers, but no permitted one.
        """
        permitted = [info for info in infos if self.permits(info[4][0])]
        if infos and not permitted:
            raise ForbiddenAddress(", ".join(sorted({info[4][0] for info in infos})))
        return permitted

    def open_socket(
        self, info: AddressInfo, create: type[socket.socket] = socket.socket
    ) -> socket.socket:
        """Open a socket for one of getaddrinfo's answers: the last check before any connection.

        Raises:
            ForbiddenAddress: if it must not be connected to that address.
        """
        self.permitted([info])
        return create(*info[:3])


class GuardedResolver(AbstractResolver):
    """Resolver that looks names up in its own threads, and returns permitted addresses only.

    The event loop has few threads: a handful of dead name servers would stop every look-up there.
    """

    def __init__(self, guard: Guard, threads: int) -> None:
        self._guard = guard
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="dns")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the permitted addresses of a host.

        Raises:
            ForbiddenAddress: if it has addresses, but no permitted one.
            OSError: if it doesn't resolve.
        """
        look_up = partial(socket.getaddrinfo, host, port, family, socket.SOCK_STREAM)
        try:
            infos = await asyncio.get_running_loop().run_in_executor(self._threads, look_up)
        except UnicodeError as error:  # a label that is empty or too long
            raise OSError("no host name") from error
        flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        return [
            ResolveResult(
                hostname=host, host=str(address[0]), port=port, family=f, proto=proto, flags=flags
            )
            for f, _, proto, _, address in self._guard.permitted(infos)
        ]

    async def close(self) -> None:
        """Abandon the look-ups under way: they can't be interrupted."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _is_public(ip: IPv4Address | IPv6Address) -> bool:
    if isinstance(ip, IPv6Address):
        if ip in _NAT64:  # where IPv6-only networks reach the IPv4 internet
            return _is_public(IPv4Address(int(ip) & 0xFFFFFFFF))
        if ip not in _GLOBAL_UNICAST:
            return False
    return ip.is_global and not ip.is_multicast and not any(ip in network for network in _NEVER)


def _ascii_authority(match: re.Match[str]) -> str:
    """Return a URL's start with its host in ASCII; yarl has another rule for host names."""
    start, authority = match.groups()
    if authority.isascii() or "@" in authority:  # with a password it is refused anyway
        return match[0]
    host, colon, port = authority.partition(":")
    return f"{start}{ascii_host(host)}{colon}{port}"


def _literal(host: str) -> str | None:
    """Return a host that is an address in canonical spelling; None if it is a name.

    127.1, 0x7f000001 and 2130706433 are addresses too.
    """
    if ":" in host:
        return host
    try:
        return socket.inet_ntoa(socket.inet_aton(host.removesuffix(".")))
    except OSError:
        return None
