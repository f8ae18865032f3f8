from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict
from yarl import URL

from curate.errors import Reason
from curate.recipe import Fetch
from curate.stages.fetch.guard import Guard
from curate.stages.fetch.http_response import check_response, content_encoding, next_hop
from curate.stages.fetch.outcome import Failure, Outcome

ANY_HEADER = st.binary(max_size=60).map(lambda data: data.decode("utf-8", "surrogateescape"))
"""Value of a header as aiohttp decodes any bytes."""
NAMES = ("Location", "Content-Encoding", "Content-Length", "Content-Type", "Retry-After")


def retry_after(value: str) -> float | None:
    with pytest.raises(Failure) as failure:
        check_response(503, CIMultiDict({"retry-after": value}), Fetch(max_bytes=100), Outcome())
    return failure.value.retry_after


def test_retry_after_may_be_a_number_or_a_date() -> None:
    assert retry_after("120") == 120
    assert retry_after(" 0 ") == 0
    soon = datetime.now(UTC) + timedelta(seconds=90)
    assert retry_after(format_datetime(soon, usegmt=True)) == pytest.approx(90, abs=5)
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0


@given(st.text() | st.integers().map(str) | st.integers().map("Fri, 31 Dec {} 23:59:59 GMT".format))
def test_any_retry_after_is_parsed_or_ignored(value: str) -> None:
    seconds = retry_after(value)
    assert seconds is None or seconds >= 0


@given(st.text() | st.integers().map(str))
def test_any_content_length_is_parsed_or_ignored(value: str) -> None:
    outcome = Outcome()
    try:
        check_response(200, CIMultiDict({"CONTENT-LENGTH": value}), Fetch(max_bytes=100), outcome)
    except Failure as failure:
        assert failure.reason == Reason.TOO_LARGE
    assert outcome.content_length is None or 0 <= outcome.content_length < 2**63


def test_every_status_has_one_meaning() -> None:
    meanings = {}
    for status in range(100, 1000):
        try:
            check_response(status, CIMultiDict(), Fetch(max_bytes=100), Outcome())
        except Failure as failure:
            meanings[status] = failure.reason
    assert set(range(100, 1000)) - set(meanings) == set(range(200, 300)) - {206}
    transient = {status for status, reason in meanings.items() if reason.transient}
    assert transient == {429, *range(500, 600)}
    gone = {status for status, reason in meanings.items() if reason == Reason.HTTP_404}
    assert gone == {404, 410}


@given(
    st.dictionaries(st.sampled_from([*NAMES, "X-Robots-Tag"]), ANY_HEADER),
    st.sampled_from([200, 204, 302, 429, 503]),
)
def test_any_headers_give_a_url_a_body_or_a_reason(headers: dict[str, str], status: int) -> None:
    values, base = CIMultiDict(headers), URL("http://example.com/a")
    try:
        check_response(status, values, Fetch(max_bytes=100), Outcome())
    except Failure as failure:
        assert isinstance(failure.detail.encode(), bytes)
    content_encoding(values)
    with suppress(Failure):
        next_hop(status, values, [base], Guard(), 5)


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/caf\N{LATIN SMALL LETTER E WITH ACUTE}".encode("latin-1"), "/caf%E9"),
        ("/caf\N{LATIN SMALL LETTER E WITH ACUTE}".encode(), "/caf%C3%A9"),
    ],
)
def test_redirect_keeps_the_bytes_of_its_target(location: bytes, target: str) -> None:
    headers = CIMultiDict(location=location.decode("utf-8", "surrogateescape"))
    url = next_hop(302, headers, [URL("http://example.com/a")], Guard(), 5)
    assert str(url) == f"http://example.com{target}"


def test_redirects_are_followed_up_to_the_limit() -> None:
    def follow(location: str, *visited: str, limit: int = 2, status: int = 302) -> URL | None:
        urls = [URL(f"http://example.com/{path}") for path in visited]
        return next_hop(status, CIMultiDict(location=location), urls, Guard(), limit)

    assert follow("b", "a") == URL("http://example.com/b")
    assert follow("c#part", "a", "b") == URL("http://example.com/c")
    assert follow("b", "a", status=200) is None
    assert follow("", "a") is None
    for location in ("d", "b"):
        with pytest.raises(Failure, match="redirects"):
            follow(location, "a", "b", "c")
    with pytest.raises(Failure, match="forbidden_address"):
        follow("http://127.0.0.1/", "a")


def test_retry_delays_double_until_retries_or_time_run_out() -> None:
    config = Fetch(backoff=1, retries=3, deadline=60)
    outcome = Outcome(reason=Reason.CONNECT)
    delays = []
    for _ in range(4):
        outcome.start_attempt()
        outcome.fail(Failure(Reason.CONNECT))
        delays.append(outcome.retry_delay(config))
    assert delays[2:] == [None, None]  # the last retry is at the end of the shard
    for delay, low in zip(delays[:2], (1, 2), strict=True):
        assert delay is not None
        assert low <= delay <= 1.5 * low
    outcome.attempts, outcome.seconds = 1, 59.5
    assert outcome.retry_delay(config) is None
    outcome.fail(Failure(Reason.HTTP_404))
    outcome.seconds = 0
    assert outcome.retry_delay(config) is None


def test_last_retry_is_for_transient_failures_with_retries_left() -> None:
    config = Fetch(retries=2, deadline=60)
    for failure, attempts, expected in [
        (Failure(Reason.TIMEOUT), 1, True),
        (Failure(Reason.TIMEOUT), 2, True),
        (Failure(Reason.TIMEOUT), 3, False),
        (Failure(Reason.HTTP_404), 1, False),
        (Failure(Reason.HTTP_429, retry_after=59.0), 1, True),
        (Failure(Reason.HTTP_429, retry_after=60.0), 1, False),
        (Failure(Reason.CONNECT, requested=False), 1, True),
    ]:
        outcome = Outcome(attempts=attempts)
        outcome.fail(failure)
        assert outcome.deserves_last_retry(config) == expected, failure
    assert not Outcome(attempts=1).deserves_last_retry(config)
