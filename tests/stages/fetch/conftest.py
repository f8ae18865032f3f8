import socket
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from curate.stages.fetch.open_requests import Watch
from curate.stages.fetch.outcome import Outcome
from curate.stages.fetch.stream import fetch_stream
from tests.site.hostile import HostileSite, settings

FetchAll = Callable[..., list[Outcome]]


@pytest.fixture
def site() -> Iterator[HostileSite]:
    with HostileSite() as running:
        yield running


class Ends(Watch):
    """Calls a function with each outcome."""

    def __init__(self, done: Callable[[Outcome], None]) -> None:
        super().__init__()
        self._told = done

    def done(self, outcome: Outcome) -> None:
        self._told(outcome)


def _ignore(outcome: Outcome) -> None:
    """Nobody wants to know that a URL is done."""


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


@pytest.fixture
def stream(scratch: Path) -> FetchAll:
    return lambda urls, done=_ignore, screen=None, **changes: fetch_stream(
        urls, settings(**changes), scratch, Ends(done), screen
    )


@pytest.fixture
def needs_img2dataset() -> None:
    """Looks for the package and doesn't import it, which takes 600 MB."""
    if find_spec("img2dataset") is None:
        pytest.skip("img2dataset is not installed")


@pytest.fixture
def img2dataset(scratch: Path, needs_img2dataset: None) -> FetchAll:
    from curate.stages.fetch.img2dataset import fetch_img2dataset

    return lambda urls, done=_ignore, screen=None, **changes: fetch_img2dataset(
        urls, settings(**changes), scratch, Ends(done), screen
    )


@pytest.fixture(params=["stream", "img2dataset"])
def fetch(request: pytest.FixtureRequest) -> FetchAll:
    """fetch(urls, done=..., **settings) by either engine."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[list[str]]]:
    """Host name -> what it resolves to at the first look-up, at the second, and so on; the last one stays."""
    known: dict[str, list[list[str]]] = {}
    real = socket.getaddrinfo

    def look_up(host: Any, port: Any, *args: Any, **kwargs: Any) -> list[Any]:
        if not isinstance(host, str) or not host.endswith(".test"):
            return real(host, port, *args, **kwargs)
        if host not in known:
            raise socket.gaierror(socket.EAI_NONAME, "no such host")
        answers = known[host]
        addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses
        ]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return known
