"""The recipe's bounds on measured columns."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from curate.errors import Reason
from curate.recipe import THUMBNAIL_SHARE, Bound, Filters

__all__ = ["rejections"]

_SIZES = ("width", "height", "claimed_width", "claimed_height")


def rejections(rows: pa.Table, filters: Filters) -> pa.ChunkedArray:
    """The reason that each row is rejected for, null for those that pass.

    Bounds on columns that the table doesn't have yet are passed. A row that breaks several is given the first: allowed
    values, animation, minima, maxima, each in the recipe's order.
    """
    reason = pa.chunked_array([pa.nulls(len(rows), pa.string())])
    for bound in filters.bounds:
        if bound.column in rows.column_names:
            broken = pc.and_(pc.is_null(reason), pc.fill_null(_breaks(rows[bound.column], bound), False))
            reason = pc.if_else(broken, bound.reason.value, reason)
    if set(_SIZES) <= set(rows.column_names):
        small = pc.fill_null(pc.equal(reason, Reason.TOO_SMALL.value), False)
        reason = pc.if_else(pc.and_(small, _thumbnails(rows)), Reason.SMALLER_THAN_CLAIMED.value, reason)
    return reason


def _breaks(column: pa.ChunkedArray, bound: Bound) -> pa.ChunkedArray:
    if bound.test == "in":
        known = pc.is_in(column, pa.array(bound.value, column.type))
        return pc.and_(pc.is_valid(column), pc.invert(known))
    return (pc.less if bound.test == "min" else pc.greater)(column, bound.value)


def _thumbnails(rows: pa.Table) -> pa.ChunkedArray:
    width, height, claimed_width, claimed_height = (rows[name].cast(pa.float64()) for name in _SIZES)
    claimed = pc.multiply(claimed_width, claimed_height)
    return pc.fill_null(pc.less(pc.multiply(width, height), pc.multiply(claimed, THUMBNAIL_SHARE)), False)
