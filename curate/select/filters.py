"""The recipe's bounds on measured columns."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from curate.errors import Reason
from curate.recipe import Filters

__all__ = ["rejections"]

_MINIMUM_REASONS = {
    "width": Reason.TOO_SMALL,
    "height": Reason.TOO_SMALL,
    "pixels": Reason.TOO_SMALL,
    "nbytes": Reason.TOO_FEW_BYTES,
    "bpp": Reason.LOW_BPP,
}


def rejections(rows: pa.Table, filters: Filters) -> pa.ChunkedArray:
    """The reason that each row is rejected for, null for those that pass.

    Bounds on columns that the table doesn't have yet are passed. A row that breaks several is given the first: allowed
    values, animation, minima, maxima, each in the recipe's order.
    """
    reason = pa.chunked_array([pa.nulls(len(rows), pa.string())])

    def reject(where: pa.ChunkedArray, why: Reason) -> None:
        nonlocal reason
        broken = pc.and_(pc.is_null(reason), pc.fill_null(where, False))
        reason = pc.if_else(broken, why.value, reason)

    present = set(rows.column_names)
    for name in [name for name in filters.allow if name in present]:
        known = pc.is_in(rows[name], pa.array(filters.allow[name], pa.string()))
        reject(pc.and_(pc.is_valid(rows[name]), pc.invert(known)), Reason.NOT_ALLOWED)
    if "animated" in present and not filters.animated:
        reject(rows["animated"], Reason.ANIMATED)
    for name in [name for name in filters.min if name in present]:
        texture = Reason.LOW_TEXTURE if name.startswith("hf_ratio") else Reason.BELOW_MINIMUM
        reject(pc.less(rows[name], filters.min[name]), _MINIMUM_REASONS.get(name, texture))
    for name in [name for name in filters.max if name in present]:
        reject(pc.greater(rows[name], filters.max[name]), Reason.ABOVE_MAXIMUM)
    return reason
