import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from yarl import URL

from curate.stages.fetch.open_requests import HANDFUL, Watch, show
from curate.stages.fetch.outcome import Outcome
from curate.stages.fetch.shard import FetchEngine
from tests.site.hostile import HostileSite, settings


@pytest.fixture(params=["stream", "img2dataset"])
def engine(request: pytest.FixtureRequest) -> FetchEngine:
    if request.param == "img2dataset":
        request.getfixturevalue("needs_img2dataset")
    from curate.stages.fetch.shard import _engine

    return _engine(request.param)


def test_what_is_open_can_be_seen_until_it_is_closed(
    engine: FetchEngine, site: HostileSite, scratch: Path
) -> None:
    watch, seen, ended = Watch(), set[str](), threading.Event()

    def look() -> None:
        while not ended.wait(0.01):
            seen.update(url for url, _ in watch.slowest())

    looking = threading.Thread(target=look)
    looking.start()
    urls = [
        site.url("ok"),
        site.url("silent?signature=secret"),
        site.url(f"redirect-to?{site.url('silent')}"),
    ]
    engine(urls, settings(deadline=0.5, retries=0), scratch, watch, None)
    ended.set()
    looking.join()
    assert site.url("silent") in seen
    assert not [url for url in seen if "secret" in url]
    assert watch.slowest() == []


def test_the_slowest_come_first_and_are_a_handful(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter(range(100))
    monkeypatch.setattr("time.monotonic", lambda: next(moments))
    watch = Watch()
    requests = [watch.asking(URL(f"http://example.org/{i}")) for i in range(HANDFUL + 2)]
    for request in requests:
        request.__enter__()
    requests[0].__exit__(None, None, None)
    slowest = watch.slowest()
    assert [url for url, _ in slowest] == [f"http://example.org/{i + 1}" for i in range(HANDFUL)]
    assert [seconds for _, seconds in slowest] == sorted(
        (seconds for _, seconds in slowest), reverse=True
    )


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://example.org/a/b.jpg?X-Amz-Signature=secret#there", "https://example.org/a/b.jpg"),
        ("http://me:secret@example.org:8080/a.jpg", "http://example.org:8080/a.jpg"),
        ("http://[2001:db8::1]/a.jpg", "http://[2001:db8::1]/a.jpg"),
        ("http://example.org/\x1b[2J.jpg", "http://example.org/%1B%5B2J.jpg"),
    ],
)
def test_of_a_url_only_what_is_no_secret_is_shown(url: str, shown: str) -> None:
    assert show(URL(url)) == shown


def test_a_long_url_keeps_host_and_name() -> None:
    text = show(URL(f"https://example.org/{'a/' * 500}name.jpg"))
    assert len(text) == 100
    assert text.startswith("https://example.org/a/")
    assert text.endswith("/name.jpg")


def test_equal_urls_are_each_told_with_their_reason(
    fetch: Callable[..., list[Outcome]], site: HostileSite
) -> None:
    ends: list[Outcome] = []
    outcomes = fetch([site.url("status/404")] * 3 + ["nonsense"], done=ends.append)
    assert sorted(str(end.reason) for end in ends) == sorted(
        str(outcome.reason) for outcome in outcomes
    )
