"""Log of a folder's restored pictures, by which a command that was stopped goes on."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from curate.config import fingerprint
from curate.errors import RestoreError
from curate.restore.checkpoints.checkpoint import fingerprint_of
from curate.storage import atomic

__all__ = ["RestoreLog"]

_NAME = ".restored.jsonl"


class RestoreLog:
    """Writer of restored pictures, and of a line for each in the hidden log of their folder.

    A line has the output's path below the folder, the SHA-256 of its bytes, and the fingerprint of
    checkpoint and settings. So an output that somebody changed, or that was restored in another
    manner, doesn't count as finished.

    Args:
        folder: folder of the outputs; an output file has no log.
        checkpoint: weights that restore.
        settings: settings that the outputs depend on, as JSON-like values.
    """

    def __init__(
        self, folder: Path, checkpoint: str | os.PathLike[str], settings: Mapping[str, Any]
    ) -> None:
        weights = fingerprint_of(checkpoint)
        self._folder, self._log = folder, folder / _NAME
        self._settings = fingerprint({"checkpoint": weights, **settings})

    def finished(self, jobs: Iterable[tuple[Path, Sequence[Path]]]) -> set[Path]:
        """Return the outputs that an earlier call finished with the same settings.

        Args:
            jobs: each source with its files, the output first.

        Raises:
            RestoreError: if another output exists.
        """
        lines = self._read()
        finished, others = set(), []
        for _, files in jobs:
            existing = [path for path in files if path.exists()]
            output = files[0]
            if output in existing and self._is_ours(output, lines):
                # one without its strip is restored again
                finished.update([output] if len(existing) == len(files) else [])
            else:
                others += existing
        if others:
            more = f" and {len(others) - 1} more are" if len(others) > 1 else " is"
            raise RestoreError(
                f"{others[0]}{more} there already, from elsewhere or with other settings: "
                "choose another output, or say --overwrite"
            )
        return finished

    def write(self, output: Path, data: bytes) -> None:
        """Write an output, whole or not at all, after its line in the log."""
        if output.is_relative_to(self._folder) and output != self._folder:
            name = output.relative_to(self._folder).as_posix()
            line = {"output": name, "sha256": hashlib.sha256(data).hexdigest()}
            self._folder.mkdir(parents=True, exist_ok=True)
            with self._log.open("a", encoding="utf-8") as log:
                # the newline first, since a kill may have cut the last line off
                log.write("\n" + json.dumps(line | {"settings": self._settings}))
        atomic.write(output, data)

    def _is_ours(self, output: Path, lines: Mapping[str, Mapping[str, str]]) -> bool:
        line = lines.get(output.relative_to(self._folder).as_posix(), {})
        if line.get("settings") != self._settings:
            return False
        return hashlib.sha256(output.read_bytes()).hexdigest() == line.get("sha256")

    def _read(self) -> dict[str, dict[str, str]]:
        """Return the last line of each output; a line that a kill cut off is left out."""
        lines = {}
        if self._log.is_file():
            for text in self._log.read_text(encoding="utf-8", errors="replace").splitlines():
                try:
                    line = json.loads(text)
                    lines[line["output"]] = line
                except (ValueError, TypeError, LookupError):
                    continue
        return lines
