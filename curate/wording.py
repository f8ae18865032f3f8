"""Numbers as people say them."""

from __future__ import annotations

__all__ = ["size", "span"]


def size(nbytes: float) -> str:
    """Bytes in decimal units, as disks are sold: 1.2 TB."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if nbytes < 999.5:
            return f"{nbytes:.3g} {unit}"
        nbytes /= 1000
    return f"{nbytes:,.4g} TB"


def span(hours: float) -> str:
    """A duration in the unit that suits it: 40 seconds, 12 minutes, 7.5 hours, 18 days."""
    for limit, seconds, unit in ((90, 1, "seconds"), (5400, 60, "minutes"), (172_800, 3600, "hours")):
        if hours * 3600 < limit:
            return f"{hours * 3600 / seconds:.2g} {unit}"
    return f"{hours / 24:,.3g} days"
