"""Host names in their ASCII form, by the one rule that ids, requests and removals share.

The rule is UTS 46 without its transitional part, as in browsers: `straße` and `strasse` are two
hosts. Symbols and emoji are allowed too, since their hosts exist.
"""

from __future__ import annotations

import re

import idna

__all__ = ["ascii_host"]

_MAX_LABEL = 63
_NOT_IN_NAMES = re.compile(r"[\0-\x20\"#%'/:<>?@\[\\\]^`{|}\x7f]")


def ascii_host(host: str) -> str:
    """Return a host name in lower case and ASCII.

    Args:
        host: name or IPv4 address, as a URL has it; no IPv6 address.

    Raises:
        ValueError: if it is no host name.
    """
    # checked after the mapping: it turns wide characters into these
    name = host.lower() if host.isascii() else _map(host)
    if not name or _NOT_IN_NAMES.search(name):
        raise ValueError(f"no host name: {host!r}")
    return ".".join(map(_encode, name.split(".")))


def _map(name: str) -> str:
    return idna.uts46_remap(name, std3_rules=False, transitional=False)


def _encode(label: str) -> str:
    """Return a label in ASCII; check that an encoded one stands for a mapped name."""
    if label.startswith("xn--"):
        decoded = label[4:].encode("ascii").decode("punycode")
        if decoded.isascii() or _map(decoded) != decoded:
            raise ValueError(f"no label of a host name: {label!r}")
        return label
    if label.isascii():
        return label
    encoded = f"xn--{label.encode('punycode').decode()}"
    if len(encoded) > _MAX_LABEL:
        raise ValueError(f"a label of over {_MAX_LABEL} characters")
    return encoded
