"""Export `crops`: sub-images as lossless PNG in tars of their own, with manifests for a trainer."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from curate.manifest.derived import derived_row
from curate.manifest.export.images import ExportOptions, Images, to_png
from curate.manifest.export.output_folder import Folder
from curate.manifest.schema import arrow_schema
from curate.manifest.table import encode_manifest
from curate.storage.tar import TarWriter

__all__ = ["Box", "boxes", "fragment", "positions", "write_crops"]

Box = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels, the latter two exclusive."""

_ORIGIN = [("crop_of", pa.string()), ("crop_x", pa.int32()), ("crop_y", pa.int32())]
_SCHEMA = pa.schema([*arrow_schema(), *_ORIGIN])


def write_crops(images: Images, folder: Folder, options: ExportOptions) -> None:
    """Write `images/part-00000.tar` and so on of `<id>.png`, and a manifest for each split.

    A crop's URL is its image's with the box as a fragment, its id follows from that, and
    `crop_of`, `crop_x` and `crop_y` say the same in columns.
    """
    # an empty table each, so that a split without images gets a manifest, too
    tables = {"train": [_SCHEMA.empty_table()], "test": [_SCHEMA.empty_table()]}
    for part, (split, _, _, rows) in enumerate(images.files(options.per_file)):
        name = f"images/part-{part:05}.tar"
        crops = []
        with folder.create(name) as sink:
            tar = TarWriter(sink)
            for row, _, image in images.decode(rows):
                for box in boxes(image.size, options.crop, options.overlap):
                    crop = image.crop(box)
                    data = to_png(crop)
                    new = derived_row(
                        row, fragment(box), data, *crop.size,
                        format="PNG", mode="RGB", bit_depth=8, icc=False, orientation=1,
                        animated=False, crop_of=row["id"], crop_x=box[0], crop_y=box[1], tar=name,
                    )  # fmt: skip
                    new["offset"] = tar.add_bytes(f"{new['id']}.png", data)
                    crops.append(new)
            tar.close()
        tables[split].append(pa.Table.from_pylist(crops, _SCHEMA))
    metadata = images.metadata | {"crops": f"{options.crop} pixels, {options.overlap} of overlap"}
    for split, parts in tables.items():
        data = encode_manifest(pa.concat_tables(parts), metadata)
        folder.write(f"manifest/{split}.parquet", data)


def boxes(image_size: tuple[int, int], side: int, overlap: int) -> Iterator[Box]:
    """Yield the boxes of an image's crops, row by row; smaller where the image is.

    Args:
        image_size: width and height in pixels.
        side: of a crop, in pixels.
        overlap: pixels that neighbours share, at least.
    """
    width, height = image_size
    for top in positions(height, side, overlap):
        for left in positions(width, side, overlap):
            yield left, top, min(left + side, width), min(top + side, height)


def positions(length: int, side: int, overlap: int) -> list[int]:
    """Return where crops begin along one axis: every `side - overlap` pixels, the last flush.

    An axis shorter than a crop has one, at 0.
    """
    if length <= side:
        return [0]
    starts = list(range(0, length - side + 1, side - overlap))
    return starts if starts[-1] == length - side else [*starts, length - side]


def fragment(box: Box) -> str:
    """Return a box as a URL fragment of W3C Media Fragments, such as `xywh=0,0,768,768`."""
    left, top, right, bottom = box
    return f"xywh={left},{top},{right - left},{bottom - top}"
