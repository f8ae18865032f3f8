"""Politeness of both engines: robots.txt, X-Robots-Tag, rate limits and the circuit breaker."""

import gzip
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from curate.errors import Reason
from curate.stages.fetch.circuit_breaker import CircuitBreaker
from curate.stages.fetch.host_limits import HostLimits
from curate.stages.fetch.outcome import Failure, Outcome
from curate.stages.fetch.robots import Robots, opted_out
from tests.site.hostile import SITE, HostileSite, settings

FetchAll = Callable[..., list[Outcome]]
AGENT = "curate-test/1.0 (+mailto:someone@example.org)"


def reasons(outcomes: list[Outcome]) -> list[Reason | None]:
    return [outcome.reason for outcome in outcomes]


def test_robots_txt_is_requested_once_and_obeyed(fetch: FetchAll, site: HostileSite) -> None:
    site.robots_txt = b"User-agent: *\nDisallow: /numbered/\nAllow: /numbered/3$\n"
    outcomes = fetch([site.url("ok"), *(site.url(f"numbered/{i}") for i in range(6))], robots=True)
    assert reasons(outcomes) == [None, *[Reason.ROBOTS] * 3, None, *[Reason.ROBOTS] * 2]
    assert site.hits["robots-text"] == 1
    assert site.hits["numbered/3"] == 1
    assert site.hits.total() == 3


def test_robots_txt_that_is_switched_off_is_not_requested(
    fetch: FetchAll, site: HostileSite
) -> None:
    site.robots_txt = b"User-agent: *\nDisallow: /\n"
    assert reasons(fetch([site.url("ok")], robots=False)) == [None]
    assert set(site.hits) == {"ok"}


@pytest.mark.parametrize("name", [b"curate-test", b"Curate-Test/1.0", b"curate"])
def test_robots_txt_rules_for_our_name_win(fetch: FetchAll, site: HostileSite, name: bytes) -> None:
    site.robots_txt = (
        b"User-agent: " + name + b"\nDisallow: /ok\n\nUser-agent: *\nDisallow: /numbered\n"
    )
    outcomes = fetch([site.url("ok"), site.url("numbered/1")], robots=True, user_agent=AGENT)
    assert reasons(outcomes) == [Reason.ROBOTS, None]


def test_robots_txt_names_the_robot_in_a_browsers_user_agent(
    fetch: FetchAll, site: HostileSite
) -> None:
    site.robots_txt = b"User-agent: mozilla\nDisallow:\n\nUser-agent: MyBot\nDisallow: /\n"
    agent = "Mozilla/5.0 (compatible; MyBot/1.0; +https://example.org/bot)"
    assert reasons(fetch([site.url("ok")], robots=True, user_agent=agent)) == [Reason.ROBOTS]


@pytest.mark.parametrize("encoding", ["", "gzip", "none"])
def test_robots_txt_is_decoded_whatever_the_header_says(encoding: str) -> None:
    text = b"User-agent: *\nDisallow: /\n"
    for body in (text, gzip.compress(text)):
        with pytest.raises(Failure, match="robots"):
            Robots.read(200, body, encoding, AGENT).check(URL(f"http://{SITE}/ok"))


def test_robots_txt_applies_to_redirect_targets(fetch: FetchAll, site: HostileSite) -> None:
    site.robots_txt = b"User-agent: *\nDisallow: /ok\n"
    assert reasons(fetch([site.url("redirect/2")], robots=True)) == [Reason.ROBOTS]
    assert site.hits["ok"] == 0


@pytest.mark.parametrize(
    "path", ["status/404", "status/403", "loop", "redirect-to?file:///etc/passwd", "html", "bomb"]
)
def test_missing_robots_txt_forbids_nothing(fetch: FetchAll, site: HostileSite, path: str) -> None:
    site.robots_path = path
    assert reasons(fetch([site.url("ok")], robots=True)) == [None]


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("status/503", Reason.HTTP_5XX),
        ("status/429", Reason.HTTP_429),
        ("hang-up", Reason.CONNECT),
        ("silent", Reason.TIMEOUT),
        ("truncated", Reason.TRUNCATED),
    ],
)
def test_unavailable_robots_txt_forbids_everything_for_now(
    fetch: FetchAll, site: HostileSite, path: str, reason: Reason
) -> None:
    site.robots_path = path
    (outcome,) = fetch([site.url("ok")], robots=True, deadline=0.5, retries=1)
    assert outcome.reason == reason
    assert reason.transient
    assert site.hits[path] >= 2
    assert site.hits["ok"] == 0


def test_unavailable_robots_txt_is_requested_again_at_the_end(
    fetch: FetchAll, site: HostileSite
) -> None:
    site.robots_path = "busy/0"  # 429 once, then a picture, which forbids nothing
    assert reasons(fetch([site.url("ok")], robots=True)) == [None]


def test_redirected_robots_txt_is_obeyed(fetch: FetchAll, site: HostileSite) -> None:
    site.robots_txt, site.robots_path = b"User-agent: *\nDisallow: /\n", "redirect-to?/robots-text"
    assert reasons(fetch([site.url("ok")], robots=True)) == [Reason.ROBOTS]


def test_robots_txt_does_not_lead_to_a_forbidden_address(
    fetch: FetchAll, site: HostileSite
) -> None:
    site.robots_path = f"redirect-to?{site.canary_url}"
    assert reasons(fetch([site.url("ok")], robots=True)) == [None]
    assert site.canary_hits == 0


def test_endless_robots_txt_is_read_to_its_limit(fetch: FetchAll, site: HostileSite) -> None:
    site.robots_path = "endless"
    assert reasons(fetch([site.url("ok")], robots=True, deadline=20)) == [None]


def test_x_robots_tag_is_obeyed(fetch: FetchAll, site: HostileSite) -> None:
    tags = ["noai", "nofollow", "googlebot:%20noai", "curate-test:%20noai", "none"]
    outcomes = fetch([site.url(f"tagged?{tag}") for tag in tags], user_agent=AGENT)
    assert reasons(outcomes) == [Reason.OPTED_OUT, None, None, Reason.OPTED_OUT, Reason.OPTED_OUT]
    assert outcomes[0].detail == "noai"
    assert reasons(fetch([site.url("tagged?noai")], opt_out=["nofollow"])) == [None]


@pytest.mark.parametrize("path", ["hang-up", "status/503"])
def test_broken_host_is_not_asked_for_every_url(
    fetch: FetchAll, site: HostileSite, path: str
) -> None:
    """About 10 of its 100 URLs are tried, and about 10 once more at the end."""
    outcomes = fetch([site.url(f"{path}?{i}") for i in range(100)], retries=1, per_host=2)
    expected = Reason.CONNECT if path == "hang-up" else Reason.HTTP_5XX
    assert set(reasons(outcomes)) == {expected}
    # aiohttp asks twice when a connection ends without a response
    assert 10 <= site.hits.total() <= 50
    assert min(outcome.attempts for outcome in outcomes) == 0
    assert any("in a row" in str(outcome.detail) for outcome in outcomes)


def test_host_that_recovers_serves_every_url(fetch: FetchAll, site: HostileSite) -> None:
    urls = [site.url(f"wakes?{i}") for i in range(40)]
    outcomes = fetch(urls, retries=1, per_host=1, host_failures=5)
    assert reasons(outcomes) == [None] * 40
    assert site.hits.total() == 45


def test_every_outcome_of_a_broken_host_is_reported_once(
    fetch: FetchAll, site: HostileSite
) -> None:
    finished: list[Outcome] = []
    fetch([site.url(f"hang-up?{i}") for i in range(30)], done=finished.append, retries=1)
    assert len(finished) == 30


@pytest.fixture
def breaker(tmp_path: Path) -> Iterator[Callable[..., CircuitBreaker]]:
    with HostLimits.open(tmp_path / "limits") as limits:
        yield lambda **changes: CircuitBreaker("a.test", settings(**changes), limits)


def test_circuit_breaker_has_the_rate_and_slots_of_the_recipe(
    breaker: Callable[..., CircuitBreaker],
) -> None:
    steady = breaker(per_host_rate=0.01, per_host=3)
    assert [round(steady.reserve() / 100) for _ in range(3)] == [0, 1, 2]
    assert [steady.acquire() is None for _ in range(4)] == [False, False, False, True]


def test_retry_after_holds_for_all_up_to_the_deadline(
    breaker: Callable[..., CircuitBreaker],
) -> None:
    busy = breaker(deadline=600.0)
    busy.record(Failure(Reason.HTTP_429, retry_after=300.0))
    assert 290 < busy.reserve() <= 300
    busy.record(Failure(Reason.HTTP_429, retry_after=10**6))
    assert 590 < busy.reserve() <= 600


def test_circuit_breaker_opens_after_failures_in_a_row(
    breaker: Callable[..., CircuitBreaker],
) -> None:
    down = breaker(host_failures=3, per_host=100)
    for failure in (Reason.CONNECT, Reason.TIMEOUT, Reason.HTTP_404, Reason.CONNECT, Reason.DNS):
        down.record(Failure(failure))
        down.acquire()
    down.record(Failure(Reason.HTTP_5XX))
    with pytest.raises(Failure, match="3 times in a row") as opened:
        down.acquire()
    assert opened.value.reason == Reason.HTTP_5XX
    assert not opened.value.requested
    down.reset()
    assert down.acquire() is not None


@given(
    st.binary(max_size=2000)
    | st.text(alphabet="UserAgnt-:*dilowDsa/$ \n", max_size=500).map(str.encode)
)
def test_any_robots_txt_is_parsed(body: bytes) -> None:
    for encoding in ("", "gzip"):
        try:
            Robots.read(200, body, encoding, AGENT).check(URL(f"http://{SITE}/ok"))
        except Failure as failure:
            assert failure.reason == Reason.ROBOTS


@given(st.lists(st.text(alphabet="noaidex:,-* curtbmg", max_size=40)))
def test_any_x_robots_tag_is_parsed(values: list[str]) -> None:
    opted_out(values, ["noai"], AGENT)


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (["noindex, nofollow"], "noindex"),
        (["nofollow", " NOAI "], "noai"),
        (["unavailable_after: 25 Jun 2010 15:00:00 PST, noai"], "noai"),
        (["otherbot: noai, noindex"], None),
        (["otherbot: noai, *: noindex"], "noindex"),
        (["otherbot: noai", "noimageai"], "noimageai"),
        (["curate-test/1.0: noai"], "noai"),
        (["max-image-preview: large"], None),
        ([""], None),
    ],
)
def test_directives_apply_to_everybody_or_to_the_named_robot(
    values: list[str], found: str | None
) -> None:
    assert opted_out(values, ("noai", "noimageai", "noindex", "noimageindex"), AGENT) == found


def test_every_request_reserves_its_time(
    fetch: FetchAll, site: HostileSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    reserved: list[None] = []
    monkeypatch.setattr(CircuitBreaker, "reserve", lambda self: reserved.append(None) or 0.0)
    fetch([site.url("ok"), site.url("redirect/2")])
    assert len(reserved) == site.hits.total() == 4
