"""The watcher of the kill tests: it must see what it is there for."""

import hashlib
import io
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.storage import atomic
from tests.pipeline.watcher import Watcher

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the watcher needs inotify")

WHOLE = b'{"rows": 3}'
EXPECTED = {"fetched/part-00000.json": hashlib.sha256(WHOLE).hexdigest()}
NAME = next(iter(EXPECTED))


def table() -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table({"id": ["a", "b"]}), file)
    return file.getvalue()


def in_place(out: Path) -> None:
    (out / NAME).write_bytes(WHOLE)


def longer(out: Path) -> None:
    atomic.write(out / NAME, WHOLE)
    with (out / NAME).open("ab") as file:
        file.write(b" ")


def moved(out: Path) -> None:
    atomic.write(out / NAME, WHOLE)
    (out / NAME).rename(out / f"{atomic.TEMPORARY}x")


@pytest.mark.parametrize(
    ("deed", "message"),
    [
        (in_place, "made in place"),
        (longer, "written in place"),
        (moved, "moved away"),
        (lambda out: atomic.write(out / NAME, WHOLE[:-1]), "not whole"),
        (lambda out: atomic.write(out / NAME, b"{}"), "not what an undisturbed run puts there"),
        (
            lambda out: atomic.write(out / "fetched/part-00001.json", WHOLE),
            "not what an undisturbed run puts there",
        ),
        (lambda out: atomic.write(out / "log/fetch-00000.parquet", table()[:-9]), "not whole"),
        (lambda out: (out / "strange").mkdir(), "a folder"),
    ],
)
def test_watcher_reports_each_broken_promise(
    tmp_path: Path, deed: Callable[[Path], object], message: str
) -> None:
    with Watcher(tmp_path / "run", EXPECTED) as watcher:
        deed(tmp_path / "run")
    assert any(message in breach for breach in watcher.breaches)


def test_watcher_accepts_whole_files(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with Watcher(out, EXPECTED) as watcher:
        (out / f"{atomic.TEMPORARY}x").mkdir()
        assert watcher.stage == "fetched"
        for _ in range(2):  # made again, the same
            atomic.write(out / NAME, WHOLE)
        (out / NAME).unlink()
        atomic.write(out / NAME, WHOLE)
        atomic.write(out / "log/fetch-00000.parquet", table())
        atomic.write(out / "log/fetch-00000.parquet", table())
    assert not watcher.breaches
    assert watcher.seen == {NAME, "log/fetch-00000.parquet"}
    assert watcher.checks == 5
