"""The fetch stage's shard function: candidates -> a tar of bytes as served, and facts or a reason for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curate import files
from curate.errors import Reason, RunError
from curate.fetch.local import LocalBytes, read_local
from curate.fetch.outcome import Failure, Outcome
from curate.fetch.screen import Screen
from curate.fetch.watch import Watch
from curate.recipe import Bound, Fetch
from curate.sniff import EXTENSIONS
from curate.tar import TarWriter, WritesBytes

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


class FetchEngine(Protocol):
    """Fetches URLs: one outcome for each, in order."""

    def __call__(
        self,
        urls: Sequence[str],
        config: Fetch,
        scratch: Path,
        watch: Watch,
        screen: Screen | None = None,
        *,
        turns: Path | None = None,
    ) -> list[Outcome]:
        """See `curate.fetch.stream.fetch_stream`."""
        ...


@dataclass(frozen=True)
class FetchShard:
    """Fetches one shard. Writes `images/<shard>.tar`, and the volatile `log/fetch-<number>.parquet`."""

    config: Fetch
    bounds: tuple[Bound, ...] = ()
    """Rules of the recipe's filters that may reject a candidate before its bytes are there."""
    retry: tuple[str, ...] = ()
    """Reasons to try again, of a shard that was fetched before; its other rows stay as they are."""

    def __call__(self, rows: pa.Table, shard: Shard) -> pa.Table:
        """One row for each of `rows`, in order: id, reason (null if there are bytes) and the columns of SCHEMA.

        Args:
            rows: with columns id, url and local_path; the other local columns, those that the bounds name, and
                claimed_width and claimed_height, may be there.
            shard: where files go.

        Raises:
            MissingExtra: if the recipe wants the img2dataset engine and it isn't installed.
        """
        ids = rows.column("id").to_pylist()
        tar = f"images/{shard.name}.tar"
        with shard.folder.scratch() as scratch:
            (scratch / "kept").mkdir()
            kept = self._keep(shard, scratch / "kept")
            wanted = rows.filter(pc.invert(pc.is_in(rows["id"], pa.array(kept, pa.string()))))
            watch = Watch(shard.advance)
            shard.watch(watch.slowest)
            for outcome in kept.values():
                watch.done(outcome)
            fetched = dict(zip(wanted["id"].to_pylist(), self._fetch(wanted, scratch, shard, watch), strict=True))
            outcomes = [kept.get(id_) or fetched[id_] for id_ in ids]
            with shard.create(tar) as sink:
                offsets = _write_tar(ids, outcomes, sink)
        _write_log(fetched, shard)
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

    def _keep(self, shard: Shard, scratch: Path) -> dict[str, Outcome]:
        """Id -> outcome of each row that was fetched before and is not to be tried again."""
        if shard.previous is None:
            return {}
        rows = [row for row in shard.previous.to_pylist() if row["reason"] not in self.retry]
        reasons = {reason.value: reason for reason in Reason}
        kept = {row["id"]: Outcome(reason=reasons.get(row["reason"])) for row in rows}
        there = [row for row in rows if row["reason"] is None]
        places = [
            LocalBytes(f"{shard.folder}/{row['tar']}", row["offset"], row["nbytes"], digest=f"sha256:{row['sha256']}")
            for row in there
        ]
        for row, copy in zip(there, read_local(places, self.config, scratch, Watch()), strict=True):
            if copy.body is None:
                raise RunError(f"{shard.folder}/{row['tar']} changed while it was read")
            kept[row["id"]] = copy
        for row in rows:
            kept[row["id"]].final_url, kept[row["id"]].http_status = row["final_url"], row["http_status"]
        return kept

    def _fetch(self, rows: pa.Table, scratch: Path, shard: Shard, watch: Watch) -> list[Outcome]:
        """Local rows from where they are; from the network the others, and those whose local bytes have changed."""
        candidates = rows.to_pylist()
        sources = {i: LocalBytes.of_row(row) for i, row in enumerate(candidates) if row["local_path"] is not None}
        ends = dict(zip(sources, read_local([*sources.values()], self.config, scratch, watch), strict=True))
        altered = {i: outcome.detail for i, outcome in ends.items() if outcome.altered}
        urls: dict[int, str] = {}
        screen = Screen.of_rows(self.bounds, candidates)
        for i, row in enumerate(candidates):
            if i in ends and i not in altered:
                continue
            try:
                screen.judge_claims(row)
                urls[i] = row["url"]
            except Failure as failure:
                ends[i] = Outcome()
                ends[i].fail(failure)
                watch.done(ends[i])
        if urls:
            fetch = _engine(self.config.engine)
            turns = shard.folder.common / f"{files.TEMPORARY}turns"
            fetched = fetch([*urls.values()], self.config, scratch, watch, screen, turns=turns)
            ends |= zip(urls, fetched, strict=True)
        for i, detail in altered.items():
            ends[i].detail = "; ".join(filter(None, (f"on disk: {detail}", ends[i].detail)))
        return [ends[i] for i in range(len(candidates))]


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


def _write_log(fetched: dict[str, Outcome], shard: Shard) -> None:
    """Id -> outcome of what was tried now; what the log says of other candidates stays in it."""
    path = f"log/fetch-{shard.name.removeprefix('part-')}.parquet"
    rows = [{"id": id_, **{name: getattr(o, name) for name in LOG.names[1:]}} for id_, o in fetched.items()]
    log = pa.Table.from_pylist(rows, LOG)
    if shard.previous is not None and shard.folder.exists(path):
        with shard.open(path) as file:
            before = pq.read_table(file, schema=LOG)
        log = pa.concat_tables([before.filter(pc.invert(pc.is_in(before["id"], log["id"].combine_chunks()))), log])
    with shard.create(path, volatile=True) as sink:
        buffer = pa.BufferOutputStream()
        pq.write_table(log, buffer)
        sink.write(buffer.getvalue().to_pybytes())
