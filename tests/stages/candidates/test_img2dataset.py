"""Outputs laid out as img2dataset 1.47 lays them out, with what kills, bad disks and tidy users do to them."""

import hashlib
import io
import json
import shutil
import tarfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import InputError, Reason
from curate.recipe import Candidates
from curate.stages.candidates import CandidateReader, candidate_id
from curate.stages.candidates import img2dataset as takeover

FORMS = ("webdataset", "files", "parquet")
HASHES = ("sha256", "md5", "sha512")
SIZES = ("width", "height", "original_width", "original_height")
SERVED = (None, None, None, None)
STATUS = ("success", "failed_to_download", "success", "failed_to_resize")


def image(number: int) -> bytes:
    return b"image %d " % number * 40


def sample(
    number: int,
    status: str = "success",
    sizes: Sequence[int | None] = SERVED,
    algorithm: str | None = "sha256",
    url: str | None = None,
) -> dict[str, Any]:
    """The row of one URL, sizes and hash as for an image that was served as `image(number)`."""
    ok = status == "success"
    row = {
        "url": url or f"http://a/{number}",
        "caption": f"caption {number}",
        "similarity": 0.3,
        "key": f"{number:09d}",
        "status": status,
        "error_message": None if ok else "HTTP Error 404: Not Found",
        **dict(zip(SIZES, sizes if ok else SERVED, strict=True)),
    }
    if algorithm is not None:
        row[algorithm] = hashlib.new(algorithm, image(number)).hexdigest() if ok else None
    return row


def samples(count: int = 4, first: int = 0, **given_: Any) -> list[dict[str, Any]]:
    return [sample(first + i, STATUS[i % 4], **given_) for i in range(count)]


def save(folder: Path, form: str, rows: list[dict[str, Any]], number: int = 0) -> Path:
    """One finished shard."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{number:05d}"
    there = {row["key"]: image(int(row["key"])) for row in rows if row["status"] == "success"}
    table = pa.Table.from_pylist(rows)
    types = {
        name: pa.int32() if name in SIZES else table.schema.field(name).type
        for name in table.column_names
    }
    table = table.cast(pa.schema(types.items()))
    if form == "parquet":
        table = table.append_column(
            "jpg", pa.array([there.get(row["key"]) for row in rows], pa.binary())
        )
    pq.write_table(table, folder / f"{name}.parquet", row_group_size=3)
    stats = {"count": len(rows), "successes": len(there), "status_dict": {"success": len(there)}}
    (folder / f"{name}_stats.json").write_text(json.dumps(stats))
    members = {}
    for row in rows:
        if row["status"] == "success":
            members[f"{row['key']}.jpg"] = there[row["key"]]
            members[f"{row['key']}.json"] = json.dumps(row, indent=4).encode()
            members[f"{row['key']}.txt"] = row["caption"].encode()
    if form == "files":
        (folder / name).mkdir()
        for member, data in members.items():
            (folder / name / member).write_bytes(data)
    elif form == "webdataset":
        with tarfile.open(folder / f"{name}.tar", "w") as tar:
            for member, data in members.items():
                info = tarfile.TarInfo(member)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return folder


def wait(folder: Path, rows: list[dict[str, Any]], number: int = 0) -> None:
    """What lies there until a shard is done."""
    (folder / "_tmp").mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(
        [{name: row[name] for name in ("similarity", "caption", "url")} for row in rows]
    )
    with (
        pa.OSFile(str(folder / f"_tmp/{number}.feather"), "wb") as sink,
        pa.ipc.new_file(sink, table.schema) as writer,
    ):
        writer.write_table(table)


def kill(folder: Path, rows: list[dict[str, Any]], number: int = 0) -> None:
    """Make a finished shard one that was under way."""
    (folder / f"{number:05d}_stats.json").unlink()
    (folder / f"{number:05d}.parquet").write_bytes(b"")
    wait(folder, rows, number)


def read(path: Path | str, **settings_: Any) -> tuple[list[dict[str, Any]], dict[str, int]]:
    reader = CandidateReader([str(path)], Candidates(**settings_))
    rows = [row for table in reader for row in table.to_pylist()]
    notes = reader.notes()
    assert (notes.pop("blank"), notes.pop("repeated")) == (0, 0)
    return rows, notes


def bytes_of(row: dict[str, Any]) -> bytes | None:
    """What lies where a row says that its bytes lie."""
    if row["local_path"] is None:
        assert {row[name] for name in row if name.startswith("local_")} == {None}
        return None
    with fsspec.open(row["local_path"], "rb") as file:
        if row["local_column"]:
            return pq.read_table(file)[row["local_column"]][row["local_row"]].as_py()
        file.seek(row["local_offset"] or 0)
        return file.read(-1 if row["local_nbytes"] is None else row["local_nbytes"])


@pytest.mark.parametrize("algorithm", HASHES)
@pytest.mark.parametrize("form", FORMS)
def test_images_as_they_were_served_are_taken_over_with_their_hashes(
    tmp_path: Path, form: str, algorithm: str
) -> None:
    given_ = samples(algorithm=algorithm)
    rows, notes = read(save(tmp_path / "out", form, given_))
    assert [(row["url"], row["caption"], row["source"]) for row in rows] == [
        (f"http://a/{i}", f"caption {i}", "out") for i in range(4)
    ]
    assert [row["id"] for row in rows] == [candidate_id(f"http://a/{i}") for i in range(4)]
    assert [bytes_of(row) for row in rows] == [image(0), None, image(2), None]
    assert rows[2]["local_digest"] == f"{algorithm}:{hashlib.new(algorithm, image(2)).hexdigest()}"
    assert rows[0]["similarity"] == 0.3
    assert notes == {takeover.TAKEN: 2}


@pytest.mark.parametrize("form", FORMS)
def test_shards_come_in_order_in_any_file_system(tmp_path: Path, form: str) -> None:
    for number in (10, 2):
        save(tmp_path / "out", form, samples(8, number * 10), number)
    url = f"memory://takeover-{form}/out"
    fsspec.filesystem("memory").put(f"{tmp_path}/out", url, recursive=True)
    rows, _ = read(url)
    assert [row["url"] for row in rows] == [
        f"http://a/{n}" for first in (20, 100) for n in range(first, first + 8)
    ]
    numbers = (20, 22, 24, 26, 100, 102, 104, 106)
    assert [bytes_of(row) for row in rows if row["local_path"]] == [image(n) for n in numbers]
    assert all(row["local_path"].startswith("memory://") for row in rows if row["local_path"])


# What is no longer the image that was served


@pytest.mark.parametrize("form", FORMS)
def test_a_resized_image_is_fetched_and_its_original_size_is_claimed(
    tmp_path: Path, form: str
) -> None:
    rows, notes = read(save(tmp_path / "out", form, samples(sizes=(256, 256, 4000, 3000))))
    assert [bytes_of(row) for row in rows] == [None] * 4
    assert (rows[0]["claimed_width"], rows[0]["claimed_height"]) == (4000, 3000)
    assert notes == {takeover.CHANGED: 2}


@pytest.mark.parametrize("form", FORMS)
def test_an_image_that_was_decoded_is_taken_only_with_a_hash(tmp_path: Path, form: str) -> None:
    """Its size does not tell whether it was encoded anew; its hash does, to whoever reads it."""
    rows, notes = read(save(tmp_path / "with", form, samples(sizes=(640, 480, 640, 480))))
    assert rows[0]["local_digest"] is not None
    assert notes == {takeover.TAKEN: 2, takeover.ENCODED: 2}
    rows, notes = read(
        save(tmp_path / "without", form, samples(sizes=(640, 480, 640, 480), algorithm=None))
    )
    assert [bytes_of(row) for row in rows] == [None] * 4
    assert notes == {takeover.CHANGED: 2}


@pytest.mark.parametrize("form", FORMS)
def test_without_a_hash_the_counts_must_hold(tmp_path: Path, form: str) -> None:
    folder = save(tmp_path / "out", form, samples(algorithm=None))
    rows, notes = read(folder)
    assert [bytes_of(row) for row in rows] == [image(0), None, image(2), None]
    assert (rows[0]["local_digest"], notes) == (None, {takeover.TAKEN: 2})
    for count, successes in ((4, 3), (5, 2), (3, 2)):
        (folder / "00000_stats.json").write_text(
            json.dumps({"count": count, "successes": successes})
        )
        rows, notes = read(folder)
        assert [row["local_path"] for row in rows] == [None] * 4
        assert (
            notes[takeover.MISCOUNTED],
            notes[takeover.UNPROVEN],
            notes.get(takeover.LOST, 0),
        ) == (1, 2, count == 5)
    for nonsense in (b"", b"[]", b'{"count": null}', b"\xff"):
        (folder / "00000_stats.json").write_bytes(nonsense)
        rows, notes = read(folder)
        assert ([row["local_path"] for row in rows], notes) == ([None] * 4, {takeover.UNPROVEN: 2})


def test_counts_that_do_not_hold_are_told_and_hashes_believed(tmp_path: Path) -> None:
    folder = save(tmp_path / "out", "webdataset", samples())
    (folder / "00000_stats.json").write_text(json.dumps({"count": 6, "successes": 4}))
    rows, notes = read(folder)
    assert [bytes_of(row) for row in rows] == [image(0), None, image(2), None]
    assert notes == {takeover.TAKEN: 2, takeover.MISCOUNTED: 1, takeover.LOST: 2}


# Rows without images, images without rows


@pytest.mark.parametrize("form", ["webdataset", "files"])
def test_a_table_that_was_thrown_away_is_read_from_beside_the_images(
    tmp_path: Path, form: str
) -> None:
    folder = save(tmp_path / "out", form, samples())
    (folder / "00000.parquet").unlink()
    rows, notes = read(folder)
    assert [(row["url"], row["caption"], bytes_of(row)) for row in rows] == [
        ("http://a/0", "caption 0", image(0)),
        ("http://a/2", "caption 2", image(2)),
    ]
    assert notes == {takeover.TAKEN: 2, takeover.LOST: 2}


@pytest.mark.parametrize("form", ["webdataset", "files"])
def test_images_that_were_thrown_away_are_fetched(tmp_path: Path, form: str) -> None:
    folder = save(tmp_path / "out", form, samples())
    shutil.rmtree(folder / "00000") if form == "files" else (folder / "00000.tar").unlink()
    rows, notes = read(folder)
    assert [(row["url"], bytes_of(row)) for row in rows] == [
        (f"http://a/{i}", None) for i in range(4)
    ]
    assert notes == {takeover.GONE: 2}


@pytest.mark.parametrize("form", ["webdataset", "files"])
def test_a_row_that_the_table_lacks_is_found_beside_its_image(tmp_path: Path, form: str) -> None:
    folder = save(tmp_path / "out", form, samples(8))
    table = pq.read_table(folder / "00000.parquet")
    pq.write_table(table.slice(0, 4), folder / "00000.parquet")
    rows, notes = read(folder)
    assert [row["url"] for row in rows] == [f"http://a/{i}" for i in (0, 1, 2, 3, 4, 6)]
    assert [bytes_of(row) for row in rows if row["local_path"]] == [image(i) for i in (0, 2, 4, 6)]
    assert notes == {takeover.TAKEN: 4, takeover.MISCOUNTED: 1, takeover.LOST: 2}


def test_an_image_that_no_row_tells_of_is_counted(tmp_path: Path) -> None:
    folder = save(tmp_path / "out", "files", samples())
    (folder / "00000/000000099.jpg").write_bytes(b"whose?")
    (folder / "00000/000000098.jpg").write_bytes(b"whose?")
    (folder / "00000/000000098.json").write_text('{"url": nobody knows')
    (folder / "00000/000000002.jpg").write_bytes(
        b""
    )  # as a disk leaves a file that it had no time to write
    rows, notes = read(folder)
    assert [bytes_of(row) for row in rows] == [image(0), None, None, None]
    assert notes == {takeover.TAKEN: 1, takeover.GONE: 1, takeover.NAMELESS: 2}


def test_only_plain_members_of_a_tar_are_images(tmp_path: Path) -> None:
    folder = save(tmp_path / "out", "webdataset", samples())
    with tarfile.open(folder / "00000.tar", "w") as tar:
        for number, kind in ((0, tarfile.SYMTYPE), (2, tarfile.LNKTYPE)):
            info = tarfile.TarInfo(f"{number:09d}.jpg")
            info.type, info.linkname = kind, "/etc/hostname"
            tar.addfile(info)
    rows, notes = read(folder)
    assert ([bytes_of(row) for row in rows], notes) == ([None] * 4, {takeover.GONE: 2})


# Runs that came to no end


@pytest.mark.parametrize("form", FORMS)
def test_a_killed_run_loses_no_url_and_no_whole_image(tmp_path: Path, form: str) -> None:
    folder = tmp_path / "out"
    shards = [samples(4, 10 * number) for number in range(3)]
    for number in (0, 1):
        save(folder, form, shards[number], number)
    kill(folder, shards[1], 1)
    wait(folder, shards[2], 2)
    rows, notes = read(folder)
    assert Counter(row["url"] for row in rows) == Counter(
        row["url"] for shard in shards for row in shard
    )
    found = {row["url"]: bytes_of(row) for row in rows if row["local_path"]}
    numbers = (0, 2) if form == "parquet" else (0, 2, 10, 12)
    assert found == {f"http://a/{i}": image(i) for i in numbers}
    assert {row["caption"] for row in rows} == {row["caption"] for shard in shards for row in shard}
    assert notes == {takeover.TAKEN: len(numbers)}


def test_a_tar_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    given_ = samples(8)
    folder = save(tmp_path / "out", "webdataset", given_)
    kill(folder, given_)
    whole = (folder / "00000.tar").read_bytes()
    with tarfile.open(folder / "00000.tar") as tar:
        # an image counts once the row after it is there too
        ends = [member.offset_data + member.size for member in tar if member.name.endswith(".json")]
    for length in {*range(0, len(whole), 300), *ends, *(end - 1 for end in ends)}:
        (folder / "00000.tar").write_bytes(whole[:length])
        rows, _ = read(folder)
        assert sorted(row["url"] for row in rows) == [row["url"] for row in given_]
        found = {row["url"]: bytes_of(row) for row in rows if row["local_path"]}
        assert found == {
            f"http://a/{i}": image(i)
            for i, end in zip((0, 2, 4, 6), ends, strict=True)
            if end <= length
        }


def test_without_a_hash_nothing_of_an_unfinished_shard_is_taken(tmp_path: Path) -> None:
    given_ = samples(algorithm=None)
    folder = save(tmp_path / "out", "files", given_)
    kill(folder, given_)
    rows, notes = read(folder)
    assert ([row["local_path"] for row in rows], notes) == ([None] * 4, {takeover.UNPROVEN: 2})


def test_an_interrupted_run_says_what_it_lacks(tmp_path: Path) -> None:
    """Ctrl-C takes the list of what was under way with it."""
    for number in (0, 1):
        save(tmp_path / "out", "webdataset", samples(4, 10 * number), number)
    kill(tmp_path / "out", [], 1)
    shutil.rmtree(tmp_path / "out/_tmp")
    rows, notes = read(tmp_path / "out")
    assert [row["url"] for row in rows] == [f"http://a/{i}" for i in (0, 1, 2, 3, 10, 12)]
    assert notes == {takeover.TAKEN: 4, takeover.UNFINISHED: 1}
    # the list itself has the others
    (tmp_path / "urls.txt").write_text(
        "".join(f"http://a/{i}\n" for i in (0, 1, 2, 3, 10, 11, 12, 13))
    )
    reader = CandidateReader([str(tmp_path / "out"), str(tmp_path / "urls.txt")], Candidates())
    rows = [row for table in reader for row in table.to_pylist()]
    assert [row["local_path"] is not None for row in rows] == [
        True,
        False,
        True,
        False,
        True,
        True,
        False,
        False,
    ]


def test_a_run_killed_in_its_first_shard_is_known_for_what_it_is(tmp_path: Path) -> None:
    save(tmp_path / "out", "webdataset", samples())
    kill(tmp_path / "out", samples())
    rows, _ = read(tmp_path / "out")
    assert {row["url"] for row in rows} == {f"http://a/{i}" for i in range(4)}


@settings(deadline=None, derandomize=True, max_examples=100)
@given(
    st.lists(st.tuples(st.integers(0, 8000), st.integers(0, 255)), min_size=1, max_size=12),
    st.sampled_from(FORMS),
)
def test_no_damage_loses_a_row_or_breaks_the_reader(
    tmp_path_factory: pytest.TempPathFactory, damage: list[tuple[int, int]], form: str
) -> None:
    folder = save(tmp_path_factory.mktemp("damaged") / "out", form, samples(8))
    wait(folder, samples(8))
    path = folder / ("00000.tar" if form == "webdataset" else "00000.parquet")
    data = bytearray(path.read_bytes())
    for at, byte in damage:
        data[at % len(data)] = byte
    path.write_bytes(data)
    try:
        rows = [
            row
            for table in CandidateReader([str(folder)], Candidates())
            for row in table.to_pylist()
        ]
    except InputError:
        assert form != "webdataset"  # a table that says that it is no table of img2dataset's
        return
    assert {f"http://a/{i}" for i in range(8)} <= {row["url"] for row in rows}
    if form == "webdataset":
        size = path.stat().st_size
        assert all(
            row["local_offset"] + row["local_nbytes"] <= size for row in rows if row["local_path"]
        )


# What can't be taken over


def test_a_url_of_a_file_is_no_way_to_its_bytes(tmp_path: Path) -> None:
    """img2dataset downloads `file:`; what a list may not name, its output may not either."""
    folder = save(tmp_path / "out", "files", [sample(0, url="file:///etc/passwd"), sample(1)])
    rows, _ = read(folder)
    assert [bytes_of(row) for row in rows] == [None, image(1)]


def test_credentials_are_no_better_for_having_been_downloaded(tmp_path: Path) -> None:
    (row,), _ = read(
        save(tmp_path / "out", "webdataset", [sample(0, url="http://user:secret@a/0")])
    )
    assert (row["url"], row["reason"]) == ("http://a/0", Reason.CREDENTIALS)


def test_other_formats_say_what_can_be_taken_over(tmp_path: Path) -> None:
    folder = save(tmp_path / "tfrecord", "dummy", samples())
    (folder / "00000.tfrecord").write_bytes(b"")
    with pytest.raises(
        InputError,
        match=r"holds TFRecords, .*`webdataset`, `files` and `parquet` can be taken over",
    ):
        read(folder)
    (tmp_path / "dummy").mkdir()
    (tmp_path / "dummy/00000_stats.json").write_text('{"count": 4, "successes": 2}')
    with pytest.raises(
        InputError, match=r"counts alone \(--output_format dummy\); give the list of URLs"
    ):
        read(tmp_path / "dummy")


def test_other_folders_are_no_img2dataset_output(tmp_path: Path) -> None:
    (tmp_path / "pics").mkdir()
    (tmp_path / "pics/a.jpg").write_bytes(b"x")
    with pytest.raises(
        InputError, match=r"no img2dataset output to take over: it holds no NNNNN.parquet"
    ):
        read(tmp_path / "pics", format="img2dataset")
    folder = save(tmp_path / "out", "webdataset", samples())
    pq.write_table(pa.table({"url": ["http://a/0"]}), folder / "00000.parquet")
    with pytest.raises(InputError, match="has no columns url, key and status"):
        read(folder)


def test_an_output_whose_tables_are_all_damaged_names_the_remedy(tmp_path: Path) -> None:
    folder = save(tmp_path / "out", "parquet", samples())
    (folder / "00000.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"tells no URL .*: give the list of URLs instead"):
        read(folder)
