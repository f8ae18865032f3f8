import errno
import hashlib
import os
import stat
import threading
from pathlib import Path

import fsspec
import pytest

from curate.errors import RunError
from curate.storage import atomic


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_whole_and_alone(tmp_path: Path) -> None:
    with atomic.create(tmp_path / "a/b/c.bin") as sink:
        sink.write(b"one ")
        sink.write(memoryview(b"two"))
        assert not (tmp_path / "a/b/c.bin").exists()
    assert (tmp_path / "a/b/c.bin").read_bytes() == b"one two"
    assert names(tmp_path / "a/b") == ["c.bin"]


def test_it_counts_and_hashes_what_goes_through(tmp_path: Path) -> None:
    with atomic.create(tmp_path / "a") as sink:
        assert (sink.nbytes, sink.sha256) == (0, hashlib.sha256().hexdigest())
        assert sink.write(b"12345") == 5
        sink.write(b"")
        sink.write(b"678")
    assert sink.nbytes == 8
    assert sink.sha256 == hashlib.sha256(b"12345678").hexdigest()
    assert atomic.write(tmp_path / "b", b"12345678") == sink.sha256


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, OSError, SystemExit])
def test_an_error_inside_leaves_what_was_there(tmp_path: Path, error: type[BaseException]) -> None:
    atomic.write(tmp_path / "old", b"old")
    for name in ("old", "new"):
        with pytest.raises(error), atomic.create(tmp_path / name) as sink:
            sink.write(b"half")
            raise error
    assert names(tmp_path) == ["old"]
    assert (tmp_path / "old").read_bytes() == b"old"


def test_an_error_of_the_writer_is_its_own(tmp_path: Path) -> None:
    # a file that it could not read is no fault of the place that it writes to
    with pytest.raises(PermissionError), atomic.create(tmp_path / "a"):
        raise PermissionError(errno.EACCES, "the source")


def test_what_is_there_is_replaced(tmp_path: Path) -> None:
    atomic.write(tmp_path / "a", b"a longer text than the new one")
    atomic.write(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"new"


def test_readers_of_the_old_file_keep_it(tmp_path: Path) -> None:
    atomic.write(tmp_path / "a", b"old")
    with (tmp_path / "a").open("rb") as reader:
        atomic.write(tmp_path / "a", b"new")
        assert reader.read() == b"old"


def test_others_may_read_it_as_the_umask_says(tmp_path: Path) -> None:
    atomic.write(tmp_path / "a", b"")
    (tmp_path / "b").write_bytes(b"")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == stat.S_IMODE(
        (tmp_path / "b").stat().st_mode
    )


def test_of_writers_at_once_one_wins_whole(tmp_path: Path) -> None:
    bodies = [bytes([number]) * 200_000 for number in range(8)]
    start = threading.Barrier(len(bodies))

    def write(body: bytes) -> None:
        start.wait()
        with atomic.create(tmp_path / "a") as sink:
            for place in range(0, len(body), 10_000):
                sink.write(body[place : place + 10_000])

    threads = [threading.Thread(target=write, args=(body,)) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "a").read_bytes() in bodies
    assert names(tmp_path) == ["a"]


def test_an_object_store_sees_whole_files_only() -> None:
    place = "memory://files-test/deep/a.bin"
    with atomic.create(place) as sink:
        sink.write(b"whole")
        assert not fsspec.filesystem("memory").exists(place)
    with pytest.raises(RuntimeError), atomic.create(place) as sink:
        sink.write(b"half")
        raise RuntimeError
    with fsspec.open(place, "rb") as file:
        assert file.read() == b"whole"


def test_nothing_is_left_in_the_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    atomic.write("memory://files-test/b.bin", b"x")
    assert names(tmp_path) == []


def test_a_url_of_a_local_file_will_do(tmp_path: Path) -> None:
    atomic.write(f"file://{tmp_path}/a b#c%20", b"x")
    assert names(tmp_path) == ["a b#c%20"]


def test_file_where_a_folder_should_be_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(
        RunError, match=r"can't write .*/a/b: .*; make room there or choose another place"
    ):
        atomic.write(tmp_path / "a/b", b"x")


def test_folder_where_a_file_should_be_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(RunError, match=r"can't write .*/a: "):
        atomic.write(tmp_path / "a", b"x")
    assert names(tmp_path) == ["a"]


def test_a_name_that_is_too_long(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="can't write"):
        atomic.write(tmp_path / ("n" * 300), b"x")
    assert names(tmp_path) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(RunError, match=f"can't write {tmp_path}/a: Permission denied"):
        atomic.write(tmp_path / "a", b"x")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
def test_a_full_or_forbidden_disk_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(
        RunError, match=f"can't write {tmp_path}/a: {os.strerror(code)}; make room there"
    ):
        atomic.write(tmp_path / "a", b"x")
    assert names(tmp_path) == []


@pytest.mark.parametrize("nbytes", [1, 10_000_000])
def test_a_full_disk_is_named_whenever_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nbytes: int
) -> None:
    open_ = Path.open
    monkeypatch.setattr(Path, "open", lambda path, mode: open_(Path("/dev/full"), mode))
    with pytest.raises(RunError, match=f"can't write {tmp_path}/a: No space left on device"):
        atomic.write(tmp_path / "a", bytes(nbytes))


def test_a_passing_fault_may_be_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output error"):
        atomic.write(tmp_path / "a", b"x")
    assert names(tmp_path) == []


def test_a_scheme_that_nobody_knows() -> None:
    with pytest.raises(RunError, match="can't write foo://a/b: Protocol not known: foo"):
        atomic.write("foo://a/b", b"x")
