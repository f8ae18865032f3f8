"""Tiles: rows of a manifest that are boxes inside images, and point at the images' own bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from curate.errors import ManifestError
from curate.manifest.schema import arrow_schema
from curate.manifest.table import Manifest

__all__ = ["Box", "box_of", "boxes_of", "check_tiles", "fragment", "require_inside"]

_NEEDED = ("tile_of", "tile_x", "tile_y", "width", "height", "sha256", "tar", "offset")
"""Columns that say where a tile's pixels are."""

Box = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels of the upright image, the latter two exclusive."""


def fragment(box: Box) -> str:
    """Return a box as a URL fragment of W3C Media Fragments, such as `xywh=0,0,768,768`."""
    left, top, right, bottom = box
    return f"xywh={left},{top},{right - left},{bottom - top}"


def box_of(row: Mapping[str, Any]) -> Box | None:
    """Return the box of a row that is a tile; None for a whole image."""
    if row.get("tile_of") is None:
        return None
    left, top = row["tile_x"], row["tile_y"]
    return left, top, left + row["width"], top + row["height"]


def boxes_of(tiles: pa.Table) -> list[Box]:
    """Return the box of each row of a table of tiles."""
    sides = [tiles[name].to_pylist() for name in ("tile_x", "tile_y", "width", "height")]
    return [(x, y, x + width, y + height) for x, y, width, height in zip(*sides, strict=True)]


def require_inside(box: Box, image_size: tuple[int, int], where: str) -> None:
    """Refuse a box that leaves its image.

    Args:
        box: of the tile.
        image_size: width and height of the upright image.
        where: name of the row in the error.

    Raises:
        ManifestError: if it does, or is empty.
    """
    left, top, right, bottom = box
    width, height = image_size
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
        fault = f"its box {fragment(box)} leaves its image of {width} x {height} pixels"
        raise ManifestError(f"{where}: {fault}; cut the tiles again")


def check_tiles(manifest: Manifest) -> None:
    """Refuse tiles that can't be cut, before any image is read.

    Raises:
        ManifestError: if a row is a tile and of a pair, or lacks a corner of its box, or a column
            that places it has another type than the schema's.
    """
    if not manifest.is_tiled:
        return
    for name in _NEEDED:
        manifest.column(name)  # or an error that says that it is missing
        found, type_ = manifest.table[name].type, arrow_schema().field(name).type
        if found not in (type_, pa.null()):
            fault = f"column {name} is of type {found}, and tiles need {type_}"
            raise ManifestError(f"{manifest.path}: {fault}")
    tiles = manifest.column("tile_of")
    corners = [manifest.column(name) for name in ("tile_x", "tile_y")]
    pairs = manifest.column("degraded_sha256") if manifest.is_paired else [None] * len(tiles)
    for row, (tile_of, x, y, pair) in enumerate(zip(tiles, *corners, pairs, strict=True)):
        if tile_of is None:
            continue
        where = f"{manifest.path} row {row}"
        if x is None or y is None:
            raise ManifestError(f"{where} is a tile without a corner: it needs tile_x and tile_y")
        if pair is not None:
            advice = "cut the images of pairs beforehand, both alike"
            raise ManifestError(f"{where} is a tile of a pair, which can't be cut: {advice}")
