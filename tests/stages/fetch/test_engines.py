"""The contract of a fetch engine, held by both: bytes as served, rows in = rows out, a reason for each misdeed."""

import hashlib
import socket
import tracemalloc
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from curate.errors import Reason, RunError
from curate.recipe import Bound
from curate.stages.fetch.early_filters import Screen
from curate.stages.fetch.outcome import Outcome
from tests.site.hostile import HostileSite, picture

FetchAll = Callable[..., list[Outcome]]


def test_bytes_are_kept_exactly(fetch: FetchAll, site: HostileSite) -> None:
    formats = ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"]
    for format_, outcome in zip(
        formats, fetch([site.url(f"format/{f}") for f in formats]), strict=True
    ):
        assert outcome.body is not None, outcome
        served = picture(format_)
        assert outcome.body.path.read_bytes() == served
        assert (outcome.body.nbytes, outcome.body.format) == (len(served), format_)
        assert outcome.body.sha256 == hashlib.sha256(served).hexdigest()
        assert outcome.http_status == 200


def test_outcomes_stand_in_the_order_of_the_urls(fetch: FetchAll, site: HostileSite) -> None:
    outcomes = fetch([site.url(f"numbered/{i}") for i in range(25)])
    assert [outcome.body and outcome.body.path.read_bytes() for outcome in outcomes] == [
        picture(seed=i) for i in range(25)
    ]


@pytest.mark.parametrize("path", ["unclosed-length", "chunked", "gzipped", "redirect/5"])
def test_an_unusual_answer_is_an_answer(fetch: FetchAll, site: HostileSite, path: str) -> None:
    (outcome,) = fetch([site.url(path)])
    assert outcome.body is not None, outcome
    assert outcome.body.path.read_bytes() == picture()
    assert outcome.final_url == site.url("ok" if "redirect" in path else path)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("html", Reason.NOT_IMAGE),
        ("unknown-encoding", Reason.NOT_IMAGE),
        ("empty", Reason.EMPTY),
        ("no-content", Reason.EMPTY),
        ("status/404", Reason.HTTP_404),
        ("status/410", Reason.HTTP_404),
        ("status/403", Reason.HTTP_4XX),
        ("status/206", Reason.HTTP_OTHER),
        ("status/300", Reason.HTTP_OTHER),
        ("endless", Reason.TOO_LARGE),
        ("endless-chunks", Reason.TOO_LARGE),
        ("promises-much", Reason.TOO_LARGE),
        ("bomb", Reason.TOO_LARGE),
        ("loop", Reason.REDIRECTS),
        ("redirect/6", Reason.REDIRECTS),
        ("redirect-to?file:///etc/passwd", Reason.FORBIDDEN_SCHEME),
        ("redirect-to?ftp://127.0.0.1/x", Reason.FORBIDDEN_SCHEME),
        ("redirect-with-password", Reason.CREDENTIALS),
        ("redirect-to?http://[", Reason.BAD_URL),
    ],
)
def test_a_permanent_failure_is_asked_for_once(
    fetch: FetchAll, site: HostileSite, path: str, reason: Reason
) -> None:
    (outcome,) = fetch([site.url(path)])
    assert (outcome.reason, outcome.body) == (reason, None)
    assert site.hits[path] == outcome.attempts == 1
    assert "secret" not in f"{outcome.final_url} {outcome.detail}"


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("hang-up", Reason.CONNECT),
        ("garbage", Reason.CONNECT),
        ("long-header", Reason.CONNECT),
        ("status/500", Reason.HTTP_5XX),
        ("status/429", Reason.HTTP_429),
        ("truncated", Reason.TRUNCATED),
        ("cut-chunks", Reason.TRUNCATED),
        ("cut-gzip", Reason.TRUNCATED),
    ],
)
def test_a_transient_failure_is_tried_again(
    fetch: FetchAll, site: HostileSite, path: str, reason: Reason
) -> None:
    (outcome,) = fetch([site.url(path)], retries=2)
    assert (outcome.reason, outcome.body, outcome.attempts) == (reason, None, 3)
    assert site.hits[path] >= 3  # aiohttp asks twice when a connection ends without an answer


@pytest.mark.parametrize("path", ["fails-once", "resets-once"])
def test_another_try_may_succeed(fetch: FetchAll, site: HostileSite, path: str) -> None:
    (outcome,) = fetch([site.url(path)])
    assert outcome.body is not None, outcome
    assert outcome.reason is None
    assert site.hits[path] == 2


def test_retry_after_takes_the_place_of_the_back_off(fetch: FetchAll, site: HostileSite) -> None:
    (outcome,) = fetch([site.url("busy/0")], backoff=1000.0)
    assert outcome.body is not None, outcome


def test_a_retry_after_beyond_the_deadline_is_left_to_a_later_run(
    fetch: FetchAll, site: HostileSite
) -> None:
    (outcome,) = fetch([site.url("busy/1000")])
    assert outcome.reason == Reason.HTTP_429
    assert site.hits["busy/1000"] == 1


@pytest.mark.parametrize("path", ["silent", "slow-headers", "drip", "stalls", "redirect-slowly"])
def test_the_deadline_is_total(
    fetch: FetchAll, site: HostileSite, path: str, scratch: Path
) -> None:
    (outcome,) = fetch([site.url(path)], deadline=0.5, max_redirects=20, retries=0)
    assert outcome.reason == Reason.TIMEOUT
    assert outcome.attempts == 1
    assert not (scratch / "0").exists()


def test_what_timed_out_has_a_last_try_at_the_end(fetch: FetchAll, site: HostileSite) -> None:
    (outcome,) = fetch([site.url("silent")], deadline=0.3, retries=5)
    assert (outcome.reason, outcome.attempts) == (Reason.TIMEOUT, 2)


def test_a_body_longer_than_said_ends_where_it_was_said_to(
    fetch: FetchAll, site: HostileSite
) -> None:
    (outcome,) = fetch([site.url("longer-than-said")])
    assert outcome.body is not None, outcome
    assert outcome.body.path.read_bytes() == picture()[:-100]


def test_chunks_that_break_off_in_garbage_are_no_image(fetch: FetchAll, site: HostileSite) -> None:
    # which of the three depends on how the garbage falls into packets: aiohttp's parser may never tell its reader
    (outcome,) = fetch([site.url("broken-chunks")], deadline=0.5)
    assert outcome.reason in (Reason.TRUNCATED, Reason.CONNECT, Reason.TIMEOUT)


def test_memory_does_not_grow_with_bytes(fetch: FetchAll, site: HostileSite) -> None:
    fetch([site.url("ok")])  # imports and pools
    tracemalloc.start()
    try:
        (outcome,) = fetch([site.url("large")], max_bytes=64 << 20, deadline=60)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert outcome.body is not None, outcome
    assert outcome.body.nbytes > 32 << 20
    assert peak < 8 << 20


def test_we_say_who_we_are(fetch: FetchAll, site: HostileSite) -> None:
    fetch([site.url("ok")], user_agent="curate-test/1 (+mailto:someone@example.org)")
    assert site.agents == {"curate-test/1 (+mailto:someone@example.org)"}


def test_the_canary_sings_when_it_may(fetch: FetchAll, site: HostileSite) -> None:
    """Without this the tests below prove nothing."""
    (outcome,) = fetch([site.canary_url], allow_networks=("127.0.0.0/8",))
    assert outcome.body is not None, outcome
    assert site.canary_hits == 1


def test_no_spelling_of_a_forbidden_address_is_connected_to(
    fetch: FetchAll, site: HostileSite
) -> None:
    spellings = [
        "127.0.0.2",
        "127.2",
        "127.0.2",
        "2130706434",
        "0x7f000002",
        "0x7f.2",
        "0177.0.0.2",
        "017700000002",
        "127.0.0.2.",
        "[::ffff:127.0.0.2]",
        "[::ffff:7f00:2]",
        "127。0。0。2",
        "①②⑦.0.0.2",
    ]
    urls = [site.canary_url.replace("127.0.0.2", spelling) for spelling in spellings]
    urls += [site.url(f"redirect-to?{url}") for url in urls if url.isascii()]
    for url, outcome in zip(urls, fetch(urls), strict=True):
        assert (outcome.reason, outcome.body) == (Reason.FORBIDDEN_ADDRESS, None), url
    assert site.canary_hits == 0


def test_a_name_that_resolves_anew_gains_nothing(
    fetch: FetchAll, site: HostileSite, names: dict[str, list[list[str]]]
) -> None:
    names["rebind.test"] = [["127.0.0.1"], ["127.0.0.2"]]
    target = f"http://rebind.test:{site.canary_port}/ok"
    (outcome,) = fetch([f"http://rebind.test:{site.port}/redirect-to?{target}"])
    assert outcome.reason == Reason.FORBIDDEN_ADDRESS
    assert site.hits.total() == 1
    assert site.canary_hits == 0


def test_of_several_addresses_only_the_permitted_are_tried(
    fetch: FetchAll, site: HostileSite, names: dict[str, list[list[str]]]
) -> None:
    names["both.test"] = [["127.0.0.2", "127.0.0.1"]]
    good, bad = fetch(
        [f"http://both.test:{site.port}/ok", f"http://both.test:{site.canary_port}/ok"], retries=0
    )
    assert good.body is not None, good
    assert good.address == "127.0.0.1"
    assert bad.reason == Reason.CONNECT  # nobody listens there at 127.0.0.1
    assert site.canary_hits == 0


def test_an_unknown_host(fetch: FetchAll, names: dict[str, list[list[str]]]) -> None:
    outcomes = fetch(
        ["http://nowhere.test/x.jpg", f"http://{'a' * 64}.test/", "http://a..test/"], retries=0
    )
    assert [outcome.reason for outcome in outcomes] == [Reason.DNS] * 3


def test_a_redirect_may_be_in_any_language(fetch: FetchAll, site: HostileSite) -> None:
    (outcome,) = fetch([site.url("redirect-in-utf8")])
    assert outcome.body is not None, outcome
    assert outcome.final_url == site.url("ok?%C3%A4")


def test_no_answer_is_strange_enough_to_break_a_shard(fetch: FetchAll, site: HostileSite) -> None:
    outcomes = fetch(
        [site.url(f"fuzz/{seed}") for seed in range(150)], deadline=0.5, retries=0, per_host=64
    )
    assert all((outcome.body is None) == (outcome.reason is not None) for outcome in outcomes)
    assert 0 < sum(outcome.body is None for outcome in outcomes) < len(outcomes)


def test_a_full_disk_is_no_fault_of_a_url(
    fetch: FetchAll, site: HostileSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise RunError(
            "can't write scratch: No space left on device; make room there or choose another place"
        )

    monkeypatch.setattr("curate.storage.atomic.Sink.write", full)
    with pytest.raises(RunError, match="make room"):
        fetch([site.url(f"numbered/{i}") for i in range(5)])


def test_a_closed_port(fetch: FetchAll) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and never listening
        (outcome,) = fetch([f"http://127.0.0.1:{taken.getsockname()[1]}/"], retries=1)
    assert (outcome.reason, outcome.attempts) == (Reason.CONNECT, 2)


def test_an_unverified_certificate_is_refused(
    fetch: FetchAll, site: HostileSite, tmp_path: Path
) -> None:
    site.secure(tmp_path)
    (outcome,) = fetch([f"https://127.0.0.1:{site.tls_port}/ok"])
    assert (outcome.reason, outcome.attempts) == (Reason.TLS, 1)
    assert not site.hits


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("file:///etc/passwd", Reason.FORBIDDEN_SCHEME),
        ("ftp://127.0.0.1/x", Reason.FORBIDDEN_SCHEME),
        ("data:image/png;base64,iVBORw0KGgo=", Reason.FORBIDDEN_SCHEME),
        ("http://user:secret@127.0.0.1/x", Reason.CREDENTIALS),
        ("", Reason.BAD_URL),
        ("no url", Reason.BAD_URL),
        ("http://", Reason.BAD_URL),
        ("http://127.0.0.1:99999/", Reason.BAD_URL),
    ],
)
def test_what_is_never_asked_for(
    fetch: FetchAll, site: HostileSite, url: str, reason: Reason
) -> None:
    good, bad = fetch([site.url("ok"), url])
    assert good.body is not None, good
    assert bad.reason == reason
    assert "secret" not in str(bad)


def test_a_url_is_sent_as_it_was_given(fetch: FetchAll, site: HostileSite) -> None:
    urls = [site.url(f"ok?{q}") for q in ("a=%2B%3d+,;'()!*&b=%7E", "ä b", "a#fragment")]
    for outcome in fetch(urls):
        assert outcome.body is not None, outcome
    assert set(site.hits) == {"ok?a=%2B%3d+,;'()!*&b=%7E", "ok?%C3%A4+b", "ok?a"}


def test_awkward_urls_reach_the_server_the_same_by_either_engine(
    fetch: FetchAll, site: HostileSite, names: dict[str, list[list[str]]]
) -> None:
    names["xn--bcher-kva.test"] = names["xn--r8jz45g.test"] = [["127.0.0.1"]]
    given = {
        'ok?x,y;z=1,2&b="3"\'': "ok?x,y;z=1,2&b=%223%22'",
        "ok?two  spaces": "ok?two++spaces",
        "ok?größe=絵": "ok?gr%C3%B6%C3%9Fe=%E7%B5%B5",
        "ok?100%25/%C3%A4%2B": "ok?100%25/%C3%A4%2B",
        "ok?[1]/{2}|3^4`5\\6": "ok?%5B1%5D/%7B2%7D%7C3%5E4%605%5C6",
        "ok?line\u2028separator": "ok?line%E2%80%A8separator",
    }
    hosts = ("127.0.0.1", "bücher.test", "例え.test", "xn--bcher-kva.test")
    urls = [site.url(path).replace("127.0.0.1", host) for path in given for host in hosts]
    for outcome in fetch(urls):
        assert outcome.body is not None, outcome
    assert set(site.hits) == set(given.values())


def test_every_end_is_told_once(fetch: FetchAll, site: HostileSite) -> None:
    ends: list[Outcome] = []
    urls = [
        site.url("ok"),
        site.url("ok"),
        site.url("status/404"),
        "nonsense",
        site.url("fails-once"),
    ]
    outcomes = fetch(urls, done=ends.append)
    assert Counter(end.reason for end in ends) == Counter(outcome.reason for outcome in outcomes)


def test_nothing_to_do(fetch: FetchAll) -> None:
    assert fetch([]) == []


SMALL = Screen(
    (Bound("width", "min", 100, Reason.TOO_SMALL), Bound("height", "min", 100, Reason.TOO_SMALL))
)


@pytest.mark.parametrize("before", [0, 20_000, 100_000])
def test_the_head_is_enough_to_reject(fetch: FetchAll, site: HostileSite, before: int) -> None:
    (outcome,) = fetch(
        [site.url(f"head-only/{before}")], screen=SMALL, deadline=30, max_bytes=1_000_000
    )
    assert (outcome.reason, outcome.body, outcome.attempts) == (Reason.TOO_SMALL, None, 1)
    assert (outcome.http_status, outcome.content_length) == (200, 1_000_000)


def test_a_head_that_does_not_tell_rejects_nothing(fetch: FetchAll, site: HostileSite) -> None:
    (outcome,) = fetch(
        [site.url("head-only/900000")], screen=SMALL, deadline=0.5, max_bytes=1_000_000
    )
    assert outcome.reason == Reason.TIMEOUT


def test_what_is_in_bounds_comes_whole(fetch: FetchAll, site: HostileSite) -> None:
    screen = Screen(
        (
            Bound("width", "min", 64, Reason.TOO_SMALL),
            Bound("nbytes", "min", 3000, Reason.TOO_FEW_BYTES),
        )
    )
    for path in ("ok", "chunked", "gzipped", "unclosed-length", "redirect/2"):
        (outcome,) = fetch([site.url(path)], screen=screen)
        assert outcome.body is not None, outcome
        assert outcome.body.path.read_bytes() == picture()


@pytest.mark.parametrize("path", ["ok", "chunked", "gzipped", "unclosed-length"])
def test_bounds_on_bytes_hold_however_they_are_sent(
    fetch: FetchAll, site: HostileSite, path: str
) -> None:
    screen = Screen((Bound("nbytes", "min", 100_000, Reason.TOO_FEW_BYTES),))
    (outcome,) = fetch([site.url(path)], screen=screen)
    assert (outcome.reason, outcome.body) == (Reason.TOO_FEW_BYTES, None)


def test_a_thumbnail_of_what_the_list_claims_is_called_so(
    fetch: FetchAll, site: HostileSite
) -> None:
    urls = [site.url("ok"), site.url("ok?a b"), site.url("ok?2")]
    screen = Screen(SMALL.bounds, {urls[0]: 10**6, urls[1]: 10**6, urls[2]: 64 * 64})
    reasons = [outcome.reason for outcome in fetch(urls, screen=screen)]
    assert reasons == [Reason.SMALLER_THAN_CLAIMED, Reason.SMALLER_THAN_CLAIMED, Reason.TOO_SMALL]
