"""Thumbnails that a page embeds, with their captions."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlsplit

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from curate.errors import ImageError
from curate.images.decode import decode_small_pixels, open_image, to_rgb
from curate.images.decoder_process import run_in_decoder
from curate.manifest.tiles import Box, box_of
from curate.recipe import SCORE

if TYPE_CHECKING:
    from curate.engine.stage import Shard

__all__ = ["LARGEST", "Album", "Picture"]

LARGEST = 12_000_000
"""Characters of thumbnails in a page; the report promises at most 15 MB in all."""
_SIDE = 200
"""Longest side in pixels."""
_NAME = 60
"""Characters of a picture's name."""
_SCORES = 3
"""Scores in a caption, at most."""


class Picture(NamedTuple):
    """A thumbnail and its caption."""

    data: str
    """Data URI."""
    width: int
    height: int
    """Height of the thumbnail."""
    name: str
    """Last part of its URL or path."""
    source: str
    """Its host, or the folder or list of a local file."""
    link: str | None
    """The image's web address, if it has one."""
    facts: str
    """Size, bits per pixel, high-frequency ratio."""
    scores: str
    """Further measures."""
    row: Mapping[str, Any]
    """Its row of the ledger."""

    @property
    def alt(self) -> str:
        """Text in the picture's place."""
        shown = self.row["category"] or "Image"
        return f"{shown}: {self.name}, {self.facts}"


class Album:
    """Thumbnails of one page: each image is decoded once, and all together are bounded."""

    def __init__(self, shard: Shard) -> None:
        self._shard = shard
        self._thumbnails: dict[tuple[Any, ...], tuple[str, tuple[int, int]] | None] = {}
        self._free = LARGEST
        self.left_out = 0
        """Pictures without a place in the page's size."""

    @property
    def damaged(self) -> int:
        """Images that could not be decoded."""
        return sum(thumbnail is None for thumbnail in self._thumbnails.values())

    def pictures(self, rows: pa.Table | None) -> list[Picture]:
        """Return pictures of the rows, without images that can't be decoded or have no place."""
        found = []
        for row in rows.to_pylist() if rows is not None else []:
            key = row["tar"], row["offset"], row.get("tile_x"), row.get("tile_y"), row["width"]
            if key not in self._thumbnails:
                self._thumbnails[key] = self._read(row)
            thumbnail = self._thumbnails[key]
            if thumbnail is None:
                continue
            data, size = thumbnail
            if len(data) > self._free:
                self.left_out += 1
                continue
            self._free -= len(data)
            found.append(_picture(row, data, size))
        return found

    def _read(self, row: Mapping[str, Any]) -> tuple[str, tuple[int, int]] | None:
        """Return a thumbnail as a data URI of a WebP file, and its size; None if it is damaged."""
        try:
            with self._shard.open(row["tar"]) as file:
                file.seek(row["offset"])
                pixels_HWC = _decode(file.read(row["nbytes"]), row)
        except ImageError:
            return None
        small = Image.fromarray(pixels_HWC)
        small.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
        sink = io.BytesIO()
        small.save(sink, "WEBP", quality=72, method=4)
        return f"data:image/webp;base64,{base64.b64encode(sink.getvalue()).decode()}", small.size


def _decode(data: bytes, row: Mapping[str, Any]) -> NDArray[np.uint8]:
    """Return the pixels of an image, or of the box of it that a tile's row points at."""
    box = box_of(row)
    if box is None:
        return run_in_decoder(decode_small_pixels, data, _SIDE)
    return run_in_decoder(_decode_box, data, box)


def _decode_box(data: bytes, box: Box) -> NDArray[np.uint8]:
    with open_image(io.BytesIO(data)) as image:
        return np.asarray(to_rgb(image).crop(box))


def _picture(row: Mapping[str, Any], data: str, size: tuple[int, int]) -> Picture:
    url = row["url"]
    is_web = url.lower().startswith(("http://", "https://"))
    folder, _, name = unquote(urlsplit(url).path if is_web else url).rpartition("/")
    source = row["host"] if is_web else folder.removeprefix("file:") or row.get("source")
    facts = [f"{row['width']:,} \N{MULTIPLICATION SIGN} {row['height']:,}"]
    if row["bpp"] is not None:
        facts.append(f"{row['bpp']:.2f} bpp")
    if row["hf_ratio_032"] is not None:
        facts.append(f"{100 * row['hf_ratio_032']:.2f} %")
    # lines break between facts only
    facts = [fact.replace(" ", "\N{NO-BREAK SPACE}") for fact in facts]
    scores = [
        f"{column.removeprefix(SCORE).replace('_', ' ')} {value:.2f}"
        for column, value in row.items()
        if column.startswith(SCORE) and isinstance(value, float)
    ]
    return Picture(
        data,
        *size,
        name=_shorten(name or url),
        source=_shorten(source or ""),
        link=url if is_web else None,
        facts=" · ".join(facts),
        scores=" · ".join(scores[:_SCORES]),
        row=row,
    )


def _shorten(text: str) -> str:
    """Return text with its middle left out where it is long: the end says most of a file."""
    half = _NAME // 2
    return text if len(text) <= _NAME else f"{text[:half]}…{text[-half:]}"
