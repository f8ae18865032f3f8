"""From what became of a sample to what the whole list would bring, and cost."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from curate.errors import Reason
from curate.pipeline.sampling import Listing, Range, wilson_interval
from curate.recipe import Fetch

__all__ = [
    "ENOUGH",
    "PROBED",
    "Estimate",
    "Timing",
    "asked",
    "estimate",
    "fetchable",
    "images_seen",
]

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
"""What is known of each candidate of a sample. `reason` is null for those that pass; `local` ones are not asked for
over the network; `nbytes` is of the bytes that a run would keep; `attempts` is null for what never came
to be fetched."""

ENOUGH = 10
"""Candidates below which a share or a mean tells nothing."""

HEAD_BYTES = 14_000
"""Bytes that an answer costs which is given up at its head, by `make bench-fetch` over round trips of 50 ms."""


_OF_FILTERS = pa.array([reason.value for reason in Reason if reason.stage == "filter"])


@dataclass(frozen=True)
class Timing:
    """How long the sample took."""

    fetch: float
    """Seconds, all shards."""
    measure: float
    """Seconds, all shards."""
    shards: int
    """That the sample was cut into."""
    workers: int
    """At work side by side."""


@dataclass(frozen=True)
class Estimate:
    """What the whole list would bring and cost."""

    share: Range
    """Of the candidates that pass; the interval is Wilson's, corrected for a sample that is much of the list."""
    images: Range
    """That pass, of the whole list."""
    wanted: int
    """Images of both splits."""
    needed: Range | None
    """Candidates from which the wanted images come; None when nothing passes. The low end goes with the best yield."""
    bytes_read: int
    """Over the network: whole files, and the heads of those given up."""
    bytes_kept: int
    """In `images/`: whatever was fetched whole, also what measures reject later."""
    hours: float
    """On this machine, without labels: the longest of the next three, and then measuring."""
    fetch_hours: float
    """At the pace of the sample: answers waited for, and bytes coming in."""
    host_hours: float
    """The least that the slowest host takes, whatever the machine."""
    slowest_host: str | None
    """The one whose requests take longest at `fetch.per_host_rate`, or at the pace it answers."""
    order_hours: float
    """The least that the list's order allows: each shard waits for the host that has most of it."""
    measure_hours: float
    """At the pace of the sample."""
    bound_by: str
    """What takes longest: "network", "host", "order" or "measuring"."""


def fetchable(rows: pa.Table) -> pa.Table:
    """Of a table of PROBED, the candidates that only the network has."""
    return rows.filter(pc.and_(pc.invert(rows["local"]), pc.is_valid(rows["attempts"])))


def asked(rows: pa.Table) -> pa.Table:
    """Of a table of PROBED, the candidates asked for over the network, or given up for their host's sake."""
    rows = fetchable(rows)
    by_claims = pc.and_(pc.equal(rows["attempts"], 0), pc.is_in(rows["reason"], _OF_FILTERS))
    return rows.filter(pc.invert(by_claims))


def images_seen(rows: pa.Table) -> pa.Table:
    """Of a table of PROBED, the candidates whose image was reached: fetched whole, or rejected by its head."""
    by_head = pc.and_(
        pc.greater(pc.fill_null(rows["attempts"], 0), 0), pc.is_in(rows["reason"], _OF_FILTERS)
    )
    return rows.filter(pc.or_(pc.is_valid(rows["nbytes"]), by_head))


def estimate(
    rows: pa.Table, listing: Listing, wanted: int, timing: Timing, fetch: Fetch, shard_size: int
) -> Estimate:
    """Scale a sample up to its list.

    Args:
        rows: the sample, with the columns of PROBED.
        listing: what is known of the whole list.
        wanted: images of the splits.
        timing: how long the sample took.
        fetch: the recipe's settings.
        shard_size: of a run.
    """
    listed, factor = listing.candidates, listing.candidates / len(rows)
    share = wilson_interval(rows["reason"].null_count, len(rows), listed)
    kept = pc.sum(rows["nbytes"]).as_py() or 0
    full = min(shard_size, listed)
    fetch_hours = _fetch_seconds(rows, listed, timing, fetch, full) / 3600
    host, host_seconds, order_seconds = _waits(rows, listing, fetch)
    host_hours, order_hours = (
        host_seconds / 3600,
        order_seconds / min(timing.workers, listed / full) / 3600,
    )
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
    """What the sample took over the network, less headers: whole bodies, and the heads of those given up."""
    remote = asked(rows)
    whole = pc.sum(remote["nbytes"]).as_py() or 0
    given_up = remote.filter(
        pc.and_(pc.is_null(remote["nbytes"]), pc.is_valid(remote["http_status"]))
    )
    heads = pc.min_element_wise(pc.fill_null(given_up["content_length"], HEAD_BYTES), HEAD_BYTES)
    return int(whole + (pc.sum(heads).as_py() or 0))


def _fetch_seconds(rows: pa.Table, listed: int, timing: Timing, fetch: Fetch, full: int) -> float:
    """Seconds for the whole list at the sample's pace.

    A shard takes as long as the sample's did, which their slowest candidates stretch as they would any shard's, plus
    what the further candidates of a full one wait for their answers.
    """
    side_by_side = min(timing.workers, timing.shards)
    of_sample = timing.fetch * side_by_side / timing.shards
    further = max(0.0, full - len(rows) / timing.shards)
    waiting = (pc.sum(rows["seconds"]).as_py() or 0.0) / len(rows) / fetch.concurrency
    shards = listed / full
    return shards / min(timing.workers, shards) * (of_sample + further * waiting)


def _waits(rows: pa.Table, listing: Listing, fetch: Fetch) -> tuple[str | None, float, float]:
    """The slowest host and its seconds, and the seconds that shards one by one wait for their busiest host.

    A host takes its requests at the allowed rate, or answers `per_host` at a time. Hosts that gave the sample no answer
    don't count: a run soon leaves them alone.
    """
    remote = asked(rows)
    answered = remote.filter(pc.is_valid(remote["http_status"]))
    silent = set(remote["host"].to_pylist()) - set(answered["host"].to_pylist())
    alive = {name: count for name, count in listing.hosts.items() if name not in silent}
    if not alive or not len(answered):
        return None, 0.0, 0.0
    share = len(remote) / len(fetchable(rows))  # the list's claims spare the others
    if fetch.per_host_rate:
        turn = share * pc.mean(answered["attempts"]).as_py() / fetch.per_host_rate
        host = max(alive, key=lambda name: alive[name])
        return host, alive[host] * turn, listing.crowd * turn
    paces = answered.group_by("host").aggregate([("seconds", "mean"), ("seconds", "count")])
    pace = {
        row["host"]: row["seconds_mean"]
        for row in paces.to_pylist()
        if row["seconds_count"] >= ENOUGH
    }
    typical = pc.mean(answered["seconds"]).as_py()
    seconds = {
        name: share * count * pace.get(name, typical) / fetch.per_host
        for name, count in alive.items()
    }
    host = max(seconds, key=lambda name: seconds[name])
    return host, seconds[host], share * listing.crowd * typical / fetch.per_host
