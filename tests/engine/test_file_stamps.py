"""A resume reads only files that the file system shows as changed, and all on request."""

import os
from pathlib import Path

import pytest

from curate.engine import RunFolder, SerialExecutor, distrust, run_stage
from tests.engine.example_stages import Recorder, squares

FILE = "files/part-00001.txt"


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Files whose bytes are read for their hash, as they are."""
    read: list[str] = []
    real = RunFolder.sha256
    monkeypatch.setattr(
        RunFolder, "sha256", lambda folder, name: read.append(name) or real(folder, name)
    )
    return read


@pytest.fixture
def resume(folder: RunFolder, shards: tuple[str, ...], progress: Recorder, hashed: list[str]):
    """Resume a finished stage: shards that held, and files that were read for that."""

    def again() -> tuple[int, list[str]]:
        hashed.clear()
        return run_stage(folder, squares(), shards, 24, SerialExecutor(), progress).resumed, sorted(
            hashed
        )

    again()
    for path in Path(folder.url).rglob("part-*"):  # as if it had been some time ago
        os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns - 3_000_000_001))
    assert again()[0] == 3
    assert again() == (3, [])
    return again


def test_changed_output_is_computed_again(folder: RunFolder, resume) -> None:
    whole = folder.read(FILE)
    Path(folder.url, FILE).write_bytes(whole[:-1] + b"?")
    assert resume() == (2, [FILE])
    assert folder.read(FILE) == whole


def test_change_with_the_old_mtime_is_noticed(folder: RunFolder, resume) -> None:
    path = Path(folder.url, FILE)
    before, whole = path.stat(), path.read_bytes()
    while path.stat().st_ctime_ns == before.st_ctime_ns:
        path.write_bytes(whole[:-1] + b"?")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert resume() == (2, [FILE])


def test_touched_output_is_hashed_once(folder: RunFolder, resume) -> None:
    path = Path(folder.url, FILE)
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    assert resume() == (3, [FILE])
    assert resume() == (3, [])


def test_missing_output_is_computed_again(folder: RunFolder, resume) -> None:
    Path(folder.url, FILE).unlink()
    assert resume()[0] == 2


@pytest.mark.parametrize("note", [b"{", b"[]", b'{"files/part-00001.txt": 1}', b"{}"])
def test_damaged_stamps_are_ignored(folder: RunFolder, resume, note: bytes) -> None:
    folder.write("log/seen-squared-part-00001.json", note)
    assert resume() == (3, [FILE, "squared/part-00001.parquet"])


def test_distrust_makes_every_output_hashed(
    folder: RunFolder,
    resume,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(RunFolder, "stamp", lambda folder, name: "rot leaves no trace")
    assert resume()[0] == 3
    Path(folder.url, FILE).write_bytes(b"rot")
    assert resume() == (3, [])
    distrust(folder)
    assert resume()[0] == 2


def test_file_written_just_now_has_no_stamp(folder: RunFolder) -> None:
    folder.write("a", b"1")
    assert folder.stamp("a") is None
    path = Path(folder.url, "a")
    os.utime(path, ns=(0, 5_000_000_000))  # of a file system that counts seconds
    assert folder.stamp("a") is None
    os.utime(path, ns=(0, 5_000_000_001))
    assert folder.stamp("a") is not None
    assert folder.stamp("none") is None


def test_memory_file_system_has_no_stamps(tmp_path: Path) -> None:
    folder = RunFolder(f"memory://{tmp_path.name}")
    folder.write("a", b"1")
    assert folder.stamp("a") is None
