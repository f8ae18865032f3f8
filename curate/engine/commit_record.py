"""Commit records: the small JSON, written last, that says a shard of a stage is done, and from what."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field

from curate.storage.run_folder import RunFolder

__all__ = ["CommitRecord", "distrust", "forget", "read_records"]

_SEEN = "log/seen-"


@dataclass(frozen=True)
class CommitRecord:
    """One shard of one stage, done."""

    stage: str
    shard: str
    input: str
    """Fingerprint of what it was made from."""
    config: str
    """Fingerprint of the settings it was made with."""
    rows_in: int
    rows_out: dict[str, int]
    """Rows by reason, those still in under "ok"."""
    outputs: dict[str, str]
    """Path -> SHA-256 of each file that belongs to it."""
    excluded: list[str] = field(default_factory=list)
    """Ids of rows that were kept from the function, because they kill it."""
    quarantined: bool = False
    """Given up: a placeholder that the next run tries to replace."""

    @staticmethod
    def path(stage: str, shard: str) -> str:
        """Where the record of a shard stands in the run folder."""
        return f"{stage}/{shard}.json"

    @classmethod
    def read(cls, folder: RunFolder, stage: str, shard: str) -> CommitRecord | None:
        """The record of a shard, None if there is none, or one that can't be understood: it records nothing."""
        path = cls.path(stage, shard)
        if not folder.exists(path):
            return None
        try:
            return cls(**json.loads(folder.read(path)))
        except (ValueError, TypeError):
            return None

    def write(self, folder: RunFolder) -> None:
        """Commit."""
        self.announce(folder)
        self._see(folder, {path: folder.stamp(path) for path in self.outputs})

    def announce(self, folder: RunFolder) -> None:
        """Write the record of outputs that are yet to become what it says; until then it doesn't hold."""
        text = json.dumps(asdict(self), indent=1, sort_keys=True, ensure_ascii=False)
        folder.write(self.path(self.stage, self.shard), text.encode())

    def holds(self, folder: RunFolder, input: str, config: str) -> bool:
        """Whether the shard needs no new work: same input, same settings, and every output as it was written.

        An output that the file system shows to be the one that was seen with its SHA-256 before isn't read again.
        """
        if self.quarantined or self.input != input or self.config != config:
            return False
        seen = _read_seen(folder, _seen_path(self.stage, self.shard))
        stamps = {path: folder.stamp(path) for path in self.outputs}  # before the bytes are read
        unseen = [
            path
            for path, digest in self.outputs.items()
            if seen.get(path, "") != (stamps[path], digest)
        ]
        if any(folder.sha256(path) != self.outputs[path] for path in unseen):
            return False
        if any(stamps[path] for path in unseen):
            self._see(folder, stamps)
        return True

    def _see(self, folder: RunFolder, stamps: dict[str, str | None]) -> None:
        """Note that every output has the SHA-256 that it should have, and by what the file system shows that it has."""
        seen = {path: (stamp, self.outputs[path]) for path, stamp in stamps.items() if stamp}
        if seen:
            folder.write(
                _seen_path(self.stage, self.shard),
                json.dumps(seen, indent=1, sort_keys=True).encode(),
            )


def read_records(folder: RunFolder, stage: str, shards: Iterable[str]) -> Iterator[CommitRecord]:
    """Read the records of some shards, one after the other; shards without one are left out."""
    for shard in shards:
        if record := CommitRecord.read(folder, stage, shard):
            yield record


def distrust(folder: RunFolder) -> None:
    """Forget the stamps of all files, so that the next look at each of them takes its SHA-256."""
    for path in folder.names("log", ".json"):
        if path.startswith(_SEEN):
            folder.remove(path)


def _seen_path(stage: str, shard: str) -> str:
    return f"{_SEEN}{stage}-{shard}.json"  # volatile, unlike the record


def _read_seen(folder: RunFolder, path: str) -> dict[str, tuple[str, str]]:
    """Path -> stamp of a file, and the SHA-256 that it had; empty where that isn't known."""
    if not folder.exists(path):
        return {}
    with suppress(ValueError, TypeError, AttributeError):
        return {
            name: (stamp, digest) for name, (stamp, digest) in json.loads(folder.read(path)).items()
        }
    return {}


def forget(
    folder: RunFolder,
    stage: str,
    shards: Collection[str] | None = None,
    *,
    keep_outputs: bool = False,
) -> None:
    """Remove what a stage left, so that it is done anew and nothing old stands beside the new.

    Args:
        folder: the run folder.
        stage: which.
        shards: of which shards; everything by default.
        keep_outputs: remove the commit records alone, for a stage that begins with what is there.
    """
    for path in folder.names(stage, ".json"):
        shard = path.removeprefix(f"{stage}/").removesuffix(".json")
        if shards is not None and shard not in shards:
            continue
        record = (
            CommitRecord.read(folder, stage, shard)
            if shard == "whole" or shard.startswith("part-")
            else None
        )
        for output in record.outputs if record and not keep_outputs else ():
            folder.remove(output)
        folder.remove(path)
