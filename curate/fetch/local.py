"""Candidates whose bytes are on a disk already: the folder or the tar that a trusted list names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import fsspec

from curate.errors import Reason
from curate.fetch.outcome import Failure, Outcome
from curate.fetch.spool import Spool
from curate.recipe import Fetch

__all__ = ["LocalBytes", "read_local"]

_CHUNK = 1 << 20


@dataclass(frozen=True)
class LocalBytes:
    """Where a candidate's bytes are: a whole file, or so many bytes of it from an offset on."""

    path: str
    offset: int | None = None
    nbytes: int | None = None


def read_local(sources: Sequence[LocalBytes], config: Fetch, scratch: Path, done: Callable[[], None]) -> list[Outcome]:
    """Read every source, with the checks that downloaded bytes go through; one outcome each, in order."""
    outcomes = []
    for i, source in enumerate(sources):
        outcome = Outcome()
        outcome.begin()
        start = datetime.now(UTC)
        try:
            _copy(source, config, scratch / f"local-{i}", outcome)
        except Failure as failure:
            outcome.fail(failure)
        outcome.seconds = (datetime.now(UTC) - start).total_seconds()
        outcomes.append(outcome)
        done()
    return outcomes


def _copy(source: LocalBytes, config: Fetch, path: Path, outcome: Outcome) -> None:
    with Spool(path, config.max_bytes) as spool:
        for data in _pieces(source):
            spool.write(data)
        outcome.body = spool.finish()


def _pieces(source: LocalBytes) -> Iterator[bytes]:
    left = source.nbytes
    try:
        with fsspec.open(source.path, "rb") as file:
            file.seek(source.offset or 0)
            while data := file.read(_CHUNK if left is None else min(left, _CHUNK)):
                left = None if left is None else left - len(data)
                yield data
    except OSError as error:
        raise Failure(Reason.UNREADABLE, error.strerror or type(error).__name__) from error
    if left:
        raise Failure(Reason.TRUNCATED, f"{left} bytes short")
