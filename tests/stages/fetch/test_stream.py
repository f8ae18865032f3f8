"""Promises of the stream engine beyond the contract of both engines."""

import socket
import threading
from collections.abc import Callable

import pytest

from curate.errors import Reason
from curate.stages.fetch.outcome import Outcome
from tests.site.hostile import HostileSite

FetchAll = Callable[..., list[Outcome]]


def test_silent_name_servers_do_not_delay_other_hosts(
    stream: FetchAll, site: HostileSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    over, real = threading.Event(), socket.getaddrinfo

    def look_up(host: str, *args: object) -> object:
        return over.wait(60) and [] if host.endswith(".test") else real(host, *args)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    slow = [f"http://slow{i}.test/" for i in range(40)]
    try:
        urls = [*slow, f"http://localhost:{site.port}/ok"]
        *rest, good = stream(urls, deadline=2.0, concurrency=41)
    finally:
        over.set()
    assert {outcome.reason for outcome in rest} == {Reason.TIMEOUT}
    assert good.body is not None, good


@pytest.mark.parametrize("limit", [{"concurrency": 3}, {"per_host": 3}])
def test_concurrent_requests_stay_within_the_limit(
    stream: FetchAll, site: HostileSite, limit: dict[str, int]
) -> None:
    outcomes = stream([site.url(f"numbered/{i}") for i in range(20)], **{"per_host": 50} | limit)
    assert all(outcome.body for outcome in outcomes)
    assert site.busiest == 3


def test_redirect_counts_towards_its_target_host(
    stream: FetchAll, site: HostileSite, names: dict[str, list[list[str]]]
) -> None:
    urls = []
    for i in range(12):
        names[f"short{i}.test"] = [["127.0.0.1"]]
        urls.append(f"http://short{i}.test:{site.port}/redirect-to?{site.url(f'numbered/{i}')}")
    assert all(outcome.body for outcome in stream(urls, per_host=2))
    assert site.busiest <= 2


def test_waiting_for_a_slot_does_not_count_as_time_spent(
    stream: FetchAll, site: HostileSite
) -> None:
    outcomes = stream([site.url(f"nap?{i}") for i in range(8)], concurrency=1, deadline=1.5)
    assert [outcome.reason for outcome in outcomes] == [None] * 8
    assert sum(outcome.seconds for outcome in outcomes) > 1.5
