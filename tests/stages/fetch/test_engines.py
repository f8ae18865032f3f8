"""Contract of both fetch engines: bytes as served, rows in = rows out, reasons for failures."""

import errno
import hashlib
import socket
import threading
import tracemalloc
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from curate.errors import Reason, RunError
from curate.recipe import Bound
from curate.stages.fetch.early_filters import EarlyFilters
from curate.stages.fetch.http_response import check_response
from curate.stages.fetch.outcome import Outcome
from tests.site.hostile import MALFORMED, ODD, HostileSite, picture

FetchAll = Callable[..., list[Outcome]]


def test_bytes_are_kept_exactly(fetch: FetchAll, site: HostileSite) -> None:
    formats = ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"]
    outcomes = fetch([site.url(f"format/{format_}") for format_ in formats])
    for format_, outcome in zip(formats, outcomes, strict=True):
        assert outcome.body is not None, outcome
        served = picture(format_)
        assert outcome.body.path.read_bytes() == served
        assert (outcome.body.nbytes, outcome.body.format) == (len(served), format_)
        assert outcome.body.sha256 == hashlib.sha256(served).hexdigest()
        assert outcome.http_status == 200


def test_outcomes_follow_the_order_of_the_urls(fetch: FetchAll, site: HostileSite) -> None:
    outcomes = fetch([site.url(f"numbered/{i}") for i in range(25)])
    bodies = [outcome.body and outcome.body.path.read_bytes() for outcome in outcomes]
    assert bodies == [picture(seed=i) for i in range(25)]


@pytest.mark.parametrize(
    "path",
    [
        "unclosed-length",
        "chunked",
        "gzipped",
        "unknown-encoding",
        "redirect/5",
        *(f"odd/{name}" for name in ODD),
    ],
)
def test_unusual_responses_are_accepted(fetch: FetchAll, site: HostileSite, path: str) -> None:
    (outcome,) = fetch([site.url(path)])
    assert outcome.body is not None, outcome
    assert outcome.body.path.read_bytes() == picture()
    assert outcome.final_url == site.url("ok" if "redirect" in path else path)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("html", Reason.NOT_IMAGE),
        ("garbage", Reason.BAD_RESPONSE),
        ("long-header", Reason.BAD_RESPONSE),
        ("broken-chunks", Reason.BAD_RESPONSE),
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
        ("redirect-to?http://xn--a/", Reason.BAD_URL),
        *((f"malformed/{name}", Reason.BAD_RESPONSE) for name in MALFORMED),
    ],
)
def test_permanent_failure_is_requested_once(
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
        ("status/500", Reason.HTTP_5XX),
        ("status/429", Reason.HTTP_429),
        ("truncated", Reason.TRUNCATED),
        ("cut-chunks", Reason.TRUNCATED),
        ("cut-gzip", Reason.TRUNCATED),
    ],
)
def test_transient_failure_is_retried(
    fetch: FetchAll, site: HostileSite, path: str, reason: Reason
) -> None:
    (outcome,) = fetch([site.url(path)], retries=2)
    assert (outcome.reason, outcome.body, outcome.attempts) == (reason, None, 3)
    assert site.hits[path] >= 3  # aiohttp asks twice when a connection ends without an answer


@pytest.mark.parametrize("path", ["fails-once", "resets-once"])
def test_retry_may_succeed(fetch: FetchAll, site: HostileSite, path: str) -> None:
    (outcome,) = fetch([site.url(path)])
    assert outcome.body is not None, outcome
    assert outcome.reason is None
    assert site.hits[path] == 2


def test_retry_after_replaces_the_backoff(fetch: FetchAll, site: HostileSite) -> None:
    (outcome,) = fetch([site.url("busy/0")], backoff=1000.0)
    assert outcome.body is not None, outcome


def test_retry_after_beyond_the_deadline_is_not_waited_for(
    fetch: FetchAll, site: HostileSite
) -> None:
    (outcome,) = fetch([site.url("busy/1000")])
    assert outcome.reason == Reason.HTTP_429
    assert site.hits["busy/1000"] == 1


@pytest.mark.parametrize("path", ["silent", "slow-headers", "drip", "stalls", "redirect-slowly"])
def test_deadline_covers_the_whole_request(
    fetch: FetchAll, site: HostileSite, path: str, scratch: Path
) -> None:
    (outcome,) = fetch([site.url(path)], deadline=0.5, max_redirects=20, retries=0)
    assert outcome.reason == Reason.TIMEOUT
    assert outcome.attempts == 1
    assert not (scratch / "0").exists()


def test_silent_name_server_ends_with_the_deadline(
    fetch: FetchAll, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: over.wait(60) and [])
    try:
        (outcome,) = fetch(["http://slow.test/"], deadline=0.3)
    finally:
        over.set()
    assert outcome.reason == Reason.TIMEOUT


def test_unexpected_error_of_one_row_leaves_the_others(
    fetch: FetchAll, site: HostileSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(status: int, headers: Any, config: Any, outcome: Outcome) -> None:
        check_response(status, headers, config, outcome)
        if outcome.final_url == site.url("numbered/1"):
            raise ZeroDivisionError("as a fault of ours would")

    monkeypatch.setattr("curate.stages.fetch.client.check_response", check)
    outcomes = fetch([site.url(f"numbered/{i}") for i in range(3)])
    assert [outcome.reason for outcome in outcomes] == [None, Reason.INTERNAL_ERROR, None]
    assert outcomes[1].detail == "ZeroDivisionError: as a fault of ours would"
    assert outcomes[1].attempts == 1


def test_error_of_this_machine_ends_the_shard(
    fetch: FetchAll, site: HostileSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("curate.stages.fetch.client.check_response", check)
    with pytest.raises(OSError, match="Input/output"):
        fetch([site.url("ok")])


def test_unexpected_error_of_a_robots_txt_forbids_its_host(
    fetch: FetchAll, site: HostileSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("curate.stages.fetch.client.Robots.read", read)
    outcomes = fetch([site.url("ok"), site.url("sized/80")], robots=True)
    assert [outcome.reason for outcome in outcomes] == [Reason.INTERNAL_ERROR] * 2
    assert dict(site.hits) == {"robots-text": 1}


def test_malformed_responses_do_not_open_the_circuit_breaker(
    fetch: FetchAll, site: HostileSite
) -> None:
    urls = [site.url(f"malformed/icy?{i}") for i in range(6)]
    outcomes = fetch(urls, host_failures=2, per_host=1)
    assert [(o.reason, o.attempts) for o in outcomes] == [(Reason.BAD_RESPONSE, 1)] * 6


def test_timeout_is_retried_once_at_the_end(fetch: FetchAll, site: HostileSite) -> None:
    (outcome,) = fetch([site.url("silent")], deadline=0.3, retries=5)
    assert (outcome.reason, outcome.attempts) == (Reason.TIMEOUT, 2)


def test_body_longer_than_its_content_length_is_cut(fetch: FetchAll, site: HostileSite) -> None:
    (outcome,) = fetch([site.url("longer-than-said")])
    assert outcome.body is not None, outcome
    assert outcome.body.path.read_bytes() == picture()[:-100]


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


def test_user_agent_is_sent(fetch: FetchAll, site: HostileSite) -> None:
    fetch([site.url("ok")], user_agent="curate-test/1 (+mailto:someone@example.org)")
    assert site.agents == {"curate-test/1 (+mailto:someone@example.org)"}


def test_canary_is_reached_when_allowed(fetch: FetchAll, site: HostileSite) -> None:
    """Without this, the tests below prove nothing."""
    (outcome,) = fetch([site.canary_url], allow_networks=("127.0.0.0/8",))
    assert outcome.body is not None, outcome
    assert site.canary_hits == 1


def test_forbidden_address_in_any_spelling_is_not_connected_to(
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


def test_host_that_changes_its_address_is_refused(
    fetch: FetchAll, site: HostileSite, names: dict[str, list[list[str]]]
) -> None:
    names["rebind.test"] = [["127.0.0.1"], ["127.0.0.2"]]
    target = f"http://rebind.test:{site.canary_port}/ok"
    (outcome,) = fetch([f"http://rebind.test:{site.port}/redirect-to?{target}"])
    assert outcome.reason == Reason.FORBIDDEN_ADDRESS
    assert site.hits.total() == 1
    assert site.canary_hits == 0


def test_host_with_several_addresses_is_tried_at_permitted_ones(
    fetch: FetchAll, site: HostileSite, names: dict[str, list[list[str]]]
) -> None:
    names["both.test"] = [["127.0.0.2", "127.0.0.1"]]
    urls = [f"http://both.test:{port}/ok" for port in (site.port, site.canary_port)]
    good, bad = fetch(urls, retries=0)
    assert good.body is not None, good
    assert good.address == "127.0.0.1"
    assert bad.reason == Reason.CONNECT  # nobody listens there at 127.0.0.1
    assert site.canary_hits == 0


def test_unknown_host_is_a_dns_failure(fetch: FetchAll, names: dict[str, list[list[str]]]) -> None:
    urls = ["http://nowhere.test/x.jpg", f"http://{'a' * 64}.test/", "http://a..test/"]
    outcomes = fetch(urls, retries=0)
    assert [outcome.reason for outcome in outcomes] == [Reason.DNS] * 3


def test_redirect_to_a_non_ascii_url_is_followed(fetch: FetchAll, site: HostileSite) -> None:
    (outcome,) = fetch([site.url("redirect-in-utf8")])
    assert outcome.body is not None, outcome
    assert outcome.final_url == site.url("ok?%C3%A4")


def test_random_responses_never_break_a_shard(fetch: FetchAll, site: HostileSite) -> None:
    urls = [site.url(f"fuzz/{seed}") for seed in range(150)]
    outcomes = fetch(urls, deadline=0.5, retries=0, per_host=64)
    assert all((outcome.body is None) == (outcome.reason is not None) for outcome in outcomes)
    assert 0 < sum(outcome.body is None for outcome in outcomes) < len(outcomes)


def test_full_disk_raises_and_rejects_no_url(
    fetch: FetchAll, site: HostileSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise RunError("can't write scratch: No space left on device; make room there")

    monkeypatch.setattr("curate.storage.atomic.Sink.write", full)
    with pytest.raises(RunError, match="make room"):
        fetch([site.url(f"numbered/{i}") for i in range(5)])


def test_closed_port_is_a_connect_failure(fetch: FetchAll) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and never listening
        (outcome,) = fetch([f"http://127.0.0.1:{taken.getsockname()[1]}/"], retries=1)
    assert (outcome.reason, outcome.attempts) == (Reason.CONNECT, 2)


def test_unverified_certificate_is_refused(
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
def test_refused_url_is_never_requested(
    fetch: FetchAll, site: HostileSite, url: str, reason: Reason
) -> None:
    good, bad = fetch([site.url("ok"), url])
    assert good.body is not None, good
    assert bad.reason == reason
    assert "secret" not in str(bad)


def test_url_is_sent_as_given(fetch: FetchAll, site: HostileSite) -> None:
    urls = [site.url(f"ok?{q}") for q in ("a=%2B%3d+,;'()!*&b=%7E", "ä b", "a#fragment")]
    for outcome in fetch(urls):
        assert outcome.body is not None, outcome
    assert set(site.hits) == {"ok?a=%2B%3d+,;'()!*&b=%7E", "ok?%C3%A4+b", "ok?a"}


def test_awkward_urls_reach_the_server_alike_by_both_engines(
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


def test_every_outcome_is_reported_once(fetch: FetchAll, site: HostileSite) -> None:
    finished: list[Outcome] = []
    urls = [site.url(path) for path in ("ok", "ok", "status/404", "fails-once")]
    outcomes = fetch([*urls, "nonsense"], done=finished.append)
    reported = Counter(outcome.reason for outcome in finished)
    assert reported == Counter(outcome.reason for outcome in outcomes)


def test_no_urls_give_no_outcomes(fetch: FetchAll) -> None:
    assert fetch([]) == []


SMALL = EarlyFilters(
    (Bound("width", "min", 100, Reason.TOO_SMALL), Bound("height", "min", 100, Reason.TOO_SMALL))
)


@pytest.mark.parametrize("before", [0, 20_000, 100_000])
def test_header_alone_is_enough_to_reject(fetch: FetchAll, site: HostileSite, before: int) -> None:
    urls = [site.url(f"head-only/{before}")]
    (outcome,) = fetch(urls, filters=SMALL, deadline=30, max_bytes=1_000_000)
    assert (outcome.reason, outcome.body, outcome.attempts) == (Reason.TOO_SMALL, None, 1)
    assert (outcome.http_status, outcome.content_length) == (200, 1_000_000)


def test_header_without_size_rejects_nothing(fetch: FetchAll, site: HostileSite) -> None:
    urls = [site.url("head-only/900000")]
    (outcome,) = fetch(urls, filters=SMALL, deadline=0.5, max_bytes=1_000_000)
    assert outcome.reason == Reason.TIMEOUT


def test_image_within_bounds_arrives_whole(fetch: FetchAll, site: HostileSite) -> None:
    filters = EarlyFilters(
        (
            Bound("width", "min", 64, Reason.TOO_SMALL),
            Bound("nbytes", "min", 3000, Reason.TOO_FEW_BYTES),
        )
    )
    for path in ("ok", "chunked", "gzipped", "unclosed-length", "redirect/2"):
        (outcome,) = fetch([site.url(path)], filters=filters)
        assert outcome.body is not None, outcome
        assert outcome.body.path.read_bytes() == picture()


@pytest.mark.parametrize("path", ["ok", "chunked", "gzipped", "unclosed-length"])
def test_byte_bounds_hold_for_every_encoding(fetch: FetchAll, site: HostileSite, path: str) -> None:
    filters = EarlyFilters((Bound("nbytes", "min", 100_000, Reason.TOO_FEW_BYTES),))
    (outcome,) = fetch([site.url(path)], filters=filters)
    assert (outcome.reason, outcome.body) == (Reason.TOO_FEW_BYTES, None)


def test_thumbnail_of_a_claimed_image_is_smaller_than_claimed(
    fetch: FetchAll, site: HostileSite
) -> None:
    urls = [site.url("ok"), site.url("ok?a b"), site.url("ok?2")]
    filters = EarlyFilters(SMALL.bounds, {urls[0]: 10**6, urls[1]: 10**6, urls[2]: 64 * 64})
    reasons = [outcome.reason for outcome in fetch(urls, filters=filters)]
    assert reasons == [Reason.SMALLER_THAN_CLAIMED, Reason.SMALLER_THAN_CLAIMED, Reason.TOO_SMALL]
