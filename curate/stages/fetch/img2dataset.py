"""The img2dataset engine: that package's Downloader does the work, within our bounds and contract.

Its Downloader is in charge: it reads the URLs, runs the threads, and passes each result to a
resizer and a sample writer. Limits of this engine are listed in docs/fetching.md.
"""

from __future__ import annotations

import asyncio
import importlib.util
import io
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from curate.errors import MissingExtra, Reason
from curate.stages.fetch.client import HttpClient
from curate.stages.fetch.context import FetchContext
from curate.stages.fetch.early_filters import EarlyFilters
from curate.stages.fetch.guard import Guard
from curate.stages.fetch.outcome import Failure, Outcome, contain_failures

__all__ = ["fetch_img2dataset"]

__path__: list[str] = []
"""img2dataset's folder, once `_load_downloader` has found it."""


def fetch_img2dataset(urls: Sequence[str], context: FetchContext) -> list[Outcome]:
    """Fetch every URL in rounds of img2dataset's Downloader; see `FetchEngine`.

    Equal URLs share an outcome.

    Raises:
        MissingExtra: if img2dataset isn't installed.
    """
    downloader = _load_downloader()
    guard = Guard(context.config.allow_networks)
    outcomes: list[Outcome] = []
    requested: dict[str, Outcome] = {}
    claimed: dict[str, int] = {}
    for text in urls:
        try:
            with contain_failures():
                url = str(
                    guard.url(text)
                )  # quoted as it will be sent: img2dataset can't take a space
            outcomes.append(requested.setdefault(url, Outcome()))
            claimed[url] = context.filters.claimed_pixels.get(text, 0)
        except Failure as failure:
            outcomes.append(Outcome(attempts=1))
            outcomes[-1].fail(failure)
    context = replace(context, filters=EarlyFilters(context.filters.bounds, claimed))
    asyncio.run(_Rounds(downloader, context, requested).run())
    reported = {id(outcome) for outcome in requested.values()}
    for outcome in outcomes:
        if id(outcome) in reported:
            reported.remove(id(outcome))
        else:  # a URL that was refused, or the repetition of another
            context.requests.finish(outcome)
    return outcomes


def _load_downloader() -> Any:
    """Return a private copy of img2dataset's module `downloader`.

    Importing the package takes 590 MB for OpenCV, pandas, albumentations and webdataset with
    PyTorch, and asks the network for updates of albumentations. The Downloader needs none of them.
    So its module is loaded from the package's folder as a submodule of this one.
    """
    missing = MissingExtra("the img2dataset engine", "img2dataset")
    package = importlib.util.find_spec("img2dataset")
    __path__[:] = (package and package.submodule_search_locations) or ()
    spec = importlib.util.find_spec(f"{__name__}.downloader")
    if spec is None or spec.loader is None:
        raise missing
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except ImportError as error:
        raise missing from error
    return module


class _Rounds:
    """Rounds of the Downloader over some URLs, each with one attempt at what is left.

    Args:
        downloader: the module, whose function `download_image` is replaced.
        context: see `FetchContext`.
        outcomes: outcome of each URL, to be filled in.
    """

    def __init__(
        self, downloader: Any, context: FetchContext, outcomes: dict[str, Outcome]
    ) -> None:
        self._context, self._config = context, context.config
        self._client = HttpClient(context)
        self._outcomes = outcomes
        self._paths = {url: context.scratch / f"{i}" for i, url in enumerate(outcomes)}
        self._stopped = False
        self._error: Exception | None = None
        """Error of this machine rather than of a URL; img2dataset would print it and go on."""
        self._is_last = False
        self._written: set[str] = set()
        """URLs whose results the Downloader has delivered in this round."""
        self._delays: dict[str, float] = {}
        """URL -> seconds to wait before its retry in the next round."""
        # The Downloader takes no session and no function. Its own download_image calls
        # urllib.request.urlopen, which has no total deadline and no limit of bytes, and goes
        # wherever a URL says. Hence the private copy: nobody else is affected by the replacement.
        self._downloader = downloader
        downloader.download_image = self.download_image

    async def run(self) -> None:
        """Run rounds until no URL needs a retry, then the last round."""
        self._loop = asyncio.get_running_loop()
        async with self._client:
            delays = dict.fromkeys(self._outcomes, 0.0)
            while delays:
                await asyncio.sleep(max(delays.values()))
                for url, delay in delays.items():
                    self._outcomes[url].seconds += delay
                delays = await self._run_round([*delays])
            last = [url for url, o in self._outcomes.items() if o.deserves_last_retry(self._config)]
            if last:
                await self._client.reset()
                delays = {url: self._outcomes[url].retry_after or 0.0 for url in last}
                await asyncio.sleep(max(self._config.backoff, *delays.values()))
                for url in last:
                    self._outcomes[url].seconds = 0.0
                self._is_last = True
                await self._run_round(last)

    async def _run_round(self, urls: list[str]) -> dict[str, float]:
        """Run the Downloader once; return the URLs to retry, and after how many seconds."""
        for url in urls:
            self._outcomes[url].start_attempt()
        self._written, self._delays = set(), {}
        path = str(self._context.scratch / "urls.feather")
        table = pa.table({"url": urls}, pa.schema([("url", pa.string())]))
        with pa.OSFile(path, "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)
        run = self._downloader.Downloader(
            sample_writer_class=lambda *_: self,
            resizer=_keep_bytes,
            thread_count=min(self._config.concurrency, len(urls)),
            save_caption=False,
            extract_exif=False,
            output_folder=str(self._context.scratch),
            column_list=["url"],
            timeout=self._config.deadline,
            number_sample_per_shard=len(urls),
            oom_shard_count=1,
            compute_hash=None,
            verify_hash_type=None,
            encode_format="jpg",
            retries=0,  # its own come at once, and for 404 too; ours are by reason, in rounds
            user_agent_token=None,
            disallowed_header_directives=None,
        )
        # In a thread of its own, since it never ends if an exception, such as that of Ctrl-C,
        # leaves its loop. download_shard, because __call__ prints errors and forgets them.
        work = asyncio.ensure_future(asyncio.to_thread(run.download_shard, (0, path)))
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            self._stopped = True
            await asyncio.wait([work])
            raise
        if self._error:
            raise self._error
        for url in urls:  # rows in = rows out, though the Downloader lost some
            if url not in self._written:
                self.write(None, "", None, {"url": url, "error_message": "lost"})
        return self._delays

    def download_image(
        self, row: tuple[int, str], *_: object, **__: object
    ) -> tuple[int, io.BytesIO | None, str | None]:
        """Replace img2dataset's function: spool a URL's bytes.

        Returns:
            The row's key, an empty stream if there are bytes, and an error message if there are
            not. An exception must not leave this function: it would end the Downloader's loop.
        """
        key, url = row
        outcome = self._outcomes.get(url)
        if outcome is None or self._stopped:
            return key, None, "not asked for"
        try:
            attempt = self._client.fetch(url, self._paths[url], outcome)
            asyncio.run_coroutine_threadsafe(attempt, self._loop).result()
        except Failure as failure:
            outcome.fail(failure)
            return key, None, str(failure)
        except Exception as error:  # noqa: BLE001 - an error of this machine
            self._error, self._stopped = error, True
            return key, None, str(error)
        return key, io.BytesIO(), None

    def write(
        self, image: bytes | None, key: str, caption: str | None, meta: dict[str, Any]
    ) -> None:
        """Record the result of one URL, as img2dataset's sample writers do."""
        self._written.add(meta["url"])
        outcome = self._outcomes[meta["url"]]
        if outcome.body is None and outcome.reason is None:
            outcome.fail(Failure(Reason.CONNECT, f"img2dataset: {meta['error_message']}"))
        delay = outcome.retry_delay(self._config)
        if self._is_last or (delay is None and not outcome.deserves_last_retry(self._config)):
            self._context.requests.finish(outcome)
        elif delay is not None:
            self._delays[meta["url"]] = delay

    def close(self) -> None:
        """End a round, as img2dataset's sample writers do."""


def _keep_bytes(
    stream: io.BytesIO, blurring_boxes: Any = None
) -> tuple[bytes, int, int, int, int, None]:
    """Replace img2dataset's resizer: decode nothing, so that nothing is encoded again."""
    return b"", 0, 0, 0, 0, None
