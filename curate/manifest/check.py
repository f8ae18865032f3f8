"""Faults of a manifest, and differences between two."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import filterfalse
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curate.errors import ImageError, ManifestError
from curate.images.decode import upright_size
from curate.manifest.schema import MANIFEST, PAIRED, arrow_schema
from curate.manifest.table import PLACES, Manifest, concat_rows
from curate.manifest.tiles import Box, box_of, require_inside

__all__ = ["Difference", "Fault", "compare", "find_faults"]

Test = Callable[[pa.ChunkedArray], pa.ChunkedArray]
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong."""

    row: int | None
    """Row number from 0; None when it is the whole column."""
    column: str
    message: str

    def __str__(self) -> str:
        row = "" if self.row is None else f"row {self.row}, "
        return f"{row}column {self.column}: {self.message}"


@dataclass(frozen=True)
class Difference:
    """Difference between two manifests."""

    added: tuple[str, ...]
    """Ids that only the second has."""
    removed: tuple[str, ...]
    """Ids that only the first has."""
    changed: dict[str, tuple[str, ...]]
    """Id -> columns whose values differ."""
    same: int
    metadata: dict[str, tuple[str | None, str | None]]
    """Key -> (first's value, second's) where the two differ."""


def _between(low: float, high: float) -> Test:
    """Return a test for values within bounds, which NaN never passes."""
    return lambda v: pc.and_(pc.greater_equal(v, low), pc.less_equal(v, high))


def _hex_digits(count: int) -> Test:
    return lambda v: pc.match_substring_regex(v, f"^[0-9a-f]{{{count}}}$")


_COLUMNS = (*MANIFEST, *PAIRED)
_PLACE = {"tar", "offset", "nbytes", "sha256"}
"""Columns without which no bytes can be checked."""
_SHARES = (
    "hf_ratio", "hf_ratio_032", "label_score", "label_margin", "border_share", "clipped_low",
    "clipped_high", "flat_share",
)  # fmt: skip
_FLOATS = [c.name for c in MANIFEST if pa.types.is_floating(c.type) and c.name != "bpp"]
_NUMBERS = list(filterfalse(_SHARES.__contains__, _FLOATS))
_RULES: tuple[tuple[Sequence[str], str, Test], ...] = (
    (["id"], "not 16 hex digits", _hex_digits(16)),
    (["sha256", "pixel_sha256", "degraded_sha256"], "not 64 hex digits", _hex_digits(64)),
    (["split"], "neither train nor test", lambda v: pc.is_in(v, pa.array(["train", "test"]))),
    (
        ["width", "height", "nbytes", "coded_nbytes", "degraded_nbytes"],
        "not positive",
        lambda v: pc.greater(v, 0),
    ),
    (["tile_of"], "not 16 hex digits", _hex_digits(16)),
    (
        ["offset", "degraded_offset", "tile_x", "tile_y"],
        "negative",
        lambda v: pc.greater_equal(v, 0),
    ),
    (["orientation"], "outside 1 to 8", _between(1, 8)),
    (["jpeg_quality"], "outside 1 to 100", _between(1, 100)),
    (_SHARES, "outside 0 to 1", _between(0, 1)),
    (_NUMBERS, "not a number", pc.is_finite),
)
"""Columns, the fault of a value in them, and the test that sound values pass."""
_BOX = {"tile_of", "tile_x", "tile_y", "width", "height"}
"""Columns without which no box can be checked."""


def find_faults(manifest: Manifest, *, check_bytes: bool = False) -> Iterator[Fault]:
    """Yield everything in a manifest that breaks the schema.

    Args:
        manifest: to be checked.
        check_bytes: also read every image and compare its SHA-256.
    """
    table = manifest.table
    sound: set[str] = set()
    for column in _COLUMNS:
        if column.name not in table.column_names:
            if column.required:
                yield Fault(None, column.name, "missing")
        elif (type_ := table[column.name].type) != column.type:
            yield Fault(None, column.name, f"type {type_}, should be {column.type}")
        else:
            sound.add(column.name)
            if column.required:
                yield from _faults(column.name, "null", pc.is_null(table[column.name]))
    yield from _find_broken_values(table, sound)
    yield from _find_half_rows(table)
    if check_bytes and sound >= _PLACE:
        yield from _find_changed_images(manifest, boxes=sound >= _BOX)
    if check_bytes and manifest.is_paired:
        yield from _find_changed_partners(manifest)
    if manifest.is_paired and manifest.is_tiled:
        both = pc.and_(pc.is_valid(table["tile_of"]), pc.is_valid(table["degraded_sha256"]))
        yield from _faults("tile_of", "set, and the row is of a pair", both)


def _faults(column: str, message: str, broken: pa.ChunkedArray) -> Iterator[Fault]:
    """Yield a fault for each row where a mask is true; null is no fault."""
    for row in pc.indices_nonzero(broken).to_pylist():
        yield Fault(row, column, message)


def _find_broken_values(table: pa.Table, sound: set[str]) -> Iterator[Fault]:
    """Yield values that contradict their meaning or each other, in columns of the right type."""
    # one column at a time
    for names, message, test in _RULES:
        for name in names:
            if name in sound:
                yield from _faults(name, message, pc.invert(test(table[name])))
    # ids that occur again, with the row of their first occurrence
    if "id" in sound:
        seen: dict[str, int] = {}
        for row, id_ in enumerate(table["id"].to_pylist()):
            if seen.setdefault(id_, row) != row:
                yield Fault(row, "id", f"the same as in row {seen[id_]}")
    # columns that follow from others: pixels exactly, bpp up to rounding; NaN is never right
    if {"width", "height", "pixels"} <= sound:
        product = pc.multiply(table["width"].cast(pa.int64()), table["height"].cast(pa.int64()))
        differs = pc.not_equal(product, table["pixels"])
        yield from _faults("pixels", "not width x height", differs)
    if {"nbytes", "pixels", "bpp"} <= sound:
        nbytes = table["nbytes"]
        if "coded_nbytes" in sound:
            nbytes = pc.coalesce(table["coded_nbytes"], nbytes)
        bits = pc.multiply(nbytes.cast(pa.float64()), 8.0)
        bpp = pc.divide(bits, table["pixels"].cast(pa.float64()))
        error = pc.abs(pc.subtract(bpp, table["bpp"]))
        right = pc.less_equal(error, pc.multiply(bpp, 1e-9))
        if "tile_of" in sound:  # a tile has the bits per pixel of its image
            right = pc.or_(right, pc.is_valid(table["tile_of"]))
        yield from _faults("bpp", "not 8 x coded_nbytes / pixels", pc.invert(right))


def _find_half_rows(table: pa.Table) -> Iterator[Fault]:
    """Yield places, degraded images and tiles that lack a part."""
    present = set(arrow_schema(_COLUMNS).names).intersection(table.column_names)
    for prefix in ("", "degraded_"):
        tar, offset = f"{prefix}tar", f"{prefix}offset"
        if {tar, offset} <= present:
            # one of the two is null, the other isn't
            half = pc.xor(pc.is_null(table[tar]), pc.is_null(table[offset]))
            yield from _faults(tar, "a place needs both tar and offset", half)
    if "degraded_sha256" in present:
        # rows of pairs without one of the columns that a pair needs
        pairs = pc.is_valid(table["degraded_sha256"])
        for name in ("degraded_nbytes", "degradation", "task"):
            lacking = pc.and_(pairs, pc.is_null(table[name])) if name in present else pairs
            yield from _faults(name, "null, and the row is of a pair", lacking)
    if "tile_of" in present:
        tiles = pc.is_valid(table["tile_of"])
        for name in ("tile_x", "tile_y"):
            lacking = pc.and_(tiles, pc.is_null(table[name])) if name in present else tiles
            yield from _faults(name, "null, and the row is of a tile", lacking)


def _find_changed_images(manifest: Manifest, *, boxes: bool) -> Iterator[Fault]:
    """Yield bytes that can't be read or have changed, and tiles that leave their image.

    Bytes that several tiles share are read once for those that follow one another.

    Args:
        manifest: with sound columns of `_PLACE`.
        boxes: whether the columns of `_BOX` are sound, too.
    """
    first: int | None = None
    fault: Fault | None = None
    size: tuple[int, int] | None = None
    rows = zip(manifest.first_rows, manifest.column("sha256"), strict=True)
    for row, (first_row, sha256) in enumerate(rows):
        if first_row != first:
            first, (fault, size) = first_row, _check_bytes(manifest, row, sha256)
        box = _box(manifest, row) if boxes and size else None
        if fault is not None:
            yield replace(fault, row=row)
        elif box is not None and size is not None:
            try:
                require_inside(box, size, "tile")
            except ManifestError as error:
                yield Fault(row, "tile_of", str(error).removeprefix("tile: "))


def _check_bytes(
    manifest: Manifest, row: int, sha256: str
) -> tuple[Fault | None, tuple[int, int] | None]:
    """Return the fault of a row's bytes, and if it is a tile the size of the whole image."""
    try:
        data = manifest.read_bytes(row)
    except ManifestError as error:
        return Fault(row, "tar", str(error)), None
    if (digest := hashlib.sha256(data).hexdigest()) != sha256:
        return Fault(row, "sha256", f"the bytes hash to {digest}"), None
    if not manifest.is_tiled or manifest.column("tile_of")[row] is None:
        return None, None
    try:
        return None, upright_size(data)
    except ImageError as error:
        return Fault(row, "tile_of", f"its image can't be opened: {error}"), None


def _box(manifest: Manifest, row: int) -> Box | None:
    """Return the box of a tile; None for a whole image, and where a corner is missing."""
    known = {name: manifest.column(name)[row] for name in _BOX}
    return box_of(known) if None not in known.values() else None


def _find_changed_partners(manifest: Manifest) -> Iterator[Fault]:
    for row, sha256 in enumerate(manifest.column("degraded_sha256")):
        if sha256 is not None:
            try:
                manifest.read_degraded_bytes(row)
            except ManifestError as error:
                yield Fault(row, "degraded_tar", str(error))


def compare(
    first: Manifest | Sequence[Manifest], second: Manifest | Sequence[Manifest]
) -> Difference:
    """Return what was added, removed and changed between two manifests; rows are matched by id.

    Args:
        first: a manifest, or several of one dataset, such as its splits.
        second: likewise.

    Raises:
        ManifestError: if one has no ids.
    """
    first, second = _joined(first), _joined(second)
    both = (first, second)
    old, new = (dict(zip(m.column("id"), m.table.to_pylist(), strict=True)) for m in both)
    columns = {*first.table.column_names, *second.table.column_names}
    # a published manifest has no places, which is no difference of its images
    if {*first.column("tar")} <= {None} or {*second.column("tar")} <= {None}:
        columns -= PLACES.keys()
    # rows of ids that both have, column by column
    changed = {}
    common = list(filter(new.__contains__, old))
    for id_ in common:
        if names := _differing(old[id_], new[id_], columns):
            changed[id_] = names
    one, other = first.metadata, second.metadata
    keys = _differing(one, other, {*one, *other})
    metadata = {key: (one.get(key), other.get(key)) for key in keys}
    added = tuple(filterfalse(old.__contains__, new))
    removed = tuple(filterfalse(new.__contains__, old))
    return Difference(added, removed, changed, len(common) - len(changed), metadata)


def _joined(manifests: Manifest | Sequence[Manifest]) -> Manifest:
    """Return one manifest with the rows of several."""
    if isinstance(manifests, Manifest):
        return manifests
    return replace(manifests[0], table=concat_rows(manifests))


def _differing(old: Row, new: Row, keys: Iterable[str]) -> tuple[str, ...]:
    """Return the keys whose values differ, sorted; a missing one counts as null."""
    return tuple(sorted(key for key in keys if old.get(key) != new.get(key)))
