"""Sees every change of a run folder while a run is under way. Linux only."""

from __future__ import annotations

import ctypes
import hashlib
import io
import json
import os
import select
import struct
import tarfile
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from curate.stages.names import StageName
from curate.storage.atomic import TEMPORARY

_MODIFY, _MOVED_FROM, _MOVED_TO, _CREATE, _DELETE, _OVERFLOW, _DIRECTORY = (
    2,
    64,
    128,
    256,
    512,
    1 << 14,
    1 << 30,
)
_WORDS = {_MODIFY: "written in place", _CREATE: "made in place", _MOVED_FROM: "moved away"}
_EVENT = struct.Struct("iIII")


class Watcher:
    """Sees all that happens to a run folder while its `with` block lasts.

    inotify reports every change, so no instant is missed: a final name may appear by a rename only.
    From then on the file must be whole, and equal to the file of an undisturbed run.

    Args:
        folder: of the run, not there yet.
        expected: SHA-256 of every file of an undisturbed run, by name; see `digests`.
    """

    def __init__(self, folder: Path, expected: dict[str, str]) -> None:
        self.breaches: list[str] = []
        self.seen: set[str] = set()
        """Final names that are there."""
        self.checks = 0
        """Files read, as often as they came."""
        self._folder = folder
        self._expected = expected

    def __enter__(self) -> Self:
        # all folders exist before the run begins: a later watch would come too late
        names = {"", "log/", *(f"{Path(name).parent}/" for name in self._expected if "/" in name)}
        for name in names:
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        libc = ctypes.CDLL(None, use_errno=True)
        self._inotify = libc.inotify_init1(os.O_NONBLOCK)
        self._watched = {
            libc.inotify_add_watch(
                self._inotify, os.fsencode(self._folder / name), sum(_WORDS) + _MOVED_TO + _DELETE
            ): name
            for name in names
        }
        if self._inotify < 0 or -1 in self._watched:
            raise OSError(ctypes.get_errno(), "inotify is not to be had")
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watcher", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()
        os.close(self._inotify)

    @property
    def stage(self) -> str:
        """The first stage that isn't done, by what is there."""
        for folder in (stage.folder for stage in StageName):
            commits = [
                name
                for name in self._expected
                if name.startswith(f"{folder}/") and name.endswith(".json")
            ]
            if not self.seen.issuperset(commits):
                return folder
        return "end"

    def _watch(self) -> None:
        while True:
            over = self._over.is_set()
            ready, _, _ = select.select([self._inotify], [], [], 0 if over else 0.05)
            if ready:
                self._read(os.read(self._inotify, 1 << 16))
            elif over:
                return

    def _read(self, events: bytes) -> None:
        at = 0
        while at < len(events):
            watch, mask, _, length = _EVENT.unpack_from(events, at)
            at += _EVENT.size + length
            file = os.fsdecode(events[at - length : at].rstrip(b"\0"))
            if mask & _OVERFLOW:
                self.breaches.append("changes came too fast to be seen")
            elif not file.startswith(TEMPORARY) and file != ".lock":
                self._judge(self._watched[watch] + file, mask)

    def _judge(self, name: str, mask: int) -> None:
        if mask & _DIRECTORY:
            self.breaches.append(f"{name}: a folder that an undisturbed run doesn't have")
        elif mask & _MOVED_TO:
            self.checks += 1
            try:
                data = (self._folder / name).read_bytes()
                check_whole(name, data)
                digest = hashlib.sha256(data).hexdigest()
                if not name.startswith("log/") and digest != self._expected.get(name):
                    self.breaches.append(f"{name}: not what an undisturbed run puts there")
            except FileNotFoundError:
                pass  # removed since; the event of that comes next
            except Exception as error:  # noqa: BLE001 - libraries report a cut file in many ways
                self.breaches.append(f"{name}: not whole: {error!r}")
            self.seen.add(name)
        elif mask & _DELETE:
            # candidates whose reading was cut short are read again; other losses show at the end
            self.seen.discard(name)
        else:
            self.breaches.append(f"{name}: {_WORDS[mask & -mask]}")


def check_whole(name: str, data: bytes) -> None:
    """Raise whatever tells that a file of a run folder is cut off or damaged."""
    match Path(name).suffix:
        case ".parquet":
            pq.read_table(pa.BufferReader(data))
        case ".json":
            json.loads(data)
        case ".yaml":
            assert isinstance(yaml.safe_load(data), dict)
        case ".tar":
            with tarfile.open(fileobj=io.BytesIO(data)) as tar:
                for member in tar:
                    content = tar.extractfile(member)
                    assert content is not None
                    assert len(content.read()) == member.size
            assert data.endswith(bytes(1024)), "no end of the archive"
        case ".html":
            assert data.rstrip().endswith(b"</html>")
        case ".svg":
            assert data.rstrip().endswith(b"</svg>")
        case ".csv":
            assert data.endswith(b"\n")
        case ".md":
            assert b"\n### Maintenance\n" in data
            assert data.endswith(b"\n")
        case suffix:
            raise AssertionError(f"nobody told how to read {suffix}")
