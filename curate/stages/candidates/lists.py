"""Lists of URLs: txt, csv, tsv, jsonl and parquet files, read piece by piece."""

from __future__ import annotations

import codecs
import csv
import json
import lzma
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from typing import Any, TextIO

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from curate.errors import InputError

__all__ = ["COLUMN_NAMES", "choose_columns", "list_columns", "read_list", "to_rows"]

# a new line with a URL inside a field, which an open quote makes
_SWALLOWED = re.compile(r"[\r\n][ \t]{0,9}\"?https?://")
# fields that `CandidateReader` reads, and that no list may set
_RESERVED = re.compile("local_|malformed$")
_MAX_LENGTH = 2**24
"""Most characters of a line, and of a field."""
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16's, with which it begins
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}

Row = dict[str, Any]
"""Raw fields of a candidate under our names.

`url` is always there, as text; `malformed` marks a line without a URL.
"""

Wanted = Mapping[str, tuple[str, ...]]
"""Our column -> names that a list may give it, in folded case."""

COLUMN_NAMES: dict[str, tuple[str, ...]] = {
    "url": ("url", "image_url", "link"),
    "caption": ("caption", "text", "alt", "alt_text"),
    "licence": ("licence", "license"),
    "claimed_width": ("claimed_width", "width", "original_width", "photo_width"),
    "claimed_height": ("claimed_height", "height", "original_height", "photo_height"),
}
"""Our column -> names that lists give it in any case, LAION's and img2dataset's among them."""


def read_list(
    path: str, form: str, columns: Mapping[str, str], keep: Iterable[str]
) -> Iterator[Row]:
    """Yield the rows of a list in its order.

    Args:
        path: a file, compressed (.gz, .bz2, .xz, .zst) or not, on any fsspec file system.
        form: txt, csv, tsv, jsonl or parquet.
        columns: our column -> the list's column, if its name is not in COLUMN_NAMES.
        keep: further columns to carry along.

    Raises:
        InputError: if the file can't be read or has no column of URLs.
    """
    wanted = wanted_columns(columns, keep)
    with _input_errors(path):
        if form == "parquet":
            yield from _read_parquet(path, wanted)
            return
        with _open(path) as file:
            lines = _lines(path, file)
            match form:
                case "txt":
                    yield from ({"url": line.rstrip("\r\n")} for line in lines)
                case "csv" | "tsv":
                    yield from _read_csv(path, lines, form, wanted)
                case "jsonl":
                    yield from _read_jsonl(path, lines, wanted)


def list_columns(path: str, form: str) -> dict[str, pa.DataType | None]:
    """Return a list's columns in lower case, with their types if they are known.

    A txt has none; a jsonl has those of its first line. Names with a meaning of ours are left out,
    such as `local_path`.

    Raises:
        InputError: if the file can't be read.
    """
    types: dict[str, pa.DataType | None] = {}
    with _input_errors(path):
        if form == "parquet":
            with fsspec.open(path, "rb") as file:
                types = {field.name: field.type for field in pq.read_schema(file)}
        else:
            with _open(path) as file:
                lines = _lines(path, file)
                if form in ("csv", "tsv"):
                    types = dict.fromkeys(next(_csv_reader(lines, form), ()))
                elif form == "jsonl":
                    types = dict.fromkeys(_parse(next(lines, "")))
    folded = {name.casefold(): type_ for name, type_ in types.items()}
    return {name: folded[name] for name in folded if not _RESERVED.match(name)}


@contextmanager
def _input_errors(path: str) -> Iterator[None]:
    """Raise InputError for the errors of a missing, unreadable or damaged file."""
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(f"no input at {path}") from error
    except (OSError, EOFError, lzma.LZMAError, zlib.error, pa.ArrowException) as error:
        raise InputError(f"can't read {path}: {error}") from error


@contextmanager
def _open(path: str) -> Iterator[TextIO]:
    """Open a list as decompressed text.

    It is UTF-8 unless a byte order mark says otherwise. The mark is no part of the first URL.
    """
    with fsspec.open(path, "rb", compression="infer") as file:
        head = file.read(4)
    encodings = (encoding for mark, encoding in _MARKS.items() if head.startswith(mark))
    encoding = next(encodings, "utf-8-sig")
    options = {"encoding": encoding, "errors": "replace", "newline": ""}
    with fsspec.open(path, "rt", compression="infer", **options) as file:
        yield file


def _lines(path: str, file: TextIO) -> Iterator[str]:
    """Yield lines with their ends.

    Unlike str.splitlines, which also cuts at characters that URLs may hold.
    """
    number = 0
    while line := file.readline(_MAX_LENGTH):
        number += 1
        if len(line) == _MAX_LENGTH:
            raise InputError(
                f"{path} line {number} has no end for {_MAX_LENGTH:,} characters: "
                "is it a list of URLs?"
            )
        yield line


def wanted_columns(columns: Mapping[str, str], keep: Iterable[str]) -> Wanted:
    """Return the names of each of our columns; see `read_list` for the arguments."""
    kept = {name: (name,) for name in keep}
    renamed = {ours: (theirs,) for ours, theirs in columns.items()}
    names = {**kept, **COLUMN_NAMES, **renamed}
    return {ours: tuple(map(str.casefold, theirs)) for ours, theirs in names.items()}


def choose_columns(path: str, present: Iterable[str], wanted: Wanted) -> dict[str, str]:
    """Return our column -> the list's column, for those that it has.

    Raises:
        InputError: if there is no column of URLs.
    """
    present = list(present)
    # reversed: of names that differ only in case, the first one counts
    folded = {name.casefold(): name for name in reversed(present)}
    chosen = {}
    for ours, names in wanted.items():
        for name in names:
            if name in folded:
                chosen[ours] = folded[name]
                break
    if "url" not in chosen:
        raise InputError(
            f"{path} has no column of URLs among {', '.join(present)}; "
            "name it with --set candidates.columns.url=NAME"
        )
    return chosen


def _chosen_fields(record: Row, chosen: Mapping[str, str]) -> Row:
    row = {ours: record[theirs] for ours, theirs in chosen.items()}
    row["url"] = str(row["url"] or "")
    return row


def _csv_reader(lines: Iterator[str], form: str) -> Any:
    """Return a reader of csv or tsv.

    In a tsv, quotes count only if the header is quoted, as Arrow writes it.
    """
    csv.field_size_limit(_MAX_LENGTH)
    if form == "csv":
        return csv.reader(lines)
    header = next(lines, "")
    quoting: Any = csv.QUOTE_MINIMAL if header.startswith('"') else csv.QUOTE_NONE
    return csv.reader(chain([header], lines), delimiter="\t", quoting=quoting)


def _read_csv(path: str, lines: Iterator[str], form: str, wanted: Wanted) -> Iterator[Row]:
    delimiter = "," if form == "csv" else "\t"
    reader = _csv_reader(lines, form)
    try:
        header: list[str] = next(reader, [])
        chosen = choose_columns(path, header, wanted)
        places = {ours: header.index(theirs) for ours, theirs in chosen.items()}
        for fields in reader:
            if len(fields) > len(header):  # an unquoted comma has cut something, perhaps the URL
                yield {"url": delimiter.join(fields), "malformed": True}
            elif any(map(_SWALLOWED.search, fields)):  # an open quote has taken the next lines
                for line in delimiter.join(fields).splitlines():
                    yield {"url": line, "malformed": True}
            else:
                fields += [""] * (len(header) - len(fields))
                yield {ours: fields[place] for ours, place in places.items()}
    except csv.Error as error:
        raise InputError(f"{path} line {reader.line_num}: {error}") from error


def _read_jsonl(path: str, lines: Iterator[str], wanted: Wanted) -> Iterator[Row]:
    for number, line in enumerate(lines):
        if number == 0 and line.lstrip().startswith("["):
            raise InputError(
                f"{path} is one JSON array: write one object a line, as jq -c '.[]' does"
            )
        if not line.strip():
            yield {"url": ""}
            continue
        record = _parse(line)
        try:
            chosen = choose_columns(path, record, wanted)
        except InputError:
            yield {"url": line.rstrip("\r\n"), "malformed": True}
        else:
            yield _chosen_fields(record, chosen)


def _parse(line: str) -> Row:
    """Parse a JSON object; return {} for any other text."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}


def _read_parquet(path: str, wanted: Wanted) -> Iterator[Row]:
    with fsspec.open(path, "rb") as file:
        parquet = pq.ParquetFile(file)
        chosen = choose_columns(path, parquet.schema_arrow.names, wanted)
        for batch in parquet.iter_batches(batch_size=8192, columns=sorted(set(chosen.values()))):
            for record in to_rows(batch):
                yield _chosen_fields(record, chosen)


def to_rows(table: pa.Table | pa.RecordBatch) -> list[Row]:
    """Return the rows of a table, with all bytes as text.

    Not every writer of Parquet takes care that its text is UTF-8. Other bytes become U+FFFD.
    """
    columns = []
    for column in table.columns:
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        # Arrow raises an error for text that isn't UTF-8, so text is read as bytes
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            column = column.cast(pa.large_binary())
        values = column.to_pylist()
        columns.append([v.decode(errors="replace") if isinstance(v, bytes) else v for v in values])
    names = table.schema.names
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
