"""URLs of candidates: which ones are valid, their normal form, and ids that follow from it."""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit, urlunsplit

from curate.errors import ImageError, Reason
from curate.manifest.host_names import ascii_host
from curate.manifest.schema import candidate_id

__all__ = ["MAX_LENGTH", "candidate_id", "normalise_url", "redact", "without_credentials"]

MAX_LENGTH = 2**14
"""Most characters of a URL. Most servers take 8,000."""

_DEFAULT_PORTS = {"http": 80, "https": 443}
_PATH = "/%:@!$&'()*+,;=~"
_ESCAPE = re.compile(r"%[0-9a-fA-F]{2}")
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]", re.ASCII)
_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:")
# also where urlsplit sees none: no scheme, no slashes, backslashes, a broken host or port
_USERINFO = re.compile(r"^((?:[a-zA-Z][a-zA-Z0-9+.-]*:)?[/\\]{2,})?[^/\\?#]*@")
_ANY_USERINFO = re.compile(r"(?:^|(?<=[/\\\s,;\"']))[^/\\\s,;\"']*@")


def normalise_url(url: str) -> str:
    """Return one spelling for all URLs of the same thing (RFC 3986, 6.2.2 and 6.2.3).

    Scheme and host are in lower case, the host in its ASCII form. There is no default port, no
    fragment and no "." or ".." in the path; an empty path is "/". Characters that a URL can't hold
    are percent-encoded, characters that need no escape are not, and escapes are in upper case. The
    order of a query stays.

    Raises:
        ImageError: with reason `bad_url` if it isn't an absolute URL.
    """
    text = url.strip()
    if len(text) > MAX_LENGTH:
        raise ImageError(Reason.BAD_URL, f"over {MAX_LENGTH} characters")
    if "\ufffd" in text:  # the original bytes are lost, and with them the address
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
        name = parts.hostname
        host = f"[{name.lower()}]" if ":" in name else ascii_host(name)
        port = "" if parts.port in (None, _DEFAULT_PORTS[scheme]) else f":{parts.port}"
    except ValueError as error:  # a port that is no number, a broken IPv6 literal, no host name
        raise ImageError(Reason.BAD_URL, str(error)) from error
    path, query = _requote(parts.path), _requote(parts.query)
    return urlunsplit((scheme, host + port, _without_dots(path).replace("?", "%3F"), query, ""))


def without_credentials(url: str) -> str:
    """Return a URL without its user name and password."""
    return _USERINFO.sub(r"\1", url)


def redact(line: str) -> str:
    """Return a line that is no URL without anything that may be a user name and password."""
    return _ANY_USERINFO.sub("", line)


def _requote(part: str) -> str:
    """Escape characters that a URL can't hold, and undo escapes that it doesn't need."""
    return _ESCAPE.sub(_escape, quote(part, safe=_PATH + "?"))


def _escape(match: re.Match[str]) -> str:
    """Return an escape in upper case, or its character if that needs no escape."""
    character = chr(int(match[0][1:], 16))
    return character if _UNRESERVED.match(character) else match[0].upper()


def _without_dots(path: str) -> str:
    """Return a path without its "." and ".." segments (RFC 3986, 5.2.4)."""
    segments: list[str] = []
    for segment in path.split("/")[1:]:
        if segment == "..":
            del segments[-1:]
        elif segment != ".":
            segments.append(segment)
    folder = path.rpartition("/")[2] in (".", "..")
    return "/" + "/".join([*segments, ""] if folder and segments else segments)
