"""Verdicts of one session: on disk before they are answered for, and taken back by undo."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Any

from curate.manifest.verdicts import Sidecar, Verdict

__all__ = ["SessionVerdicts"]

_ROWS = 200
"""Verdicts of a file: each verdict writes its file again."""

Given = dict[str, Any]
"""Row of a file of verdicts."""


class SessionVerdicts:
    """Newest verdict on each image of a sidecar, and the files of one session in it.

    Args:
        sidecar: folder of the files.
        by: name of the reviewer.
        now: clock.
    """

    def __init__(
        self,
        sidecar: Sidecar,
        by: str,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.by = by
        self.sidecar = sidecar
        self._now = now
        self._lock = Lock()
        self._session = f"{now():%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
        self._files: list[list[Given]] = [[]]
        self._by_id: dict[str, list[Given]] = {}
        for given in sorted(sidecar.read().to_pylist(), key=lambda row: row["when"]):
            self._by_id.setdefault(given["id"], []).append(given)

    def current(self, id_: str) -> Given | None:
        """Return the newest verdict on an image."""
        given = self._by_id.get(id_)
        return given[-1] if given else None

    def all_current(self) -> list[Given]:
        """Return the newest verdict on every image that has one."""
        with self._lock:
            return [given[-1] for given in self._by_id.values() if given]

    @property
    def count(self) -> int:
        """Number of verdicts that the session has given and not taken back."""
        return sum(map(len, self._files))

    def give(
        self, id_: str, verdict: Verdict, category: str | None = None, why: str | None = None
    ) -> Given:
        """Write a verdict, and return it once it is on disk.

        An image that is kept keeps the category that an earlier verdict gave it.

        Raises:
            RunError: if it can't be written; then there is no such verdict.
        """
        with self._lock:
            before = self.current(id_)
            if verdict is Verdict.KEEP and before is not None:
                category = before["category"]
            when = self._now()
            if before is not None:
                # newer than the verdict that it overrules, whatever other machines' clocks say
                when = max(when, before["when"] + timedelta(microseconds=1))
            row: Given = {"id": id_, "verdict": str(verdict), "category": category}
            row |= {"by": self.by, "when": when, "why": why}
            if len(self._files[-1]) >= _ROWS:
                self._files.append([])
            self._write([*self._files[-1], row])
            self._files[-1].append(row)
            self._by_id.setdefault(id_, []).append(row)
            return row

    def undo(self) -> str | None:
        """Take back the session's last verdict, and return the image's id; None without one.

        Raises:
            RunError: if the file can't be written; then the verdict stands.
        """
        with self._lock:
            if not self._files[-1] and len(self._files) > 1:
                self._files.pop()
            if not self._files[-1]:
                return None
            *others, last = self._files[-1]
            self._write(others)
            self._files[-1].pop()
            self._by_id[last["id"]].remove(last)
            return str(last["id"])

    def _write(self, rows: list[Given]) -> None:
        name = f"{self._session}-{len(self._files):03}"
        if rows:
            self.sidecar.write(name, rows)
        else:
            self.sidecar.remove(name)
