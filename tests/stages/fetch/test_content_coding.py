import gzip
import zlib

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import Reason
from curate.stages.fetch.content_coding import Decoder
from curate.stages.fetch.outcome import Failure
from tests.site.hostile import picture


def decode(data: bytes, declared: str = "", step: int = 1000, limit: int = 10**6) -> bytes:
    decoder = Decoder(declared, limit)
    decoded = b""
    for start in range(0, len(data), step):
        decoded += b"".join(decoder.feed(data[start : start + step]))
    return decoded + b"".join(decoder.finish())


def bare_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    "declared",
    ["aws-chunked", "UTF-8", "binary", "none", "image/jpeg", "gzip", "deflate", "br", "", ", gzip"],
)
def test_picture_stays_as_it_is_whatever_the_header_says(declared: str) -> None:
    assert decode(picture(), declared) == picture()


@pytest.mark.parametrize("step", [1, 7, 4096, 10**6])
@pytest.mark.parametrize(
    "data",
    [
        gzip.compress(picture()),
        gzip.compress(picture()[:1000]) + gzip.compress(picture()[1000:]),
        gzip.compress(b"") + gzip.compress(picture()) + bytes(500),
        gzip.compress(picture()) + b"anything",
        gzip.compress(gzip.compress(picture())),
        zlib.compress(picture()),
        zlib.compress(picture(), 1),
    ],
    ids=["gzip", "members", "padding", "excess", "twice", "zlib", "zlib-1"],
)
def test_coding_is_undone_whatever_the_header_says(data: bytes, step: int) -> None:
    for declared in ("", ", gzip", "aws-chunked,gzip", "identity", "br"):
        assert decode(data, declared, step) == picture()


def coded(coding: str, data: bytes) -> bytes:
    return pa.compress(data, codec={"br": "brotli"}.get(coding, coding), asbytes=True)


@pytest.mark.parametrize("step", [7, 10**6])
def test_zstd_is_undone_whatever_the_header_says(step: int) -> None:
    for data in (coded("zstd", picture()), coded("zstd", gzip.compress(picture()))):
        for declared in ("", "zstd", "br", "gzip"):
            assert decode(data, declared, step) == picture()


@pytest.mark.parametrize("step", [7, 10**6])
def test_br_is_undone_where_it_is_declared(step: int) -> None:
    data = coded("br", picture())
    assert decode(data, "br", step) == picture()
    assert decode(gzip.compress(data), "br, gzip", step) == picture()
    assert decode(coded("br", b"User-agent: *"), "BR", step) == b"User-agent: *"
    assert decode(data, "", step) == data


@pytest.mark.parametrize("coding", ["zstd", "br"])
def test_body_in_zstd_or_br_is_bounded_and_whole_or_refused(coding: str) -> None:
    for data, reason in (
        (coded(coding, bytes(10**6)), Reason.TOO_LARGE),
        (coded(coding, picture())[:-20], Reason.TRUNCATED),
        (coded(coding, picture())[:6] + b"\xff" * 900, Reason.NOT_IMAGE),
    ):
        with pytest.raises(Failure) as failure:
            decode(data, coding, limit=50_000)
        assert failure.value.reason == reason


def test_bare_deflate_is_undone_where_it_is_declared() -> None:
    assert decode(bare_deflate(picture()), "Deflate") == picture()
    assert decode(bare_deflate(picture())) == bare_deflate(picture())


@pytest.mark.parametrize(
    "data",
    [gzip.compress(bytes(10**6)), gzip.compress(gzip.compress(bytes(10**8)))],
    ids=["bomb", "bomb in a bomb"],
)
def test_limit_applies_to_each_layer(data: bytes) -> None:
    with pytest.raises(Failure) as failure:
        decode(data, limit=50_000)
    assert failure.value.reason == Reason.TOO_LARGE


def test_gzip_of_very_many_members_is_refused() -> None:
    with pytest.raises(Failure, match="members") as failure:
        decode(gzip.compress(b"") * 10_002)
    assert failure.value.reason == Reason.NOT_IMAGE


@given(st.binary(max_size=300), st.sampled_from(["", "gzip", "deflate"]), st.integers(1, 9))
def test_any_bytes_are_decoded_alike_in_any_pieces(data: bytes, declared: str, step: int) -> None:
    def result(body: bytes, step: int) -> bytes | Reason:
        try:
            return decode(body, declared, step)
        except Failure as failure:
            return failure.reason

    for body in (data, gzip.compress(data), gzip.compress(data)[:-3] + data):
        assert result(body, step) == result(body, 1000)
