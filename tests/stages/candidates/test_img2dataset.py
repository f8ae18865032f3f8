"""Outputs in the layout of img2dataset 1.47, also after kills, bad disks and tidying users."""

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
URLS = [f"http://a/{i}" for i in range(4)]
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
    """Return the row of one URL, with sizes and hash as of an image served as `image(number)`."""
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
    """Write one finished shard."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{number:05d}"
    present = {row["key"]: image(int(row["key"])) for row in rows if row["status"] == "success"}
    table = pa.Table.from_pylist(rows)
    types = {field.name: field.type for field in table.schema}
    types |= dict.fromkeys(SIZES, pa.int32())
    table = table.cast(pa.schema(types.items()))
    if form == "parquet":
        cells = [present.get(row["key"]) for row in rows]
        table = table.append_column("jpg", pa.array(cells, pa.binary()))
    pq.write_table(table, folder / f"{name}.parquet", row_group_size=3)
    count = len(present)
    stats = {"count": len(rows), "successes": count, "status_dict": {"success": count}}
    (folder / f"{name}_stats.json").write_text(json.dumps(stats))
    members = {}
    for row in rows:
        if row["status"] == "success":
            members[f"{row['key']}.jpg"] = present[row["key"]]
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
    """Write the rows of a shard that is not finished."""
    (folder / "_tmp").mkdir(parents=True, exist_ok=True)
    columns = [("similarity", pa.float64()), ("caption", pa.string()), ("url", pa.string())]
    table = pa.Table.from_pylist(rows, pa.schema(columns))
    path = str(folder / f"_tmp/{number}.feather")
    with pa.OSFile(path, "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def kill(folder: Path, rows: list[dict[str, Any]], number: int = 0) -> None:
    """Turn a finished shard into an unfinished one."""
    (folder / f"{number:05d}_stats.json").unlink()
    (folder / f"{number:05d}.parquet").write_bytes(b"")
    wait(folder, rows, number)


def read(path: Path | str, **settings_: Any) -> tuple[list[dict[str, Any]], dict[str, int]]:
    reader = CandidateReader([str(path)], Candidates(**settings_))
    rows = [row for table in reader for row in table.to_pylist()]
    notes = reader.notes()
    assert (notes.pop("blank"), notes.pop("repeated")) == (0, 0)
    return rows, notes


def taken(rows: list[dict[str, Any]]) -> dict[str, bytes | None]:
    """Return URL -> bytes of rows with a place."""
    return {row["url"]: bytes_of(row) for row in rows if row["local_path"]}


def bytes_of(row: dict[str, Any]) -> bytes | None:
    """Return the bytes at a row's place; None if it has no place."""
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
def test_images_as_served_are_taken_with_their_hashes(
    tmp_path: Path, form: str, algorithm: str
) -> None:
    given_ = samples(algorithm=algorithm)
    rows, notes = read(save(tmp_path / "out", form, given_))
    for i, row in enumerate(rows):
        url, found = f"http://a/{i}", (row["id"], row["url"], row["caption"], row["source"])
        assert found == (candidate_id(url), url, f"caption {i}", "out")
    assert [bytes_of(row) for row in rows] == [image(0), None, image(2), None]
    assert rows[2]["local_digest"] == f"{algorithm}:{hashlib.new(algorithm, image(2)).hexdigest()}"
    assert rows[0]["similarity"] == 0.3
    assert notes == {takeover.TAKEN: 2}


@pytest.mark.parametrize("form", FORMS)
def test_shards_are_read_in_order_from_any_file_system(tmp_path: Path, form: str) -> None:
    for number in (10, 2):
        save(tmp_path / "out", form, samples(8, number * 10), number)
    url = f"memory://takeover-{form}/out"
    fsspec.filesystem("memory").put(f"{tmp_path}/out", url, recursive=True)
    rows, _ = read(url)
    for number, row in zip([*range(20, 28), *range(100, 108)], rows, strict=True):
        assert row["url"] == f"http://a/{number}"
        assert bytes_of(row) == (image(number) if number % 2 == 0 else None)
        assert (row["local_path"] or "memory://").startswith("memory://")


# Images that are not as served


@pytest.mark.parametrize("form", FORMS)
def test_resized_image_is_fetched_and_claims_its_original_size(tmp_path: Path, form: str) -> None:
    rows, notes = read(save(tmp_path / "out", form, samples(sizes=(256, 256, 4000, 3000))))
    assert [bytes_of(row) for row in rows] == [None] * 4
    assert (rows[0]["claimed_width"], rows[0]["claimed_height"]) == (4000, 3000)
    assert notes == {takeover.CHANGED: 2}


@pytest.mark.parametrize("form", FORMS)
def test_decoded_image_is_taken_only_with_a_hash(tmp_path: Path, form: str) -> None:
    """Sizes don't show whether it was encoded again. The hash does, when the bytes are read."""
    rows, notes = read(save(tmp_path / "with", form, samples(sizes=(640, 480, 640, 480))))
    assert rows[0]["local_digest"] is not None
    assert notes == {takeover.TAKEN: 2, takeover.ENCODED: 2}
    unhashed = samples(sizes=(640, 480, 640, 480), algorithm=None)
    rows, notes = read(save(tmp_path / "without", form, unhashed))
    assert [bytes_of(row) for row in rows] == [None] * 4
    assert notes == {takeover.CHANGED: 2}


@pytest.mark.parametrize("form", FORMS)
def test_image_without_hash_is_taken_only_if_counts_hold(tmp_path: Path, form: str) -> None:
    folder = save(tmp_path / "out", form, samples(algorithm=None))
    rows, notes = read(folder)
    assert [bytes_of(row) for row in rows] == [image(0), None, image(2), None]
    assert (rows[0]["local_digest"], notes) == (None, {takeover.TAKEN: 2})
    for count, successes in ((4, 3), (5, 2), (3, 2)):
        stats = {"count": count, "successes": successes}
        (folder / "00000_stats.json").write_text(json.dumps(stats))
        rows, notes = read(folder)
        assert [row["local_path"] for row in rows] == [None] * 4
        assert (notes[takeover.MISCOUNTED], notes[takeover.UNPROVEN]) == (1, 2)
        assert notes.get(takeover.LOST, 0) == (count == 5)
    for nonsense in (b"", b"[]", b'{"count": null}', b"\xff"):
        (folder / "00000_stats.json").write_bytes(nonsense)
        rows, notes = read(folder)
        assert ([row["local_path"] for row in rows], notes) == ([None] * 4, {takeover.UNPROVEN: 2})


def test_wrong_counts_are_noted_and_hashes_trusted(tmp_path: Path) -> None:
    folder = save(tmp_path / "out", "webdataset", samples())
    (folder / "00000_stats.json").write_text(json.dumps({"count": 6, "successes": 4}))
    rows, notes = read(folder)
    assert [bytes_of(row) for row in rows] == [image(0), None, image(2), None]
    assert notes == {takeover.TAKEN: 2, takeover.MISCOUNTED: 1, takeover.LOST: 2}


# Rows without images, images without rows


@pytest.mark.parametrize("form", ["webdataset", "files"])
def test_deleted_table_is_replaced_by_rows_beside_the_images(tmp_path: Path, form: str) -> None:
    folder = save(tmp_path / "out", form, samples())
    (folder / "00000.parquet").unlink()
    rows, notes = read(folder)
    assert [(row["url"], row["caption"], bytes_of(row)) for row in rows] == [
        ("http://a/0", "caption 0", image(0)),
        ("http://a/2", "caption 2", image(2)),
    ]
    assert notes == {takeover.TAKEN: 2, takeover.LOST: 2}


@pytest.mark.parametrize("form", ["webdataset", "files"])
def test_deleted_images_are_fetched(tmp_path: Path, form: str) -> None:
    folder = save(tmp_path / "out", form, samples())
    shutil.rmtree(folder / "00000") if form == "files" else (folder / "00000.tar").unlink()
    rows, notes = read(folder)
    assert [row["url"] for row in rows] == URLS
    assert [bytes_of(row) for row in rows] == [None] * 4
    assert notes == {takeover.GONE: 2}


@pytest.mark.parametrize("form", ["webdataset", "files"])
def test_row_missing_in_the_table_is_found_beside_its_image(tmp_path: Path, form: str) -> None:
    folder = save(tmp_path / "out", form, samples(8))
    table = pq.read_table(folder / "00000.parquet")
    pq.write_table(table.slice(0, 4), folder / "00000.parquet")
    rows, notes = read(folder)
    assert [row["url"] for row in rows] == [*URLS, "http://a/4", "http://a/6"]
    expected = [image(0), None, image(2), None, image(4), image(6)]
    assert [bytes_of(row) for row in rows] == expected
    assert notes == {takeover.TAKEN: 4, takeover.MISCOUNTED: 1, takeover.LOST: 2}


def test_image_without_a_row_is_counted(tmp_path: Path) -> None:
    folder = save(tmp_path / "out", "files", samples())
    (folder / "00000/000000099.jpg").write_bytes(b"whose?")
    (folder / "00000/000000098.jpg").write_bytes(b"whose?")
    (folder / "00000/000000098.json").write_text('{"url": nobody knows')
    # a disk that had no time to write a file leaves it empty
    (folder / "00000/000000002.jpg").write_bytes(b"")
    rows, notes = read(folder)
    assert [bytes_of(row) for row in rows] == [image(0), None, None, None]
    assert notes == {takeover.TAKEN: 1, takeover.GONE: 1, takeover.NAMELESS: 2}


def test_only_regular_members_of_a_tar_are_images(tmp_path: Path) -> None:
    folder = save(tmp_path / "out", "webdataset", samples())
    with tarfile.open(folder / "00000.tar", "w") as tar:
        for number, kind in ((0, tarfile.SYMTYPE), (2, tarfile.LNKTYPE)):
            info = tarfile.TarInfo(f"{number:09d}.jpg")
            info.type, info.linkname = kind, "/etc/hostname"
            tar.addfile(info)
    rows, notes = read(folder)
    assert ([bytes_of(row) for row in rows], notes) == ([None] * 4, {takeover.GONE: 2})


# Unfinished runs


@pytest.mark.parametrize("form", FORMS)
def test_killed_run_loses_no_url_and_no_whole_image(tmp_path: Path, form: str) -> None:
    folder = tmp_path / "out"
    shards = [samples(4, 10 * number) for number in range(3)]
    for number in (0, 1):
        save(folder, form, shards[number], number)
    kill(folder, shards[1], 1)
    wait(folder, shards[2], 2)
    rows, notes = read(folder)
    inputs = [*shards[0], *shards[1], *shards[2]]
    expected = Counter((row["url"], row["caption"]) for row in inputs)
    assert Counter((row["url"], row["caption"]) for row in rows) == expected
    numbers = (0, 2) if form == "parquet" else (0, 2, 10, 12)
    assert taken(rows) == {f"http://a/{i}": image(i) for i in numbers}
    assert notes == {takeover.TAKEN: len(numbers)}


def test_truncated_tar_gives_its_whole_images(tmp_path: Path) -> None:
    given_ = samples(8)
    urls = [row["url"] for row in given_]
    folder = save(tmp_path / "out", "webdataset", given_)
    kill(folder, given_)
    whole = (folder / "00000.tar").read_bytes()
    with tarfile.open(folder / "00000.tar") as tar:
        # an image counts only with the row after it
        ends = [member.offset_data + member.size for member in tar if member.name.endswith(".json")]
    for length in {*range(0, len(whole), 300), *ends, *(end - 1 for end in ends)}:
        (folder / "00000.tar").write_bytes(whole[:length])
        rows, _ = read(folder)
        assert sorted(row["url"] for row in rows) == urls
        whole_ones = range(0, 2 * sum(end <= length for end in ends), 2)
        assert taken(rows) == {f"http://a/{i}": image(i) for i in whole_ones}


def test_unfinished_shard_without_hashes_gives_no_image(tmp_path: Path) -> None:
    given_ = samples(algorithm=None)
    folder = save(tmp_path / "out", "files", given_)
    kill(folder, given_)
    rows, notes = read(folder)
    assert ([row["local_path"] for row in rows], notes) == ([None] * 4, {takeover.UNPROVEN: 2})


def test_interrupted_run_notes_its_unfinished_shards(tmp_path: Path) -> None:
    """Ctrl-C deletes the lists of unfinished shards."""
    for number in (0, 1):
        save(tmp_path / "out", "webdataset", samples(4, 10 * number), number)
    kill(tmp_path / "out", [], 1)
    shutil.rmtree(tmp_path / "out/_tmp")
    rows, notes = read(tmp_path / "out")
    assert [row["url"] for row in rows] == [*URLS, "http://a/10", "http://a/12"]
    assert notes == {takeover.TAKEN: 4, takeover.UNFINISHED: 1}
    # the list itself has the others
    (tmp_path / "urls.txt").write_text(
        "".join(f"http://a/{i}\n" for i in (0, 1, 2, 3, 10, 11, 12, 13))
    )
    reader = CandidateReader([str(tmp_path / "out"), str(tmp_path / "urls.txt")], Candidates())
    rows = [row for table in reader for row in table.to_pylist()]
    from_disk = [i for i, row in enumerate(rows) if row["local_path"]]
    assert (from_disk, len(rows)) == ([0, 2, 4, 5], 8)


def test_run_killed_in_its_first_shard_is_recognised(tmp_path: Path) -> None:
    save(tmp_path / "out", "webdataset", samples())
    kill(tmp_path / "out", samples())
    rows, _ = read(tmp_path / "out")
    assert {row["url"] for row in rows} == {*URLS}


@settings(deadline=None, derandomize=True, max_examples=100)
@given(
    st.lists(st.tuples(st.integers(0, 8000), st.integers(0, 255)), min_size=1, max_size=12),
    st.sampled_from(FORMS),
)
def test_damaged_files_lose_no_row(
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
        reader = CandidateReader([str(folder)], Candidates())
        rows = [row for table in reader for row in table.to_pylist()]
    except InputError:
        assert form != "webdataset"  # the table has lost columns of img2dataset
        return
    found = {row["url"] for row in rows}
    assert found >= {f"http://a/{i}" for i in range(8)}
    if form == "webdataset":
        size = path.stat().st_size
        for row in rows:
            assert not row["local_path"] or row["local_offset"] + row["local_nbytes"] <= size


# Outputs that can't be taken over


def test_file_url_gives_no_local_bytes(tmp_path: Path) -> None:
    """img2dataset downloads `file:` URLs; a list must not name local files, nor its output."""
    folder = save(tmp_path / "out", "files", [sample(0, url="file:///etc/passwd"), sample(1)])
    rows, _ = read(folder)
    assert [bytes_of(row) for row in rows] == [None, image(1)]


def test_downloaded_url_with_credentials_is_rejected(tmp_path: Path) -> None:
    rows = [sample(0, url="http://user:secret@a/0")]
    (row,), _ = read(save(tmp_path / "out", "webdataset", rows))
    assert (row["url"], row["reason"]) == ("http://a/0", Reason.CREDENTIALS)


def test_unsupported_format_names_the_supported_ones(tmp_path: Path) -> None:
    folder = save(tmp_path / "tfrecord", "dummy", samples())
    (folder / "00000.tfrecord").write_bytes(b"")
    message = "holds TFRecords, .*`webdataset`, `files` and `parquet` can be taken over"
    with pytest.raises(InputError, match=message):
        read(folder)
    (tmp_path / "dummy").mkdir()
    (tmp_path / "dummy/00000_stats.json").write_text('{"count": 4, "successes": 2}')
    message = r"counts alone \(--output_format dummy\); give the list of URLs"
    with pytest.raises(InputError, match=message):
        read(tmp_path / "dummy")


def test_other_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "pics").mkdir()
    (tmp_path / "pics/a.jpg").write_bytes(b"x")
    message = "no img2dataset output to take over: it holds no NNNNN.parquet"
    with pytest.raises(InputError, match=message):
        read(tmp_path / "pics", format="img2dataset")
    folder = save(tmp_path / "out", "webdataset", samples())
    pq.write_table(pa.table({"url": ["http://a/0"]}), folder / "00000.parquet")
    with pytest.raises(InputError, match="has no columns url, key and status"):
        read(folder)


def test_output_without_any_url_names_the_remedy(tmp_path: Path) -> None:
    folder = save(tmp_path / "out", "parquet", samples())
    (folder / "00000.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"tells no URL .*: give the list of URLs instead"):
        read(folder)


@pytest.mark.parametrize("name", ["00000.tar", "00000.parquet", "00000_stats.json", "00000/x.jpg"])
def test_link_out_of_an_output_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    path = tmp_path / "out" / name
    path.parent.mkdir(parents=True)
    (tmp_path / "out/00001_stats.json").write_text("{}")
    path.symlink_to(tmp_path / "secret")
    with pytest.raises(InputError, match="leads out of"):
        list(CandidateReader([str(tmp_path / "out")], Candidates()))
