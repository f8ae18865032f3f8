"""Faults of img2dataset itself, which its engine keeps from its callers."""

import subprocess
import sys
import textwrap
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from curate.errors import MissingExtra, Reason
from curate.stages.fetch import img2dataset as engine
from curate.stages.fetch.context import FetchContext
from curate.stages.fetch.outcome import Outcome
from tests.site.hostile import HostileSite, settings

FetchAll = Callable[..., list[Outcome]]


@pytest.fixture
def downloader(monkeypatch: pytest.MonkeyPatch, needs_img2dataset: None) -> Any:
    """Copy of img2dataset's module that the engine will use, for a test to break."""
    module = engine._load_downloader()
    monkeypatch.setattr(engine, "_load_downloader", lambda: module)
    return module


def test_row_lost_by_img2dataset_gets_an_outcome(
    img2dataset: FetchAll, site: HostileSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It prints an exception of its writer, and forgets the row."""
    write, fails = engine._Rounds.write, {site.url("numbered/3"), site.url("status/404")}

    def write_or_fail(self: Any, image: Any, key: Any, caption: Any, meta: dict[str, Any]) -> None:
        if meta["url"] in fails:
            fails.discard(meta["url"])
            raise RuntimeError("a full disk, say")
        write(self, image, key, caption, meta)

    monkeypatch.setattr(engine._Rounds, "write", write_or_fail)
    finished: list[Outcome] = []
    urls = [site.url(f"numbered/{i}") for i in range(6)] + [site.url("status/404")]
    outcomes = img2dataset(urls, done=finished.append)
    assert [outcome.reason for outcome in outcomes] == [None] * 6 + [Reason.HTTP_404]
    assert len(finished) == len(urls)


def test_url_that_img2dataset_never_requests_gets_an_outcome(
    img2dataset: FetchAll, site: HostileSite, downloader: Any
) -> None:
    def fail(row: tuple[int, str], **_: Any) -> tuple[int, None, str]:
        return row[0], None, "some trouble of its own"

    downloader.download_image_with_retry = fail
    (outcome,) = img2dataset([site.url("ok")], retries=1)
    assert (outcome.reason, outcome.attempts) == (Reason.CONNECT, 2)


def test_error_inside_img2dataset_is_raised(
    img2dataset: FetchAll, site: HostileSite, downloader: Any
) -> None:
    def fail(*_: Any) -> None:
        raise OSError("no space left on device")

    downloader.write_stats = fail
    with pytest.raises(OSError, match="no space left"):
        img2dataset([site.url("ok")])


def test_img2dataset_engine_prints_nothing(
    img2dataset: FetchAll, site: HostileSite, capfd: pytest.CaptureFixture[str]
) -> None:
    img2dataset([site.url("ok"), site.url("status/404"), site.url("hang-up"), "nonsense"])
    assert capfd.readouterr() == ("", "")


def test_img2dataset_engine_replaces_only_its_own_copy(
    img2dataset: FetchAll, site: HostileSite
) -> None:
    before = urllib.request._opener  # type: ignore[attr-defined]
    img2dataset([site.url("ok")])
    assert engine._load_downloader().download_image.__module__ == f"{engine.__name__}.downloader"
    assert urllib.request._opener is before  # type: ignore[attr-defined]


def test_img2dataset_cannot_fetch_other_urls(site: HostileSite, tmp_path: Path) -> None:
    context = FetchContext(settings(allow_networks=("127.0.0.0/8",)), tmp_path)
    rounds = engine._Rounds(SimpleNamespace(), context, {site.url("ok"): Outcome()})
    assert rounds.download_image((7, site.canary_url)) == (7, None, "not asked for")
    assert site.canary_hits == 0


def test_missing_img2dataset_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"curate-restoration\[img2dataset\]"):
        engine.fetch_img2dataset(["http://example.com/"], FetchContext(settings(), tmp_path))


def run_python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.mark.usefixtures("needs_img2dataset")
def test_loading_the_downloader_imports_little_and_sends_nothing() -> None:
    code = """
        import sys

        def refuse(event, arguments):
            if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
                print(event, arguments, file=sys.stderr)
                raise SystemExit(9)

        sys.addaudithook(refuse)
        from curate.stages.fetch.img2dataset import _load_downloader
        print(_load_downloader().Downloader.__name__)
        heavy = {"img2dataset", "albumentations", "cv2", "pandas", "torch", "webdataset"}
        print(heavy & sys.modules.keys())
    """
    done = run_python(code)
    assert (done.returncode, done.stdout) == (0, "Downloader\nset()\n"), done.stderr


@pytest.mark.usefixtures("needs_img2dataset")
def test_keyboard_interrupt_ends_the_img2dataset_engine(site: HostileSite, tmp_path: Path) -> None:
    """img2dataset alone waits for ever, on threads that wait for it."""
    code = """
        import os, pathlib, signal, sys, threading
        from curate.recipe import Fetch
        from curate.stages.fetch.context import FetchContext
        from curate.stages.fetch.img2dataset import _load_downloader, fetch_img2dataset

        # a child of a background job ignores SIGINT by default
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _load_downloader()
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
        config = Fetch(concurrency=2, deadline=1.5, allow_networks=("127.0.0.1/32",))
        urls = [f"{sys.argv[1]}?{i}" for i in range(40)]
        try:
            fetch_img2dataset(urls, FetchContext(config, pathlib.Path(sys.argv[2])))
        except KeyboardInterrupt:
            print("interrupted")
    """
    done = run_python(code, site.url("silent"), str(tmp_path))
    assert done.stdout == "interrupted\n", done.stderr
    assert site.hits.total() <= 4
