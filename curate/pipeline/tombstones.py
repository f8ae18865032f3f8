"""Tombstones: marks of candidates that were removed from a run and must never come back.

They stand in `tombstones.parquet`. A mark names a candidate by its URL (as an id), by its host, by
the bytes of its file, by its decoded pixels, or by its perceptual hash.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.engine import RunFolder
from curate.errors import ImageError, Reason, RunError
from curate.recipe import Dedup
from curate.stages.candidates.urls import candidate_id, normalise_url
from curate.stages.fetch.log import log_path
from curate.stages.names import StageName
from curate.stages.select.duplicates import match_hashes
from curate.storage.parquet import DamagedTable, encode_table, read_run_table, read_table

__all__ = [
    "IDENTITY",
    "TOMBSTONES",
    "Tombstones",
    "find_marked",
    "fitting_marks",
    "marks_of",
    "read_identity",
]

TOMBSTONES = "tombstones.parquet"

IDENTITY = pa.schema(
    [
        ("id", pa.string()),
        ("url", pa.string()),
        ("host", pa.string()),
        ("reason", pa.string()),
        ("final_url", pa.string()),
        ("sha256", pa.string()),
        ("nbytes", pa.int64()),
        ("pixel_sha256", pa.string()),
        ("phash", pa.uint64()),
    ]
)
"""Columns that candidates are recognised by."""


@dataclass(frozen=True)
class Tombstones:
    """Marks: pairs of a kind and a value.

    Kinds are id, host (with its subdomains), sha256 (of bytes), pixel_sha256 and phash (16 hex
    digits).
    """

    marks: frozenset[tuple[str, str]] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.marks)

    def __or__(self, other: Tombstones) -> Tombstones:
        return Tombstones(self.marks | other.marks)

    def of(self, kind: str) -> frozenset[str]:
        """Return all values of a kind."""
        return self._by_kind.get(kind, frozenset())

    @cached_property
    def _by_kind(self) -> dict[str, frozenset[str]]:
        values: dict[str, set[str]] = {}
        for kind, value in self.marks:
            values.setdefault(kind, set()).add(value)
        return {kind: frozenset(found) for kind, found in values.items()}

    @classmethod
    def read(cls, folder: RunFolder) -> Tombstones:
        """Read the tombstones of a run.

        Raises:
            RunError: if they can't be read.
        """
        if not folder.exists(TOMBSTONES):
            return cls()
        try:
            with folder.open(TOMBSTONES) as file:
                table = read_table(file)
            kinds, values = table["kind"].to_pylist(), table["value"].to_pylist()
            return cls(frozenset(zip(kinds, values, strict=True)))
        except (DamagedTable, OSError, KeyError) as error:
            detail = " ".join(str(error).split())
            raise RunError(
                f"{folder}/{TOMBSTONES} is damaged ({detail}), and says what must not come back: "
                "put a copy in its place, or remove it and name all lists of removals again"
            ) from error

    def write(self, folder: RunFolder) -> None:
        """Write the tombstones of a run."""
        kinds, values = zip(*sorted(self.marks), strict=True) if self.marks else ((), ())
        columns = {"kind": pa.array(kinds, pa.string()), "value": pa.array(values, pa.string())}
        folder.write(TOMBSTONES, encode_table(pa.table(columns)))


def read_identity(folder: RunFolder, shard: str) -> pa.Table:
    """Read what is known of the identity of a shard's candidates.

    The fetch stage's log knows bytes that were put aside, or whose shard was not finished.

    Returns:
        The columns of IDENTITY; no rows where the file of candidates is damaged, since the
        candidates are read again then.
    """
    table = _read(folder, f"{StageName.CANDIDATES.folder}/{shard}.parquet")
    if table is None:
        return IDENTITY.empty_table()
    stages = (StageName.FETCH, StageName.MEASURE)
    paths = [log_path(shard), *(f"{stage.folder}/{shard}.parquet" for stage in stages)]
    others = [other for path in paths if (other := _read(folder, path)) is not None]
    columns = {}
    for field in IDENTITY:
        values = pa.nulls(len(table), field.type)
        if field.name in table.column_names:
            values = table[field.name]
        for other in others:
            if field.name in other.column_names and field.name not in ("id", "reason"):
                place = pc.index_in(table["id"], other["id"].combine_chunks())
                values = pc.coalesce(values, other[field.name].combine_chunks().take(place))
        columns[field.name] = values
    return pa.table(columns, IDENTITY)


def _read(folder: RunFolder, path: str) -> pa.Table | None:
    """Read the columns of IDENTITY of a file; None if it is missing or damaged."""
    if not folder.exists(path):
        return None
    try:
        return read_run_table(folder, path, IDENTITY.names)
    except DamagedTable:
        return None


def find_marked(rows: pa.Table, tombstones: Tombstones, dedup: Dedup) -> dict[str, str]:
    """Return the rows that tombstones mark, less those that are removed already.

    Args:
        rows: the columns of IDENTITY.
        tombstones: the marks.
        dedup: the recipe's rule of what counts as the same picture.

    Returns:
        Id -> kind of the mark: the first kind that fits, in the order of Tombstones.
    """
    final_ids, final_hosts = _redirect_targets(rows)
    ids, hosts = tombstones.of("id"), tombstones.of("host")
    hits = {
        "id": pc.or_(_is_in(rows["id"], ids), _is_in(final_ids, ids)),
        "host": pc.or_(_is_under(rows["host"], hosts), _is_under(final_hosts, hosts)),
        "sha256": _is_in(rows["sha256"], tombstones.of("sha256")),
    }
    if dedup.exact:
        hits["pixel_sha256"] = _is_in(rows["pixel_sha256"], tombstones.of("pixel_sha256"))
    if dedup.perceptual is not None:
        hashes = np.array([int(value, 16) for value in sorted(tombstones.of("phash"))], np.uint64)
        near = match_hashes(rows["phash"], hashes, dedup.perceptual, dedup.mirrored)
        hits["phash"] = pa.array(near)
    removed = pc.fill_null(pc.equal(rows["reason"], Reason.REMOVED.value), False)
    found: dict[str, str] = {}
    for kind, hit in hits.items():
        for id_ in rows["id"].filter(pc.and_(hit, pc.invert(removed))).to_pylist():
            found.setdefault(id_, kind)
    return found


def fitting_marks(rows: pa.Table) -> set[tuple[str, str]]:
    """Return all marks of the kinds id, host and sha256 that would mark any of some rows."""
    final_ids, final_hosts = _redirect_targets(rows)
    marks = {("id", id_) for id_ in [*rows["id"].to_pylist(), *final_ids.drop_null().to_pylist()]}
    for host in (*rows["host"].unique().to_pylist(), *final_hosts.to_pylist()):
        marks.update(("host", domain) for domain in _domains(host))
    marks.update(("sha256", digest) for digest in rows["sha256"].drop_null().to_pylist())
    return marks


def marks_of(rows: pa.Table, kinds: Iterable[str]) -> Tombstones:
    """Return the marks of some kinds that recognise rows when they come again."""
    marks: set[tuple[str, str]] = set()
    for kind in kinds:
        values = rows[kind].drop_null().to_pylist()
        marks.update((kind, f"{v:016x}" if kind == "phash" else v) for v in values)
    return Tombstones(frozenset(marks))


def _redirect_targets(rows: pa.Table) -> tuple[pa.Array, pa.Array]:
    """Return id and host of each row's last redirect; null where there was none."""
    ids: list[str | None] = [None] * len(rows)
    hosts: list[str | None] = [None] * len(rows)
    redirected = pc.fill_null(pc.not_equal(rows["final_url"], rows["url"]), False)
    for row in np.flatnonzero(redirected.to_numpy()):
        with suppress(ImageError, ValueError):
            normalised = normalise_url(rows["final_url"][row].as_py())
            ids[row], hosts[row] = candidate_id(normalised), urlsplit(normalised).hostname
    return pa.array(ids, pa.string()), pa.array(hosts, pa.string())


def _domains(host: str | None) -> list[str]:
    """Return a host and all domains that it is a subdomain of."""
    labels = host.split(".") if host else []
    return [".".join(labels[place:]) for place in range(len(labels))]


def _is_under(hosts: pa.Array | pa.ChunkedArray, domains: frozenset[str]) -> pa.ChunkedArray:
    """Return whether each host, or a domain that it is a subdomain of, is among some domains."""
    distinct = hosts.unique().to_pylist()
    return _is_in(hosts, [host for host in distinct if not domains.isdisjoint(_domains(host))])


def _is_in(column: pa.Array | pa.ChunkedArray, values: Iterable[str]) -> pa.ChunkedArray:
    return pc.is_in(column, pa.array(sorted(values), pa.string()))
