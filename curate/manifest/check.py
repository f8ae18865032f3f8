"""What is wrong with a manifest, and what differs between two."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from curate.errors import ManifestError
from curate.manifest.schema import MANIFEST, PAIRED
from curate.manifest.table import PLACES, Manifest

__all__ = ["Difference", "Fault", "compare", "find_faults"]

_PLACE = {"tar", "offset", "nbytes", "sha256"}
"""Columns without which no bytes can be checked."""
_COLUMNS = (*MANIFEST, *PAIRED)
_SHARES = (
    "hf_ratio",
    "hf_ratio_032",
    "label_score",
    "label_margin",
    "border_share",
    "clipped_low",
    "clipped_high",
)


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong."""

    row: int | None
    """Row number from 0; None when it is the whole column."""
    column: str
    message: str

    def __str__(self) -> str:
        return f"{f'row {self.row}, ' if self.row is not None else ''}column {self.column}: {self.message}"


@dataclass(frozen=True)
class Difference:
    """How one manifest differs from another."""

    added: tuple[str, ...]
    """Ids that only the second has."""
    removed: tuple[str, ...]
    """Ids that only the first has."""
    changed: dict[str, tuple[str, ...]]
    """Id -> columns whose values differ."""
    same: int
    metadata: dict[str, tuple[str | None, str | None]]
    """Key -> (first's value, second's) where how they were made differs."""


def find_faults(manifest: Manifest, *, check_bytes: bool = False) -> Iterator[Fault]:
    """Everything in a manifest that breaks the schema.

    Args:
        manifest: to be checked.
        check_bytes: also read every image and compare its SHA-256.
    """
    table = manifest.table
    readable = check_bytes
    for column in _COLUMNS:
        if column.name not in table.column_names:
            if column.required:
                yield Fault(None, column.name, "missing")
            readable = readable and column.name not in _PLACE
            continue
        values = table[column.name]
        if values.type != column.type:
            yield Fault(None, column.name, f"type {values.type}, should be {column.type}")
            readable = readable and column.name not in _PLACE
        elif column.required:
            yield from (Fault(row, column.name, "null") for row in _rows(pc.is_null(values)))
    yield from _find_broken_values(table)
    if readable:
        for row in range(len(manifest)):
            try:
                digest = hashlib.sha256(manifest.read_bytes(row)).hexdigest()
            except ManifestError as error:
                yield Fault(row, "tar", str(error))
                continue
            if digest != table["sha256"][row].as_py():
                yield Fault(row, "sha256", f"the bytes hash to {digest}")
    if check_bytes and manifest.is_paired:
        yield from _find_broken_partners(manifest)


def _find_broken_partners(manifest: Manifest) -> Iterator[Fault]:
    for row, sha256 in enumerate(manifest.column("degraded_sha256")):
        if sha256 is not None:
            try:
                manifest.read_degraded_bytes(row)
            except ManifestError as error:
                yield Fault(row, "degraded_tar", str(error))


def _find_broken_values(table: pa.Table) -> Iterator[Fault]:
    """Values that contradict their meaning or each other."""
    present = {
        c.name for c in _COLUMNS if c.name in table.column_names and table[c.name].type == c.type
    }
    rules = [
        (
            "id",
            "not 16 hex digits",
            lambda v: pc.invert(pc.match_substring_regex(v, "^[0-9a-f]{16}$")),
        ),
        *(
            (
                name,
                "not 64 hex digits",
                lambda v: pc.invert(pc.match_substring_regex(v, "^[0-9a-f]{64}$")),
            )
            for name in ("sha256", "pixel_sha256", "degraded_sha256")
        ),
        (
            "split",
            "neither train nor test",
            lambda v: pc.invert(pc.is_in(v, pa.array(["train", "test"]))),
        ),
        *(
            (name, "not positive", lambda v: pc.less_equal(v, 0))
            for name in ("width", "height", "nbytes", "degraded_nbytes")
        ),
        *((name, "negative", lambda v: pc.less(v, 0)) for name in ("offset", "degraded_offset")),
        ("orientation", "outside 1 to 8", lambda v: _outside(v, 1, 8)),
        ("jpeg_quality", "outside 1 to 100", lambda v: _outside(v, 1, 100)),
        *((name, "outside 0 to 1", lambda v: _outside(v, 0, 1)) for name in _SHARES),
        *(
            (c.name, "not a number", lambda v: pc.invert(pc.is_finite(v)))
            for c in MANIFEST
            if pa.types.is_floating(c.type) and c.name not in (*_SHARES, "bpp")
        ),
    ]
    for name, message, broken in rules:
        if name in present:
            yield from (Fault(row, name, message) for row in _rows(broken(table[name])))
    if "id" in present:
        seen: dict[str, int] = {}
        for row, id_ in enumerate(table["id"].to_pylist()):
            if seen.setdefault(id_, row) != row:
                yield Fault(row, "id", f"the same as in row {seen[id_]}")
    if {"width", "height", "pixels"} <= present:
        product = pc.multiply(table["width"].cast(pa.int64()), table["height"].cast(pa.int64()))
        yield from (
            Fault(r, "pixels", "not width x height")
            for r in _rows(pc.not_equal(product, table["pixels"]))
        )
    if {"nbytes", "pixels", "bpp"} <= present:
        bpp = pc.divide(
            pc.multiply(table["nbytes"].cast(pa.float64()), 8.0), table["pixels"].cast(pa.float64())
        )
        right = pc.less_equal(
            pc.abs(pc.subtract(bpp, table["bpp"])), pc.multiply(bpp, 1e-9)
        )  # never of NaN
        yield from (Fault(row, "bpp", "not 8 x nbytes / pixels") for row in _rows(pc.invert(right)))
    yield from _find_half_pairs(table)


def _find_half_pairs(table: pa.Table) -> Iterator[Fault]:
    """Places and degraded images of which a part is missing."""
    present = {c.name for c in _COLUMNS if c.name in table.column_names}
    for of in ("", "degraded_"):
        if {f"{of}tar", f"{of}offset"} <= present:
            half = pc.xor(pc.is_null(table[f"{of}tar"]), pc.is_null(table[f"{of}offset"]))
            yield from (
                Fault(row, f"{of}tar", "a place needs both tar and offset") for row in _rows(half)
            )
    if "degraded_sha256" in present:
        pairs = pc.is_valid(table["degraded_sha256"])
        for name in ("degraded_nbytes", "degradation", "task"):
            lacking = pc.and_(pairs, pc.is_null(table[name])) if name in present else pairs
            yield from (
                Fault(row, name, "null, and the row is of a pair") for row in _rows(lacking)
            )


def compare(first: Manifest, second: Manifest) -> Difference:
    """What was added, removed and changed from one manifest to another. Rows are matched by id.

    Raises:
        ManifestError: if one has no ids.
    """
    rows = [dict(zip(m.column("id"), m.table.to_pylist(), strict=True)) for m in (first, second)]
    both = [id_ for id_ in rows[0] if id_ in rows[1]]
    columns = sorted(set(first.table.column_names) | set(second.table.column_names))
    if any(
        all(tar is None for tar in m.column("tar")) for m in (first, second)
    ):  # one is published, without places
        columns = [name for name in columns if name not in PLACES]
    changed = {
        id_: differing
        for id_ in both
        if (differing := tuple(c for c in columns if rows[0][id_].get(c) != rows[1][id_].get(c)))
    }
    keys = sorted(first.metadata.keys() | second.metadata.keys())
    return Difference(
        added=tuple(id_ for id_ in rows[1] if id_ not in rows[0]),
        removed=tuple(id_ for id_ in rows[0] if id_ not in rows[1]),
        changed=changed,
        same=len(both) - len(changed),
        metadata={
            key: (first.metadata.get(key), second.metadata.get(key))
            for key in keys
            if first.metadata.get(key) != second.metadata.get(key)
        },
    )


def _outside(values: pa.ChunkedArray, low: int, high: int) -> pa.ChunkedArray:
    """Where a value is not within bounds; NaN never is."""
    return pc.invert(pc.and_(pc.greater_equal(values, low), pc.less_equal(values, high)))


def _rows(where: pa.ChunkedArray) -> list[int]:
    return [row for row, broken in enumerate(where.to_pylist()) if broken]
