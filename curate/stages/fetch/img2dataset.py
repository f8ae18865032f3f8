"""The img2dataset engine: that package's Downloader does the work, within our bounds and to our contract.

Its Downloader drives: it reads the URLs, runs the threads, and hands each result on to a resizer and a sample writer.
It fetches through `urllib.request.urlopen`, which has neither a total deadline nor a byte limit and goes wherever a URL
says. So an opener of ours stands behind that while it runs, and sends bodies straight to the spool. What can't be had
through this engine is said in docs/fetching.md.
"""

from __future__ import annotations

import importlib
import importlib.util
import io
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa

from curate.errors import MissingExtra, Reason, RunError
from curate.recipe import Fetch
from curate.stages.fetch.blocking import BlockingClient
from curate.stages.fetch.early_filters import Screen
from curate.stages.fetch.guard import Guard
from curate.stages.fetch.host_limits import Turns
from curate.stages.fetch.open_requests import Watch
from curate.stages.fetch.outcome import Failure, Outcome

__all__ = ["fetch_img2dataset"]

_ONE_AT_A_TIME = threading.Lock()
"""urllib has one opener for the whole process."""

_ALIAS = "img2dataset_without_init"


def fetch_img2dataset(
    urls: Sequence[str],
    config: Fetch,
    scratch: Path,
    watch: Watch,
    screen: Screen | None = None,
    *,
    turns: Path | None = None,
) -> list[Outcome]:
    """Fetch every URL once, with retries of what may pass, in rounds.

    Args:
        urls: what candidates are called; anything may stand there.
        config: bounds and manners.
        scratch: local folder for the bodies, one file each.
        watch: told which URLs are open, and how each came to its end.
        screen: rejects what the head of a file tells to be of no use.
        turns: file of the turns at hosts, to share them with others; its own by default.

    Returns:
        One outcome for each URL, in order. Equal URLs share one.

    Raises:
        MissingExtra: if img2dataset isn't installed.
        RunError: if the scratch folder can't be written.
    """
    downloader = _downloader_class()
    guard = Guard(config.allow_networks)
    outcomes: list[Outcome] = []
    asked: dict[str, Outcome] = {}
    given = screen or Screen()
    claimed: dict[str, int] = {}
    for text in urls:
        try:
            url = str(
                guard.url(text)
            )  # quoted as it will be sent: img2dataset would choke on a space
            outcomes.append(asked.setdefault(url, Outcome()))
            claimed[url] = given.claimed_pixels.get(text, 0)
        except Failure as failure:
            outcomes.append(Outcome(attempts=1))
            outcomes[-1].fail(failure)
    with Turns.open(turns or scratch / "turns") as opened:
        opener = _Opener(
            asked, scratch, BlockingClient(config, Screen(given.bounds, claimed), opened, watch)
        )
        _run_all(downloader, opener, config, scratch, watch)
    told = {id(outcome) for outcome in asked.values()}
    for outcome in outcomes:
        if id(outcome) in told:  # what comes again was not told with it
            told.remove(id(outcome))
        else:
            watch.done(outcome)
    return outcomes


def _run_all(downloader: Any, opener: _Opener, config: Fetch, scratch: Path, watch: Watch) -> None:
    """Rounds until there is nothing to try again, and the last one."""
    asked = opener.asked
    waiting = dict.fromkeys(asked, 0.0)
    while waiting:
        time.sleep(max(waiting.values()))
        for url, pause in waiting.items():
            asked[url].seconds += pause
            asked[url].begin()
        waiting = _run(downloader, list(waiting), opener, config, scratch, watch)
    last = [url for url, outcome in asked.items() if outcome.may_end_otherwise(config)]
    if last:
        opener.forgive()
        time.sleep(max(config.backoff, *(asked[url].retry_after or 0.0 for url in last)))
        for url in last:
            asked[url].seconds = 0.0
            asked[url].begin()
        _run(downloader, last, opener, config, scratch, watch, is_last=True)


def _downloader_class() -> Any:
    """img2dataset's Downloader, without what the package's `__init__` imports for its resizer and its writers.

    That would be 600 MB for OpenCV, pandas, albumentations, and webdataset, which imports PyTorch wherever it is
    installed. So the package's folder is given to Python under another name, as a package that imports nothing itself.
    """
    found = importlib.util.find_spec("img2dataset")
    if found is None:
        raise MissingExtra("the img2dataset engine", "img2dataset")
    package = ModuleType(_ALIAS)
    package.__path__ = list(found.submodule_search_locations or ())
    sys.modules.setdefault(_ALIAS, package)
    try:
        return importlib.import_module(f"{_ALIAS}.downloader").Downloader
    except ImportError as error:
        raise MissingExtra("the img2dataset engine", "img2dataset") from error


def _run(
    downloader: Any,
    urls: list[str],
    opener: _Opener,
    config: Fetch,
    scratch: Path,
    watch: Watch,
    *,
    is_last: bool = False,
) -> dict[str, float]:
    """One round of the Downloader over some URLs: returns those to try again, and after how many seconds."""
    listing = scratch / "urls.feather"
    with (
        pa.OSFile(str(listing), "wb") as file,
        pa.ipc.new_file(file, pa.schema([("url", pa.string())])) as writer,
    ):
        writer.write_table(pa.table({"url": urls}))
    ends = _Ends(opener.asked, config, watch, is_last)
    run = downloader(
        sample_writer_class=ends,
        resizer=_keep,
        thread_count=min(config.concurrency, len(urls)),
        save_caption=False,
        extract_exif=False,
        output_folder=str(scratch),
        column_list=["url"],
        timeout=config.deadline,
        number_sample_per_shard=len(urls),
        oom_shard_count=1,
        compute_hash=None,
        verify_hash_type=None,
        encode_format="jpg",
        retries=0,  # at once, and of 404 too: ours are by reason, in rounds
        user_agent_token=None,
        disallowed_header_directives=None,
    )
    # In a thread of its own, since it never ends if an exception, such as that of Ctrl-C, leaves its loop. Its
    # download_shard rather than its __call__, which prints errors and forgets them.
    with _installed(opener), ThreadPoolExecutor(1) as thread:
        future = thread.submit(run.download_shard, (0, str(listing)))
        try:
            future.result()
        except KeyboardInterrupt:
            opener.stopped = True
            raise
    if opener.trouble:
        raise opener.trouble
    ends.complete(urls)
    return ends.again


class _Opener:
    """What stands behind `urllib.request.urlopen`: only for the URLs asked for, only within bounds."""

    def __init__(self, asked: dict[str, Outcome], scratch: Path, client: BlockingClient) -> None:
        self.asked = asked
        self.stopped = False
        self.trouble: Exception | None = None
        """What is wrong with this machine rather than with a URL; img2dataset would print it and go on."""
        self._paths = {url: scratch / f"{i}" for i, url in enumerate(asked)}
        self._client = client
        self.forgive = client.forgive

    def open(
        self, request: urllib.request.Request, data: Any = None, timeout: float | None = None
    ) -> io.BytesIO:
        """Spool a URL's bytes; what img2dataset gets to read of them is nothing.

        Raises:
            Failure: if no image comes of it.
        """
        outcome = self.asked.get(request.full_url)
        if outcome is None or self.stopped:
            raise Failure(Reason.CONNECT, "not asked for")
        try:
            self._client.fetch(request.full_url, self._paths[request.full_url], outcome)
        except Failure as failure:
            outcome.fail(failure)
            raise
        except (OSError, RunError) as error:
            self.trouble, self.stopped = error, True
            raise
        return io.BytesIO()


class _Ends:
    """What the Downloader takes for its class of sample writers: sees each URL come to its end."""

    def __init__(
        self, asked: dict[str, Outcome], config: Fetch, watch: Watch, is_last: bool = False
    ) -> None:
        self._asked = asked
        self._is_last = is_last
        self._config = config
        self._watch = watch
        self._seen: set[str] = set()
        self.again: dict[str, float] = {}
        """URL -> seconds to wait before another try."""

    def __call__(self, *settings: Any) -> _Ends:
        return self

    def write(
        self, image: bytes | None, key: str, caption: str | None, meta: dict[str, Any]
    ) -> None:
        """One URL is through."""
        self._seen.add(meta["url"])
        outcome = self._asked[meta["url"]]
        if outcome.body is None and outcome.reason is None:
            outcome.fail(Failure(Reason.CONNECT, f"img2dataset: {meta['error_message']}"))
        pause = outcome.pause(self._config)
        if self._is_last or (pause is None and not outcome.may_end_otherwise(self._config)):
            self._watch.done(outcome)
        elif pause is not None:
            self.again[meta["url"]] = pause

    def close(self) -> None:
        """All are."""

    def complete(self, urls: list[str]) -> None:
        """Rows in = rows out, whatever the Downloader lost on its way."""
        for url in urls:
            if url not in self._seen:
                self.write(None, "", None, {"url": url, "error_message": "lost"})


def _keep(stream: io.BytesIO, blurring_boxes: Any = None) -> tuple[bytes, int, int, int, int, None]:
    """What the Downloader takes for its resizer: nothing is decoded, so nothing is re-encoded."""
    return b"", 0, 0, 0, 0, None


@contextmanager
def _installed(opener: _Opener) -> Iterator[None]:
    """Make `urllib.request.urlopen` use an opener for a while. In this process nobody else can use it meanwhile."""
    with _ONE_AT_A_TIME:
        before = urllib.request._opener  # type: ignore[attr-defined]
        urllib.request.install_opener(opener)  # type: ignore[arg-type]
        try:
            yield
        finally:
            urllib.request.install_opener(before)
