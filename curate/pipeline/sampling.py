"""Seeded samples of lists that are too long to hold, and Wilson's interval for what they show."""

from __future__ import annotations

import hashlib
import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc

from curate.errors import InputError

__all__ = ["Listing", "Range", "Sample", "draw_sample", "wilson_interval"]

LEAST, MOST = 2_000, 20_000
"""Limits of a sample that is a share: at the paper's yield of 5.6 %, the 95 % interval of 2,000
candidates is a point wide on each side, that of 20,000 a third of a point."""

_DRAW = "_draw"
"""Column of the numbers that decide who is drawn."""


@dataclass(frozen=True)
class Sample:
    """Number of candidates to draw: a share of the list within limits, or a fixed number."""

    share: float
    at_least: int
    at_most: int

    @classmethod
    def parse(cls, text: str | int, at_least: int = LEAST, at_most: int = MOST) -> Self:
        """Parse `1%` (a share, within the limits), `500` (just that number), or `all`.

        Raises:
            InputError: if the text is none of these.
        """
        if str(text).strip() == "all":
            return cls(1.0, 1, sys.maxsize)
        plain = str(text).strip().replace(",", "").replace("_", "")
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(%?)", plain)
        number = float(match[1]) if match else 0.0
        if match and match[2] and 0 < number <= 100:
            return cls(number / 100, at_least, at_most)
        if match and not match[2] and number >= 1 and number.is_integer():
            return cls(0.0, int(number), int(number))
        raise InputError(
            f"--sample takes a share such as 1%, a number such as 2000, or all, not {str(text)!r}"
        )

    def size(self, listed: int) -> int:
        """Return how many candidates to draw from a list of so many."""
        return min(listed, self.at_most, max(self.at_least, round(self.share * listed)))


@dataclass(frozen=True)
class Listing:
    """Counts over a whole list."""

    candidates: int
    hosts: Mapping[str, int]
    """Candidates by host, of those that need the network."""
    crowd: int
    """Candidates on the most frequent host of their shard: nearly all in a list sorted by host."""


def draw_sample(tables: Iterable[pa.Table], sample: Sample, seed: int) -> tuple[pa.Table, Listing]:
    """Draw the candidates whose seeded hash of the id is lowest.

    So neither the order of the list nor its shards matter. Holds at most twice the largest sample,
    beside the count of hosts.

    Args:
        tables: shards of the list, as CandidateReader gives them.
        sample: number of candidates to draw.
        seed: of the hash.

    Returns:
        The sample in the order of the hash, and counts over the list.

    Raises:
        InputError: if there is no candidate at all.
    """
    pool: list[pa.Table] = []
    held = listed = crowd = 0
    highest: int | None = None
    hosts: Counter[str] = Counter()
    for table in tables:
        listed += len(table)
        of_shard = _remote_hosts(table)
        hosts.update(of_shard)
        crowd += max(of_shard.values(), default=0)
        draws = pa.array([_hash(id_, seed) for id_ in table["id"].to_pylist()], pa.uint64())
        table = table.append_column(_DRAW, draws)
        if highest is not None:
            table = table.filter(pc.less(table[_DRAW], pa.scalar(highest, pa.uint64())))
        pool.append(table)
        held += len(table)
        if held > 2 * sample.at_most:
            pool = [_lowest(pool, sample.at_most)]
            held, highest = len(pool[0]), pool[0][_DRAW][-1].as_py()
    if not listed:
        raise InputError("the input names no candidates: every line is blank")
    drawn = _lowest(pool, sample.size(listed)).drop_columns([_DRAW])
    return drawn, Listing(listed, hosts, crowd)


def _hash(id_: str, seed: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}:probe:{id_}".encode()).digest()[:8])


def _lowest(pool: list[pa.Table], count: int) -> pa.Table:
    table = pa.concat_tables(pool).sort_by([(_DRAW, "ascending"), ("id", "ascending")])
    return table.slice(0, count).combine_chunks()


def _remote_hosts(table: pa.Table) -> dict[str, int]:
    remote = table.filter(pc.and_(pc.is_null(table["local_path"]), pc.is_null(table["reason"])))
    counts = remote["host"].drop_null().value_counts()
    hosts, numbers = counts.field("values").to_pylist(), counts.field("counts").to_pylist()
    return dict(zip(hosts, numbers, strict=True))


_CONFIDENCE = 1.959964
"""Normal quantile of a 95 % interval."""


@dataclass(frozen=True)
class Range:
    """An estimate with its 95 % interval."""

    low: float
    """Lower end of the interval."""
    likely: float
    """The estimate."""
    high: float
    """Upper end of the interval."""

    def times(self, factor: float) -> Range:
        """Return the range of a multiple."""
        return Range(self.low * factor, self.likely * factor, self.high * factor)


def wilson_interval(hits: int, drawn: int, listed: int) -> Range:
    """Return Wilson's 95 % interval of a share, corrected for drawing without replacement.

    (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n), with n (N-1)/(N-n) for n: a point
    once the whole list is drawn.

    Args:
        hits: candidates of the sample that pass.
        drawn: candidates of the sample.
        listed: candidates of the list.
    """
    share = hits / drawn
    if drawn >= listed:
        return Range(share, share, share)
    n, z = drawn * (listed - 1) / (listed - drawn), _CONFIDENCE
    middle = share + z * z / (2 * n)
    spread = z * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return Range(max((middle - spread) / scale, 0.0), share, min((middle + spread) / scale, 1.0))
