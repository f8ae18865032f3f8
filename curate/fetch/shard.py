"""The fetch stage's shard function: candidates -> a tar of bytes as served, and facts or a reason for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from curate.fetch.local import LocalBytes, read_local
from curate.fetch.outcome import Outcome
from curate.fetch.sniff import EXTENSIONS
from curate.fetch.tar import TarWriter, WritesBytes
from curate.recipe import Fetch

if TYPE_CHECKING:
    from curate.engine.stage import Shard

__all__ = ["LOG", "SCHEMA", "FetchShard"]

SCHEMA = pa.schema(
    [
        ("final_url", pa.string()),
        ("http_status", pa.int16()),
        ("sha256", pa.string()),
        ("tar", pa.string()),
        ("offset", pa.int64()),
        ("nbytes", pa.int64()),
    ]
)
"""Columns that the stage adds. For a rejected candidate only those that an answer told."""

LOG = pa.schema(
    [
        ("id", pa.string()),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("started_at", pa.timestamp("us", tz="UTC")),
        ("seconds", pa.float64()),
        ("attempts", pa.int16()),
        ("address", pa.string()),
        ("content_type", pa.string()),
        ("content_length", pa.int64()),
    ]
)
"""Columns of the log: what differs from run to run. `address` is the one that a socket was connected to."""

FetchEngine = Callable[[Sequence[str], Fetch, Path, Callable[[], None]], list[Outcome]]
"""(URLs, settings, scratch folder, called as each ends) -> one outcome for each URL, in order."""


@dataclass(frozen=True)
class FetchShard:
    """Fetches one shard. Writes `images/<shard>.tar`, and the volatile `log/fetch-<number>.parquet`."""

    config: Fetch

    def __call__(self, rows: pa.Table, shard: Shard) -> pa.Table:
        """One row for each of `rows`, in order: id, reason (null if there are bytes) and the columns of SCHEMA.

        Args:
            rows: with columns id, url, local_path, local_offset and local_nbytes.
            shard: where files go.

        Raises:
            MissingExtra: if the recipe wants the img2dataset engine and it isn't installed.
        """
        ids = rows.column("id").to_pylist()
        tar = f"images/{shard.name}.tar"
        with shard.folder.scratch() as scratch:
            outcomes = self._fetch(rows, scratch, shard.advance)
            with shard.create(tar) as sink:
                offsets = _write_tar(ids, outcomes, sink)
        _write_log(ids, outcomes, shard)
        bodies = [outcome.body for outcome in outcomes]
        columns = {
            "id": ids,
            "reason": [outcome.reason and outcome.reason.value for outcome in outcomes],
            "final_url": [outcome.final_url for outcome in outcomes],
            "http_status": [outcome.http_status for outcome in outcomes],
            "sha256": [body and body.sha256 for body in bodies],
            "tar": [body and tar for body in bodies],
            "offset": offsets,
            "nbytes": [body and body.nbytes for body in bodies],
        }
        return pa.table(columns, schema=pa.schema([("id", pa.string()), ("reason", pa.string()), *SCHEMA]))

    def _fetch(self, rows: pa.Table, scratch: Path, advance: Callable[[], None]) -> list[Outcome]:
        """Local rows from where they are, and never from the network; the others from the network, and nowhere else."""
        urls, *places = (rows.column(c).to_pylist() for c in ("url", "local_path", "local_offset", "local_nbytes"))
        sources = [LocalBytes(*place) if place[0] is not None else None for place in zip(*places, strict=True)]
        local = iter(read_local([source for source in sources if source], self.config, scratch, advance))
        remote_urls = [url for url, source in zip(urls, sources, strict=True) if not source]
        remote = iter(_engine(self.config.engine)(remote_urls, self.config, scratch, advance) if remote_urls else ())
        return [next(local if source else remote) for source in sources]


def _engine(name: str) -> FetchEngine:
    """Imports what an engine needs only where one runs: network libraries are slow to load, img2dataset very."""
    if name == "stream":
        from curate.fetch.stream import fetch_stream

        return fetch_stream
    from curate.fetch.img2dataset import fetch_img2dataset

    return fetch_img2dataset


def _write_tar(ids: list[str], outcomes: list[Outcome], sink: WritesBytes) -> list[int | None]:
    """Write all bodies in order; returns where each begins."""
    writer = TarWriter(sink)
    offsets = [
        writer.add(f"{id_}.{EXTENSIONS[body.format]}", body.path, body.nbytes) if (body := outcome.body) else None
        for id_, outcome in zip(ids, outcomes, strict=True)
    ]
    writer.close()
    return offsets


def _write_log(ids: list[str], outcomes: list[Outcome], shard: Shard) -> None:
    rows = [
        {"id": id_, **{name: getattr(outcome, name) for name in LOG.names[1:]}}
        for id_, outcome in zip(ids, outcomes, strict=True)
    ]
    with shard.create(f"log/fetch-{shard.name.removeprefix('part-')}.parquet", volatile=True) as sink:
        buffer = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist(rows, LOG), buffer)
        sink.write(buffer.getvalue().to_pybytes())
