"""Manifests from manifests: merged or sampled."""

from __future__ import annotations

import hashlib
import heapq
import posixpath
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath

import pyarrow as pa
import pyarrow.compute as pc

from curate.errors import ManifestError
from curate.manifest.table import (
    Manifest,
    concat_rows,
    place_of,
    replace_column,
    write_own_manifest,
)
from curate.storage import places

__all__ = ["Merged", "gather", "merge", "relative_folder", "sample"]


@dataclass(frozen=True)
class Merged:
    """Counts of a merge."""

    images: int
    repeated: int
    """Rows left out, since an earlier one has their id or their bytes."""
    to_test: int
    """Training rows that are test now, since another manifest has them there."""


def merge(manifests: Sequence[Manifest], out: str | PurePath) -> Merged:
    """Write the rows of manifests as one, each image once, by its id and by the hash of its bytes.

    Of several rows for one image the first stays; a clean image stays once for each degraded one
    that it is paired with, and once for each of its tiles. An image that any manifest has as test
    is test, so that nobody trains on it. Tars stay where they are and are named relative to `out`.
    The new metadata are those that all manifests have in common, and their fingerprints.

    Raises:
        ManifestError: if they lie on another storage than `out`, or lack columns.
    """
    table = gather(manifests, out)
    ids, hashes, splits = (table[name].to_pylist() for name in ("id", "sha256", "split"))
    paired = "degraded_sha256" in table.column_names
    partners = table["degraded_sha256"].to_pylist() if paired else [None] * len(table)
    # the first row of each id, and of each tile or pair of clean and degraded bytes
    seen: set[object] = set()
    kept: list[int] = []
    pictures = zip(hashes, partners, _boxes(table), strict=True)
    for row, keys in enumerate(zip(ids, pictures, strict=True)):
        if seen.isdisjoint(keys):
            kept.append(row)
        seen.update(keys)
    # an image is test if its id or its bytes are test in any row, kept or not
    test: set[str] = set()
    for id_, sha256, split in zip(ids, hashes, splits, strict=True):
        if split == "test":
            test |= {id_, sha256}
    to_test = 0
    for row in kept:
        if splits[row] != "test" and not test.isdisjoint((ids[row], hashes[row])):
            splits[row] = "test"
            to_test += 1
    merged = replace_column(table, "split", pa.array(splits, pa.string()))
    merged = merged.take(pa.array(kept, pa.int64()))
    fingerprints = " ".join(manifest.fingerprint for manifest in manifests)
    write_own_manifest(out, merged, _shared(manifests) | {"merged": fingerprints})
    return Merged(len(kept), len(table) - len(kept), to_test)


def _boxes(table: pa.Table) -> list[tuple[int, ...] | None]:
    """Return the box of each row that is a tile, and None for whole images."""
    if "tile_of" not in table.column_names:
        return [None] * len(table)
    columns = [table[name].to_pylist() for name in ("tile_x", "tile_y", "width", "height")]
    tiled = table["tile_of"].is_valid().to_pylist()
    boxes = zip(*columns, strict=True)
    return [box if is_tile else None for box, is_tile in zip(boxes, tiled, strict=True)]


def sample(
    manifests: Sequence[Manifest],
    count: int,
    out: str | PurePath,
    *,
    seed: int = 0,
    by: str | None = None,
) -> Counter[str]:
    """Write `count` rows, drawn by a seeded hash of their ids, in their original order.

    The same rows are drawn in whatever order they come, and a larger sample holds the smaller one.

    Args:
        manifests: sources of rows.
        count: rows to draw.
        out: the new manifest; tars stay where they are.
        seed: of the hash.
        by: column whose values get equally many rows, as far as they have as many.

    Returns:
        Rows drawn of each value of `by`; all under "" without it.

    Raises:
        ManifestError: if there are fewer rows, or no such column.
    """
    table = gather(manifests, out)
    if not 0 < count <= len(table):
        raise ManifestError(f"can't draw {count} of {len(table)} rows: take 1 to {len(table)}")
    if by is not None and by not in table.column_names:
        columns = ", ".join(table.column_names)
        raise ManifestError(f"can't sample by {by!r}: the columns are {columns}")
    groups = [""] * len(table) if by is None else [str(value) for value in table[by].to_pylist()]
    hashes = [hashlib.sha256(f"{seed}:{id_}".encode()).digest() for id_ in table["id"].to_pylist()]
    # rank of each row in its group: the first of each group goes in, then the second of each, ...
    drawn_of: Counter[str] = Counter()
    ranks = [0] * len(table)
    for row in sorted(range(len(table)), key=hashes.__getitem__):
        ranks[row] = drawn_of[groups[row]]
        drawn_of[groups[row]] += 1
    rows = range(len(table))
    drawn = sorted(heapq.nsmallest(count, rows, key=lambda row: (ranks[row], hashes[row])))
    description = f"{count} of {len(table)}, seed {seed}" + (f", by {by}" if by else "")
    metadata = _shared(manifests) | {"sample": description}
    write_own_manifest(out, table.take(pa.array(drawn, pa.int64())), metadata)
    return Counter(groups[row] for row in drawn)


def gather(manifests: Sequence[Manifest], out: str | PurePath) -> pa.Table:
    """Return the rows of manifests one after another, their tars relative to the folder of `out`.

    Raises:
        ManifestError: if images lie on another storage than `out`, or where a manifest mustn't
            point.
    """
    try:
        return concat_rows([_relocate(manifest, str(out)) for manifest in manifests])
    except pa.ArrowInvalid as error:
        raise ManifestError(f"a column has another type in another manifest: {error}") from error


def relative_folder(folder: str, out: str) -> str:
    """Return the path of a folder relative to the one of the file `out`.

    Raises:
        ManifestError: if they are on different storages.
    """
    place, own = places.locate(folder), places.locate(out)
    if place.fs != own.fs:
        advice = "leave the images out with curate export --to manifest  first"
        fault = f"the images in {folder} lie on another storage than {out}"
        raise ManifestError(f"{fault}: write to that one, or {advice}")
    return posixpath.relpath(place.path, posixpath.dirname(own.path))


def _relocate(manifest: Manifest, out: str) -> Manifest:
    """Return a manifest whose tars are named relative to the folder of `out`."""
    table = manifest.table
    for column in ("tar", "degraded_tar"):
        if column not in table.column_names or table[column].null_count == len(table):
            continue
        # rename each tar once, then spread the new names over the rows
        folder = relative_folder(manifest.root, out)
        names = table[column].unique().drop_null()
        moved = []
        for name in names.to_pylist():
            place_of(manifest, name)  # what leads out mustn't seem to be the user's own afterwards
            moved.append(posixpath.normpath(posixpath.join(folder, name)))
        index = pc.index_in(table[column], names).combine_chunks()
        table = replace_column(table, column, pa.array(moved, pa.string()).take(index))
    return replace(manifest, table=table)


def _shared(manifests: Sequence[Manifest]) -> dict[str, str]:
    """Return the metadata that all manifests have in common."""
    shared = set.intersection(*(set(manifest.metadata.items()) for manifest in manifests))
    return dict(sorted(shared))
