import os
import sys
from pathlib import Path

import fsspec
import pytest

from curate.errors import InputError, Reason
from curate.recipe import Candidates
from curate.stages.candidates import CandidateReader, candidate_id
from curate.storage.places import open_file


def read(*inputs: Path | str, **settings: object) -> list[dict]:
    reader = CandidateReader([str(path) for path in inputs], Candidates(**settings))
    return [row for table in reader for row in table.to_pylist()]


def bytes_of(row: dict) -> bytes:
    with fsspec.open(row["local_path"], "rb") as file:
        file.seek(row["local_offset"] or 0)
        return file.read(-1 if row["local_nbytes"] is None else row["local_nbytes"])


@pytest.fixture
def pics(tmp_path: Path) -> Path:
    folder = tmp_path / "here/pics"
    names = ("b.jpg", "a.png", "sub/c d.jpg", "sub/ä #1%.jpg", "me@home.jpg")
    for name in (*names, ".hidden.jpg", ".cache/x.jpg"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return folder


def test_folder_gives_every_file_that_is_not_hidden(pics: Path) -> None:
    rows = read(pics)
    names = ["a.png", "b.jpg", "me@home.jpg", "sub/c d.jpg", "sub/ä #1%.jpg"]
    for name, row in zip(names, rows, strict=True):
        assert (row["url"], bytes_of(row)) == (f"file:pics/{name}", name.encode())
    assert {row["source"] for row in rows} == {"pics"}
    assert {(row["status"], row["host"]) for row in rows} == {("ok", None)}


def test_ids_do_not_depend_on_the_location_of_a_folder(
    pics: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [row["id"] for row in read(pics)]
    assert ids[1] == candidate_id("file:pics/b.jpg")
    elsewhere = tmp_path / "there/deeper/pics"
    elsewhere.parent.mkdir(parents=True)
    pics.rename(elsewhere)
    assert [row["id"] for row in read(elsewhere)] == ids
    assert [row["id"] for row in read(f"{elsewhere}/")] == ids
    assert [row["id"] for row in read(f"file://{elsewhere}")] == ids
    monkeypatch.chdir(elsewhere)
    assert [row["id"] for row in read(".")] == ids
    assert [row["id"] for row in read("../pics")] == ids


def test_folder_in_an_object_store_is_read() -> None:
    with fsspec.open("memory://bucket/pics/a.jpg", "wb") as file:
        file.write(b"bytes")
    (row,) = read("memory://bucket/pics")
    assert (row["url"], bytes_of(row)) == ("file:pics/a.jpg", b"bytes")


def test_source_setting_names_the_folder(pics: Path) -> None:
    assert read(pics, source="holidays")[0]["url"] == "file:holidays/a.png"


def test_folders_of_one_name_are_refused(pics: Path, tmp_path: Path) -> None:
    (tmp_path / "there/pics").mkdir(parents=True)
    (tmp_path / "there/pics/a.jpg").write_bytes(b"another")
    message = "several folders go by the name 'pics': give the one that holds them all"
    with pytest.raises(InputError, match=message):
        read(pics, tmp_path / "there/pics")


@pytest.mark.skipif(sys.platform != "linux", reason="names are Unicode there")
def test_file_names_that_are_no_text_are_rejected_not_lost(pics: Path) -> None:
    for name in (b"\xff.jpg", b"\xfe.jpg"):
        (pics / os.fsdecode(name)).write_bytes(b"x")
    rows = read(pics)
    assert len(rows) == 7
    assert [row["reason"] for row in rows].count(Reason.BAD_URL) == 2
    assert CandidateReader([str(pics)], Candidates()).fingerprint()


def test_missing_folder_raises(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder at"):
        read(tmp_path / "nowhere", format="folder")


NAMES = ("a::b.jpg", "zip::c.jpg", "x.jpg ", " x.jpg", "x.jpg", "d#1?*[x].jpg", "e%20.jpg")


def test_odd_names_are_candidates_of_their_own(tmp_path: Path) -> None:
    folder = tmp_path / "odd::pics"
    folder.mkdir()
    for name in NAMES:
        (folder / name).write_bytes(name.encode())
    rows = read(folder)
    assert {row["url"] for row in rows} == {f"file:odd::pics/{name}" for name in NAMES}
    assert len({row["id"] for row in rows}) == len(NAMES)
    for row in rows:
        assert row["reason"] is None
        with open_file(row["local_path"]) as file:
            assert row["url"] == f"file:odd::pics/{file.read().decode()}"


def test_everything_in_a_folder_is_a_candidate_without_being_opened(pics: Path) -> None:
    os.mkfifo(pics / "pipe.jpg")
    (pics / "gone.jpg").symlink_to("nowhere")
    (pics / "zero.jpg").symlink_to("/dev/zero")
    (pics.parent / "album").mkdir()
    (pics.parent / "album/x.jpg").write_bytes(b"x")
    (pics / "album").symlink_to(pics.parent / "album")
    (pics / "album/again").symlink_to(pics)
    rows = read(pics)
    names = {row["url"].removeprefix("file:pics/") for row in rows}
    assert names >= {"pipe.jpg", "gone.jpg", "zero.jpg", "album/x.jpg"}
    assert len(names) == 9
    assert CandidateReader([str(pics)], Candidates()).fingerprint()
