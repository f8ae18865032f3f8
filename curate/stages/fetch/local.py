"""Candidates whose bytes are on a disk already: the folder, the tar or the table that a trusted list names."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate
from pathlib import Path
from typing import Any, Self

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from curate.errors import Reason
from curate.recipe import Fetch
from curate.stages.fetch.open_requests import Watch
from curate.stages.fetch.outcome import Failure, Outcome
from curate.stages.fetch.spool import Spool

__all__ = ["LocalBytes", "read_local"]

_CHUNK = 1 << 20


@dataclass(frozen=True)
class LocalBytes:
    """Where a candidate's bytes are: a whole file, so many bytes of it from an offset on, or a Parquet file's cell."""

    path: str
    offset: int | None = None
    nbytes: int | None = None
    column: str | None = None
    row: int | None = None
    digest: str | None = None
    """The hash that they must have, such as `sha256:...`."""

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Self:
        """That of a candidate, from its columns `local_...`."""
        names = ("offset", "nbytes", "column", "row", "digest")
        return cls(row["local_path"], **{name: row.get(f"local_{name}") for name in names})


class _Altered(Failure):
    """What is there is not, or no longer, what the list means."""


def read_local(
    sources: Sequence[LocalBytes], config: Fetch, scratch: Path, watch: Watch
) -> list[Outcome]:
    """Read every source, with the checks that downloaded bytes go through; one outcome each, in order.

    Outcomes are `altered` where the bytes were damaged or changed since they were served; the end of the
    others is told.
    """
    outcomes = []
    with _Cells() as cells:
        for i, source in enumerate(sources):
            outcome = Outcome()
            outcome.begin()
            start = datetime.now(UTC)
            try:
                _copy(source, cells, config, scratch / f"local-{i}", outcome)
            except Failure as failure:
                outcome.fail(failure)
                outcome.altered = isinstance(failure, _Altered)
            outcome.seconds = (datetime.now(UTC) - start).total_seconds()
            outcomes.append(outcome)
            if not outcome.altered:
                watch.done(outcome)
    return outcomes


def _copy(source: LocalBytes, cells: _Cells, config: Fetch, path: Path, outcome: Outcome) -> None:
    pieces = _verified(cells.read(source) if source.column else _pieces(source), source.digest)
    try:
        with Spool(path, config.max_bytes) as spool:
            for data in pieces:
                spool.write(data)
            outcome.body = spool.finish()
    except Failure:
        for _ in (
            pieces
        ):  # to the end, where the hash tells whether these are the bytes that were served
            pass
        raise


def _verified(pieces: Iterator[bytes], digest: str | None) -> Iterator[bytes]:
    algorithm, _, expected = (digest or "md5:").partition(":")
    found = hashlib.new(algorithm, usedforsecurity=False)
    for data in pieces:
        found.update(data)
        yield data
    if digest and found.hexdigest() != expected:
        raise _Altered(Reason.UNREADABLE, f"not the bytes that were served, by their {algorithm}")


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
        raise _Altered(Reason.TRUNCATED, f"{left} bytes short")


class _Cells:
    """Reads cells of Parquet files. For rows that follow one another a file is opened, and a row group read, once.

    A row group is read in steps of one row; how much of it that takes in memory is up to how it was written. Those of
    img2dataset, 100 images each, take three times their bytes.
    """

    def __init__(self) -> None:
        self._place: tuple[str, str | None] | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def read(self, source: LocalBytes) -> Iterator[bytes]:
        """The bytes of one cell, in one piece."""
        try:
            if self._place != (source.path, source.column):
                self._open(source)
            data = self._find(source.row or 0, source.column or "")
        except (pa.ArrowException, KeyError, IndexError) as error:
            self._place = None
            raise _Altered(Reason.UNREADABLE, f"no such cell: {error}") from error
        except OSError as error:
            self._place = None
            if error.errno is None:  # Arrow's own, of a damaged page
                raise _Altered(Reason.UNREADABLE, "a damaged page") from error
            raise Failure(Reason.UNREADABLE, error.strerror or type(error).__name__) from error
        yield data

    def _open(self, source: LocalBytes) -> None:
        self._stack.close()
        file = self._stack.enter_context(fsspec.open(source.path, "rb"))
        self._parquet = self._stack.enter_context(pq.ParquetFile(file, buffer_size=_CHUNK))
        if self._parquet.schema_arrow.field(source.column).type != pa.binary():
            raise KeyError(f"{source.column} holds no bytes")
        groups = (
            self._parquet.metadata.row_group(i).num_rows
            for i in range(self._parquet.num_row_groups)
        )
        self._starts = [*accumulate(groups, initial=0)]
        self._group, self._next = -1, 0
        self._place = source.path, source.column

    def _find(self, row: int, column: str) -> bytes:
        group = bisect_right(self._starts, row) - 1
        if group != self._group or row < self._next:
            self._batches = self._parquet.iter_batches(
                1, row_groups=[group], columns=[column], use_threads=False
            )
            self._group, self._next = group, self._starts[group]
        for batch in self._batches:
            self._next += 1
            if self._next > row:
                return batch.column(column)[0].as_py() or b""
        raise IndexError(f"row {row}")
