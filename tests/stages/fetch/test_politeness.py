"""Manners, held by both engines: robots.txt, X-Robots-Tag, rates, and leaving alone a host that is down."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from curate.errors import Reason
from curate.stages.fetch.circuit_breaker import Host
from curate.stages.fetch.host_limits import Turns
from curate.stages.fetch.outcome import Failure, Outcome
from curate.stages.fetch.robots import Robots, opted_out
from tests.site.hostile import SITE, HostileSite, settings

FetchAll = Callable[..., list[Outcome]]
AGENT = "curate-test/1.0 (+mailto:someone@example.org)"


def reasons(outcomes: list[Outcome]) -> list[Reason | None]:
    return [outcome.reason for outcome in outcomes]


def test_robots_txt_is_asked_for_once_and_heeded(fetch: FetchAll, site: HostileSite) -> None:
    site.robots_txt = b"User-agent: *\nDisallow: /numbered/\nAllow: /numbered/3$\n"
    outcomes = fetch([site.url("ok"), *(site.url(f"numbered/{i}") for i in range(6))], robots=True)
    assert reasons(outcomes) == [None, *[Reason.ROBOTS] * 3, None, *[Reason.ROBOTS] * 2]
    assert site.hits["robots-text"] == 1
    assert site.hits["numbered/3"] == 1
    assert site.hits.total() == 3


def test_it_is_not_asked_for_when_the_recipe_says_so(fetch: FetchAll, site: HostileSite) -> None:
    site.robots_txt = b"User-agent: *\nDisallow: /\n"
    assert reasons(fetch([site.url("ok")], robots=False)) == [None]
    assert set(site.hits) == {"ok"}


def test_rules_for_us_by_name(fetch: FetchAll, site: HostileSite) -> None:
    site.robots_txt = (
        b"User-agent: curate-test\nDisallow: /ok\n\nUser-agent: *\nDisallow: /numbered\n"
    )
    outcomes = fetch([site.url("ok"), site.url("numbered/1")], robots=True, user_agent=AGENT)
    assert reasons(outcomes) == [Reason.ROBOTS, None]


def test_a_redirect_needs_leave_where_it_leads(fetch: FetchAll, site: HostileSite) -> None:
    site.robots_txt = b"User-agent: *\nDisallow: /ok\n"
    assert reasons(fetch([site.url("redirect/2")], robots=True)) == [Reason.ROBOTS]
    assert site.hits["ok"] == 0


@pytest.mark.parametrize(
    "path", ["status/404", "status/403", "loop", "redirect-to?file:///etc/passwd", "html", "bomb"]
)
def test_a_robots_txt_that_there_never_is_forbids_nothing(
    fetch: FetchAll, site: HostileSite, path: str
) -> None:
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
def test_a_robots_txt_that_cannot_be_had_for_now_forbids_all_for_now(
    fetch: FetchAll, site: HostileSite, path: str, reason: Reason
) -> None:
    site.robots_path = path
    (outcome,) = fetch([site.url("ok")], robots=True, deadline=0.5, retries=1)
    assert outcome.reason == reason
    assert reason.transient
    assert site.hits[path] >= 2
    assert site.hits["ok"] == 0


def test_a_robots_txt_that_is_back_at_the_end_of_the_shard(
    fetch: FetchAll, site: HostileSite
) -> None:
    site.robots_path = "busy/0"  # 429 once, then a picture, which forbids nothing
    assert reasons(fetch([site.url("ok")], robots=True)) == [None]


def test_a_redirected_robots_txt_counts(fetch: FetchAll, site: HostileSite) -> None:
    site.robots_txt, site.robots_path = b"User-agent: *\nDisallow: /\n", "redirect-to?/robots-text"
    assert reasons(fetch([site.url("ok")], robots=True)) == [Reason.ROBOTS]


def test_a_robots_txt_leads_to_no_forbidden_address(fetch: FetchAll, site: HostileSite) -> None:
    site.robots_path = f"redirect-to?{site.canary_url}"
    assert reasons(fetch([site.url("ok")], robots=True)) == [None]
    assert site.canary_hits == 0


def test_an_endless_robots_txt_is_read_to_its_limit(fetch: FetchAll, site: HostileSite) -> None:
    site.robots_path = "endless"
    assert reasons(fetch([site.url("ok")], robots=True, deadline=20)) == [None]


def test_x_robots_tag_is_heeded(fetch: FetchAll, site: HostileSite) -> None:
    tags = ["noai", "nofollow", "googlebot:%20noai", "curate-test:%20noai", "none"]
    outcomes = fetch([site.url(f"tagged?{tag}") for tag in tags], user_agent=AGENT)
    assert reasons(outcomes) == [Reason.OPTED_OUT, None, None, Reason.OPTED_OUT, Reason.OPTED_OUT]
    assert outcomes[0].detail == "noai"
    assert reasons(fetch([site.url("tagged?noai")], opt_out=["nofollow"])) == [None]


@pytest.mark.parametrize("path", ["hang-up", "status/503"])
def test_a_host_that_is_down_is_not_asked_for_everything(
    fetch: FetchAll, site: HostileSite, path: str
) -> None:
    """Of its 100 URLs some 10 are tried, and some 10 once more at the end."""
    outcomes = fetch([site.url(f"{path}?{i}") for i in range(100)], retries=1, per_host=2)
    assert {outcome.reason for outcome in outcomes} == {
        Reason.CONNECT if path == "hang-up" else Reason.HTTP_5XX
    }
    assert (
        10 <= site.hits.total() <= 50
    )  # aiohttp asks twice when a connection ends without an answer
    assert min(outcome.attempts for outcome in outcomes) == 0
    assert any("in a row" in str(outcome.detail) for outcome in outcomes)


def test_a_host_that_recovers_gives_everything(fetch: FetchAll, site: HostileSite) -> None:
    outcomes = fetch(
        [site.url(f"wakes?{i}") for i in range(40)], retries=1, per_host=1, host_failures=5
    )
    assert reasons(outcomes) == [None] * 40
    assert site.hits.total() == 45


def test_every_end_of_a_broken_host_is_told_once(fetch: FetchAll, site: HostileSite) -> None:
    ends: list[Outcome] = []
    fetch([site.url(f"hang-up?{i}") for i in range(30)], done=ends.append, retries=1)
    assert len(ends) == 30


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Callable[..., Host]]:
    with Turns.open(tmp_path / "turns") as turns:
        yield lambda **changes: Host("a.test", settings(**changes), turns)


def test_the_recipe_sets_rate_and_places(host: Callable[..., Host]) -> None:
    steady = host(per_host_rate=0.01, per_host=3)
    assert [round(steady.reserve() / 100) for _ in range(3)] == [0, 1, 2]
    assert [steady.enter() is None for _ in range(4)] == [False, False, False, True]


def test_a_retry_after_holds_for_everybody_within_reason(host: Callable[..., Host]) -> None:
    busy = host(deadline=600.0)
    busy.tell(Failure(Reason.HTTP_429, retry_after=300.0))
    assert 290 < busy.reserve() <= 300
    busy.tell(Failure(Reason.HTTP_429, retry_after=10**6))
    assert 590 < busy.reserve() <= 600


def test_failures_in_a_row_break_off_and_a_sign_of_life_forgives(host: Callable[..., Host]) -> None:
    down = host(host_failures=3)
    for failure in (Reason.CONNECT, Reason.TIMEOUT, Reason.HTTP_404, Reason.CONNECT, Reason.DNS):
        down.tell(Failure(failure))
        down.check()
    down.tell(Failure(Reason.HTTP_5XX))
    with pytest.raises(Failure, match="3 times in a row") as broken:
        down.check()
    assert broken.value.reason == Reason.HTTP_5XX
    assert not broken.value.asked
    down.forgive()
    down.check()


@given(
    st.binary(max_size=2000)
    | st.text(alphabet="UserAgnt-:*dilowDsa/$ \n", max_size=500).map(str.encode)
)
def test_any_robots_txt_is_read(body: bytes) -> None:
    for encoding in ("", "gzip"):
        try:
            Robots.read(200, body, encoding, AGENT).permit(URL(f"http://{SITE}/ok"))
        except Failure as failure:
            assert failure.reason == Reason.ROBOTS


@given(st.lists(st.text(alphabet="noaidex:,-* curtbmg", max_size=40)))
def test_any_x_robots_tag_is_read(values: list[str]) -> None:
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
        (["max-image-preview: large"], None),
        ([""], None),
    ],
)
def test_directives_are_for_everybody_or_for_the_robot_they_name(
    values: list[str], found: str | None
) -> None:
    assert opted_out(values, ("noai", "noimageai", "noindex", "noimageindex"), AGENT) == found


def test_every_request_takes_its_turn(
    fetch: FetchAll, site: HostileSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns: list[None] = []
    monkeypatch.setattr(Host, "reserve", lambda self: turns.append(None) or 0.0)
    fetch([site.url("ok"), site.url("redirect/2")])
    assert len(turns) == site.hits.total() == 4
