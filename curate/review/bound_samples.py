"""Samples near each bound of a recipe, and the precision that verdicts on them give its filters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from curate.errors import Reason
from curate.pipeline.sampling import Range, wilson_interval
from curate.recipe import Bound
from curate.review.image_table import ImageTable

__all__ = ["BoundSample", "BoundSamples", "Tally"]

_NEAREST = 200
"""Images on each side of a bound that count as near it."""
_DRAWN = 30
"""Images that are drawn of these."""
_PASSED = [reason.value for reason in Reason if reason.stage == "select"]
"""Reasons of images that passed all filters."""


@dataclass(frozen=True)
class Tally:
    """Verdicts on the sample of one side of a bound."""

    judged: int
    dropped: int
    share: Range | None
    """Share that was dropped, with its interval; None without a verdict."""


@dataclass(frozen=True)
class BoundSample:
    """Images just inside and just outside of a bound, in the order of a seeded draw."""

    bound: Bound
    inside: tuple[str, ...]
    """Ids of images that pass it."""
    outside: tuple[str, ...]
    """Ids of images that it alone, or it first, rejects."""
    near_inside: int
    """Images that `inside` was drawn from."""
    near_outside: int
    """Images that `outside` was drawn from."""

    @property
    def name(self) -> str:
        """Name as in a recipe: `min.bpp`."""
        return f"{self.bound.test}.{self.bound.column}"


class BoundSamples:
    """Samples near each bound.

    Args:
        table: the images.
        bounds: bounds of numbers.
        seed: of the draw.
    """

    def __init__(self, table: ImageTable, bounds: tuple[Bound, ...], seed: int = 0) -> None:
        self._table = table
        self._bounds = tuple(b for b in bounds if b.column in table.numbers)
        self._seed = seed

    @cached_property
    def samples(self) -> tuple[BoundSample, ...]:
        """Sample of each bound, drawn on first use."""
        return tuple(map(self._draw, self._bounds))

    def tally(self, ids: tuple[str, ...], near: int) -> Tally:
        """Count the verdicts on a sample that was drawn from `near` images.

        The interval is Wilson's, of the share among the images near the bound.
        """
        ((judged, dropped),) = self._table.ask(
            "SELECT count(*), count(*) FILTER (verdict = 'drop') FROM verdicts "
            "WHERE list_contains(?::VARCHAR[], id)",
            [list(ids)],
        )
        share = wilson_interval(dropped, judged, near) if judged else None
        return Tally(judged, dropped, share)

    def _draw(self, bound: Bound) -> BoundSample:
        passes, breaks = (">=", "<") if bound.test == "min" else ("<=", ">")
        known = self._table.columns
        there = "tar IS NOT NULL" if "tar" in known else "true"
        passed = "(reason IS NULL OR list_contains(?::VARCHAR[], reason))"
        if "reason" not in known:  # a manifest: all of its images passed
            inside, near_inside = self._nearest(bound, passes, there, [])
            return BoundSample(bound, inside, (), near_inside, 0)
        inside, near_inside = self._nearest(bound, passes, f"{there} AND {passed}", [_PASSED])
        rejected = [bound.reason.value]
        outside, near_outside = self._nearest(bound, breaks, f"{there} AND reason = ?", rejected)
        return BoundSample(bound, inside, outside, near_inside, near_outside)

    def _nearest(
        self, bound: Bound, sign: str, condition: str, values: Sequence[object]
    ) -> tuple[tuple[str, ...], int]:
        """Draw images of one side by a seeded hash; also return how many it was drawn from."""
        column = f'"{bound.column}"'
        found = self._table.ask(
            f"WITH near AS (SELECT id FROM images WHERE {column} {sign} ? AND {condition} "
            f"ORDER BY abs({column} - ?), id LIMIT {_NEAREST}) "
            "SELECT id FROM near ORDER BY md5(? || id)",
            [bound.value, *values, bound.value, f"{self._seed}:{bound.column}:"],
        )
        ids = tuple(id_ for (id_,) in found)
        return ids[:_DRAWN], len(ids)
