"""Log of a shard's fetch: the outcome of each candidate, with the facts that differ between runs.

A later fetch of the shard begins with it, see `curate.stages.fetch.reuse`. So each page has a
checksum.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from curate.errors import Reason
from curate.images.header import Header
from curate.stages.fetch.outcome import Outcome

if TYPE_CHECKING:
    from curate.engine.stage import Shard

__all__ = ["LOG", "LoggedOutcomes", "log_path", "metadata", "read_outcomes", "write_log"]

LOG = pa.schema(
    [
        ("id", pa.string()),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("final_url", pa.string()),
        ("http_status", pa.int16()),
        ("sha256", pa.string()),
        ("nbytes", pa.int64()),
        ("format", pa.string()),
        ("width", pa.uint64()),
        ("height", pa.uint64()),
        ("animated", pa.bool_()),
        ("head", pa.int64()),
        ("started_at", pa.timestamp("us", tz="UTC")),
        ("seconds", pa.float64()),
        ("attempts", pa.int16()),
        ("address", pa.string()),
        ("content_type", pa.string()),
        ("content_length", pa.int64()),
    ]
)
"""Columns of the log.

`sha256` is of the bytes in a tar, that of bytes kept aside included. `nbytes` is their number, or
the length that a candidate was rejected by (too_large: a lower bound). `format`, `width`, `height`
and `animated` are of a header that led to the rejection, which was in the first `head` bytes of the
file. `address` is the address that a socket was connected to.
"""

_COPIED = ("detail", "final_url", "http_status", *LOG.names[LOG.names.index("head") :])
"""Columns that are fields of Outcome by the same names."""

_HEADER = ("format", "width", "height", "animated")

_REASONS = {reason.value: reason for reason in Reason}


def log_path(shard: str) -> str:
    """Return the path of a shard's log in the run folder."""
    return f"log/fetch-{shard.removeprefix('part-')}.parquet"


def metadata(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the metadata of a table's schema: the settings under which its outcomes hold."""
    return {"fetch": json.dumps(settings, sort_keys=True)}


def write_log(outcomes: Mapping[str, Outcome], settings: Mapping[str, Any], shard: Shard) -> None:
    """Write the outcome of each candidate (id -> outcome), and the settings behind them."""
    log = pa.Table.from_pylist([_row(id_, outcome) for id_, outcome in outcomes.items()], LOG)
    log = log.replace_schema_metadata(metadata(settings))
    buffer = pa.BufferOutputStream()
    pq.write_table(log, buffer, write_page_checksum=True)
    with shard.create(log_path(shard.name), volatile=True) as sink:
        sink.write(buffer.getvalue().to_pybytes())


@dataclass(frozen=True)
class LoggedOutcomes:
    """Content of a log, or of the stage's table."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    """Id -> outcome of the candidate, without its bytes."""
    digests: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Id -> SHA-256 and number of its bytes, if it has any."""
    settings: dict[str, Any] = field(default_factory=dict)
    is_log: bool = False
    """Whether the facts behind rejections are there. The stage's table has none."""


def read_outcomes(shard: Shard, path: str) -> LoggedOutcomes | None:
    """Read a log or table; return None if it is missing or damaged, or has no settings."""
    if not shard.folder.exists(path):
        return None
    # read outside the `try`: an error of the storage does not mean that the file is damaged
    data = pa.BufferReader(shard.folder.read(path))
    try:
        table = pq.read_table(data, page_checksum_verification=True)
        settings = json.loads((table.schema.metadata or {})[b"fetch"])
    except (pa.ArrowException, OSError, ValueError, KeyError):
        return None
    known = LoggedOutcomes(settings=settings, is_log=table.column_names == LOG.names)
    for row in table.to_pylist():
        known.outcomes[row["id"]] = _outcome(row)
        if row["sha256"] is not None:
            known.digests[row["id"]] = row["sha256"], row["nbytes"]
    return known


def _row(id_: str, outcome: Outcome) -> dict[str, Any]:
    body, header = outcome.body, outcome.header or Header()
    row = {name: getattr(outcome, name) for name in _COPIED}
    row |= {name: getattr(header, name) for name in _HEADER}
    row["id"], row["reason"] = id_, outcome.reason and outcome.reason.value
    row["sha256"] = body.sha256 if body else outcome.aside_sha256
    row["nbytes"] = body.nbytes if body else outcome.nbytes
    return row


def _outcome(row: dict[str, Any]) -> Outcome:
    outcome = Outcome()
    # of a candidate with bytes, their hash and number are in `digests`
    if row["reason"] is not None:
        outcome.reason = _REASONS[row["reason"]]
        outcome.nbytes, outcome.aside_sha256 = row["nbytes"], row["sha256"]
    # the stage's table has no columns of the header, and not all of the copied ones
    if row.get("format") is not None:
        outcome.header = Header(*(row[name] for name in _HEADER))
    for name in _COPIED:
        if row.get(name) is not None:
            setattr(outcome, name, row[name])
    return outcome
