"""Thumbnails that travel inside the page."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
from PIL import Image

from curate.errors import ImageError
from curate.images.decode import decode_small

if TYPE_CHECKING:
    from curate.engine.stage import Shard

__all__ = ["FEW", "Picture", "choose", "thumbnails"]

FEW = 4
"""Up to so many groups are shown over the page's whole width, more in two columns."""
_SIDE = 300
"""Longest side of a thumbnail in pixels: sharp at the size shown, and 48 of them stay near a megabyte."""


class Picture(NamedTuple):
    """A thumbnail and what is said of it."""

    group: str
    data: str
    """Data URI."""
    width: int
    height: int
    """Of the thumbnail."""
    link: str | None
    """Where the image came from, if that is a web address."""
    facts: str


def choose(samples: pa.Table | None, group: str, budget: int) -> pa.Table | None:
    """Equally many rows of each group, some `budget` in all; a few groups have the page's width for up to six."""
    if samples is None or not samples.num_rows:
        return None
    groups = samples[group].to_pylist()
    first = {name: groups.index(name) for name in set(groups)}
    share = max(1, min(budget // len(first), 6 if len(first) <= FEW else 3))
    return samples.filter(pa.array([row - first[name] < share for row, name in enumerate(groups)]))


def thumbnails(rows: pa.Table | None, group: str, shard: Shard) -> dict[str, list[Picture]]:
    """Pictures of the rows by group; what can't be decoded is left out."""
    pictures: dict[str, list[Picture]] = {}
    for row in rows.to_pylist() if rows is not None else []:
        try:
            data, (width, height) = _thumbnail(shard, row["tar"], row["offset"], row["nbytes"])
        except ImageError:
            continue
        link = row["url"] if row["url"].startswith(("http://", "https://")) else None
        facts = (
            f"{row['width']} \N{MULTIPLICATION SIGN} {row['height']} · {row['bpp']:.2f} bpp · "
            f"{100 * row['hf_ratio_032']:.2f} %"
        )
        picture = Picture(row[group], f"data:image/webp;base64,{data}", width, height, link, facts)
        pictures.setdefault(row[group], []).append(picture)
    return pictures


def _thumbnail(shard: Shard, tar: str, offset: int, nbytes: int) -> tuple[str, tuple[int, int]]:
    """Base64 of a WebP file, and the thumbnail's size."""
    with shard.open(tar) as file:
        file.seek(offset)
        small = decode_small(io.BytesIO(file.read(nbytes)), _SIDE)
    small.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    sink = io.BytesIO()
    small.save(sink, "WEBP", quality=78, method=4)
    return base64.b64encode(sink.getvalue()).decode(), small.size
