"""A seeded sample of a list that is read once and never held whole."""

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

__all__ = ["Listing", "Range", "Sample", "draw", "wilson"]

LEAST, MOST = 2_000, 20_000
"""Candidates that a share is held between: at the paper's yield of 5.6 %, 2,000 tell it to a point either way, 20,000
to a third of one; further ones cost time and tell hardly more."""

_LOT = "_lot"


@dataclass(frozen=True)
class Sample:
    """How many candidates to draw: a share of the list, within limits, or a number."""

    share: float
    at_least: int
    at_most: int

    @classmethod
    def parse(cls, text: str | int, at_least: int = LEAST, at_most: int = MOST) -> Self:
        """`1%`, held between a least and a most of candidates, or `500`, which is just that, or `all`.

        Raises:
            InputError: if it is none of these.
        """
        if str(text).strip() == "all":
            return cls(1.0, 1, sys.maxsize)
        match = re.fullmatch(
            r"(\d+(?:\.\d+)?)\s*(%?)", str(text).strip().replace(",", "").replace("_", "")
        )
        number = float(match[1]) if match else 0.0
        if match and match[2] and 0 < number <= 100:
            return cls(number / 100, at_least, at_most)
        if match and not match[2] and number >= 1 and number.is_integer():
            return cls(0.0, int(number), int(number))
        raise InputError(
            f"--sample takes a share such as 1%, a number such as 2000, or all, not {str(text)!r}"
        )

    def size(self, listed: int) -> int:
        """Candidates to draw from a list of so many."""
        return min(listed, self.at_most, max(self.at_least, round(self.share * listed)))


@dataclass(frozen=True)
class Listing:
    """What reading a whole list tells of it."""

    candidates: int
    hosts: Mapping[str, int]
    """Candidates by host, of those that would be asked for over the network."""
    crowd: int
    """Candidates on the host that has most of their shard: nearly all of them where a list is sorted by host."""


def draw(tables: Iterable[pa.Table], sample: Sample, seed: int) -> tuple[pa.Table, Listing]:
    """Draw the candidates with the lowest lots: a lot is a seeded hash of the id, so order and cut do not matter.

    Holds twice the largest sample at most, beside the count of hosts.

    Args:
        tables: the list's shards, as `CandidateReader` gives them.
        sample: how many.
        seed: of the lots.

    Returns:
        The sample in the order of its lots, and what the reading told.

    Raises:
        InputError: if there is no candidate at all.
    """
    pool: list[pa.Table] = []
    held = listed = crowd = 0
    highest: int | None = None
    hosts: Counter[str] = Counter()
    for table in tables:
        listed += len(table)
        hosts.update(here := _remote_hosts(table))
        crowd += max(here.values(), default=0)
        lots = pa.array([_lot(id_, seed) for id_ in table["id"].to_pylist()], pa.uint64())
        table = table.append_column(_LOT, lots)
        if highest is not None:
            table = table.filter(pc.less(table[_LOT], pa.scalar(highest, pa.uint64())))
        pool.append(table)
        held += len(table)
        if held > 2 * sample.at_most:
            pool = [_lowest(pool, sample.at_most)]
            held, highest = len(pool[0]), pool[0][_LOT][-1].as_py()
    if not listed:
        raise InputError("the input names no candidates: every line is blank")
    return _lowest(pool, sample.size(listed)).drop_columns([_LOT]), Listing(listed, hosts, crowd)


def _lot(id_: str, seed: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}:probe:{id_}".encode()).digest()[:8])


def _lowest(pool: list[pa.Table], count: int) -> pa.Table:
    table = pa.concat_tables(pool).sort_by([(_LOT, "ascending"), ("id", "ascending")])
    return table.slice(0, count).combine_chunks()


def _remote_hosts(table: pa.Table) -> dict[str, int]:
    remote = table.filter(pc.and_(pc.is_null(table["local_path"]), pc.is_null(table["reason"])))
    counts = remote["host"].drop_null().value_counts()
    return dict(
        zip(counts.field("values").to_pylist(), counts.field("counts").to_pylist(), strict=True)
    )


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
        """The range of a multiple."""
        return Range(self.low * factor, self.likely * factor, self.high * factor)


def wilson(hits: int, drawn: int, listed: int) -> Range:
    """Wilson's 95 % interval of a share, with the correction for drawing from a finite list without putting back.

    (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n), with n (N-1)/(N-n) in the place of n: a point once the
    whole list was drawn.

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
