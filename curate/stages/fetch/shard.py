"""The fetch stage's shard function: candidates -> a tar of bytes as served, and facts or a reason for each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import pyarrow as pa

from curate.errors import Reason
from curate.images.file_format import EXTENSIONS
from curate.recipe import Bound, Fetch
from curate.stages.fetch.early_filters import Screen
from curate.stages.fetch.local import LocalBytes, read_local
from curate.stages.fetch.log import metadata, write_log
from curate.stages.fetch.open_requests import Watch
from curate.stages.fetch.outcome import Body, Failure, Outcome
from curate.stages.fetch.reuse import Earlier
from curate.storage import atomic
from curate.storage.tar import TarWriter, WritesBytes

if TYPE_CHECKING:
    from curate.engine.stage import Shard

__all__ = ["SCHEMA", "FetchShard"]

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
        """See `curate.stages.fetch.stream.fetch_stream`."""
        ...


@dataclass(frozen=True)
class FetchShard:
    """Fetches one shard. Writes `images/<shard>.tar`, and the volatile `log/fetch-<number>.parquet`."""

    config: Fetch
    bounds: tuple[Bound, ...] = ()
    """Rules of the recipe's filters that may reject a candidate before its bytes are there."""
    retry: tuple[str, ...] = ()
    """Reasons to try again, of a shard that was fetched before."""

    @property
    def settings(self) -> dict[str, Any]:
        """What the results depend on, as JSON has it."""
        settings = {
            "fetch": self.config.essence(),
            "bounds": [asdict(bound) for bound in self.bounds],
        }
        return cast(dict[str, Any], json.loads(json.dumps(settings)))

    def __call__(self, rows: pa.Table, shard: Shard) -> pa.Table:
        """One row for each of `rows`, in order: id, reason (null if there are bytes) and the columns of SCHEMA.

        What was fetched before, and is still there, is not fetched again; see curate.stages.fetch.reuse.

        Args:
            rows: with columns id, url and local_path; the other local columns, those that the bounds name, and
                claimed_width and claimed_height, may be there.
            shard: where files go.

        Raises:
            MissingExtra: if the recipe wants the img2dataset engine and it isn't installed.
        """
        candidates = rows.to_pylist()
        tar, aside = f"images/{shard.name}.tar", f"aside/{shard.name}.tar"
        with shard.folder.scratch() as scratch:
            (scratch / "earlier").mkdir()
            earlier = Earlier(shard, (aside, tar), scratch / "earlier")
            known = self._known(candidates, earlier)
            wanted = [
                row
                for row in candidates
                if row["id"] not in known or _is_on_disk(row, known[row["id"]])
            ]
            watch = Watch(shard.advance)
            shard.watch(watch.slowest)
            for id_ in known.keys() - {row["id"] for row in wanted}:
                watch.done(known[id_])
            fetched = self._fetch(wanted, scratch, shard, watch)
            outcomes = {row["id"]: outcome for row, outcome in zip(wanted, fetched, strict=True)}
            gone = {id_ for id_, outcome in outcomes.items() if outcome.reason is Reason.UNREADABLE}
            outcomes |= {
                id_: outcome for id_, outcome in known.items() if id_ in gone or id_ not in outcomes
            }
            outcomes = {row["id"]: outcomes[row["id"]] for row in candidates}
            bodies = {id_: outcome.body for id_, outcome in outcomes.items() if outcome.body}
            # In this order, killed anywhere: what leaves the tar is put aside first, and what comes into it is known to
            # the log first, so that the next making finds all that is there.
            held = earlier.bodies.keys() & {
                id_ for id_, outcome in outcomes.items() if outcome.held
            }
            apart = (
                earlier.aside.keys() & outcomes.keys()
            ) | held  # not of those that were removed from the run
            if apart:
                with shard.create(aside, volatile=True) as sink:
                    _write_tar({id_: earlier.bodies[id_] for id_ in sorted(apart)}, sink)
            else:
                shard.folder.remove(aside)
            write_log(outcomes, self.settings, shard)
            with shard.create(tar) as sink:
                offsets = _write_tar(bodies, sink)
        found = [bodies.get(id_) for id_ in outcomes]
        columns = {
            "id": list(outcomes),
            "reason": [outcome.reason and outcome.reason.value for outcome in outcomes.values()],
            "final_url": [
                None if outcome.unasked else outcome.final_url for outcome in outcomes.values()
            ],
            "http_status": [
                None if outcome.unasked else outcome.http_status for outcome in outcomes.values()
            ],
            "sha256": [body and body.sha256 for body in found],
            "tar": [body and tar for body in found],
            "offset": [offsets.get(id_) for id_ in outcomes],
            "nbytes": [body and body.nbytes for body in found],
        }
        schema = pa.schema(
            [("id", pa.string()), ("reason", pa.string()), *SCHEMA], metadata(self.settings)
        )
        return pa.table(columns, schema=schema)

    def _known(self, candidates: list[dict[str, Any]], earlier: Earlier) -> dict[str, Outcome]:
        """Id -> outcome of each row that an earlier making leaves no question about."""
        screen = Screen.of_rows(self.bounds, candidates)
        settings = self.settings
        known = {row["id"]: earlier.outcome(row, settings, screen) for row in candidates}
        return {
            id_: outcome
            for id_, outcome in known.items()
            if outcome and outcome.reason not in self.retry
        }

    def _fetch(
        self, candidates: list[dict[str, Any]], scratch: Path, shard: Shard, watch: Watch
    ) -> list[Outcome]:
        """Local rows from where they are; from the network the others, and those whose local bytes have changed."""
        sources = {
            i: LocalBytes.of_row(row)
            for i, row in enumerate(candidates)
            if row["local_path"] is not None
        }
        ends = dict(
            zip(sources, read_local([*sources.values()], self.config, scratch, watch), strict=True)
        )
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
            turns = shard.folder.common / f"{atomic.TEMPORARY}turns"
            fetched = fetch([*urls.values()], self.config, scratch, watch, screen, turns=turns)
            ends |= zip(urls, fetched, strict=True)
        for i, detail in altered.items():
            ends[i].detail = "; ".join(filter(None, (f"on disk: {detail}", ends[i].detail)))
        return [ends[i] for i in range(len(candidates))]


def _is_on_disk(row: Mapping[str, Any], known: Outcome) -> bool:
    """Whether a candidate comes from a disk: as long as it is there, it is what it is there."""
    return row["local_path"] is not None and known.http_status is None


def _engine(name: str) -> FetchEngine:
    """Imports what an engine needs only where one runs: network libraries are slow to load, img2dataset very."""
    if name == "stream":
        from curate.stages.fetch.stream import fetch_stream

        return fetch_stream
    from curate.stages.fetch.img2dataset import fetch_img2dataset

    return fetch_img2dataset


def _write_tar(bodies: dict[str, Body], sink: WritesBytes) -> dict[str, int]:
    """Write all bodies (id -> body) in order; returns where each begins."""
    writer = TarWriter(sink)
    offsets = {
        id_: writer.add(f"{id_}.{EXTENSIONS[body.format]}", body.path, body.nbytes)
        for id_, body in bodies.items()
    }
    writer.close()
    return offsets
