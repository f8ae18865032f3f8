"""Numbers, counts, sizes and durations for people."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["bands", "counted", "number", "size", "span"]


def number(value: float) -> str:
    """Format a number with two digits, or all digits before the point: 0.56, 5.6, 56, 5,612."""
    return f"{value:.2g}" if value < 9.95 else f"{value:,.0f}"


def counted(number: int, one: str, many: str | None = None) -> str:
    """Format a number of things: 1 image, 2 images, 1,000 copies."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def size(nbytes: float) -> str:
    """Format bytes in decimal units: 1.2 TB."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if nbytes < 999.5:
            return f"{number(nbytes)} {unit}"
        nbytes /= 1000
    return f"{number(nbytes)} TB"


def span(hours: float) -> str:
    """Format a duration in a fitting unit: 40 seconds, 12 minutes, 7.5 hours, 18 days."""
    units = ((90, 1, "seconds"), (5400, 60, "minutes"), (172_800, 3600, "hours"))
    for limit, seconds, unit in units:
        if hours * 3600 < limit:
            return f"{number(hours * 3600 / seconds)} {unit}"
    return f"{number(hours / 24)} days"


def bands(counts: Sequence[tuple[float | None, float | None, int]], most: int = 2) -> str:
    """Format the largest bands of (low, high, count): 0.012 to 0.02: 31, over 0.03: 4."""
    largest = []
    for low, high, count in sorted(counts, key=lambda band: -band[2])[:most]:
        ends = [f"{end:.2g}" for end in (low, high) if end is not None]
        where = " to ".join(ends) or "all"
        if len(ends) == 1:
            where = f"{'under' if low is None else 'over'} {where}"
        largest.append(f"{where}: {count:,}")
    return ", ".join(largest)
