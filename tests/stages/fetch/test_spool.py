import errno
import gzip
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import Reason, RunError
from curate.stages.fetch.outcome import Body, Failure
from curate.stages.fetch.spool import Spool
from tests.site.hostile import picture


def spool(path: Path, data: bytes, step: int = 100, limit: int = 10**6, encoding: str = "") -> Body:
    with Spool(path, limit, encoding) as open_spool:
        for i in range(0, len(data), step):
            open_spool.write(data[i : i + step])
        return open_spool.finish()


@pytest.mark.parametrize("step", [1, 63, 64, 65, 10**6])
@pytest.mark.parametrize("encoding", ["", "identity", "gzip", "Deflate"])
def test_spool_restores_bytes_from_any_pieces(tmp_path: Path, step: int, encoding: str) -> None:
    data = picture()
    packer = zlib.compressobj(wbits={"gzip": 31}.get(encoding, 15))
    sent = data if encoding in ("", "identity") else packer.compress(data) + packer.flush()
    body = spool(tmp_path / "body", sent, step, encoding=encoding)
    assert body.path.read_bytes() == data
    assert (body.nbytes, body.format) == (len(data), "JPEG")


def test_spool_limit_is_inclusive(tmp_path: Path) -> None:
    data = picture()
    assert spool(tmp_path / "body", data, limit=len(data)).nbytes == len(data)
    with pytest.raises(Failure) as failure:
        spool(tmp_path / "body", data, limit=len(data) - 1)
    assert failure.value.reason == Reason.TOO_LARGE


@pytest.mark.parametrize(
    ("data", "encoding", "reason"),
    [
        (b"", "", Reason.EMPTY),
        (b"", "gzip", Reason.EMPTY),
        (b"<p>", "", Reason.NOT_IMAGE),
        (b"<p>" + bytes(1000), "", Reason.NOT_IMAGE),
        (b"no gzip at all", "gzip", Reason.NOT_IMAGE),
        (zlib.compress(picture())[:-9], "deflate", Reason.TRUNCATED),
        (gzip.compress(bytes(10**6)), "", Reason.NOT_IMAGE),
        (gzip.compress(picture())[:-9], "", Reason.TRUNCATED),
    ],
)
def test_rejected_body_leaves_no_file(
    tmp_path: Path, data: bytes, encoding: str, reason: Reason
) -> None:
    with pytest.raises(Failure) as failure:
        spool(tmp_path / "body", data, encoding=encoding)
    assert failure.value.reason == reason
    assert not (tmp_path / "body").exists()


def test_page_is_rejected_at_its_first_bytes(tmp_path: Path) -> None:
    with Spool(tmp_path / "body", 10**6) as open_spool, pytest.raises(Failure, match="<html>"):
        open_spool.write(b"<html>".ljust(64))


def test_disk_full_at_the_last_byte_raises(tmp_path: Path) -> None:
    class FullDisk:
        def close(self) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(RunError, match="make room"), Spool(tmp_path / "body", 10**6) as open_spool:
        open_spool.write(picture())
        open_spool._file.close()
        open_spool._file = FullDisk()  # type: ignore[assignment]
        open_spool.finish()
    assert not (tmp_path / "body").exists()


@given(st.binary(max_size=300), st.sampled_from(["", "gzip", "deflate"]))
def test_any_bytes_give_a_body_or_a_reason(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, encoding: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "any"
    try:
        body = spool(path, data, encoding=encoding)
    except Failure:
        assert not path.exists()
    else:
        assert path.stat().st_size == body.nbytes > 0
