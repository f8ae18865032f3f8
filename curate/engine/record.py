"""Commit records: the small JSON, written last, that says a shard of a stage is done, and from what."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

from curate.engine.storage import RunFolder
from curate.errors import RunError

__all__ = ["CommitRecord", "forget"]


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
        """The record of a shard, None if there is none.

        Raises:
            RunError: if there is one that can't be understood.
        """
        path = cls.path(stage, shard)
        if not folder.exists(path):
            return None
        try:
            return cls(**json.loads(folder.read(path)))
        except (ValueError, TypeError) as error:
            raise RunError(f"{folder}/{path} is damaged ({error}): remove it to have the shard made again") from error

    def write(self, folder: RunFolder) -> None:
        """Commit."""
        text = json.dumps(asdict(self), indent=1, sort_keys=True, ensure_ascii=False)
        folder.write(self.path(self.stage, self.shard), text.encode())

    def holds(self, folder: RunFolder, input: str, config: str) -> bool:
        """Whether the shard needs no new work: same input, same settings, and every output as it was written."""
        if self.quarantined or self.input != input or self.config != config:
            return False
        return all(folder.sha256(path) == digest for path, digest in self.outputs.items())


def forget(folder: RunFolder, stage: str) -> None:
    """Remove what a stage left, so that it is done anew and nothing old stands beside the new."""
    for path in folder.names(stage, ".json"):
        shard = path.removeprefix(f"{stage}/").removesuffix(".json")
        record = CommitRecord.read(folder, stage, shard) if shard == "whole" or shard.startswith("part-") else None
        for output in record.outputs if record else ():
            folder.remove(output)
        folder.remove(path)
