"""Commit records: small JSON files, written last, that say a shard of a stage is done."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field

from curate.storage.run_folder import RunFolder

__all__ = ["CommitRecord", "distrust", "forget", "read_records"]

_STAMPS = "log/seen-"


@dataclass(frozen=True)
class CommitRecord:
    """Record of one finished shard of one stage."""

    stage: str
    shard: str
    input: str
    """Fingerprint of the input files."""
    config: str
    """Fingerprint of the settings."""
    rows_in: int
    rows_out: dict[str, int]
    """Rows by reason, rows still in under "ok"."""
    outputs: dict[str, str]
    """Path -> SHA-256 of each file of the shard."""
    excluded: list[str] = field(default_factory=list)
    """Ids of rows that the function didn't get, because they kill it."""
    quarantined: bool = False
    """Placeholder of a shard that was given up; the next run tries again."""

    @staticmethod
    def path(stage: str, shard: str) -> str:
        """Return the path of a shard's record in the run folder."""
        return f"{stage}/{shard}.json"

    @classmethod
    def read(cls, folder: RunFolder, stage: str, shard: str) -> CommitRecord | None:
        """Read the record of a shard; None if it is missing or unreadable."""
        path = cls.path(stage, shard)
        if not folder.exists(path):
            return None
        try:
            return cls(**json.loads(folder.read(path)))
        except (ValueError, TypeError):
            return None

    def write(self, folder: RunFolder) -> None:
        """Commit: write the record of outputs that are there."""
        self.announce(folder)
        self._write_stamps(folder, {path: folder.stamp(path) for path in self.outputs})

    def announce(self, folder: RunFolder) -> None:
        """Write the record of outputs that will follow; it doesn't hold before."""
        text = json.dumps(asdict(self), indent=1, sort_keys=True, ensure_ascii=False)
        folder.write(self.path(self.stage, self.shard), text.encode())

    def holds(self, folder: RunFolder, input: str, config: str) -> bool:
        """Return whether the shard needs no new work.

        It needs none where input, settings and every output are as recorded. An output that the
        file system shows to be unchanged since its SHA-256 was last computed isn't read again.
        """
        if self.quarantined or self.input != input or self.config != config:
            return False
        known = _read_stamps(folder, _stamps_path(self.stage, self.shard))
        stamps = {path: folder.stamp(path) for path in self.outputs}  # before the bytes are read
        changed = [p for p, digest in self.outputs.items() if known.get(p) != (stamps[p], digest)]
        if any(folder.sha256(path) != self.outputs[path] for path in changed):
            return False
        if any(stamps[path] for path in changed):
            self._write_stamps(folder, stamps)
        return True

    def _write_stamps(self, folder: RunFolder, stamps: dict[str, str | None]) -> None:
        """Note the file system's stamp of every output whose SHA-256 is as recorded."""
        known = {path: (stamp, self.outputs[path]) for path, stamp in stamps.items() if stamp}
        if known:
            text = json.dumps(known, indent=1, sort_keys=True)
            folder.write(_stamps_path(self.stage, self.shard), text.encode())


def read_records(folder: RunFolder, stage: str, shards: Iterable[str]) -> Iterator[CommitRecord]:
    """Read the records of some shards, one after the other; shards without one are left out."""
    for shard in shards:
        if record := CommitRecord.read(folder, stage, shard):
            yield record


def distrust(folder: RunFolder) -> None:
    """Forget the stamps of all files, so that the next check of each computes its SHA-256."""
    for path in folder.names("log", ".json"):
        if path.startswith(_STAMPS):
            folder.remove(path)


def _stamps_path(stage: str, shard: str) -> str:
    return f"{_STAMPS}{stage}-{shard}.json"  # volatile, unlike the record


def _read_stamps(folder: RunFolder, path: str) -> dict[str, tuple[str, str]]:
    """Read path -> (stamp, SHA-256) of files; empty if that isn't known."""
    if not folder.exists(path):
        return {}
    with suppress(ValueError, TypeError, AttributeError):
        known = json.loads(folder.read(path))
        return {name: (stamp, digest) for name, (stamp, digest) in known.items()}
    return {}


def forget(
    folder: RunFolder,
    stage: str,
    shards: Collection[str] | None = None,
    *,
    keep_outputs: bool = False,
) -> None:
    """Remove a stage's results, so that it runs again and nothing old stands beside the new.

    Args:
        folder: the run folder.
        stage: name of the stage.
        shards: names of shards; all shards by default.
        keep_outputs: remove the commit records alone, for a stage that reuses its outputs.
    """
    for path in folder.names(stage, ".json"):
        shard = path.removeprefix(f"{stage}/").removesuffix(".json")
        if shards is not None and shard not in shards:
            continue
        if not keep_outputs and (shard == "whole" or shard.startswith("part-")):
            record = CommitRecord.read(folder, stage, shard)
            for output in record.outputs if record else ():
                folder.remove(output)
        folder.remove(path)
