"""Candidates whose bytes are on a disk: in the folder, tar or table that a trusted list names."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from curate.errors import InputError, Reason
from curate.stages.fetch.context import FetchContext
from curate.stages.fetch.outcome import Body, Failure, Outcome, contain_failures
from curate.stages.fetch.spool import HeaderCheck, Spool
from curate.storage.places import check_recorded, open_file

__all__ = ["LocalBytes", "read_local"]

_CHUNK = 1 << 20


@dataclass(frozen=True)
class LocalBytes:
    """Location of a candidate's bytes: a file, a range of one, or a cell of a Parquet file."""

    path: str
    offset: int | None = None
    nbytes: int | None = None
    column: str | None = None
    row: int | None = None
    digest: str | None = None
    """Hash that the bytes must have, such as `sha256:...`."""

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Self:
        """Return the location in a candidate's columns `local_...`."""
        names = ("offset", "nbytes", "column", "row", "digest")
        return cls(row["local_path"], **{name: row.get(f"local_{name}") for name in names})


class _ChangedBytes(Failure):
    """Failure of bytes on a disk that are not, or no longer, those that the list means."""


def read_local(
    sources: Sequence[LocalBytes], checks: Sequence[HeaderCheck | None], context: FetchContext
) -> list[Outcome]:
    """Read every source, with the checks of downloaded bytes; return one outcome each, in order.

    Outcomes are `changed_on_disk` where bytes were damaged or changed since they were served. The
    others are reported as finished.
    """
    outcomes = []
    with ExitStack() as stack:
        cells = _CellReader(stack)
        for i, (source, check) in enumerate(zip(sources, checks, strict=True)):
            outcome = Outcome()
            outcome.start_attempt()
            start = datetime.now(UTC)
            try:
                _check(source)
                with contain_failures():
                    pieces = cells.read(source) if source.column else _read_file(source)
                    place = context.scratch / f"local-{i}"
                    spool = Spool(place, context.config.max_bytes, check=check)
                    outcome.body = _copy(_verify(pieces, source.digest), spool)
            except Failure as failure:
                outcome.fail(failure)
                outcome.changed_on_disk = isinstance(failure, _ChangedBytes)
            outcome.seconds = (datetime.now(UTC) - start).total_seconds()
            outcomes.append(outcome)
            if not outcome.changed_on_disk:
                context.requests.finish(outcome)
    return outcomes


def _check(source: LocalBytes) -> None:
    try:
        check_recorded(source.path, "a candidate")
    except InputError as error:
        raise Failure(Reason.UNREADABLE, str(error)) from error


def _copy(pieces: Iterator[bytes], to: Spool) -> Body:
    try:
        with to as spool:
            for data in pieces:
                spool.write(data)
            return spool.finish()
    except Failure:
        for _ in pieces:  # to the end, where the hash shows whether the bytes have changed
            pass
        raise


def _verify(pieces: Iterator[bytes], digest: str | None) -> Iterator[bytes]:
    # without a digest, hash anyway: one code path, and MD5 costs little
    algorithm, _, expected = (digest or "md5:").partition(":")
    found = hashlib.new(algorithm, usedforsecurity=False)
    for data in pieces:
        found.update(data)
        yield data
    if digest and found.hexdigest() != expected:
        detail = f"not the bytes that were served, by their {algorithm}"
        raise _ChangedBytes(Reason.UNREADABLE, detail)


def _read_file(source: LocalBytes) -> Iterator[bytes]:
    left = source.nbytes
    try:
        with open_file(source.path) as file:
            file.seek(source.offset or 0)
            while data := file.read(_CHUNK if left is None else min(left, _CHUNK)):
                left = None if left is None else left - len(data)
                yield data
    except OSError as error:
        raise Failure(Reason.UNREADABLE, error.strerror or type(error).__name__) from error
    if left:
        raise _ChangedBytes(Reason.TRUNCATED, f"{left} bytes short")


class _CellReader:
    """Reader of Parquet cells. For consecutive rows it opens a file, and reads a row group, once.

    It reads a row group one row at a time; the memory that takes depends on how it was written. Row
    groups of img2dataset, 100 images each, take three times their bytes.

    Args:
        stack: closes the open file at its end.
    """

    def __init__(self, stack: ExitStack) -> None:
        self._opened: tuple[str, str | None] | None = None
        self._stack = stack

    def read(self, source: LocalBytes) -> Iterator[bytes]:
        """Yield the bytes of one cell, in one piece."""
        try:
            if self._opened != (source.path, source.column):
                self._open(source)
            data = self._find(source.row or 0, source.column or "")
        except (pa.ArrowException, KeyError, IndexError) as error:
            self._opened = None
            raise _ChangedBytes(Reason.UNREADABLE, f"no such cell: {error}") from error
        except OSError as error:
            self._opened = None
            if error.errno is None:  # Arrow's own, of a damaged page
                raise _ChangedBytes(Reason.UNREADABLE, "a damaged page") from error
            raise Failure(Reason.UNREADABLE, error.strerror or type(error).__name__) from error
        yield data

    def _open(self, source: LocalBytes) -> None:
        self._stack.close()
        file = self._stack.enter_context(open_file(source.path))
        parquet = self._stack.enter_context(pq.ParquetFile(file, buffer_size=_CHUNK))
        if parquet.schema_arrow.field(source.column).type != pa.binary():
            raise KeyError(f"{source.column} holds no bytes")
        # first row of each row group, and the number of all rows
        sizes = (parquet.metadata.row_group(i).num_rows for i in range(parquet.num_row_groups))
        self._starts = [*accumulate(sizes, initial=0)]
        self._parquet, self._group, self._next = parquet, -1, 0
        self._opened = source.path, source.column

    def _find(self, row: int, column: str) -> bytes:
        group = bisect_right(self._starts, row) - 1
        # another row group, or an earlier row of this one: start to read it from its first row
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
