"""Tombstones: what was removed from a run, so that it goes, and never comes back.

They lie in `tombstones.parquet`, and mark candidates by URL (as an id), host, bytes or looks. `bury` takes what they
mark out of the run: the candidate's row keeps its id and its source, and gets the reason `removed`; what the later
stages made of its shard no longer counts, so they make it again without it, from the bytes that are there. This runs
before the stages and after them, since bytes and looks are known only then; so there is one way for what is here, for
what a longer list brings, and for what a kill has left half done.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curate import engine
from curate.engine import CommitRecord, RunFolder
from curate.engine.cache import forget_kept
from curate.errors import ImageError, Reason, RunError
from curate.recipe import Dedup
from curate.stages.candidates.urls import candidate_id, normalise_url
from curate.stages.fetch.log import log_path
from curate.stages.select.duplicates import looks_like

__all__ = [
    "FACTS",
    "LOG",
    "TOMBSTONES",
    "Tombstones",
    "bury",
    "marked",
    "marks_of",
    "names_of",
    "read_facts",
]

TOMBSTONES = "tombstones.parquet"
LOG = "log/removals.jsonl"
"""A line for each candidate that went: when, and by what kind of mark."""

FACTS = pa.schema(
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
"""What candidates are recognised by."""

_REMAINS = ("id", "source", "status", "reason")
"""Columns that a row keeps: the id is a hash, by which the URL is known when it comes again; the list's name tells
nothing of the image."""


@dataclass(frozen=True)
class Tombstones:
    """Marks: pairs of a kind and a value.

    Kinds are id, host (with its subdomains), sha256 (of bytes), pixel_sha256 and phash (16 hex digits).
    """

    marks: frozenset[tuple[str, str]] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.marks)

    def __or__(self, other: Tombstones) -> Tombstones:
        return Tombstones(self.marks | other.marks)

    def of(self, kind: str) -> frozenset[str]:
        """All values of a kind."""
        return self._by_kind.get(kind, frozenset())

    @cached_property
    def _by_kind(self) -> dict[str, frozenset[str]]:
        kinds = {kind for kind, _ in self.marks}
        return {kind: frozenset(value for k, value in self.marks if k == kind) for kind in kinds}

    @classmethod
    def read(cls, folder: RunFolder) -> Tombstones:
        """Those of a run.

        Raises:
            RunError: if they can't be read.
        """
        if not folder.exists(TOMBSTONES):
            return cls()
        try:
            with folder.open(TOMBSTONES) as file:
                table = pq.read_table(file, page_checksum_verification=True)
            return cls(
                frozenset(zip(table["kind"].to_pylist(), table["value"].to_pylist(), strict=True))
            )
        except (pa.ArrowException, OSError, KeyError) as error:
            told = " ".join(str(error).split())
            raise RunError(
                f"{folder}/{TOMBSTONES} is damaged ({told}), and says what must not come back: put a copy in its "
                "place, or remove it and name all lists of removals again"
            ) from error

    def write(self, folder: RunFolder) -> None:
        """Make them those of a run."""
        kinds, values = zip(*sorted(self.marks), strict=True) if self.marks else ((), ())
        table = pa.table(
            {"kind": pa.array(kinds, pa.string()), "value": pa.array(values, pa.string())}
        )
        folder.write(TOMBSTONES, engine.encode_table(table))


def read_facts(folder: RunFolder, shard: str) -> pa.Table:
    """What the candidates of a shard are recognised by, as far as it is known: columns of FACTS.

    Of bytes that were put aside, or whose shard was not finished, the fetch stage's log tells. No rows where the
    candidates are damaged: they will be read again.
    """
    table = _read(folder, f"candidates/{shard}.parquet")
    if table is None:
        return FACTS.empty_table()
    paths = (log_path(shard), f"fetched/{shard}.parquet", f"measured/{shard}.parquet")
    others = [_read(folder, path) for path in paths]
    columns = {}
    for field in FACTS:
        values = (
            table[field.name]
            if field.name in table.column_names
            else pa.nulls(len(table), field.type)
        )
        for other in others if field.name not in ("id", "reason") else ():
            if other is not None and field.name in other.column_names:
                place = pc.index_in(table["id"], other["id"].combine_chunks())
                values = pc.coalesce(values, other[field.name].combine_chunks().take(place))
        columns[field.name] = values
    return pa.table(columns, FACTS)


def marked(facts: pa.Table, stones: Tombstones, dedup: Dedup) -> dict[str, str]:
    """What tombstones mark of some rows.

    Args:
        facts: with columns of FACTS.
        stones: the tombstones.
        dedup: what counts as the same picture.

    Returns:
        Id -> kind of the mark; the first that fits, in the order of Tombstones.
    """
    end_ids, end_hosts = _ends(facts)
    hits = {
        "id": pc.or_(_is_in(facts["id"], stones.of("id")), _is_in(end_ids, stones.of("id"))),
        "host": pc.or_(
            _is_under(facts["host"], stones.of("host")), _is_under(end_hosts, stones.of("host"))
        ),
        "sha256": _is_in(facts["sha256"], stones.of("sha256")),
    }
    if dedup.exact:
        hits["pixel_sha256"] = _is_in(facts["pixel_sha256"], stones.of("pixel_sha256"))
    if dedup.perceptual is not None:
        hashes = np.array([int(value, 16) for value in sorted(stones.of("phash"))], np.uint64)
        hits["phash"] = pa.array(
            looks_like(facts["phash"], hashes, dedup.perceptual, dedup.mirrored)
        )
    here = pc.invert(pc.fill_null(pc.equal(facts["reason"], Reason.REMOVED.value), False))
    found: dict[str, str] = {}
    for kind, hit in hits.items():
        for id_ in facts["id"].filter(pc.and_(hit, here)).to_pylist():
            found.setdefault(id_, kind)
    return found


def names_of(facts: pa.Table) -> set[tuple[str, str]]:
    """All marks of the kinds id, host and sha256 that would fit any of some rows."""
    end_ids, end_hosts = _ends(facts)
    ids = {*facts["id"].to_pylist(), *end_ids.drop_null().to_pylist()}
    hosts = {
        name
        for host in (*facts["host"].unique().to_pylist(), *end_hosts.to_pylist())
        for name in _above(host)
    }
    digests = facts["sha256"].drop_null().to_pylist()
    return {
        *(("id", id_) for id_ in ids),
        *(("host", name) for name in hosts),
        *(("sha256", d) for d in digests),
    }


def marks_of(facts: pa.Table, kinds: Iterable[str]) -> Tombstones:
    """Marks of given kinds, by which rows are recognised when they come again."""
    marks: set[tuple[str, str]] = set()
    for kind in kinds:
        values = facts[kind].drop_null().to_pylist()
        marks |= {(kind, f"{value:016x}" if kind == "phash" else value) for value in values}
    return Tombstones(frozenset(marks))


def bury(folder: RunFolder, dedup: Dedup) -> int:
    """Take what the tombstones mark out of a run, so that the stages after the first make its shards again.

    Killed anywhere, the next call goes on: what has to go is among the tombstones before anything goes.

    Returns:
        How many candidates went.
    """
    stones, index = Tombstones.read(folder), engine.read_index(folder)
    if not stones or index is None:
        return 0
    for shard in index.shards:
        _finish(folder, shard, stones)
    found: dict[str, dict[str, str]] = {}
    digests: dict[str, set[str]] = {}
    for shard in index.shards:
        facts = read_facts(folder, shard)
        if by := marked(facts, stones, dedup):
            rows = facts.filter(pc.is_in(facts["id"], pa.array(by, pa.string())))
            found[shard], digests[shard] = by, set(rows["sha256"].drop_null().to_pylist())
            # who has the bytes or the looks of what was removed is known by its own URL and bytes from now on
            copies = rows.filter(
                pa.array([by[id_] not in ("id", "host") for id_ in rows["id"].to_pylist()])
            )
            stones |= marks_of(rows, ["id"]) | marks_of(copies, ["sha256"])
    if found:
        stones.write(folder)
        _log(folder, found)
    for shard in found:
        for stage in ("matched", "labelled", "measured"):
            engine.forget(folder, stage, [shard])
        engine.forget(
            folder, "fetched", [shard], keep_outputs=True
        )  # see curate.stages.fetch.reuse
        for kept in ("embeddings", "keypoints"):
            forget_kept(folder, f"{kept}/{shard}.parquet", digests[shard])
        record, data = _without(folder, shard, stones)
        # this record comes first: of a table that isn't yet what it says, `_finish` knows what it was to become
        record.announce(folder)
        folder.write(f"candidates/{shard}.parquet", data)
    return sum(map(len, found.values()))


def _finish(folder: RunFolder, shard: str, stones: Tombstones) -> None:
    """Take out of a table of candidates what its record has without, if a kill came between the two."""
    known = CommitRecord.read(folder, "candidates", shard)
    if known is None or known.holds(folder, known.input, known.config):
        return
    try:
        record, data = _without(folder, shard, stones)
    except (pa.ArrowException, OSError, RunError):
        return  # damaged: whoever reads the candidates will say so
    if record.outputs == known.outputs:
        folder.write(f"candidates/{shard}.parquet", data)


def _without(folder: RunFolder, shard: str, stones: Tombstones) -> tuple[CommitRecord, bytes]:
    """A table of candidates whose removed rows are all but empty, and the record of it."""
    record = CommitRecord.read(folder, "candidates", shard)
    assert record is not None, "the index names it"
    path = f"candidates/{shard}.parquet"
    with folder.open(path) as file:
        table = pq.read_table(file, page_checksum_verification=True)
    gone = pc.is_in(table["id"], pa.array(sorted(stones.of("id")), pa.string()))
    told = {"status": "rejected", "reason": Reason.REMOVED.value}
    for place, field in enumerate(table.schema):
        if field.name not in _REMAINS or field.name in told:
            value = pa.scalar(told.get(field.name), field.type)
            table = table.set_column(place, field, pc.if_else(gone, value, table[field.name]))
    data = engine.encode_table(table)
    outputs = {path: hashlib.sha256(data).hexdigest()}
    return replace(record, rows_out=engine.count_reasons(table), outputs=outputs), data


def _log(folder: RunFolder, found: Mapping[str, Mapping[str, str]]) -> None:
    lines = io.BytesIO(folder.read(LOG) if folder.exists(LOG) else b"")
    lines.seek(0, io.SEEK_END)
    at = datetime.now(UTC).isoformat(timespec="seconds")
    for shard, by in found.items():
        for id_, kind in by.items():
            lines.write(
                json.dumps({"at": at, "id": id_, "shard": shard, "by": kind}).encode() + b"\n"
            )
    folder.write(LOG, lines.getvalue())


def _read(folder: RunFolder, path: str) -> pa.Table | None:
    """The columns of FACTS that a file has; None if it isn't there, or damaged, so that it will be made again."""
    if not folder.exists(path):
        return None
    try:
        with folder.open(path) as file:
            parquet = pq.ParquetFile(file, page_checksum_verification=True)
            return parquet.read(
                [name for name in FACTS.names if name in parquet.schema_arrow.names]
            )
    except (pa.ArrowException, OSError):
        return None


def _ends(facts: pa.Table) -> tuple[pa.Array, pa.Array]:
    """Id and host of where redirects led, null where they led nowhere else."""
    ids: list[str | None] = [None] * len(facts)
    hosts: list[str | None] = [None] * len(facts)
    elsewhere = pc.fill_null(pc.not_equal(facts["final_url"], facts["url"]), False)
    for row in np.flatnonzero(elsewhere.to_numpy()):
        with suppress(ImageError, ValueError):
            normalised = normalise_url(facts["final_url"][row].as_py())
            ids[row], hosts[row] = candidate_id(normalised), urlsplit(normalised).hostname
    return pa.array(ids, pa.string()), pa.array(hosts, pa.string())


def _above(host: str | None) -> list[str]:
    """A host, and all that it is a subdomain of."""
    labels = host.split(".") if host else []
    return [".".join(labels[place:]) for place in range(len(labels))]


def _is_under(
    hosts: pa.Array | pa.ChunkedArray, names: frozenset[str]
) -> pa.Array | pa.ChunkedArray:
    """Whether hosts, or what they are subdomains of, are among some names."""
    return _is_in(
        hosts, [host for host in hosts.unique().to_pylist() if not names.isdisjoint(_above(host))]
    )


def _is_in(column: pa.Array | pa.ChunkedArray, values: Iterable[str]) -> pa.Array | pa.ChunkedArray:
    return pc.is_in(column, pa.array(sorted(values), pa.string()))
