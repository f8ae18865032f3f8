import io
import tarfile
from pathlib import Path

import fsspec
import pytest
from hostile import picture

from curate.errors import Reason
from curate.fetch.local import LocalBytes, read_local
from curate.fetch.outcome import Outcome
from curate.recipe import Fetch


def read(scratch: Path, *sources: LocalBytes, **settings: int) -> list[Outcome]:
    return read_local(sources, Fetch(**settings), scratch, lambda: None)


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
    assert [body and body.path.read_bytes() for body in bodies] == [picture(seed=seed) for seed in range(3)]


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
