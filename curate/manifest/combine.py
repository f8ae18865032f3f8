"""Manifests made of manifests: merged, sampled, or asked with SQL."""

from __future__ import annotations

import hashlib
import heapq
import posixpath
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

import fsspec
import pyarrow as pa
import pyarrow.compute as pc

from curate.errors import ManifestError
from curate.manifest.table import PLACES, Manifest, write_manifest

__all__ = ["Merged", "gather", "merge", "sample", "way_to"]


@dataclass(frozen=True)
class Merged:
    """What a merge did."""

    images: int
    repeated: int
    """Rows left out, since an earlier one has their id or their bytes."""
    to_test: int
    """Training rows that are test now, since another manifest has them there."""


def merge(manifests: Sequence[Manifest], out: str | PurePath) -> Merged:
    """Write the rows of manifests as one, in their order; each image once, by id and by the hash of its bytes.

    A clean image stays once for each degraded one that it is paired with. Of several rows for one image the first
    stays. What any of them has as test is test, so that nobody trains on it. Tars stay where they are and are named as
    seen from `out`. Of how the manifests were made, the new one tells what they have in common, and their fingerprints.

    Raises:
        ManifestError: if they lie on another storage than `out`, or lack columns.
    """
    table = gather(manifests, out)
    ids, hashes, splits = (table[name].to_pylist() for name in ("id", "sha256", "split"))
    paired = "degraded_sha256" in table.column_names
    partners = table["degraded_sha256"].to_pylist() if paired else [None] * len(table)
    seen: set[object] = set()
    kept: list[int] = []
    for row, same in enumerate(zip(ids, zip(hashes, partners, strict=True), strict=True)):
        if seen.isdisjoint(same):
            kept.append(row)
        seen.update(same)
    test = {
        name
        for row in zip(ids, hashes, splits, strict=True)
        if row[2] == "test"
        for name in row[:2]
    }
    found = ["test" if ids[row] in test or hashes[row] in test else splits[row] for row in kept]
    to_test = sum(new != splits[row] for new, row in zip(found, kept, strict=True))
    merged = table.take(pa.array(kept, pa.int64()))
    merged = merged.set_column(
        merged.column_names.index("split"), "split", pa.array(found, pa.string())
    )
    metadata = _shared(manifests) | {
        "merged": " ".join(manifest.fingerprint for manifest in manifests)
    }
    write_manifest(out, merged, metadata, root=".")
    return Merged(len(kept), len(table) - len(kept), to_test)


def sample(
    manifests: Sequence[Manifest],
    count: int,
    out: str | PurePath,
    *,
    seed: int = 0,
    by: str | None = None,
) -> Counter[str]:
    """Write `count` rows, drawn by a seeded hash of their ids, in the order that they had.

    The same rows are drawn in whatever order they come, and a larger sample holds the smaller one.

    Args:
        manifests: where rows are drawn from.
        count: how many.
        out: the new manifest; tars stay where they are.
        seed: of the hash.
        by: column whose values are to have equally many rows, as far as they have as many.

    Returns:
        Rows drawn of each value of `by`; all under "" without it.

    Raises:
        ManifestError: if there are fewer rows, or no such column.
    """
    table = gather(manifests, out)
    if not 0 < count <= len(table):
        raise ManifestError(f"can't draw {count} of {len(table)} rows: take 1 to {len(table)}")
    if by is not None and by not in table.column_names:
        raise ManifestError(
            f"can't sample by {by!r}: the columns are {', '.join(table.column_names)}"
        )
    groups = [""] * len(table) if by is None else [str(value) for value in table[by].to_pylist()]
    hashes = [hashlib.sha256(f"{seed}:{id_}".encode()).digest() for id_ in table["id"].to_pylist()]
    # the first of each group, then the second of each, and so on: even for as long as a group lasts
    turn: Counter[str] = Counter()
    turns = [0] * len(table)
    for row in sorted(range(len(table)), key=hashes.__getitem__):
        turns[row] = turn[groups[row]]
        turn[groups[row]] += 1
    drawn = sorted(
        heapq.nsmallest(count, range(len(table)), key=lambda row: (turns[row], hashes[row]))
    )
    told = f"{count} of {len(table)}, seed {seed}" + (f", by {by}" if by else "")
    write_manifest(
        out,
        table.take(pa.array(drawn, pa.int64())),
        _shared(manifests) | {"sample": told},
        root=".",
    )
    return Counter(groups[row] for row in drawn)


def gather(manifests: Sequence[Manifest], out: str | PurePath) -> pa.Table:
    """The rows of manifests one after another, their tars named as seen from the folder of `out`.

    Raises:
        ManifestError: if images lie on another storage than `out`.
    """
    tables = [_relocated(manifest, str(out)) for manifest in manifests]
    try:
        return pa.concat_tables(tables, promote_options="default")
    except pa.ArrowInvalid as error:
        raise ManifestError(f"a column has another type in another manifest: {error}") from error


def way_to(root: str, out: str) -> str:
    """Path of a folder as seen from the one of `out`.

    Raises:
        ManifestError: if it lies on another storage.
    """
    (fs, path), (own_fs, own) = fsspec.core.url_to_fs(root), fsspec.core.url_to_fs(out)
    if fs != own_fs:
        raise ManifestError(
            f"the images in {root} lie on another storage than {out}: write to that one, or leave the images out with "
            "curate export --to manifest  first"
        )
    return posixpath.relpath(path, posixpath.dirname(own))


def _relocated(manifest: Manifest, out: str) -> pa.Table:
    table = manifest.table
    for column in (
        name
        for name, type_ in PLACES.items()
        if type_ == pa.string() and name in table.column_names
    ):
        if table[column].null_count == len(table):
            continue
        way = way_to(manifest.root, out)
        names = table[column].unique().drop_null()
        moved = pa.array(
            [posixpath.normpath(posixpath.join(way, name)) for name in names.to_pylist()],
            pa.string(),
        )
        tar = moved.take(pc.index_in(table[column], names).combine_chunks())
        table = table.set_column(table.column_names.index(column), column, tar)
    return table


def _shared(manifests: Sequence[Manifest]) -> dict[str, str]:
    """What all of them tell of how they were made."""
    first, *others = (manifest.metadata for manifest in manifests)
    return {
        key: value
        for key, value in first.items()
        if all(other.get(key) == value for other in others)
    }
