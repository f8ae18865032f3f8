"""Rows of images derived from others: crops and copies."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from curate.manifest.schema import candidate_id

__all__ = ["derived_row", "derived_url", "written_tile"]

_INHERITED = (
    "final_url", "host", "source", "licence", "caption", "http_status", "broad", "category",
    "label_score", "label_margin", "label_model", "split",
)  # fmt: skip
"""Columns that a derived image shares with its original; measures are not among them."""


def derived_url(url: str, fragment: str) -> str:
    """Return the URL of an image that was made from another, as the fragment says."""
    return f"{url.partition('#')[0]}#{fragment}"


def derived_row(
    row: Mapping[str, Any], fragment: str, data: bytes, width: int, height: int, **facts: Any
) -> dict[str, Any]:
    """Return the row of an image that was made from another.

    Args:
        row: row of the original.
        fragment: of the new URL, which says how the image was made, and whose hash is the new id.
        data: the new file.
        width: in pixels.
        height: in pixels.
        facts: further columns of the new image.
    """
    url = derived_url(row["url"], fragment)
    return {name: row.get(name) for name in _INHERITED} | {
        "id": candidate_id(url),
        "url": url,
        "sha256": hashlib.sha256(data).hexdigest(),
        "nbytes": len(data),
        "width": width,
        "height": height,
        "pixels": width * height,
        "bpp": 8 * len(data) / (width * height),
        **facts,
    }


def written_tile(row: Mapping[str, Any], sha256: str, nbytes: int, **facts: Any) -> dict[str, Any]:
    """Return the row of a tile that was written out as an image of its own; its measures stay.

    Args:
        row: row of the tile.
        sha256: of the new file.
        nbytes: of the new file.
        facts: further columns of the new image.
    """
    of_old_file = ("coded_nbytes", "jpeg_quality", "chroma_subsampling")
    return {
        **row,
        **dict.fromkeys((*of_old_file, "tile_of", "tile_x", "tile_y")),
        "crop_of": row["tile_of"],
        "crop_x": row["tile_x"],
        "crop_y": row["tile_y"],
        "sha256": sha256,
        "nbytes": nbytes,
        "bpp": 8 * nbytes / row["pixels"],
        **facts,
    }
