"""Tile manifests for tests: boxes inside the images of a manifest, which share their bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from curate.manifest import Manifest, arrow_schema, read_manifest, write_manifest
from curate.manifest.schema import candidate_id

Corner = tuple[int, int]
"""Left and top of a box."""


def write_tiles(
    path: Path, corners: Mapping[int, Sequence[Corner]], side: int, **changes: Any
) -> Manifest:
    """Write the tiles of a manifest beside it: square boxes at corners of some of its rows.

    Args:
        path: of a manifest in the folder `manifest` of a run.
        corners: row -> corners of its boxes.
        side: of a box in pixels.
        changes: further columns of every tile.
    """
    source = read_manifest(path)
    rows = []
    for number, boxes in corners.items():
        (row,) = source.table.slice(number, 1).to_pylist()
        for x, y in boxes:
            url = f"{row['url']}#xywh={x},{y},{side},{side}"
            tile = {"id": candidate_id(url), "url": url, "tile_of": row["id"]}
            tile |= {"tile_x": x, "tile_y": y, "width": side, "height": side, "pixels": side**2}
            rows.append({**row, **tile, "hf_ratio": (x + y) / 1000, **changes})
    out = path.with_name(f"tiles-{path.name}")
    write_manifest(out, pa.Table.from_pylist(rows, arrow_schema()), source.metadata)
    return read_manifest(out)
