import io
import json
import os
import sys
import tarfile
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.candidates import CandidateReader, candidate_id
from curate.errors import InputError, Reason
from curate.recipe import Candidates


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
    for name in ("b.jpg", "a.png", "sub/c d.jpg", "sub/ä #1%.jpg", "me@home.jpg", ".hidden.jpg", ".cache/x.jpg"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return folder


def test_every_file_that_is_not_hidden(pics: Path) -> None:
    rows = read(pics)
    names = ["a.png", "b.jpg", "me@home.jpg", "sub/c d.jpg", "sub/ä #1%.jpg"]
    assert [row["url"] for row in rows] == [f"file:pics/{name}" for name in names]
    assert [bytes_of(row) for row in rows] == [name.encode() for name in names]
    assert {row["source"] for row in rows} == {"pics"}
    assert {(row["status"], row["host"]) for row in rows} == {("ok", None)}


def test_ids_do_not_depend_on_where_the_folder_lies(
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


def test_a_folder_in_an_object_store() -> None:
    with fsspec.open("memory://bucket/pics/a.jpg", "wb") as file:
        file.write(b"bytes")
    (row,) = read("memory://bucket/pics")
    assert (row["url"], bytes_of(row)) == ("file:pics/a.jpg", b"bytes")


def test_a_source_can_be_named(pics: Path) -> None:
    assert read(pics, source="holidays")[0]["url"] == "file:holidays/a.png"


def test_folders_of_one_name_would_be_taken_for_each_other(pics: Path, tmp_path: Path) -> None:
    (tmp_path / "there/pics").mkdir(parents=True)
    (tmp_path / "there/pics/a.jpg").write_bytes(b"another")
    with pytest.raises(InputError, match="several folders go by the name 'pics': give the one that holds them all"):
        read(pics, tmp_path / "there/pics")


@pytest.mark.skipif(sys.platform != "linux", reason="names are Unicode there")
def test_names_that_are_no_text_lose_no_file(pics: Path) -> None:
    for name in (b"\xff.jpg", b"\xfe.jpg"):
        (pics / os.fsdecode(name)).write_bytes(b"x")
    rows = read(pics)
    assert len(rows) == 7
    assert [row["reason"] for row in rows].count(Reason.BAD_URL) == 2
    assert CandidateReader([str(pics)], Candidates()).fingerprint()


# What img2dataset leaves behind


SHARD = [
    {"url": "http://a/0", "key": "000000000", "status": "success", "caption": "zero"},
    {"url": "http://a/1", "key": "000000001", "status": "failed_to_download", "caption": "one"},
    {"url": "http://a/2", "key": "000000002", "status": "success", "caption": None},
    {"url": "http://a/3", "key": "000000003", "status": "failed_to_resize", "caption": "three"},
]


def img2dataset(folder: Path, form: str, number: int = 0, rows: list[dict] = SHARD) -> Path:
    """One shard as img2dataset 1.47 writes it."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{number:05d}"
    for row in rows:
        row |= {
            "error_message": None if row["status"] == "success" else "HTTP Error 404",
            "sha256": None,
            "similarity": 0.3,
        }
    pq.write_table(pa.Table.from_pylist(rows), folder / f"{name}.parquet")
    (folder / f"{name}_stats.json").write_text(json.dumps({"count": len(rows), "successes": 2}))
    members = {}
    for row in rows:
        if row["status"] == "success":
            members[f"{row['key']}.jpg"] = f"image {row['url']}".encode()
            members[f"{row['key']}.json"] = json.dumps(row).encode()
            members[f"{row['key']}.txt"] = (row["caption"] or "").encode()
    # what a failure may leave behind is not its image
    members |= {f"{row['key']}.jpg": b"half" for row in rows if row["status"] == "failed_to_resize"}
    if form == "files":
        (folder / name).mkdir()
        for member, data in members.items():
            (folder / name / member).write_bytes(data)
    else:
        with tarfile.open(folder / f"{name}.tar", "w") as tar:
            for member, data in members.items():
                info = tarfile.TarInfo(member)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return folder


@pytest.mark.parametrize("form", ["webdataset", "files"])
def test_downloads_are_taken_over_and_failures_fetched_again(tmp_path: Path, form: str) -> None:
    rows = read(img2dataset(tmp_path / "out", form))
    assert [(row["url"], row["caption"], row["source"]) for row in rows] == [
        ("http://a/0", "zero", "out"),
        ("http://a/1", "one", "out"),
        ("http://a/2", None, "out"),
        ("http://a/3", "three", "out"),
    ]
    assert [row["id"] for row in rows] == [candidate_id(f"http://a/{n}") for n in range(4)]
    assert [row["local_path"] is not None for row in rows] == [True, False, True, False]
    assert bytes_of(rows[0]) == b"image http://a/0"
    assert bytes_of(rows[2]) == b"image http://a/2"
    assert rows[0]["similarity"] == 0.3


def test_shards_come_in_order(tmp_path: Path) -> None:
    for number in (10, 2):
        rows = [{"url": f"http://a/{number}", "key": f"{number:05d}0000", "status": "success", "caption": ""}]
        img2dataset(tmp_path / "out", "webdataset", number, rows)
    rows = read(tmp_path / "out")
    assert [row["url"] for row in rows] == ["http://a/2", "http://a/10"]
    assert [bytes_of(row) for row in rows] == [b"image http://a/2", b"image http://a/10"]


def test_what_a_kill_left_of_a_shard_is_fetched_again(tmp_path: Path) -> None:
    folder = img2dataset(tmp_path / "out", "webdataset")
    whole = (folder / "00000.tar").read_bytes()
    for half in (whole[:700], b"", b"no tar" * 200):
        (folder / "00000.tar").write_bytes(half)
        rows = read(folder)
        assert len(rows) == 4
        assert all(row["local_path"] is None or len(bytes_of(row)) == row["local_nbytes"] for row in rows)


def test_credentials_are_no_better_for_having_been_downloaded(tmp_path: Path) -> None:
    rows = [{"url": "http://user:secret@a/0", "key": "000000000", "status": "success", "caption": ""}]
    (row,) = read(img2dataset(tmp_path / "out", "webdataset", rows=rows))
    assert (row["url"], row["reason"]) == ("http://a/0", Reason.CREDENTIALS)


def test_an_output_without_images_says_what_can_be_taken_over(tmp_path: Path) -> None:
    folder = img2dataset(tmp_path / "out", "webdataset")
    (folder / "00000.tar").unlink()
    with pytest.raises(InputError, match="`webdataset` and `files` can be taken over"):
        read(folder)


def test_other_folders_are_no_img2dataset_output(pics: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is no img2dataset output: it has no NNNNN.parquet"):
        read(pics, format="img2dataset")
    folder = img2dataset(tmp_path / "out", "webdataset")
    pq.write_table(pa.table({"url": ["http://a/0"]}), folder / "00000.parquet")
    with pytest.raises(InputError, match="has no columns url, key and status"):
        read(folder)
    (folder / "00000.parquet").write_bytes(b"half")
    with pytest.raises(InputError, match="is damaged"):
        read(folder)


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder at"):
        read(tmp_path / "nowhere", format="folder")
