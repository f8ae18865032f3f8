"""Forecast of yield, bytes and hours of a whole list from a sample."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from curate.errors import Reason
from curate.pipeline.sampling import Listing, Range, wilson_interval
from curate.recipe import Fetch

__all__ = ["ENOUGH", "PROBED", "Estimate", "Timing", "asked", "estimate", "images_seen"]

PROBED = pa.schema(
    [
        ("id", pa.string()),
        ("host", pa.string()),
        ("local", pa.bool_()),
        ("reason", pa.string()),
        ("http_status", pa.int16()),
        ("nbytes", pa.int64()),
        ("detail", pa.string()),
        ("seconds", pa.float64()),
        ("attempts", pa.int16()),
        ("content_type", pa.string()),
        ("content_length", pa.int64()),
    ]
)
"""Columns of a sample.

`reason` is null for candidates that pass. `local` ones are read from disk. `nbytes` counts the
bytes that a run would keep. `attempts` is null for candidates that never reached the fetch.
"""

ENOUGH = 10
"""Fewest candidates from which a share or a mean is meaningful."""

HEAD_BYTES = 14_000
"""Bytes of a download aborted at its head, by `make bench-fetch` with round trips of 50 ms."""

_OF_FILTERS = pa.array([reason.value for reason in Reason if reason.stage == "filter"])


@dataclass(frozen=True)
class Timing:
    """Time that the sample took."""

    fetch: float
    """Seconds of fetching all shards."""
    measure: float
    """Seconds of measuring all shards."""
    shards: int
    """Shards of the sample."""
    workers: int
    """Workers in parallel."""


@dataclass(frozen=True)
class Estimate:
    """Estimated yield and cost of the whole list."""

    share: Range
    """Share of candidates that pass, with Wilson's interval for a finite population."""
    images: Range
    """Images of the whole list that pass."""
    wanted: int
    """Images that the recipe wants in both splits."""
    needed: Range | None
    """Candidates for the wanted images, low end for the best yield; None if nothing passes."""
    bytes_read: int
    """Bytes over the network: whole files, and heads of aborted downloads."""
    bytes_kept: int
    """Bytes in `images/`: every whole file, including images that are rejected later."""
    hours: float
    """Hours on this machine, without labels: the longest of the next three, plus measuring."""
    fetch_hours: float
    """Hours of downloading at the pace of the sample."""
    host_hours: float
    """Least hours of the slowest host, whatever the machine."""
    slowest_host: str | None
    """Host whose requests take longest, at `fetch.per_host_rate` or at its own pace."""
    order_hours: float
    """Least hours by the list's order: each shard waits for its busiest host."""
    measure_hours: float
    """Hours of measuring at the pace of the sample."""
    bound_by: str
    """Bottleneck: "network", "host", "order" or "measuring"."""


def _fetchable(rows: pa.Table) -> pa.Table:
    """Filter a table of PROBED for candidates that only the network has."""
    return rows.filter(pc.and_(pc.invert(rows["local"]), pc.is_valid(rows["attempts"])))


def asked(rows: pa.Table) -> pa.Table:
    """Filter a table of PROBED for candidates that were requested, or skipped with their host."""
    rows = _fetchable(rows)
    by_claims = pc.and_(pc.equal(rows["attempts"], 0), pc.is_in(rows["reason"], _OF_FILTERS))
    return rows.filter(pc.invert(by_claims))


def images_seen(rows: pa.Table) -> pa.Table:
    """Filter a table of PROBED for images that were reached, whole or by their head."""
    tried = pc.greater(pc.fill_null(rows["attempts"], 0), 0)
    by_head = pc.and_(tried, pc.is_in(rows["reason"], _OF_FILTERS))
    return rows.filter(pc.or_(pc.is_valid(rows["nbytes"]), by_head))


def estimate(
    rows: pa.Table, listing: Listing, wanted: int, timing: Timing, fetch: Fetch, shard_size: int
) -> Estimate:
    """Scale a sample up to its list.

    Args:
        rows: the sample, with the columns of PROBED.
        listing: facts about the whole list.
        wanted: images of both splits.
        timing: time that the sample took.
        fetch: the recipe's settings.
        shard_size: candidates of a shard of a run.
    """
    listed, factor = listing.candidates, listing.candidates / len(rows)
    share = wilson_interval(rows["reason"].null_count, len(rows), listed)
    kept = pc.sum(rows["nbytes"]).as_py() or 0
    full = min(shard_size, listed)
    fetch_hours = _fetch_seconds(rows, listed, timing, fetch, full) / 3600
    host, host_seconds, order_seconds = _waits(rows, listing, fetch)
    host_hours = host_seconds / 3600
    order_hours = order_seconds / min(timing.workers, listed / full) / 3600
    measure_hours = timing.measure * factor / 3600
    hours = {
        "network": fetch_hours,
        "host": host_hours,
        "order": order_hours,
        "measuring": measure_hours,
    }
    needed = None
    if share.likely:
        needed = Range(wanted / share.high, wanted / share.likely, wanted / share.low)
    return Estimate(
        share=share,
        images=share.times(listed),
        wanted=wanted,
        needed=needed,
        bytes_read=round(_bytes_read(rows) * factor),
        bytes_kept=round(kept * factor),
        hours=max(fetch_hours, host_hours, order_hours) + measure_hours,
        fetch_hours=fetch_hours,
        host_hours=host_hours,
        slowest_host=host,
        order_hours=order_hours,
        measure_hours=measure_hours,
        bound_by=max(hours, key=lambda name: hours[name]),
    )


def _bytes_read(rows: pa.Table) -> int:
    """Return the sample's bytes over the network: whole bodies, and heads of aborted ones."""
    remote = asked(rows)
    whole = pc.sum(remote["nbytes"]).as_py() or 0
    aborted = pc.and_(pc.is_null(remote["nbytes"]), pc.is_valid(remote["http_status"]))
    given_up = remote.filter(aborted)
    heads = pc.min_element_wise(pc.fill_null(given_up["content_length"], HEAD_BYTES), HEAD_BYTES)
    return int(whole + (pc.sum(heads).as_py() or 0))


def _fetch_seconds(rows: pa.Table, listed: int, timing: Timing, fetch: Fetch, full: int) -> float:
    """Return seconds for the whole list at the sample's pace.

    A shard takes as long as a shard of the sample, whose slowest candidates stretch it likewise,
    plus the waits of the further candidates of a full shard.
    """
    side_by_side = min(timing.workers, timing.shards)
    of_sample = timing.fetch * side_by_side / timing.shards
    further = max(0.0, full - len(rows) / timing.shards)
    waiting = (pc.sum(rows["seconds"]).as_py() or 0.0) / len(rows) / fetch.concurrency
    shards = listed / full
    return shards / min(timing.workers, shards) * (of_sample + further * waiting)


def _waits(rows: pa.Table, listing: Listing, fetch: Fetch) -> tuple[str | None, float, float]:
    """Return the slowest host, its seconds, and the seconds of waits for each shard's busiest host.

    A host takes its requests at the allowed rate, or answers `per_host` at a time. Hosts without
    any answer in the sample don't count: a run soon skips them.
    """
    remote = asked(rows)
    answered = remote.filter(pc.is_valid(remote["http_status"]))
    silent = set(remote["host"].to_pylist()) - set(answered["host"].to_pylist())
    alive = {name: count for name, count in listing.hosts.items() if name not in silent}
    if not alive or not len(answered):
        return None, 0.0, 0.0
    share = len(remote) / len(_fetchable(rows))  # claims of the list reject the others
    if fetch.per_host_rate:
        turn = share * pc.mean(answered["attempts"]).as_py() / fetch.per_host_rate
        host = max(alive, key=lambda name: alive[name])
        return host, alive[host] * turn, listing.crowd * turn
    paces = answered.group_by("host").aggregate([("seconds", "mean"), ("seconds", "count")])
    known = paces.filter(pc.greater_equal(paces["seconds_count"], ENOUGH))
    pace = dict(zip(known["host"].to_pylist(), known["seconds_mean"].to_pylist(), strict=True))
    typical = pc.mean(answered["seconds"]).as_py()
    seconds = {}
    for name, count in alive.items():
        seconds[name] = share * count * pace.get(name, typical) / fetch.per_host
    host = max(seconds, key=lambda name: seconds[name])
    return host, seconds[host], share * listing.crowd * typical / fetch.per_host
