"""Thumbnails that the page embeds."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
from PIL import Image

from curate.errors import ImageError
from curate.images.decode import decode_small_pixels
from curate.images.decoder_process import run_in_decoder

if TYPE_CHECKING:
    from curate.engine.stage import Shard

__all__ = ["FEW", "Picture", "choose", "thumbnails"]

FEW = 4
"""Groups that still have the page's whole width; more are in two columns."""
_SIDE = 300
"""Longest side in pixels: sharp at the size shown, and 48 thumbnails stay near a megabyte."""


class Picture(NamedTuple):
    """A thumbnail and its caption."""

    group: str
    data: str
    """Data URI."""
    width: int
    height: int
    """Height of the thumbnail."""
    link: str | None
    """The image's web address, if it has one."""
    facts: str


def choose(samples: pa.Table | None, group: str, budget: int) -> pa.Table | None:
    """Return equally many rows of each group, about `budget` in all.

    Groups get up to three rows; up to six where so few groups have the page's whole width.
    """
    if samples is None or not samples.num_rows:
        return None
    groups = samples[group].to_pylist()
    first = {name: groups.index(name) for name in set(groups)}
    share = max(1, min(budget // len(first), 6 if len(first) <= FEW else 3))
    return samples.filter(pa.array([row - first[name] < share for row, name in enumerate(groups)]))


def thumbnails(rows: pa.Table | None, group: str, shard: Shard) -> dict[str, list[Picture]]:
    """Return pictures of the rows by group, without images that can't be decoded."""
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
    """Return a thumbnail as base64 of a WebP file, and its size."""
    with shard.open(tar) as file:
        file.seek(offset)
        data = file.read(nbytes)
    small = Image.fromarray(run_in_decoder(decode_small_pixels, data, _SIDE))
    small.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    sink = io.BytesIO()
    small.save(sink, "WEBP", quality=78, method=4)
    return base64.b64encode(sink.getvalue()).decode(), small.size
