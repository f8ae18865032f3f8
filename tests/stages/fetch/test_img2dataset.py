"""The faults that img2dataset has by itself, and which its adapter keeps from us."""

import subprocess
import sys
import textwrap
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from curate.errors import MissingExtra, Reason
from curate.stages.fetch import img2dataset as adapter
from curate.stages.fetch.blocking import BlockingClient
from curate.stages.fetch.early_filters import Screen
from curate.stages.fetch.host_limits import Turns
from curate.stages.fetch.open_requests import Watch
from curate.stages.fetch.outcome import Failure, Outcome
from tests.site.hostile import HostileSite, settings

FetchAll = Callable[..., list[Outcome]]


def test_a_row_that_it_loses_is_accounted_for(
    img2dataset: FetchAll, site: HostileSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It prints what a writer raises, and forgets the row."""
    write, fails = adapter._Ends.write, {site.url("numbered/3"), site.url("status/404")}

    def write_or_fail(self: Any, image: Any, key: Any, caption: Any, meta: dict[str, Any]) -> None:
        if meta["url"] in fails:
            fails.discard(meta["url"])
            raise RuntimeError("a full disk, say")
        write(self, image, key, caption, meta)

    monkeypatch.setattr(adapter._Ends, "write", write_or_fail)
    ends: list[Outcome] = []
    urls = [site.url(f"numbered/{i}") for i in range(6)] + [site.url("status/404")]
    outcomes = img2dataset(urls, done=ends.append)
    assert [outcome.reason for outcome in outcomes] == [None] * 6 + [Reason.HTTP_404]
    assert len(ends) == len(urls)


def test_a_url_that_it_never_asks_for_is_accounted_for(
    img2dataset: FetchAll, site: HostileSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(row: tuple[int, str], *_: Any) -> tuple[int, None, str]:
        return row[0], None, "some trouble of its own"

    monkeypatch.setattr(f"{adapter._ALIAS}.downloader.download_image", fails)
    (outcome,) = img2dataset([site.url("ok")], retries=1)
    assert (outcome.reason, outcome.attempts) == (Reason.CONNECT, 2)


def test_an_error_of_its_own_is_raised_not_printed(
    img2dataset: FetchAll, site: HostileSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(f"{adapter._ALIAS}.downloader.write_stats", fails)
    with pytest.raises(OSError, match="no space left"):
        img2dataset([site.url("ok")])


def test_it_prints_nothing(
    img2dataset: FetchAll, site: HostileSite, capfd: pytest.CaptureFixture[str]
) -> None:
    img2dataset([site.url("ok"), site.url("status/404"), site.url("hang-up"), "nonsense"])
    assert capfd.readouterr() == ("", "")


def test_urllib_is_as_it_was(img2dataset: FetchAll, site: HostileSite) -> None:
    before = urllib.request._opener  # type: ignore[attr-defined]
    img2dataset([site.url("ok")])
    assert urllib.request._opener is before  # type: ignore[attr-defined]


def test_only_what_was_asked_for_is_fetched(site: HostileSite, tmp_path: Path) -> None:
    config = settings(allow_networks=("127.0.0.0/8",))
    with Turns.open(tmp_path / "turns") as turns, pytest.raises(Failure, match="not asked for"):
        opener = adapter._Opener(
            {site.url("ok"): Outcome()}, tmp_path, BlockingClient(config, Screen(), turns, Watch())
        )
        opener.open(urllib.request.Request(site.canary_url))
    assert site.canary_hits == 0


def test_without_it_the_way_to_get_it_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"curate\[img2dataset\]"):
        adapter.fetch_img2dataset(["http://example.com/"], settings(), tmp_path, Watch())


def in_a_process(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.mark.usefixtures("needs_img2dataset")
def test_importing_it_calls_nobody_and_takes_only_what_is_needed() -> None:
    code = """
        import sys

        def refuse(event, arguments):
            if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
                print(event, arguments, file=sys.stderr)
                raise SystemExit(9)

        sys.addaudithook(refuse)
        from curate.stages.fetch.img2dataset import _downloader_class
        print(_downloader_class().__name__)
        print({"img2dataset", "albumentations", "cv2", "pandas", "torch", "webdataset"} & sys.modules.keys())
    """
    done = in_a_process(code)
    assert (done.returncode, done.stdout) == (0, "Downloader\nset()\n"), done.stderr


@pytest.mark.usefixtures("needs_img2dataset")
def test_an_interrupt_ends_it(site: HostileSite, tmp_path: Path) -> None:
    """By itself it waits for ever on threads that wait for it."""
    code = """
        import os, pathlib, signal, sys, threading
        from curate.stages.fetch.img2dataset import _downloader_class, fetch_img2dataset
        from curate.stages.fetch.open_requests import Watch
        from curate.recipe import Fetch

        signal.signal(signal.SIGINT, signal.default_int_handler)  # which a background job's child doesn't have
        _downloader_class()
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
        config = Fetch(concurrency=2, deadline=1.5, allow_networks=("127.0.0.1/32",))
        urls = [f"{sys.argv[1]}?{i}" for i in range(40)]
        try:
            fetch_img2dataset(urls, config, pathlib.Path(sys.argv[2]), Watch())
        except KeyboardInterrupt:
            print("interrupted")
    """
    done = in_a_process(code, site.url("silent"), str(tmp_path))
    assert done.stdout == "interrupted\n", done.stderr
    assert site.hits.total() <= 4
