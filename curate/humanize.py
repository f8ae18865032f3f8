"""Numbers as people say them."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["bands", "number", "size", "span"]


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
    for limit, seconds, unit in (
        (90, 1, "seconds"),
        (5400, 60, "minutes"),
        (172_800, 3600, "hours"),
    ):
        if hours * 3600 < limit:
            return f"{number(hours * 3600 / seconds)} {unit}"
    return f"{number(hours / 24)} days"


def bands(counts: Sequence[tuple[float | None, float | None, int]], most: int = 2) -> str:
    """The bands of (low, high, count) with the largest counts: 0.012 to 0.02: 31, over 0.03: 4."""
    told = []
    for low, high, count in sorted(counts, key=lambda band: -band[2])[:most]:
        ends = [f"{end:.2g}" for end in (low, high) if end is not None]
        where = (
            " to ".join(ends)
            if len(ends) == 2
            else f"{'under' if low is None else 'over'} {''.join(ends)}"
        )
        told.append(f"{where if ends else 'all'}: {count:,}")
    return ", ".join(told)
