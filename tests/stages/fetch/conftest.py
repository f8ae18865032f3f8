import socket
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from curate.stages.fetch.context import FetchContext
from curate.stages.fetch.early_filters import EarlyFilters
from curate.stages.fetch.open_requests import OpenRequests
from curate.stages.fetch.outcome import Outcome
from curate.stages.fetch.shard import load_engine
from tests.site.hostile import HostileSite, settings

FetchAll = Callable[..., list[Outcome]]


@pytest.fixture
def site() -> Iterator[HostileSite]:
    with HostileSite() as running:
        yield running


class FinishCallback(OpenRequests):
    """Calls a function with each finished outcome."""

    def __init__(self, callback: Callable[[Outcome], object]) -> None:
        super().__init__()
        self._callback = callback

    def finish(self, outcome: Outcome) -> None:
        self._callback(outcome)


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


def run_engine(
    name: str,
    scratch: Path,
    urls: list[str],
    done: Callable[[Outcome], object] = lambda outcome: None,
    filters: EarlyFilters | None = None,
    **changes: Any,
) -> list[Outcome]:
    """Fetch URLs with an engine, with changes of the test site's settings."""
    requests, filters = FinishCallback(done), filters or EarlyFilters()
    return load_engine(name)(urls, FetchContext(settings(**changes), scratch, requests, filters))


@pytest.fixture
def stream(scratch: Path) -> FetchAll:
    return partial(run_engine, "stream", scratch)


@pytest.fixture
def needs_img2dataset() -> None:
    """Skip without the package, and don't import it, which takes 600 MB."""
    if find_spec("img2dataset") is None:
        pytest.skip("img2dataset is not installed")


@pytest.fixture
def img2dataset(scratch: Path, needs_img2dataset: None) -> FetchAll:
    return partial(run_engine, "img2dataset", scratch)


@pytest.fixture(params=["stream", "img2dataset"])
def fetch(request: pytest.FixtureRequest) -> FetchAll:
    """Return a function `fetch(urls, done=..., filters=..., **settings)` for either engine."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[list[str]]]:
    """Host name -> addresses of its first look-up, second, and so on; the last ones stay."""
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
