"""Engine hook that takes the candidates that tombstones mark out of a run.

A removed candidate's row keeps its id and its source, and gets the reason `removed`. The commit
records of its shard are voided, so the stages make the shard again without it, from the bytes that
are there. Bytes and pixels are known only after their stages, so the engine calls the hook after
each stage; it looks only at shards that have changed since it last saw them.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

from curate import engine
from curate.config import fingerprint
from curate.engine import CommitRecord, RunFolder
from curate.engine.cache import evict_images
from curate.errors import Reason, RunError
from curate.pipeline.tombstones import (
    TOMBSTONES,
    Tombstones,
    find_marked,
    marks_of,
    read_identity,
)
from curate.recipe import Dedup
from curate.stages.chain import SHARD_STAGES
from curate.stages.names import StageName
from curate.storage.parquet import encode_table, read_run_table

__all__ = ["LOG", "TombstoneHook"]

LOG = "log/removals.jsonl"
"""A line for each removed candidate: when, and the kind of mark."""

_CHECKED = "log/tombstones-checked.json"
"""Fingerprint of the marks, and of each record of a shard that was checked against them."""

_KEPT_COLUMNS = ("id", "source", "status", "reason")
"""Columns that a removed row keeps: the id is a hash, by which the URL is recognised when it comes
again; the list's name says nothing about the image."""

_IDENTIFYING = StageName.LABEL.input_folders
"""Folders of the stages whose columns identify an image."""


@dataclass(frozen=True)
class TombstoneHook:
    """See engine.CommitHook. Killed anywhere, the next call completes what was begun."""

    folder: RunFolder
    dedup: Dedup
    """The recipe's rule of what counts as the same picture."""

    def __call__(self, stage: str, records: Iterable[CommitRecord]) -> bool:
        """Remove marked candidates of shards that have changed; return whether there were any."""
        if stage not in _IDENTIFYING or not self.folder.exists(TOMBSTONES):
            return False
        marks = fingerprint([self.folder.sha256(TOMBSTONES), self.dedup.essence()])
        checked = self._read_checked(marks)
        outputs = {record.shard: fingerprint(record.outputs)[:16] for record in records}
        seen = {f"{stage}/{shard}": digest for shard, digest in outputs.items()}
        changed = [shard for shard in outputs if checked.get(f"{stage}/{shard}") != outputs[shard]]
        if not changed:
            return False
        if self._remove(changed, complete=stage == engine.CANDIDATES):
            return True  # nothing is noted: what was removed is marked now, and may mark other rows
        note = {"marks": marks, "records": checked | seen}
        self.folder.write(_CHECKED, json.dumps(note, indent=0, sort_keys=True).encode())
        return False

    def _read_checked(self, marks: str) -> dict[str, str]:
        """Read which records were checked against these marks: `stage/shard` -> fingerprint."""
        if self.folder.exists(_CHECKED):
            with suppress(ValueError, TypeError, KeyError):
                note = json.loads(self.folder.read(_CHECKED))
                if note["marks"] == marks:
                    return dict(note["records"])
        return {}

    def _remove(self, shards: Iterable[str], *, complete: bool) -> bool:
        tombstones = Tombstones.read(self.folder)
        kinds: dict[str, dict[str, str]] = {}
        digests: dict[str, set[str]] = {}
        for shard in shards:
            if complete:
                _complete(self.folder, shard, tombstones)
            rows = read_identity(self.folder, shard)
            marked = find_marked(rows, tombstones, self.dedup)
            if not marked:
                continue
            rows = rows.filter(pc.is_in(rows["id"], pa.array(marked, pa.string())))
            kinds[shard], digests[shard] = marked, set(rows["sha256"].drop_null().to_pylist())
            # a copy of a removed picture is recognised by its own URL and bytes from now on
            is_copy = [marked[id_] not in ("id", "host") for id_ in rows["id"].to_pylist()]
            copies = rows.filter(pa.array(is_copy))
            tombstones |= marks_of(rows, ["id"]) | marks_of(copies, ["sha256"])
        if kinds:
            tombstones.write(self.folder)  # first: a kill must find all that has to go marked
            _log(self.folder, kinds)
        for shard in kinds:
            _void(self.folder, shard, digests[shard])
            record, data = _without_marked(self.folder, shard, tombstones)
            # the record goes first: it tells `_complete` what the table was to become
            record.announce(self.folder)
            self.folder.write(_path(shard), data)
        return bool(kinds)


def _void(folder: RunFolder, shard: str, digests: set[str]) -> None:
    """Void the records of all later stages, and remove the images from the caches."""
    for stage in SHARD_STAGES:
        # downloaded bytes stay, for the next fetch of the shard; see curate.stages.fetch.reuse
        engine.forget(folder, stage.folder, [shard], keep_outputs=stage is StageName.FETCH)
    for stage in StageName:
        if stage.cache is not None:
            evict_images(folder, f"{stage.cache}/{shard}.parquet", digests)


def _path(shard: str) -> str:
    return f"{StageName.CANDIDATES.folder}/{shard}.parquet"


def _complete(folder: RunFolder, shard: str, tombstones: Tombstones) -> None:
    """Write a table of candidates whose record a kill left without it."""
    record = CommitRecord.read(folder, StageName.CANDIDATES.folder, shard)
    if record is None or record.holds(folder, record.input, record.config):
        return
    try:
        wanted, data = _without_marked(folder, shard, tombstones)
    except RunError:
        return  # damaged: whoever reads the candidates says so
    if wanted.outputs == record.outputs:
        folder.write(_path(shard), data)


def _without_marked(
    folder: RunFolder, shard: str, tombstones: Tombstones
) -> tuple[CommitRecord, bytes]:
    """Return a table of candidates whose marked rows are all but empty, and its commit record."""
    record = CommitRecord.read(folder, StageName.CANDIDATES.folder, shard)
    assert record is not None, "the index names it"
    path = _path(shard)
    table = read_run_table(folder, path)
    marked = pc.is_in(table["id"], pa.array(sorted(tombstones.of("id")), pa.string()))
    values = {"status": "rejected", "reason": Reason.REMOVED.value}
    for place, field in enumerate(table.schema):
        if field.name not in _KEPT_COLUMNS or field.name in values:
            value = pa.scalar(values.get(field.name), field.type)
            table = table.set_column(place, field, pc.if_else(marked, value, table[field.name]))
    data = encode_table(table)
    outputs = {path: hashlib.sha256(data).hexdigest()}
    return replace(record, rows_out=engine.count_reasons(table), outputs=outputs), data


def _log(folder: RunFolder, kinds: Mapping[str, Mapping[str, str]]) -> None:
    """Append a line for each removed candidate."""
    sink = io.BytesIO(folder.read(LOG) if folder.exists(LOG) else b"")
    sink.seek(0, io.SEEK_END)
    at = datetime.now(UTC).isoformat(timespec="seconds")
    for shard, marked in kinds.items():
        for id_, kind in marked.items():
            line = json.dumps({"at": at, "id": id_, "shard": shard, "by": kind})
            sink.write(f"{line}\n".encode())
    folder.write(LOG, sink.getvalue())
