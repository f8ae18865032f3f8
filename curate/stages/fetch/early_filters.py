"""The recipe's bounds, held against what is known before the bytes are: the list's claims, and the head of the file.

A bound on the width may not reject an image that is to be turned by its EXIF orientation, which the head of a file need
not tell: bounds on sides reject what breaks them either way round.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from curate.errors import Reason
from curate.images.header import Header
from curate.recipe import THUMBNAIL_SHARE, Bound
from curate.stages.fetch.outcome import Failure

__all__ = ["Screen"]


@dataclass(frozen=True)
class Screen:
    """Rejects candidates as early as a bound is known to be broken, and never for what isn't known."""

    bounds: tuple[Bound, ...] = ()
    """Those of the recipe's filters that can be held against claims or heads, in its order."""
    claimed_pixels: Mapping[str, int] = field(default_factory=dict)
    """URL -> what the list claims of its image."""

    @classmethod
    def of_rows(cls, bounds: tuple[Bound, ...], rows: Iterable[Mapping[str, Any]]) -> Screen:
        """The screen for some candidates."""
        sizes = ((row["url"], row.get("claimed_width"), row.get("claimed_height")) for row in rows)
        return cls(
            bounds, {url: width * height for url, width, height in sizes if width and height}
        )

    def judge_claims(self, row: Mapping[str, Any]) -> None:
        """Hold a candidate's row, claimed sizes among it, against the bounds.

        Raises:
            Failure: if it breaks one.
        """
        width, height = row.get("claimed_width"), row.get("claimed_height")
        reason = self._broken({**row, **_sides(width, height)}, {**row, **_sides(height, width)})
        if reason is not None:
            raise Failure(reason, "by what the list says of it")

    def of(self, url: str) -> Callable[[Header, int | None], None] | None:
        """`judge` for one candidate; None if there is nothing to hold it against."""
        return partial(self.judge, self.claimed_pixels.get(url, 0)) if self.bounds else None

    def judge(self, claimed_pixels: int, header: Header, nbytes: int | None) -> None:
        """Hold what is known of a file against the bounds.

        Args:
            claimed_pixels: what the list says that it has, 0 if it doesn't.
            header: what the head of the file tells.
            nbytes: length of the file, if it is known.

        Raises:
            Failure: if it breaks one.
        """
        facts: dict[str, Any] = {
            "format": header.format,
            "animated": header.animated,
            "nbytes": nbytes,
        }
        pixels = header.width * header.height if header.width and header.height else None
        if pixels and nbytes is not None:
            facts["bpp"] = 8 * nbytes / pixels
        upright, turned = _sides(header.width, header.height), _sides(header.height, header.width)
        reason = self._broken(facts | upright, facts | turned)
        if reason is None:
            return
        if reason is Reason.TOO_SMALL and pixels and pixels < THUMBNAIL_SHARE * claimed_pixels:
            reason = Reason.SMALLER_THAN_CLAIMED
        detail = (
            f"{header.format}, {header.width} x {header.height} pixels, {nbytes} bytes, by its head"
        )
        raise Failure(reason, detail, header=header, nbytes=nbytes)

    def _broken(self, upright: Mapping[str, Any], turned: Mapping[str, Any]) -> Reason | None:
        reasons = (
            next(
                (bound.reason for bound in self.bounds if bound.broken_by(facts.get(bound.column))),
                None,
            )
            for facts in (turned, upright)
        )
        return next(reasons) and next(reasons)


def _sides(width: int | None, height: int | None) -> dict[str, int | None]:
    return {
        "width": width,
        "height": height,
        "pixels": width * height if width and height else None,
    }
