"""Filters: the recipe's bounds on measured columns."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from curate import engine
from curate.engine import Shard
from curate.errors import Reason
from curate.recipe import THUMBNAIL_SHARE, Filters, Tiles
from curate.stages.label.shard import LabelShard
from curate.stages.names import tiles_path
from curate.storage.parquet import read_run_table

__all__ = ["FilterAndLabel", "fitting_tiles", "rejections"]

_SIZES = ("width", "height", "claimed_width", "claimed_height")


def rejections(rows: pa.Table, filters: Filters) -> pa.ChunkedArray:
    """Return the reason why each row is rejected, null for rows that pass.

    Bounds on missing columns don't reject. A row that breaks several bounds gets the first reason:
    allowed values, animation, minima, maxima, each in the recipe's order.
    """
    reason = pa.chunked_array([pa.nulls(len(rows), pa.string())])
    for bound in filters.bounds:
        if bound.column in rows.column_names:
            first = pc.and_(pc.is_null(reason), bound.broken_rows(rows[bound.column]))
            reason = pc.if_else(first, bound.reason.value, reason)
    if set(_SIZES) <= set(rows.column_names):
        small = pc.fill_null(pc.equal(reason, Reason.TOO_SMALL.value), False)
        thumbnail = pc.and_(small, _thumbnails(rows))
        reason = pc.if_else(thumbnail, Reason.SMALLER_THAN_CLAIMED.value, reason)
    return reason


def fitting_tiles(tiles: pa.Table, config: Tiles) -> pa.Table:
    """Return the measured tiles that are within the recipe's bounds."""
    fits = pa.chunked_array([pa.repeat(True, len(tiles))])
    for bound in config.bounds:
        fits = pc.and_(fits, pc.invert(bound.broken_rows(tiles[bound.column])))
    return tiles.filter(fits)


def _thumbnails(rows: pa.Table) -> pa.ChunkedArray:
    """Return a mask of images with far fewer pixels than claimed."""
    width, height, claimed_width, claimed_height = (
        rows[name].cast(pa.float64()) for name in _SIZES
    )
    least = pc.multiply(pc.multiply(claimed_width, claimed_height), THUMBNAIL_SHARE)
    return pc.fill_null(pc.less(pc.multiply(width, height), least), False)


@dataclass(frozen=True)
class FilterAndLabel:
    """Shard function: filter by measures, label the images that pass, filter by labels.

    Filters run here, not in the measure stage, so that a changed threshold costs no decoding. They
    run before the labels, so that no rejected image costs a pass through CLIP.
    """

    filters: Filters
    label: LabelShard
    tiles: Tiles | None = None
    """Bounds of tiles: an image needs one that is within them."""

    def __call__(self, rows: pa.Table, shard: Shard) -> pa.Table:
        """See curate.engine.ShardFunction."""
        reason = rejections(rows, self.filters)
        if self.tiles is not None and len(rows):
            tiles = read_run_table(shard.folder, tiles_path(shard.name))
            images = fitting_tiles(tiles, self.tiles)["tile_of"]
            has_tile = pc.is_in(rows["id"], images.combine_chunks())
            reason = pc.coalesce(reason, pc.if_else(has_tile, None, Reason.NO_TILE.value))
        passing = rows.filter(pc.is_null(reason))
        for name, count in engine.count_reasons(pa.table({"reason": reason.drop_null()})).items():
            shard.advance(count, name)
        labelled = self.label(passing, shard)
        of_labels = rejections(labelled, self.filters)
        labelled = labelled.set_column(1, "reason", pc.coalesce(labelled["reason"], of_labels))
        # back to the order of all rows, with nulls for rows that were not labelled
        place = pc.index_in(rows["id"], labelled["id"].combine_chunks())
        found = labelled.combine_chunks().take(place)
        columns = dict(zip(found.column_names, found.columns, strict=True))
        reason = pc.coalesce(reason, found["reason"])
        return pa.table(columns | {"id": rows["id"], "reason": reason})
