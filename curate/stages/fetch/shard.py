"""Shard function of the fetch stage: candidates -> a tar of bytes as served, and a row for each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa

from curate.errors import Reason
from curate.images.file_format import EXTENSIONS
from curate.recipe import Bound, Fetch
from curate.stages.fetch.context import FetchContext, FetchEngine
from curate.stages.fetch.early_filters import EarlyFilters
from curate.stages.fetch.local import LocalBytes, read_local
from curate.stages.fetch.log import metadata, write_log
from curate.stages.fetch.open_requests import OpenRequests
from curate.stages.fetch.outcome import Body, Failure, Outcome
from curate.stages.fetch.reuse import EarlierFetch
from curate.storage import atomic
from curate.storage.tar import TarWriter, WritesBytes

if TYPE_CHECKING:
    from curate.engine.stage import Shard

__all__ = ["SCHEMA", "FetchShard", "load_engine"]

Row = dict[str, Any]

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
"""Columns that the stage adds. A rejected candidate has only those that a response gave."""


@dataclass(frozen=True)
class FetchShard:
    """Shard function that writes `images/<shard>.tar` and the volatile `log/fetch-*.parquet`."""

    config: Fetch
    bounds: tuple[Bound, ...] = ()
    """The recipe's bounds that may reject a candidate before its bytes are there."""
    retry: tuple[str, ...] = ()
    """Reasons to retry, of a shard that was fetched before."""

    @property
    def settings(self) -> dict[str, Any]:
        """Settings that the results depend on, as JSON holds them."""
        bounds = [asdict(bound) for bound in self.bounds]
        settings = json.dumps({"fetch": self.config.essence(), "bounds": bounds})
        return cast(dict[str, Any], json.loads(settings))

    def __call__(self, rows: pa.Table, shard: Shard) -> pa.Table:
        """Return one row for each of `rows`, in order.

        The columns are id, reason (null if there are bytes) and those of SCHEMA. Bytes of an
        earlier fetch are reused, see curate.stages.fetch.reuse.

        Args:
            rows: with columns id, url and local_path; may have the other local columns, the columns
                of the bounds, claimed_width and claimed_height.
            shard: where files go.

        Raises:
            MissingExtra: if the recipe wants the img2dataset engine and it isn't installed.
        """
        candidates = rows.to_pylist()
        tar, aside = f"images/{shard.name}.tar", f"aside/{shard.name}.tar"
        with shard.folder.scratch() as scratch:
            (scratch / "earlier").mkdir()
            earlier = EarlierFetch(shard, (aside, tar), scratch / "earlier")
            requests = OpenRequests(shard.advance)
            shard.watch(requests.slowest)
            filters = EarlyFilters.for_rows(self.bounds, candidates)
            context = FetchContext(self.config, scratch, requests, filters)
            outcomes = self._outcomes(candidates, earlier, context, shard)
            bodies = {id_: outcome.body for id_, outcome in outcomes.items() if outcome.body}
            # The order matters, if this is killed in between: bytes that leave the tar are put
            # aside first, and bytes that enter it are logged first, so that a later fetch finds all
            _write_aside(outcomes, earlier, shard, aside)
            write_log(outcomes, self.settings, shard)
            with shard.create(tar) as sink:
                offsets = _write_tar(bodies, sink)
        table = []
        for id_, outcome in outcomes.items():
            row: Row = {"id": id_, "reason": outcome.reason and outcome.reason.value}
            if not outcome.rejected_by_claims:
                row |= {"final_url": outcome.final_url, "http_status": outcome.http_status}
            if body := outcome.body:
                place = {"tar": tar, "offset": offsets[id_], "nbytes": body.nbytes}
                row |= {"sha256": body.sha256, **place}
            table.append(row)
        fields = [("id", pa.string()), ("reason", pa.string()), *SCHEMA]
        return pa.Table.from_pylist(table, pa.schema(fields, metadata(self.settings)))

    def _outcomes(
        self, candidates: list[Row], earlier: EarlierFetch, context: FetchContext, shard: Shard
    ) -> dict[str, Outcome]:
        """Return id -> outcome, in order, from the earlier fetch where that is enough."""
        known: dict[str, Outcome] = {}
        wanted, settings = [], self.settings
        for row in candidates:
            outcome = earlier.outcome(row, settings, context.filters)
            if outcome is None or outcome.reason in self.retry:
                wanted.append(row)
                continue
            known[row["id"]] = outcome
            if row["local_path"] is not None and outcome.http_status is None:
                wanted.append(row)  # from a disk: the file counts as it is now, while it is there
            else:
                context.requests.finish(outcome)
        # a file that is gone leaves the result that was read from it earlier
        for row, outcome in zip(wanted, self._fetch(wanted, context, shard), strict=True):
            if outcome.reason is not Reason.UNREADABLE or row["id"] not in known:
                known[row["id"]] = outcome
        return {row["id"]: known[row["id"]] for row in candidates}

    def _fetch(self, candidates: list[Row], context: FetchContext, shard: Shard) -> list[Outcome]:
        """Read local rows from disk, and fetch the others and those whose local bytes changed."""
        local = {
            i: LocalBytes.of_row(row)
            for i, row in enumerate(candidates)
            if row["local_path"] is not None
        }
        checks = [context.filters.header_check(candidates[i]["url"]) for i in local]
        outcomes = dict(zip(local, read_local([*local.values()], checks, context), strict=True))
        changed = {i: o.detail for i, o in outcomes.items() if o.changed_on_disk}
        # claims may spare the request for the others
        urls: dict[int, str] = {}
        for i, row in enumerate(candidates):
            if i in outcomes and i not in changed:
                continue
            try:
                context.filters.check_claims(row)
                urls[i] = row["url"]
            except Failure as failure:
                outcomes[i] = Outcome()
                outcomes[i].fail(failure)
                context.requests.finish(outcomes[i])
        if urls:
            fetch = load_engine(self.config.engine)
            limits_file = shard.folder.common / f"{atomic.TEMPORARY}turns"
            fetched = fetch([*urls.values()], replace(context, limits_file=limits_file))
            outcomes |= zip(urls, fetched, strict=True)
        for i, detail in changed.items():
            details = filter(None, (f"on disk: {detail}", outcomes[i].detail))
            outcomes[i].detail = "; ".join(details)
        return [outcomes[i] for i in range(len(candidates))]


def load_engine(name: str) -> FetchEngine:
    """Import an engine where it runs: network libraries load slowly, img2dataset very slowly."""
    if name == "stream":
        from curate.stages.fetch.stream import fetch_stream

        return fetch_stream
    from curate.stages.fetch.img2dataset import fetch_img2dataset

    return fetch_img2dataset


def _write_aside(
    outcomes: Mapping[str, Outcome], earlier: EarlierFetch, shard: Shard, path: str
) -> None:
    """Write the tar of bytes that the bounds reject, for the day when bounds are looser."""
    rejected = {id_ for id_, outcome in outcomes.items() if outcome.aside_sha256}
    # candidates that were removed from the run have no outcome
    kept = (earlier.aside.keys() & outcomes.keys()) | (earlier.bodies.keys() & rejected)
    if not kept:
        shard.folder.remove(path)
        return
    with shard.create(path, volatile=True) as sink:
        _write_tar({id_: earlier.bodies[id_] for id_ in sorted(kept)}, sink)


def _write_tar(bodies: Mapping[str, Body], sink: WritesBytes) -> dict[str, int]:
    """Write all bodies (id -> body) in order; return the offset of each."""
    writer, offsets = TarWriter(sink), {}
    for id_, body in bodies.items():
        name = f"{id_}.{EXTENSIONS[body.format]}"
        offsets[id_] = writer.add(name, body.path, body.nbytes)
    writer.close()
    return offsets
