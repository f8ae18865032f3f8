"""Lists of URLs on disk: txt, csv, tsv, jsonl and parquet, read a piece at a time."""

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

__all__ = [
    "COLUMN_NAMES",
    "Row",
    "choose_columns",
    "list_columns",
    "read_list",
    "rows_of",
    "wanted_columns",
]

_SWALLOWED = re.compile(r"[\r\n][ \t]{0,9}\"?https?://")
_LONGEST = 2**24
"""Characters of a line, and of a field."""
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16's, with which it begins
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}

Row = dict[str, Any]
"""Raw fields of a candidate under our names. `url` is always there, as text; `malformed` marks a line that has none."""

# our column -> names that lists give it, LAION's and img2dataset's among them, whatever their case
COLUMN_NAMES: dict[str, tuple[str, ...]] = {
    "url": ("url", "image_url", "link"),
    "caption": ("caption", "text", "alt", "alt_text"),
    "licence": ("licence", "license"),
    "claimed_width": ("claimed_width", "width", "original_width", "photo_width"),
    "claimed_height": ("claimed_height", "height", "original_height", "photo_height"),
}


def read_list(
    path: str, form: str, columns: Mapping[str, str], keep: Iterable[str]
) -> Iterator[Row]:
    """Rows of a list, in its order.

    Args:
        path: a file, compressed (.gz, .bz2, .xz, .zst) or not, on any fsspec file system.
        form: txt, csv, tsv, jsonl or parquet.
        columns: our column -> the list's, for those that differ from COLUMN_NAMES.
        keep: further columns to carry along.

    Raises:
        InputError: if the file can't be read or has no column of URLs.
    """
    wanted = wanted_columns(columns, keep)
    with _explained(path):
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
    """Columns of a list, in lower case, and their types where it tells them; none of txt, of jsonl its first line's.

    Raises:
        InputError: if the file can't be read.
    """
    with _explained(path):
        if form == "parquet":
            with fsspec.open(path, "rb") as file:
                return {field.name.casefold(): field.type for field in pq.read_schema(file)}
        with _open(path) as file:
            lines, names = _lines(path, file), list[str]()
            if form in ("csv", "tsv"):
                names = next(_csv_reader(lines, form), names)
            elif form == "jsonl":
                names = [*(_parse(next(lines, "")) or ())]
        return dict.fromkeys(name.casefold() for name in names)


@contextmanager
def _explained(path: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(f"no input at {path}") from error
    except (OSError, EOFError, lzma.LZMAError, zlib.error, pa.ArrowException) as error:
        raise InputError(f"can't read {path}: {error}") from error


@contextmanager
def _open(path: str) -> Iterator[TextIO]:
    """The text of a list, unpacked."""
    encoding = _encoding(path)
    with fsspec.open(
        path, "rt", encoding=encoding, errors="replace", newline="", compression="infer"
    ) as file:
        yield file


def _encoding(path: str) -> str:
    """UTF-8, unless a byte order mark says otherwise; in either case the mark is no part of the first URL."""
    with fsspec.open(path, "rb", compression="infer") as file:
        head = file.read(4)
    return next(
        (encoding for mark, encoding in _MARKS.items() if head.startswith(mark)), "utf-8-sig"
    )


def _lines(path: str, file: TextIO) -> Iterator[str]:
    """Lines with their ends. Not str.splitlines, which also cuts at characters that URLs may hold."""
    number = 0
    while line := file.readline(_LONGEST):
        number += 1
        if len(line) == _LONGEST:
            raise InputError(
                f"{path} line {number} has no end for {_LONGEST:,} characters: is it a list of URLs?"
            )
        yield line


def wanted_columns(columns: Mapping[str, str], keep: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Our column -> the names it goes by; see `read_list`."""
    return {
        **{name: (name,) for name in keep},
        **COLUMN_NAMES,
        **{ours: (theirs,) for ours, theirs in columns.items()},
    }


def choose_columns(
    path: str, present: Iterable[str], wanted: Mapping[str, tuple[str, ...]]
) -> dict[str, str]:
    """Our column -> the list's, for those it has."""
    present = list(present)
    folded = {name.casefold(): name for name in reversed(present)}
    chosen = {
        ours: next(folded[theirs.casefold()] for theirs in names if theirs.casefold() in folded)
        for ours, names in wanted.items()
        if any(theirs.casefold() in folded for theirs in names)
    }
    if "url" not in chosen:
        raise InputError(
            f"{path} has no column of URLs among {', '.join(present)}; name it with --set candidates.columns.url=NAME"
        )
    return chosen


def _csv_reader(lines: Iterator[str], form: str) -> Any:
    """A reader of csv or tsv. In a tsv, quotes are quotes only where its header is in them, as Arrow writes it."""
    csv.field_size_limit(_LONGEST)
    if form == "csv":
        return csv.reader(lines)
    header = next(lines, "")
    lines = chain([header], lines)
    if header.startswith('"'):
        return csv.reader(lines, delimiter="\t")
    return csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)


def _read_csv(
    path: str, lines: Iterator[str], form: str, wanted: Mapping[str, tuple[str, ...]]
) -> Iterator[Row]:
    delimiter = "," if form == "csv" else "\t"
    reader = _csv_reader(lines, form)
    try:
        header: list[str] = next(reader, [])
        chosen = {
            ours: header.index(theirs)
            for ours, theirs in choose_columns(path, header, wanted).items()
        }
        for fields in reader:
            if len(fields) > len(header):  # an unquoted comma has cut something, perhaps the URL
                yield {"url": delimiter.join(fields), "malformed": True}
                continue
            if any(
                _SWALLOWED.search(field) for field in fields
            ):  # an open quote has taken the lines that follow
                yield from (
                    {"url": line, "malformed": True} for line in delimiter.join(fields).splitlines()
                )
                continue
            fields += [""] * (len(header) - len(fields))
            yield {ours: fields[place] for ours, place in chosen.items()}
    except csv.Error as error:
        raise InputError(f"{path} line {reader.line_num}: {error}") from error


def _read_jsonl(
    path: str, lines: Iterator[str], wanted: Mapping[str, tuple[str, ...]]
) -> Iterator[Row]:
    for number, line in enumerate(lines):
        if number == 0 and line.lstrip().startswith("["):
            raise InputError(
                f"{path} is one JSON array: write one object a line, as jq -c '.[]' does"
            )
        if not line.strip():
            yield {"url": ""}
            continue
        record = _parse(line)
        if record is None:
            yield {"url": line.rstrip("\r\n"), "malformed": True}
            continue
        try:
            chosen = choose_columns(path, record, wanted)
        except InputError:
            yield {"url": line.rstrip("\r\n"), "malformed": True}
            continue
        yield {ours: record[theirs] for ours, theirs in chosen.items()} | {
            "url": str(record[chosen["url"]] or "")
        }


def _parse(line: str) -> dict[str, Any] | None:
    """A JSON object; None for what is none."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _read_parquet(path: str, wanted: Mapping[str, tuple[str, ...]]) -> Iterator[Row]:
    with fsspec.open(path, "rb") as file:
        parquet = pq.ParquetFile(file)
        chosen = choose_columns(path, parquet.schema_arrow.names, wanted)
        for batch in parquet.iter_batches(batch_size=8192, columns=sorted(set(chosen.values()))):
            for record in rows_of(batch):
                yield {ours: record[theirs] for ours, theirs in chosen.items()} | {
                    "url": str(record[chosen["url"]] or "")
                }


def rows_of(table: pa.Table | pa.RecordBatch) -> list[Row]:
    """Rows of a table, with text whatever bytes stand for it: not all that write Parquet see to it that it is UTF-8."""
    columns = {}
    for name, column in zip(table.schema.names, table.columns, strict=True):
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            column = column.cast(pa.large_binary())
        values = column.to_pylist()
        columns[name] = [
            value.decode(errors="replace") if isinstance(value, bytes) else value
            for value in values
        ]
    return [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]
