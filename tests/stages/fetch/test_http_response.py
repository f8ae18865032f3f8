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
from curate.stages.fetch.http_response import judge, next_hop
from curate.stages.fetch.outcome import Failure, Outcome


def retry_after(value: str) -> float | None:
    with pytest.raises(Failure) as failure:
        judge(503, CIMultiDict({"retry-after": value}), Fetch(max_bytes=100), Outcome())
    return failure.value.retry_after


def test_retry_after_is_a_number_or_a_date() -> None:
    assert retry_after("120") == 120
    assert retry_after(" 0 ") == 0
    soon = datetime.now(UTC) + timedelta(seconds=90)
    assert retry_after(format_datetime(soon, usegmt=True)) == pytest.approx(90, abs=5)
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0


@given(st.text() | st.integers().map(str) | st.integers().map("Fri, 31 Dec {} 23:59:59 GMT".format))
def test_any_retry_after_is_understood_or_ignored(value: str) -> None:
    seconds = retry_after(value)
    assert seconds is None or seconds >= 0


@given(st.text() | st.integers().map(str))
def test_any_content_length_is_understood_or_ignored(value: str) -> None:
    outcome = Outcome()
    try:
        judge(200, CIMultiDict({"CONTENT-LENGTH": value}), Fetch(max_bytes=100), outcome)
    except Failure as failure:
        assert failure.reason == Reason.TOO_LARGE
    assert outcome.content_length is None or 0 <= outcome.content_length < 2**63


def test_every_status_has_one_meaning() -> None:
    meanings = {}
    for status in range(100, 1000):
        try:
            judge(status, CIMultiDict(), Fetch(max_bytes=100), Outcome())
        except Failure as failure:
            meanings[status] = failure.reason
    assert set(range(100, 1000)) - set(meanings) == set(range(200, 300)) - {206}
    assert {status for status, reason in meanings.items() if reason.transient} == {
        429,
        *range(500, 600),
    }
    assert {status for status, reason in meanings.items() if reason == Reason.HTTP_404} == {
        404,
        410,
    }


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


def test_pauses_double_and_end_with_the_tries_or_the_time() -> None:
    config = Fetch(backoff=1, retries=3, deadline=60)
    outcome = Outcome(reason=Reason.CONNECT)
    pauses = []
    for _ in range(4):
        outcome.begin()
        outcome.fail(Failure(Reason.CONNECT))
        pauses.append(outcome.pause(config))
    assert pauses[2:] == [None, None]  # the last try is left for the end of the shard
    for pause, low in zip(pauses[:2], (1, 2), strict=True):
        assert pause is not None
        assert low <= pause <= 1.5 * low
    outcome.attempts, outcome.seconds = 1, 59.5
    assert outcome.pause(config) is None
    outcome.fail(Failure(Reason.HTTP_404))
    outcome.seconds = 0
    assert outcome.pause(config) is None


def test_a_last_try_is_for_what_may_pass_and_was_not_tried_too_often() -> None:
    config = Fetch(retries=2, deadline=60)
    for failure, attempts, expected in [
        (Failure(Reason.TIMEOUT), 1, True),
        (Failure(Reason.TIMEOUT), 2, True),
        (Failure(Reason.TIMEOUT), 3, False),
        (Failure(Reason.HTTP_404), 1, False),
        (Failure(Reason.HTTP_429, retry_after=59.0), 1, True),
        (Failure(Reason.HTTP_429, retry_after=60.0), 1, False),
        (Failure(Reason.CONNECT, asked=False), 1, True),
    ]:
        outcome = Outcome(attempts=attempts)
        outcome.fail(failure)
        assert outcome.may_end_otherwise(config) == expected, failure
    assert not Outcome(attempts=1).may_end_otherwise(config)
