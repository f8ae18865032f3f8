import hashlib
import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import RunError
from curate.storage.tar import TarWriter, recover


def write(folder: Path, contents: list[bytes]) -> tuple[bytes, list[int]]:
    sink, source = io.BytesIO(), folder / "source"
    writer, offsets = TarWriter(sink), []
    for i, content in enumerate(contents):
        source.write_bytes(content)
        offsets.append(writer.add(f"{i:016x}.jpg", source, len(content)))
    writer.close()
    return sink.getvalue(), offsets


@given(st.lists(st.binary(max_size=1500), max_size=5))
def test_members_are_where_it_says_and_tarfile_agrees(
    tmp_path_factory: pytest.TempPathFactory, contents: list[bytes]
) -> None:
    data, offsets = write(tmp_path_factory.getbasetemp(), contents)
    assert [data[o : o + len(c)] for o, c in zip(offsets, contents, strict=True)] == contents
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        members = tar.getmembers()
        assert [member.offset_data for member in members] == offsets
        assert [tar.extractfile(member).read() for member in members] == contents
    assert len(data) % tarfile.RECORDSIZE == 0


def test_headers_hold_no_time_and_no_owner(tmp_path: Path) -> None:
    data, _ = write(tmp_path, [b"x"])
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        (member,) = tar.getmembers()
    assert (member.mtime, member.mode, member.uid, member.gid, member.uname, member.gname) == (
        0,
        0o644,
        0,
        0,
        "",
        "",
    )
    assert data[257:263] == b"ustar\0"
    assert write(tmp_path, [b"x"])[0] == data


def test_bytes_make_the_same_member_as_a_file(tmp_path: Path) -> None:
    sink = io.BytesIO()
    writer = TarWriter(sink)
    offsets = [
        writer.add_bytes(f"{i:016x}.jpg", content) for i, content in enumerate([b"a" * 700, b""])
    ]
    writer.close()
    assert (sink.getvalue(), offsets) == write(tmp_path, [b"a" * 700, b""])


def test_webdataset_reads_it(tmp_path: Path) -> None:
    tariterators = pytest.importorskip("webdataset.tariterators")
    contents = [b"a" * 700, b"b"]
    opened = {"url": "shard.tar", "stream": io.BytesIO(write(tmp_path, contents)[0])}
    samples = list(tariterators.group_by_keys(tariterators.tar_file_expander([opened])))
    assert [(sample["__key__"], sample["jpg"]) for sample in samples] == [
        (f"{i:016x}", content) for i, content in enumerate(contents)
    ]


def test_a_file_of_another_length_is_refused(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"four")
    with pytest.raises(OSError, match="4 bytes, not 5"):
        TarWriter(io.BytesIO()).add("x.jpg", tmp_path / "source", 5)


@pytest.mark.parametrize("name", ["../x.jpg", "/x.jpg", "a/../../x", "", "a//b", "x\0"])
def test_tar_takes_no_name_that_leads_out_of_its_folder(name: str) -> None:
    with pytest.raises(RunError, match="can't be the name of a file in a tar"):
        TarWriter(io.BytesIO()).add_bytes(name, b"x")


def test_recovery_writes_no_file_outside_of_its_folder(tmp_path: Path) -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for name in ("..", "../x", str(tmp_path / "y"), "good"):
            member = tarfile.TarInfo(f"{name}.jpg" if name != ".." else "../z")
            member.size = 1
            tar.addfile(member, io.BytesIO(b"x"))
    digest = hashlib.sha256(b"x").hexdigest(), 1
    (tmp_path / "in").mkdir()
    names = ("", "../x", str(tmp_path / "y"), "good")
    assert recover(data, dict.fromkeys(names, digest), tmp_path / "in") == {"good"}
    assert [path.name for path in tmp_path.rglob("*")] == ["in", "good"]
