"""Numbers, counts, sizes and durations for people."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

__all__ = ["bands", "counted", "distinct", "duration", "number", "size", "span"]


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


def duration(seconds: float) -> str:
    """Format a short duration in seconds, a long one as `span` does: 40 s, 12 minutes."""
    return f"{seconds:.0f} s" if seconds < 90 else span(seconds / 3600)


def distinct(values: Sequence[float]) -> list[str]:
    """Format rising numbers with two digits, or with as many as tell unequal neighbours apart."""
    steps = sum(one != other for one, other in pairwise(values))
    for digits in range(2, 18):
        texts = [f"{value:.{digits}g}" for value in values]
        if sum(one != other for one, other in pairwise(texts)) == steps:
            break
    return texts


def bands(counts: Sequence[tuple[float | None, float | None, int]], most: int = 2) -> str:
    """Format the largest bands of (low, high, count): 31 at 0.012 to 0.02, 4 over 0.03."""
    largest = []
    for low, high, count in sorted(counts, key=lambda band: -band[2])[:most]:
        ends = distinct([end for end in (low, high) if end is not None])
        where = f"at {' to '.join(dict.fromkeys(ends))}" if ends else "of any"
        if len(ends) == 1:
            where = f"{'under' if low is None else 'over'} {ends[0]}"
        largest.append(f"{count:,} {where}")
    return ", ".join(largest)
