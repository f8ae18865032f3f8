"""The log of a shard: what became of each candidate, and what of that differs from run to run.

It is also what a later making of the shard begins with, see `curate.stages.fetch.reuse`: so each page has a checksum.
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

__all__ = ["LOG", "Known", "log_path", "metadata", "read_known", "write_log"]

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

`sha256` is of the bytes that are in a tar, those that are put aside included. `nbytes` is their number, or the length
that a candidate was rejected by (too_large: at least that). `format`, `width`, `height` and `animated` are what the
first `head` bytes of a file told, where it was rejected by that. `address` is the one that a socket was connected to.
"""

_PLAIN = ("detail", "final_url", "http_status", *LOG.names[LOG.names.index("head") :])


_REASONS = {reason.value: reason for reason in Reason}


def log_path(shard: str) -> str:
    """Where the log of a shard is in the run folder."""
    return f"log/fetch-{shard.removeprefix('part-')}.parquet"


def metadata(settings: Mapping[str, Any]) -> dict[str, str]:
    """What a table's schema says of the settings under which its outcomes stand."""
    return {"fetch": json.dumps(settings, sort_keys=True)}


def write_log(outcomes: Mapping[str, Outcome], settings: Mapping[str, Any], shard: Shard) -> None:
    """Write what became of each candidate (id -> outcome), under which settings."""
    log = pa.Table.from_pylist([_row(id_, outcome) for id_, outcome in outcomes.items()], LOG)
    buffer = pa.BufferOutputStream()
    pq.write_table(
        log.replace_schema_metadata(metadata(settings)), buffer, write_page_checksum=True
    )
    with shard.create(log_path(shard.name), volatile=True) as sink:
        sink.write(buffer.getvalue().to_pybytes())


@dataclass(frozen=True)
class Known:
    """What a log, or the stage's table, tells."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    """Id -> what became of the candidate; without its bytes."""
    digests: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Id -> SHA-256 and number of its bytes, where there are any."""
    settings: dict[str, Any] = field(default_factory=dict)
    in_detail: bool = False
    """Whether it tells by what they were rejected: the table doesn't."""


def read_known(shard: Shard, path: str) -> Known | None:
    """What a file tells; None if it isn't there, is damaged, or tells nothing of its settings."""
    if not shard.folder.exists(path):
        return None
    data = pa.BufferReader(shard.folder.read(path))  # apart: a store that fails is no damaged file
    try:
        table = pq.read_table(data, page_checksum_verification=True)
        settings = json.loads((table.schema.metadata or {})[b"fetch"])
    except (pa.ArrowException, OSError, ValueError, KeyError):
        return None
    rows = table.to_pylist()
    digests = {
        row["id"]: (row["sha256"], row["nbytes"]) for row in rows if row["sha256"] is not None
    }
    return Known(
        {row["id"]: _outcome(row) for row in rows},
        digests,
        settings,
        LOG.names == table.column_names,
    )


def _row(id_: str, outcome: Outcome) -> dict[str, Any]:
    body, header = outcome.body, outcome.header or Header()
    return {
        "id": id_,
        "reason": outcome.reason and outcome.reason.value,
        "sha256": body.sha256 if body else outcome.held,
        "nbytes": body.nbytes if body else outcome.nbytes,
        **{name: getattr(header, name) for name in ("format", "width", "height", "animated")},
        **{name: getattr(outcome, name) for name in _PLAIN},
    }


def _outcome(row: dict[str, Any]) -> Outcome:
    outcome = Outcome()
    if row["reason"] is not None:
        outcome.reason, outcome.nbytes, outcome.held = (
            _REASONS[row["reason"]],
            row["nbytes"],
            row["sha256"],
        )
    if row.get("format") is not None:
        outcome.header = Header(row["format"], row["width"], row["height"], row["animated"])
    for name in _PLAIN:
        if row.get(name) is not None:
            setattr(outcome, name, row[name])
    return outcome
