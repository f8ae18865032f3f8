"""The recipe's bounds on measured columns."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from curate import engine
from curate.engine import Shard
from curate.errors import Reason
from curate.recipe import THUMBNAIL_SHARE, Bound, Filters
from curate.stages.label.shard import LabelShard

__all__ = ["FilterAndLabel", "rejections"]

_SIZES = ("width", "height", "claimed_width", "claimed_height")


def rejections(rows: pa.Table, filters: Filters) -> pa.ChunkedArray:
    """The reason that each row is rejected for, null for those that pass.

    Bounds on columns that the table doesn't have yet are passed. A row that breaks several is given the first: allowed
    values, animation, minima, maxima, each in the recipe's order.
    """
    reason = pa.chunked_array([pa.nulls(len(rows), pa.string())])
    for bound in filters.bounds:
        if bound.column in rows.column_names:
            broken = pc.and_(
                pc.is_null(reason), pc.fill_null(_breaks(rows[bound.column], bound), False)
            )
            reason = pc.if_else(broken, bound.reason.value, reason)
    if set(_SIZES) <= set(rows.column_names):
        small = pc.fill_null(pc.equal(reason, Reason.TOO_SMALL.value), False)
        reason = pc.if_else(
            pc.and_(small, _thumbnails(rows)), Reason.SMALLER_THAN_CLAIMED.value, reason
        )
    return reason


def _breaks(column: pa.ChunkedArray, bound: Bound) -> pa.ChunkedArray:
    if bound.test == "in":
        known = pc.is_in(column, pa.array(bound.value, column.type))
        return pc.and_(pc.is_valid(column), pc.invert(known))
    return (pc.less if bound.test == "min" else pc.greater)(column, bound.value)


def _thumbnails(rows: pa.Table) -> pa.ChunkedArray:
    width, height, claimed_width, claimed_height = (
        rows[name].cast(pa.float64()) for name in _SIZES
    )
    claimed = pc.multiply(claimed_width, claimed_height)
    return pc.fill_null(
        pc.less(pc.multiply(width, height), pc.multiply(claimed, THUMBNAIL_SHARE)), False
    )


@dataclass(frozen=True)
class FilterAndLabel:
    """Shard function: the recipe's filters, then labels for what passes, then the filters on the labels.

    Filters stand here, not in the measure stage, so that a changed threshold costs no decoding, and before the labels,
    so that no rejected image costs a pass through CLIP.
    """

    filters: Filters
    label: LabelShard

    def __call__(self, rows: pa.Table, shard: Shard) -> pa.Table:
        """See curate.engine.ShardFunction."""
        reason = rejections(rows, self.filters)
        passing = rows.filter(pc.is_null(reason))
        for name, count in engine.count_reasons(pa.table({"reason": reason.drop_null()})).items():
            shard.advance(count, name)
        labelled = self.label(passing, shard)
        of_labels = rejections(labelled, self.filters)
        labelled = labelled.set_column(1, "reason", pc.coalesce(labelled["reason"], of_labels))
        place = pc.index_in(rows["id"], labelled["id"].combine_chunks())
        columns = {
            name: labelled[name].combine_chunks().take(place) for name in labelled.column_names
        }
        return pa.table(
            columns | {"id": rows["id"], "reason": pc.coalesce(reason, columns["reason"])}
        )
