"""Early filters: the recipe's bounds, checked against the list's claims and the file's header.

EXIF may turn an image, and the header need not say so. Bounds on width and height therefore reject
an image only if they are broken either way round.
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

__all__ = ["EarlyFilters"]


@dataclass(frozen=True)
class EarlyFilters:
    """Filters that reject a candidate as soon as a bound is known to be broken.

    They never reject for a value that isn't known.
    """

    bounds: tuple[Bound, ...] = ()
    """The recipe's bounds on claims and header fields, in its order."""
    claimed_pixels: Mapping[str, int] = field(default_factory=dict)
    """URL -> pixels that the list claims of its image."""

    @classmethod
    def for_rows(cls, bounds: tuple[Bound, ...], rows: Iterable[Mapping[str, Any]]) -> EarlyFilters:
        """Return the filters for some candidates."""
        claimed = {}
        for row in rows:
            width, height = row.get("claimed_width"), row.get("claimed_height")
            if width and height:
                claimed[row["url"]] = width * height
        return cls(bounds, claimed)

    def check_claims(self, row: Mapping[str, Any]) -> None:
        """Raise Failure if a candidate's row, with its claimed sizes, breaks a bound."""
        reason = self._broken(row, row.get("claimed_width"), row.get("claimed_height"))
        if reason is not None:
            raise Failure(reason, "by what the list says of it")

    def header_check(self, url: str) -> Callable[[Header, int | None], None] | None:
        """Return `check_header` for one candidate; None if there are no bounds."""
        if not self.bounds:
            return None
        return partial(self.check_header, self.claimed_pixels.get(url, 0))

    def check_header(self, claimed_pixels: int, header: Header, nbytes: int | None) -> None:
        """Check the known facts of a file against the bounds.

        Args:
            claimed_pixels: pixels that the list claims, 0 if it claims none.
            header: header of the file.
            nbytes: length of the file, if known.

        Raises:
            Failure: if it breaks one.
        """
        width, height = header.width, header.height
        facts: dict[str, Any] = {"format": header.format, "animated": header.animated}
        # the coded picture has no more bytes than its file
        facts["nbytes"] = facts["coded_nbytes"] = nbytes
        pixels = width * height if width and height else None
        if pixels and nbytes is not None:
            facts["bpp"] = 8 * nbytes / pixels
        reason = self._broken(facts, width, height)
        if reason is None:
            return
        # far fewer pixels than claimed: the server has only a thumbnail left
        if reason is Reason.TOO_SMALL and pixels and pixels < THUMBNAIL_SHARE * claimed_pixels:
            reason = Reason.SMALLER_THAN_CLAIMED
        detail = f"{header.format}, {width} x {height} pixels, {nbytes} bytes, by its head"
        raise Failure(reason, detail, header=header, nbytes=nbytes)

    def _broken(
        self, facts: Mapping[str, Any], width: int | None, height: int | None
    ) -> Reason | None:
        """Return the reason of the first broken bound, if bounds are broken either way round."""
        pixels = width * height if width and height else None
        reason = None
        # turned first, so that the reason is that of the upright image
        for w, h in ((height, width), (width, height)):
            known = {**facts, "width": w, "height": h, "pixels": pixels}
            broken = (b.reason for b in self.bounds if b.broken_by(known.get(b.column)))
            reason = next(broken, None)
            if reason is None:
                return None
        return reason
