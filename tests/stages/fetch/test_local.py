import hashlib
import io
import tarfile
import tracemalloc
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.errors import Reason
from curate.recipe import Fetch
from curate.stages.fetch.local import LocalBytes, read_local
from curate.stages.fetch.open_requests import Watch
from curate.stages.fetch.outcome import Outcome
from tests.site.hostile import picture


def read(scratch: Path, *sources: LocalBytes, **settings: int) -> list[Outcome]:
    return read_local(sources, Fetch(**settings), scratch, Watch())


def test_a_whole_file(scratch: Path, tmp_path: Path) -> None:
    (tmp_path / "a, b.png").write_bytes(picture("PNG"))
    (outcome,) = read(scratch, LocalBytes(str(tmp_path / "a, b.png")))
    assert outcome.body is not None, outcome
    assert outcome.body.path.read_bytes() == picture("PNG")
    assert (outcome.body.format, outcome.final_url, outcome.http_status) == ("PNG", None, None)


def test_members_of_a_tar(scratch: Path, tmp_path: Path) -> None:
    path = tmp_path / "download.tar"
    with tarfile.open(path, "w") as tar:
        for seed in range(3):
            member = tarfile.TarInfo(f"{seed}.jpg")
            member.size = len(picture(seed=seed))
            tar.addfile(member, io.BytesIO(picture(seed=seed)))
    with tarfile.open(path) as tar:
        sources = [LocalBytes(str(path), member.offset_data, member.size) for member in tar]
    bodies = [outcome.body for outcome in read(scratch, *sources)]
    assert [body and body.path.read_bytes() for body in bodies] == [
        picture(seed=seed) for seed in range(3)
    ]


def test_any_fsspec_path(scratch: Path) -> None:
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
def test_the_checks_of_downloaded_bytes_hold(
    scratch: Path, tmp_path: Path, content: bytes, nbytes: int | None, reason: Reason
) -> None:
    (tmp_path / "x").write_bytes(content)
    (outcome,) = read(scratch, LocalBytes(str(tmp_path / "x"), nbytes=nbytes), max_bytes=10**4)
    assert (outcome.reason, outcome.body) == (reason, None)
    assert not list(scratch.iterdir())


@pytest.mark.parametrize("name", ["gone.jpg", ""])
def test_a_file_that_cannot_be_read(scratch: Path, tmp_path: Path, name: str) -> None:
    (outcome,) = read(scratch, LocalBytes(str(tmp_path / name)))
    assert outcome.reason == Reason.UNREADABLE
    assert str(tmp_path) not in str(outcome.detail)


def table(path: Path, cells: list[bytes | None], rows_in_a_group: int = 3) -> Path:
    columns = {"key": pa.array(map(str, range(len(cells)))), "jpg": pa.array(cells, pa.binary())}
    pq.write_table(pa.table(columns), path, row_group_size=rows_in_a_group)
    return path


@pytest.mark.parametrize("order", [[*range(8)], [7, 2, 2, 0, 5, 6], [3], [1, 4, 7]])
def test_cells_of_a_table(scratch: Path, tmp_path: Path, order: list[int]) -> None:
    paths = [
        table(tmp_path / f"{n}.parquet", [picture(seed=10 * n + i) for i in range(8)])
        for n in (0, 1)
    ]
    places = [(n, i) for n in (0, 1) for i in order]
    sources = [LocalBytes(str(paths[n]), column="jpg", row=i) for n, i in places]
    bodies = [outcome.body for outcome in read(scratch, *sources)]
    assert [body and body.path.read_bytes() for body in bodies] == [
        picture(seed=10 * n + i) for n, i in places
    ]


def test_a_row_group_is_read_once(
    scratch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = table(tmp_path / "0.parquet", [picture(seed=i) for i in range(9)])
    asked: list[list[int]] = []
    iter_batches = pq.ParquetFile.iter_batches

    def note(self: pq.ParquetFile, size: int, row_groups: list[int], **rest: object) -> object:
        asked.append(row_groups)
        return iter_batches(self, size, row_groups=row_groups, **rest)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", note)
    read(scratch, *(LocalBytes(str(path), column="jpg", row=i) for i in (0, 2, 3, 4, 5, 8)))
    assert asked == [[0], [1], [2]]


def test_memory_does_not_grow_with_a_table(scratch: Path, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).bytes(1 << 20)
    path = table(
        tmp_path / "0.parquet",
        [picture() + noise + bytes([i]) for i in range(40)],
        rows_in_a_group=2,
    )
    before = pa.default_memory_pool().max_memory()
    tracemalloc.start()
    read(scratch, *(LocalBytes(str(path), column="jpg", row=i) for i in range(40)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12 << 20
    assert pa.default_memory_pool().max_memory() - before < 12 << 20


def test_a_cell_that_is_not_there_has_changed(scratch: Path, tmp_path: Path) -> None:
    path = str(table(tmp_path / "0.parquet", [picture(), None]))
    sources = [
        (path, "jpg", 0),
        (path, "jpg", 9),
        (path, "png", 0),
        (path, "key", 0),
        (str(tmp_path / "none"), "jpg", 0),
    ]
    outcomes = read(
        scratch, *(LocalBytes(name, column=column, row=row) for name, column, row in sources)
    )
    assert [outcome.reason for outcome in outcomes] == [None, *[Reason.UNREADABLE] * 4]
    assert [outcome.altered for outcome in outcomes] == [False, True, True, True, False]
    (outcome,) = read(scratch, LocalBytes(path, column="jpg", row=1))
    assert outcome.reason == Reason.EMPTY


def test_a_damaged_table_gives_what_is_whole(scratch: Path, tmp_path: Path) -> None:
    pictures = [picture(seed=i) for i in range(9)]
    path = table(tmp_path / "0.parquet", pictures)
    sources = [
        LocalBytes(
            str(path), column="jpg", row=i, digest=f"sha256:{hashlib.sha256(data).hexdigest()}"
        )
        for i, data in enumerate(pictures)
    ]
    whole = path.read_bytes()
    group = pq.read_metadata(path).row_group(1).column(1)
    start = group.dictionary_page_offset
    for at in range(start, start + group.total_compressed_size, 601):
        path.write_bytes(whole[:at] + bytes(40) + whole[at + 40 :])
        outcomes = read(scratch, *sources)
        assert [outcome.body is not None for outcome in outcomes[:3] + outcomes[6:]] == [True] * 6
        assert all(outcome.altered == (outcome.body is None) for outcome in outcomes)
        assert all(
            o.body is None or o.body.path.read_bytes() == data
            for o, data in zip(outcomes, pictures, strict=True)
        )


@pytest.mark.parametrize("algorithm", ["sha256", "md5", "sha512"])
@pytest.mark.parametrize(
    ("content", "reason"),
    [(picture(), None), (b"<html>", Reason.NOT_IMAGE), (picture(side=256), Reason.TOO_LARGE)],
)
def test_a_hash_tells_what_has_changed(
    scratch: Path, tmp_path: Path, algorithm: str, content: bytes, reason: Reason | None
) -> None:
    (tmp_path / "x").write_bytes(content)
    right, wrong = (
        f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}" for data in (content, b"other")
    )
    (outcome,) = read(scratch, LocalBytes(str(tmp_path / "x"), digest=right), max_bytes=10**4)
    assert (outcome.reason, outcome.altered) == (reason, False)
    (outcome,) = read(scratch, LocalBytes(str(tmp_path / "x"), digest=wrong), max_bytes=10**4)
    assert (outcome.body, outcome.reason, outcome.altered) == (None, Reason.UNREADABLE, True)
    (outcome,) = read(
        scratch, LocalBytes(str(tmp_path / "x"), 0, len(content) + 1, digest=right), max_bytes=10**5
    )
    assert (outcome.body, outcome.reason, outcome.altered) == (None, Reason.TRUNCATED, True)


def test_the_end_of_what_has_changed_is_not_told(scratch: Path, tmp_path: Path) -> None:
    """It is still to be asked for."""
    ends: list[str | None] = []
    (tmp_path / "x").write_bytes(picture())
    sources = [LocalBytes(str(tmp_path / "x"), digest="md5:0"), LocalBytes(str(tmp_path / "x"))]
    read_local(sources, Fetch(), scratch, Watch(lambda rows, reason: ends.append(reason)))
    assert ends == [None]
