from hypothesis import example, given
from hypothesis import strategies as st

from curate.stages.fetch.http_framing import MAX_HEAD_BYTES, ResponseCleaner
from tests.site.hostile import MALFORMED, ODD, picture

PIECES = [
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 103 Hints\r\n\r\n",
    b"Content-Length: 5\r\n",
    b"content-length:7\n",
    b"Transfer-Encoding: chunked\r\n",
    b" folded\r\n",
    b"Location: /a\r\n",
    b"\r\n",
    b"\n",
    b"\r",
    b"5\r\nhello\r\n",
    b"5;x=y\nhello\n",
    b"0\r\n\r\n",
    b"hello",
]


def clean(data: bytes, step: int) -> tuple[bytes, bool]:
    """Return the clean bytes of a response that comes in pieces, and whether it has a fault."""
    cleaner = ResponseCleaner()
    pieces = [cleaner.feed(data[i : i + step]) for i in range(0, len(data), step)]
    return b"".join(pieces), cleaner.fault is not None


@given(st.binary(max_size=200) | st.lists(st.sampled_from(PIECES)).map(b"".join), st.integers(1, 9))
@example(PIECES[0] + PIECES[4] + b"\r\n" + PIECES[10] + b"5\r\nhello\r", 1)
def test_any_response_is_cleaned_alike_in_any_pieces(data: bytes, step: int) -> None:
    assert clean(data, step) == clean(data, max(len(data), 1))


@given(st.lists(st.sampled_from(PIECES)).map(b"".join))
def test_any_clean_response_stays_as_it_is(data: bytes) -> None:
    once, _ = clean(data, 1000)
    assert clean(once, 1000) == (once, False)


def test_odd_responses_become_strict_ones() -> None:
    for name, data in ODD.items():
        strict, fault = clean(data, 1 << 16)
        assert not fault, name
        assert strict.startswith((b"HTTP/1.1 200 ", b"HTTP/1.0 200 ")), name
        assert b"cookie" not in strict.lower(), name
        assert strict.endswith((picture(), b"\r\n0\r\n\r\n")), name


def test_malformed_responses_have_a_fault() -> None:
    assert [name for name, data in MALFORMED.items() if not clean(data, 1 << 16)[1]] == []


def test_head_may_have_a_fixed_number_of_bytes() -> None:
    start, end = b"HTTP/1.1 200 OK\r\nX: ", b"\r\n\r\n"
    filler = MAX_HEAD_BYTES - len(start + end)
    assert clean(start + b"a" * filler + end, 1000) == (b"HTTP/1.1 200 \r\n\r\n", False)
    assert clean(start + b"a" * (filler + 1) + end, 1000) == (b"", True)


def test_bytes_behind_the_end_are_excess() -> None:
    cleaner = ResponseCleaner()
    head = b"HTTP/1.1 200 \r\ncontent-length: 5\r\n\r\n"
    assert cleaner.feed(head + b"hello") == head + b"hello"
    assert not cleaner.has_excess
    assert cleaner.feed(b"HTTP/1.1 200 OK\r\n\r\n") == b""
    assert cleaner.has_excess


def test_head_in_single_bytes_is_searched_once() -> None:
    """Each piece searches the new bytes alone, however long the head has become."""
    cleaner = ResponseCleaner()
    cleaner.feed(b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 1000)
    assert cleaner._searched == len(cleaner._buffer) - 2
