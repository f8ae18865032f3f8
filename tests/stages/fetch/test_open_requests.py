import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from yarl import URL

from curate.stages.fetch.context import FetchContext
from curate.stages.fetch.open_requests import MOST_SHOWN, OpenRequests, display
from curate.stages.fetch.outcome import Outcome
from curate.stages.fetch.shard import load_engine
from tests.site.hostile import HostileSite, settings


@pytest.fixture(params=["stream", "img2dataset"])
def engine(request: pytest.FixtureRequest) -> str:
    if request.param == "img2dataset":
        request.getfixturevalue("needs_img2dataset")
    return request.param


def test_open_requests_are_listed_until_they_end(
    engine: str, site: HostileSite, scratch: Path
) -> None:
    requests, seen, ended = OpenRequests(), set[str](), threading.Event()

    def poll() -> None:
        while not ended.wait(0.01):
            seen.update(url for url, _ in requests.slowest())

    thread = threading.Thread(target=poll)
    thread.start()
    urls = [
        site.url("ok"),
        site.url("silent?signature=secret"),
        site.url(f"redirect-to?{site.url('silent')}"),
    ]
    context = FetchContext(settings(deadline=0.5, retries=0), scratch, requests)
    load_engine(engine)(urls, context)
    ended.set()
    thread.join()
    assert site.url("silent") in seen
    assert not [url for url in seen if "secret" in url]
    assert requests.slowest() == []


def test_slowest_lists_a_few_of_the_oldest_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter(range(100))
    monkeypatch.setattr("time.monotonic", lambda: next(moments))
    requests = OpenRequests()
    opened = [requests.track(URL(f"http://example.org/{i}")) for i in range(MOST_SHOWN + 2)]
    for request in opened:
        request.__enter__()
    opened[0].__exit__(None, None, None)
    urls, seconds = zip(*requests.slowest(), strict=True)
    assert urls == tuple(f"http://example.org/{i + 1}" for i in range(MOST_SHOWN))
    assert list(seconds) == sorted(seconds, reverse=True)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://example.org/a/b.jpg?X-Amz-Signature=secret#there", "https://example.org/a/b.jpg"),
        ("http://me:secret@example.org:8080/a.jpg", "http://example.org:8080/a.jpg"),
        ("http://[2001:db8::1]/a.jpg", "http://[2001:db8::1]/a.jpg"),
        ("http://example.org/\x1b[2J.jpg", "http://example.org/%1B%5B2J.jpg"),
    ],
)
def test_displayed_url_has_no_secrets(url: str, shown: str) -> None:
    assert display(URL(url)) == shown


def test_long_url_is_displayed_with_host_and_file_name() -> None:
    text = display(URL(f"https://example.org/{'a/' * 500}name.jpg"))
    assert len(text) == 100
    assert text.startswith("https://example.org/a/")
    assert text.endswith("/name.jpg")


def test_equal_urls_are_each_reported_with_their_reason(
    fetch: Callable[..., list[Outcome]], site: HostileSite
) -> None:
    finished: list[Outcome] = []
    outcomes = fetch([site.url("status/404")] * 3 + ["nonsense"], done=finished.append)
    reported = sorted(str(outcome.reason) for outcome in finished)
    assert reported == sorted(str(outcome.reason) for outcome in outcomes)
