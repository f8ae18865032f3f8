"""`crops`: sub-images as lossless PNG, in tars of their own, with manifests that a trainer takes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
from PIL import Image

from curate.manifest.derived import derived_row
from curate.manifest.export.images import ExportOptions, Images, to_png
from curate.manifest.export.output_folder import Folder
from curate.manifest.schema import MANIFEST
from curate.manifest.table import encode_manifest
from curate.storage.tar import TarWriter

__all__ = ["positions", "write_crops"]

_SCHEMA = pa.schema(
    [
        *((column.name, column.type) for column in MANIFEST),
        ("crop_of", pa.string()),
        ("crop_x", pa.int32()),
        ("crop_y", pa.int32()),
    ]
)


def write_crops(images: Images, folder: Folder, options: ExportOptions) -> None:
    """`images/part-00000.tar` of `<id>.png`, and `manifest/train.parquet` and `test.parquet` of them.

    A crop's URL is its image's with the place as a fragment (W3C Media Fragments: `#xywh=0,0,768,768`), its id follows
    from that, and `crop_of`, `crop_x` and `crop_y` say the same in columns.
    """
    tables: dict[str, list[pa.Table]] = {
        split: [_SCHEMA.empty_table()] for split in ("train", "test")
    }
    for part, (split, _, _, rows) in enumerate(images.files(options.per_file)):
        name = f"images/part-{part:05}.tar"
        with folder.create(name) as sink:
            tar = TarWriter(sink)
            found = []
            for row, _, image in images.decode(rows):
                for x, y, crop in _cut(image, options):
                    data = to_png(crop)
                    new = _row_of_crop(row, x, y, crop, data)
                    offset = tar.add_bytes(f"{new['id']}.png", data)
                    found.append({**new, "tar": name, "offset": offset})
            tar.close()
        tables[split].append(pa.Table.from_pylist(found, _SCHEMA))
    metadata = images.metadata | {"crops": f"{options.crop} pixels, {options.overlap} of overlap"}
    for split, parts in tables.items():
        folder.write(
            f"manifest/{split}.parquet", encode_manifest(pa.concat_tables(parts), metadata)
        )


def positions(side: int, size: int, overlap: int) -> list[int]:
    """Where crops begin along a side: every `size - overlap` pixels, the last one at the end; 0 for a shorter side."""
    if side <= size:
        return [0]
    starts = list(range(0, side - size + 1, size - overlap))
    return starts if starts[-1] == side - size else [*starts, side - size]


def _cut(image: Image.Image, options: ExportOptions) -> Iterator[tuple[int, int, Image.Image]]:
    width, height = min(image.width, options.crop), min(image.height, options.crop)
    for y in positions(image.height, options.crop, options.overlap):
        for x in positions(image.width, options.crop, options.overlap):
            yield x, y, image.crop((x, y, x + width, y + height))


def _row_of_crop(
    row: dict[str, Any], x: int, y: int, crop: Image.Image, data: bytes
) -> dict[str, Any]:
    return derived_row(
        row, f"xywh={x},{y},{crop.width},{crop.height}", data, crop.width, crop.height,
        format="PNG", mode="RGB", bit_depth=8, icc=False, orientation=1, animated=False,
        crop_of=row["id"], crop_x=x, crop_y=y,
    )  # fmt: skip
