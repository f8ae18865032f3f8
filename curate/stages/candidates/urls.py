"""URLs of candidates: what counts as one, how it is normalised, and the id that follows from it."""

from __future__ import annotations

import hashlib
import re
from urllib.parse import quote, urlsplit, urlunsplit

from curate.errors import ImageError, Reason

__all__ = ["LONGEST", "candidate_id", "normalise_url", "redact", "without_credentials"]

LONGEST = 2**14
"""Characters of a URL. Most servers take 8,000."""

_DEFAULT_PORTS = {"http": 80, "https": 443}
_PATH = "/%:@!$&'()*+,;=~"
_ESCAPE = re.compile(r"%[0-9a-fA-F]{2}")
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]", re.ASCII)
_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:")
# also where urlsplit sees none: no scheme, no slashes, backslashes, a host or port that is broken
_USERINFO = re.compile(r"^((?:[a-zA-Z][a-zA-Z0-9+.-]*:)?[/\\]{2,})?[^/\\?#]*@")
_ANY_USERINFO = re.compile(r"(?:^|(?<=[/\\\s,;\"']))[^/\\\s,;\"']*@")


def candidate_id(normalised: str) -> str:
    """First 16 hex digits of SHA-256 of a normalised URL."""
    return hashlib.sha256(normalised.encode()).hexdigest()[:16]


def normalise_url(url: str) -> str:
    """One spelling for URLs that name the same thing (RFC 3986, sections 6.2.2 and 6.2.3).

    Scheme and host in lower case, the host in its ASCII form, no default port, no fragment, "/" for an empty path, no
    "." and ".." in it; characters that a URL can't hold are percent-encoded, those that need no escape are not, and
    escapes are in upper case. The order of a query stays.

    Raises:
        ImageError: with reason `bad_url` if it isn't an absolute URL.
    """
    text = url.strip()
    if len(text) > LONGEST:
        raise ImageError(Reason.BAD_URL, f"over {LONGEST} characters")
    if "\ufffd" in text:  # what stood there is lost, and with it where it led
        raise ImageError(Reason.BAD_URL, "bytes that are no text")
    if not _SCHEME.match(text):
        raise ImageError(Reason.BAD_URL, "no scheme such as https://")
    try:
        parts = urlsplit(text)
        scheme = parts.scheme.lower()
        if scheme not in _DEFAULT_PORTS:
            return text
        if not parts.hostname:
            raise ImageError(Reason.BAD_URL, "no host")
        host = _ascii_host(parts.hostname)
        port = "" if parts.port in (None, _DEFAULT_PORTS[scheme]) else f":{parts.port}"
    except ValueError as error:  # a port that is no number, a broken IPv6 literal
        raise ImageError(Reason.BAD_URL, str(error)) from error
    path, query = (
        _ESCAPE.sub(_escape, quote(part, safe=_PATH + "?")) for part in (parts.path, parts.query)
    )
    return urlunsplit((scheme, host + port, _without_dots(path).replace("?", "%3F"), query, ""))


def without_credentials(url: str) -> str:
    """The URL less its user name and password."""
    return _USERINFO.sub(r"\1", url)


def redact(line: str) -> str:
    """A line that is no URL, less whatever in it may be a user name and password."""
    return _ANY_USERINFO.sub("", line)


def _escape(match: re.Match[str]) -> str:
    """An escape in upper case, or the character itself where none is needed."""
    character = chr(int(match[0][1:], 16))
    return character if _UNRESERVED.match(character) else match[0].upper()


def _without_dots(path: str) -> str:
    """A path less its "." and ".." segments (RFC 3986, section 5.2.4)."""
    segments: list[str] = []
    for segment in path.split("/")[1:]:
        if segment == "..":
            del segments[-1:]
        elif segment != ".":
            segments.append(segment)
    folder = path.rpartition("/")[2] in (".", "..")
    return "/" + "/".join([*segments, ""] if folder and segments else segments)


def _ascii_host(host: str) -> str:
    if ":" in host:
        return f"[{host.lower()}]"
    try:
        name = host.lower().encode("ascii" if host.isascii() else "idna").decode()
    except UnicodeError as error:
        raise ImageError(Reason.BAD_URL, f"no host name: {host!r}") from error
    if re.search(
        r"[\s<>\"'`{}|\\^%]", name
    ):  # the name, since IDNA turns wide characters into these
        raise ImageError(Reason.BAD_URL, f"no host name: {host!r}")
    return name
