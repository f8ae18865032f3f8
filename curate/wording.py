"""Numbers as people say them."""

from __future__ import annotations

__all__ = ["number", "size", "span"]


def number(value: float) -> str:
    """Two digits, and all of those before the point: 0.56, 5.6, 56, 5,612."""
    return f"{value:.2g}" if value < 9.95 else f"{value:,.0f}"


def size(nbytes: float) -> str:
    """Bytes in decimal units, as disks are sold: 1.2 TB."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if nbytes < 999.5:
            return f"{number(nbytes)} {unit}"
        nbytes /= 1000
    return f"{number(nbytes)} TB"


def span(hours: float) -> str:
    """A duration in the unit that suits it: 40 seconds, 12 minutes, 7.5 hours, 18 days."""
    for limit, seconds, unit in ((90, 1, "seconds"), (5400, 60, "minutes"), (172_800, 3600, "hours")):
        if hours * 3600 < limit:
            return f"{number(hours * 3600 / seconds)} {unit}"
    return f"{number(hours / 24)} days"
