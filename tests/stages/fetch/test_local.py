import hashlib
import io
import os
import tarfile
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.errors import Reason
from curate.recipe import Fetch
from curate.stages.fetch.context import FetchContext
from curate.stages.fetch.local import LocalBytes, read_local
from curate.stages.fetch.open_requests import OpenRequests
from curate.stages.fetch.outcome import Outcome
from tests.site.hostile import picture


def read(scratch: Path, *sources: LocalBytes, **settings: int) -> list[Outcome]:
    checks = [None] * len(sources)
    return read_local(sources, checks, FetchContext(Fetch(**settings), scratch))


def contents(outcomes: list[Outcome]) -> list[bytes | None]:
    return [outcome.body and outcome.body.path.read_bytes() for outcome in outcomes]


def test_whole_file_is_read(scratch: Path, tmp_path: Path) -> None:
    (tmp_path / "a, b.png").write_bytes(picture("PNG"))
    (outcome,) = read(scratch, LocalBytes(str(tmp_path / "a, b.png")))
    assert outcome.body is not None, outcome
    assert outcome.body.path.read_bytes() == picture("PNG")
    assert (outcome.body.format, outcome.final_url, outcome.http_status) == ("PNG", None, None)


def test_members_of_a_tar_are_read(scratch: Path, tmp_path: Path) -> None:
    path = tmp_path / "download.tar"
    with tarfile.open(path, "w") as tar:
        for seed in range(3):
            member = tarfile.TarInfo(f"{seed}.jpg")
            member.size = len(picture(seed=seed))
            tar.addfile(member, io.BytesIO(picture(seed=seed)))
    with tarfile.open(path) as tar:
        sources = [LocalBytes(str(path), member.offset_data, member.size) for member in tar]
    assert contents(read(scratch, *sources)) == [picture(seed=seed) for seed in range(3)]


def test_fsspec_path_is_read(scratch: Path) -> None:
    with fsspec.open("memory://fetch-local/x.jpg", "wb") as file:
        file.write(picture())
    (outcome,) = read(scratch, LocalBytes("memory://fetch-local/x.jpg"))
    assert outcome.body is not None, outcome


@pytest.mark.parametrize(
    ("content", "nbytes", "reason"),
    [
        (b"", None, Reason.EMPTY),
        (b"just a text", None, Reason.NOT_IMAGE),
        (picture(side=256), None, Reason.TOO_LARGE),
        (picture(), 10**4, Reason.TRUNCATED),
    ],
)
def test_local_bytes_pass_the_checks_of_downloaded_bytes(
    scratch: Path, tmp_path: Path, content: bytes, nbytes: int | None, reason: Reason
) -> None:
    (tmp_path / "x").write_bytes(content)
    (outcome,) = read(scratch, LocalBytes(str(tmp_path / "x"), nbytes=nbytes), max_bytes=10**4)
    assert (outcome.reason, outcome.body) == (reason, None)
    assert not list(scratch.iterdir())


@pytest.mark.parametrize("name", ["gone.jpg", ""])
def test_unreadable_file_is_rejected_without_its_path(
    scratch: Path, tmp_path: Path, name: str
) -> None:
    (outcome,) = read(scratch, LocalBytes(str(tmp_path / name)))
    assert outcome.reason == Reason.UNREADABLE
    assert str(tmp_path) not in str(outcome.detail)


def table(path: Path, cells: Sequence[bytes | None], group_size: int = 3) -> Path:
    columns = {"key": pa.array(map(str, range(len(cells)))), "jpg": pa.array(cells, pa.binary())}
    pq.write_table(pa.table(columns), path, row_group_size=group_size)
    return path


@pytest.mark.parametrize("order", [[*range(8)], [7, 2, 2, 0, 5, 6], [3], [1, 4, 7]])
def test_cells_of_a_table_are_read_in_any_order(
    scratch: Path, tmp_path: Path, order: list[int]
) -> None:
    sources, expected = [], []
    for n in (0, 1):
        pictures = [picture(seed=10 * n + i) for i in range(8)]
        path = str(table(tmp_path / f"{n}.parquet", pictures))
        sources += [LocalBytes(path, column="jpg", row=i) for i in order]
        expected += [pictures[i] for i in order]
    assert contents(read(scratch, *sources)) == expected


def test_row_group_is_read_once(
    scratch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = table(tmp_path / "0.parquet", [picture(seed=i) for i in range(9)])
    read_groups: list[list[int]] = []
    iter_batches = pq.ParquetFile.iter_batches

    def note(self: pq.ParquetFile, size: int, row_groups: list[int], **rest: object) -> object:
        read_groups.append(row_groups)
        return iter_batches(self, size, row_groups=row_groups, **rest)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", note)
    read(scratch, *(LocalBytes(str(path), column="jpg", row=i) for i in (0, 2, 3, 4, 5, 8)))
    assert read_groups == [[0], [1], [2]]


def test_memory_does_not_grow_with_a_table(scratch: Path, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).bytes(1 << 20)
    cells = [picture() + noise + bytes([i]) for i in range(40)]
    path = table(tmp_path / "0.parquet", cells, group_size=2)
    before = pa.default_memory_pool().max_memory()
    tracemalloc.start()
    read(scratch, *(LocalBytes(str(path), column="jpg", row=i) for i in range(40)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12 << 20
    assert pa.default_memory_pool().max_memory() - before < 12 << 20


def test_missing_cell_counts_as_changed_on_disk(scratch: Path, tmp_path: Path) -> None:
    path = str(table(tmp_path / "0.parquet", [picture(), None]))
    sources = [
        (path, "jpg", 0),
        (path, "jpg", 9),
        (path, "png", 0),
        (path, "key", 0),
        (str(tmp_path / "none"), "jpg", 0),
    ]
    cells = [LocalBytes(name, column=column, row=row) for name, column, row in sources]
    outcomes = read(scratch, *cells)
    assert [outcome.reason for outcome in outcomes] == [None, *[Reason.UNREADABLE] * 4]
    assert [outcome.changed_on_disk for outcome in outcomes] == [False, True, True, True, False]
    (outcome,) = read(scratch, LocalBytes(path, column="jpg", row=1))
    assert outcome.reason == Reason.EMPTY


def test_damaged_table_loses_only_damaged_cells(scratch: Path, tmp_path: Path) -> None:
    pictures = [picture(seed=i) for i in range(9)]
    path = table(tmp_path / "0.parquet", pictures)
    sources = []
    for i, data in enumerate(pictures):
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        sources.append(LocalBytes(str(path), column="jpg", row=i, digest=digest))
    whole = path.read_bytes()
    group = pq.read_metadata(path).row_group(1).column(1)
    start = group.dictionary_page_offset
    for at in range(start, start + group.total_compressed_size, 601):
        path.write_bytes(whole[:at] + bytes(40) + whole[at + 40 :])
        outcomes = read(scratch, *sources)
        assert [outcome.body is not None for outcome in outcomes[:3] + outcomes[6:]] == [True] * 6
        assert all(outcome.changed_on_disk == (outcome.body is None) for outcome in outcomes)
        for found, data in zip(contents(outcomes), pictures, strict=True):
            assert found in (None, data)


@pytest.mark.parametrize("algorithm", ["sha256", "md5", "sha512"])
@pytest.mark.parametrize(
    ("content", "reason"),
    [(picture(), None), (b"<html>", Reason.NOT_IMAGE), (picture(side=256), Reason.TOO_LARGE)],
)
def test_bytes_with_another_hash_are_changed_on_disk(
    scratch: Path, tmp_path: Path, algorithm: str, content: bytes, reason: Reason | None
) -> None:
    (tmp_path / "x").write_bytes(content)
    path = str(tmp_path / "x")
    right = f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"
    wrong = f"{algorithm}:{hashlib.new(algorithm, b'other').hexdigest()}"
    (outcome,) = read(scratch, LocalBytes(path, digest=right), max_bytes=10**4)
    assert (outcome.reason, outcome.changed_on_disk) == (reason, False)
    (outcome,) = read(scratch, LocalBytes(path, digest=wrong), max_bytes=10**4)
    assert (outcome.body, outcome.reason, outcome.changed_on_disk) == (
        None,
        Reason.UNREADABLE,
        True,
    )
    longer = LocalBytes(path, 0, len(content) + 1, digest=right)
    (outcome,) = read(scratch, longer, max_bytes=10**5)
    assert (outcome.body, outcome.reason, outcome.changed_on_disk) == (None, Reason.TRUNCATED, True)


def test_changed_bytes_are_not_reported_as_finished(scratch: Path, tmp_path: Path) -> None:
    """Their URL is requested later."""
    reasons: list[str | None] = []
    (tmp_path / "x").write_bytes(picture())
    sources = [LocalBytes(str(tmp_path / "x"), digest="md5:0"), LocalBytes(str(tmp_path / "x"))]
    requests = OpenRequests(lambda rows, reason: reasons.append(reason))
    read_local(sources, [None, None], FetchContext(Fetch(), scratch, requests))
    assert reasons == [None]


@pytest.mark.parametrize(
    "name",
    ["pipe.jpg", "zero.jpg", "gone.jpg", "folder", "http://127.0.0.1:9/x", "reference::x.json"],
)
def test_what_is_no_regular_file_is_unreadable_at_once(
    scratch: Path, tmp_path: Path, name: str
) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "zero.jpg").symlink_to("/dev/zero")
    (tmp_path / "folder").mkdir()
    path = name if ":" in name else str(tmp_path / name)
    (outcome,) = read(scratch, LocalBytes(path))
    assert outcome.reason is Reason.UNREADABLE
    assert outcome.body is None
