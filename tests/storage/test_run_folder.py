import os
import pickle
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from curate.engine import CommitRecord, RunFolder, forget
from curate.errors import RunError

FOLDERS = ["local", "memory"]


@pytest.fixture(params=FOLDERS)
def anywhere(request: pytest.FixtureRequest, tmp_path: Path) -> RunFolder:
    return RunFolder(
        tmp_path / "run" if request.param == "local" else f"memory://{tmp_path.name}/run"
    )


def test_files_come_back_as_written(anywhere: RunFolder) -> None:
    digest = anywhere.write("a/b.txt", b"hello")
    assert anywhere.read("a/b.txt") == b"hello"
    assert anywhere.sha256("a/b.txt") == digest
    assert anywhere.names("a", ".txt") == ["a/b.txt"]
    assert pickle.loads(pickle.dumps(anywhere)).read("a/b.txt") == b"hello"
    anywhere.remove("a/b.txt")
    assert not anywhere.exists("a/b.txt")
    assert anywhere.sha256("a/b.txt") is None
    assert anywhere.names("nowhere", ".txt") == []


def test_an_unfinished_file_never_shows(anywhere: RunFolder) -> None:
    anywhere.write("a/b.txt", b"old")
    with pytest.raises(ZeroDivisionError), anywhere.create("a/b.txt") as sink:
        sink.write(b"new, but")
        raise ZeroDivisionError
    assert anywhere.read("a/b.txt") == b"old"
    assert anywhere.names("a", "") == ["a/b.txt"]


def test_what_is_missing_is_named(anywhere: RunFolder) -> None:
    with pytest.raises(
        RunError, match=r"has no measured/part-00000\.parquet: run the stage that makes it"
    ):
        anywhere.read("measured/part-00000.parquet")


def test_an_unknown_place_is_an_error() -> None:
    with pytest.raises(RunError, match="can't open run folder nosuch://x"):
        RunFolder("nosuch://x")


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(RunError, match="can't write"):
        RunFolder(tmp_path / "run").write("a.txt", b"")


def test_one_run_at_a_time(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    holder = (
        "import sys; from curate.engine import RunFolder\n"
        "with RunFolder(sys.argv[1]).lock(): print('held', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", holder, folder.url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    with process:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(RunError, match="another curate run is using"), folder.lock():
            pass
        process.kill()  # a dead holder's lock is void
    with folder.lock():
        pass


def test_what_killed_runs_left_is_cleared(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.write("images/part-00000.tar", b"whole")
    (tmp_path / "run/images/.tmp-1").write_bytes(b"half")
    (tmp_path / "run/.tmp-2").mkdir()
    (tmp_path / "run/.tmp-2/spool").write_bytes(b"half")
    with folder.lock():
        left = sorted(
            str(p.relative_to(tmp_path / "run"))
            for p in (tmp_path / "run").rglob("*")
            if p.is_file()
        )
    assert left == [".lock", "images/part-00000.tar"]


def test_scratch_goes_away(anywhere: RunFolder) -> None:
    with anywhere.scratch() as scratch:
        (scratch / "spool").write_bytes(b"bytes")
    assert not scratch.exists()


def test_lock_of_failed_command_leaves_nothing(tmp_path: Path) -> None:
    def fail(place: Path) -> None:
        with pytest.raises(ValueError), RunFolder(place).lock():
            raise ValueError

    fail(tmp_path / "runs" / "mine")
    assert not list(tmp_path.iterdir())
    (tmp_path / "kept").mkdir()
    fail(tmp_path / "kept")
    assert [path.name for path in tmp_path.rglob("*")] == ["kept"]
    (tmp_path / "kept" / "recipe.yaml").write_text("")
    fail(tmp_path / "kept")
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == [".lock", "recipe.yaml"]


HOSTILE = ["../x", "a/../../x", "/etc/x", "", ".", "a//b", "x\0", "reference::x", "memory://x/y"]


@pytest.mark.parametrize("name", HOSTILE)
def test_name_that_is_no_file_of_the_run_touches_nothing(anywhere: RunFolder, name: str) -> None:
    anywhere.write("a/b.txt", b"hello")
    for act in (anywhere.remove, anywhere.read, anywhere.sha256, anywhere.stamp):
        with pytest.raises(RunError, match=r"can be no file of a run|has no reference::x"):
            act(name)
        if "::" in name:  # a plain name, that isn't there
            return
    with pytest.raises(RunError, match="can be no file of a run"):
        anywhere.write(name, b"x")


def test_record_of_others_removes_no_file_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/mine.txt").write_bytes(b"mine")
    folder = RunFolder(tmp_path / "run")
    folder.write("label/x", b"x")
    (tmp_path / "run/away").symlink_to(tmp_path / "outside")
    for name in ("../outside/mine.txt", "away/mine.txt", str(tmp_path / "outside/mine.txt")):
        CommitRecord("label", "part-00000", "", "", 0, {}, {name: "0" * 64}).announce(folder)
        with pytest.raises(RunError, match="can be no file of a run"):
            forget(folder, "label")
    assert (tmp_path / "outside/mine.txt").exists()
    with pytest.raises(RunError, match="can be no file of a run"):
        folder.write("away/new.txt", b"x")
    assert [path.name for path in (tmp_path / "outside").iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("kind", ["fifo", "link"])
def test_lock_of_others_neither_waits_nor_writes_elsewhere(tmp_path: Path, kind: str) -> None:
    (tmp_path / "run").mkdir()
    if kind == "fifo":
        os.mkfifo(tmp_path / "run/.lock")
    else:
        (tmp_path / "run/.lock").symlink_to(tmp_path / "elsewhere")
    with suppress(RunError), RunFolder(tmp_path / "run").lock():
        pass
    assert not (tmp_path / "elsewhere").exists()
