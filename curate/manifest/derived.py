"""Rows of images that are made of others: parts of them, and copies."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from curate.manifest.schema import candidate_id

__all__ = ["INHERITED", "derived_row"]

INHERITED = (
    "final_url", "host", "source", "licence", "caption", "http_status", "broad", "category", "label_score",
    "label_margin", "label_model", "split",
)  # fmt: skip
"""What is as true of what was made of an image as of itself; its measures are not."""


def derived_row(
    row: Mapping[str, Any], fragment: str, data: bytes, width: int, height: int, **facts: Any
) -> dict[str, Any]:
    """The row of an image that was made of another.

    Args:
        row: the other's.
        fragment: says how it was made; the new URL is the other's with it, and the new id follows from that.
        data: the new file.
        width: in pixels.
        height: in pixels.
        facts: what else is known of the new image, by column.
    """
    url = f"{row['url'].partition('#')[0]}#{fragment}"
    return {name: row.get(name) for name in INHERITED} | {
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
