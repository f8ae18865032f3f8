"""Lists of URLs: txt, csv, tsv, jsonl and parquet files, read piece by piece."""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import io
import json
import lzma
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import IO, Any, TextIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curate.errors import InputError
from curate.storage.places import open_file

__all__ = ["COLUMN_NAMES", "choose_columns", "list_columns", "read_list", "to_rows"]

# a new line with a URL inside a field, which an open quote makes
_SWALLOWED = re.compile(r"[\r\n][ \t]{0,9}\"?https?://")
_SEPARATOR = re.compile(r'\ufeff?"?sep=([^\w\s"]|\t)"?\r?\n?', re.IGNORECASE)
_ADDRESS = re.compile(r"\s*https?://", re.IGNORECASE)
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

_DELIMITERS = {"csv": ",;\t|", "tsv": "\t,;|"}
"""Form -> what may part its fields, the usual one first."""
_DEPTH = 4
"""Most names in the path of a nested column, such as `image.url`."""

_PACKED: dict[str, tuple[bytes, Callable[[IO[bytes]], Any]]] = {
    ".gz": (b"\x1f\x8b", lambda file: gzip.GzipFile(fileobj=file)),
    ".bz2": (b"BZh", bz2.BZ2File),
    ".xz": (b"\xfd7zXZ\0", lzma.LZMAFile),
    ".zst": (b"\x28\xb5\x2f\xfd", lambda file: pa.CompressedInputStream(file, "zstd")),
}
"""Suffix of a compressed file -> its first bytes, and the reader of what it holds."""

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
        path: a file, compressed (gzip, bzip2, xz, zstd) or not, on any fsspec file system.
        form: txt, csv, tsv, jsonl or parquet.
        columns: our column -> the list's column, if its name is not in COLUMN_NAMES; a nested one
            as `image.url`, and the number of one, from 1, where a csv or tsv has no header.
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
            with open_file(path) as file:
                types = {field.name: field.type for field in pq.read_schema(file)}
        else:
            with _open(path) as file:
                lines = _lines(path, file)
                if form in _DELIMITERS:
                    types = dict.fromkeys(_CsvReader(lines, form, wanted_columns({}, ())).header)
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
    except (OSError, EOFError, csv.Error, lzma.LZMAError, zlib.error, pa.ArrowException) as error:
        raise InputError(f"can't read {path}: {error}") from error


@contextmanager
def _open(path: str) -> Iterator[TextIO]:
    """Open a list as decompressed text.

    It is UTF-8 unless a byte order mark says otherwise. The mark is no part of the first URL.
    """
    with open_file(path) as file, _decompress(path, file) as plain:
        head = plain.peek(4)
        encodings = (encoding for mark, encoding in _MARKS.items() if head.startswith(mark))
        encoding = next(encodings, "utf-8-sig")
        with io.TextIOWrapper(plain, encoding, errors="replace", newline="") as text:
            yield text


def _decompress(path: str, file: IO[bytes]) -> io.BufferedReader:
    """Return the plain bytes of a file, compressed as its first bytes or its name say."""
    head = file.read(6)
    file.seek(0)
    for suffix, (mark, unpack) in _PACKED.items():
        if head.startswith(mark) or path.lower().endswith(suffix):
            return io.BufferedReader(unpack(file))
    return io.BufferedReader(file)  # type: ignore[arg-type]


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
    if present.count(chosen["url"]) > 1:
        raise InputError(f"{path} has several columns {chosen['url']!r}: rename all but one")
    return chosen


def _chosen_fields(record: Row, chosen: Mapping[str, str]) -> Row:
    row = {ours: record[theirs] for ours, theirs in chosen.items()}
    row["url"] = str(row["url"] or "")
    return row


class _CsvReader:
    """Reader of csv or tsv, which finds out what parts the fields, and whether there is a header.

    Excel's first line `sep=;` counts. Otherwise it is what shows a column of URLs: by its name, or
    by an address in the first line, which is no header then.
    """

    def __init__(self, lines: Iterator[str], form: str, wanted: Wanted) -> None:
        csv.field_size_limit(_MAX_LENGTH)
        first, delimiters = next(lines, ""), _DELIMITERS[form]
        if match := _SEPARATOR.fullmatch(first):
            first, delimiters = next(lines, ""), match[1]
        self.delimiter = _find_delimiter(first, delimiters, wanted)
        # in a tsv, quotes count only if the header is quoted, as Arrow writes it
        quoted = self.delimiter != "\t" or first.startswith('"')
        quoting: Any = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
        self._reader = csv.reader(chain([first], lines), delimiter=self.delimiter, quoting=quoting)
        self.header: list[str] = next(self._reader, [])
        """Names of the columns; their numbers from 1 where the list has no header."""
        self.address = _find_address(self.header, wanted)
        """Number of the column of an address in the first line, where that is no header."""
        self._first = [self.header] if self.address else []
        if self.address:
            self.header = [str(number) for number in range(1, len(self.header) + 1)]

    @property
    def line(self) -> int:
        """Number of the line that was read last."""
        return int(self._reader.line_num)

    def __iter__(self) -> Iterator[list[str]]:
        return chain(self._first, self._reader)


def _find_delimiter(line: str, delimiters: str, wanted: Wanted) -> str:
    headers = {delimiter: next(csv.reader([line], delimiter=delimiter)) for delimiter in delimiters}
    for delimiter, header in headers.items():
        if _find_url(header, wanted):
            return delimiter
    if len(headers[delimiters[0]]) > 1:
        return delimiters[0]
    return max(delimiters, key=lambda delimiter: len(headers[delimiter]))  # the first of equals


def _find_url(header: Sequence[str], wanted: Wanted) -> str | None:
    """Return the header's name of the column of URLs, if it has one."""
    return next((name for name in header if name.casefold() in wanted["url"]), None)


def _find_address(header: Sequence[str], wanted: Wanted) -> int | None:
    """Return the number from 1 of the first address in a line that is no header."""
    name = _find_url(header, wanted)
    if name is not None and not _ADDRESS.match(name):
        return None
    return next((n for n, field in enumerate(header, 1) if _ADDRESS.match(field)), None)


def _read_csv(path: str, lines: Iterator[str], form: str, wanted: Wanted) -> Iterator[Row]:
    reader = _CsvReader(lines, form, wanted)
    header = reader.header
    if reader.address and not _find_url(header, wanted):
        raise InputError(
            f"{path} has no header, since its first line holds an address: name its columns by "
            f"their numbers, with --set candidates.columns.url={reader.address} and so on"
        )
    chosen = choose_columns(path, header, wanted)
    places = {ours: header.index(theirs) for ours, theirs in chosen.items()}
    try:
        for fields in reader:
            while len(fields) > len(header) and not fields[-1]:  # commas at the end of the line
                fields.pop()
            if len(fields) > len(header):  # an unquoted comma has cut something, perhaps the URL
                yield {"url": reader.delimiter.join(fields), "malformed": True}
            elif any(map(_SWALLOWED.search, fields)):  # an open quote has taken the next lines
                for line in reader.delimiter.join(fields).splitlines():
                    yield {"url": line, "malformed": True}
            else:
                fields += [""] * (len(header) - len(fields))
                yield {ours: fields[place] for ours, place in places.items()}
    except csv.Error as error:
        raise InputError(f"{path} line {reader.line}: {error}") from error


def _read_jsonl(path: str, lines: Iterator[str], wanted: Wanted) -> Iterator[Row]:
    first = True
    for line in lines:
        if not line.strip():
            yield {"url": ""}
            continue
        if first:
            _refuse_many_lines(path, line.strip())
        first = False
        record = _with_nested(_parse(line))
        try:
            chosen = choose_columns(path, record, wanted)
        except InputError:
            yield {"url": line.rstrip("\r\n"), "malformed": True}
        else:
            yield _chosen_fields(record, chosen)


def _refuse_many_lines(path: str, line: str) -> None:
    """Refuse JSON that isn't one object a line, given its first line."""
    if line.startswith("["):
        raise InputError(f"{path} is one JSON array: write one object a line, as jq -c '.[]' does")
    if line.startswith("{") and line[-1] in "{[,:":
        raise InputError(
            f"{path} has JSON objects over several lines: write one object a line, as jq -c . does"
        )


def _with_nested(record: Row, depth: int = _DEPTH) -> Row:
    """Return an object's fields, and those of objects in it as `outer.inner`."""
    nested: Row = {}
    for outer, value in record.items():
        if isinstance(value, dict) and depth > 1:
            inner = _with_nested(value, depth - 1)
            nested |= {f"{outer}.{name}": inner[name] for name in inner}
    return nested | record if nested else record


def _parse(line: str) -> Row:
    """Parse a JSON object; return {} for any other text."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}


def _read_parquet(path: str, wanted: Wanted) -> Iterator[Row]:
    with open_file(path) as file:
        parquet = pq.ParquetFile(file)
        chosen = choose_columns(path, _columns(parquet.schema_arrow), wanted)
        needed = sorted(set(chosen.values()))
        for batch in parquet.iter_batches(batch_size=8192, columns=needed):
            # the first of several columns with one name; nested ones by their path
            columns = pa.table({name: _column(batch, name) for name in needed})
            for record in to_rows(columns):
                yield _chosen_fields(record, chosen)


def _columns(schema: pa.Schema) -> list[str]:
    """Return the names of columns, and after them those of nested ones, as `outer.inner`."""
    names: list[str] = list(schema.names)
    for field in schema:
        names += _nested_names(field)
    return names


def _nested_names(field: pa.Field) -> Iterator[str]:
    if pa.types.is_struct(field.type):
        for inner in field.type:
            yield f"{field.name}.{inner.name}"
            yield from (f"{field.name}.{name}" for name in _nested_names(inner))


def _column(batch: pa.RecordBatch, name: str) -> pa.Array:
    if name in batch.schema.names:
        return batch.column(batch.schema.names.index(name))
    outer = next(n for n in batch.schema.names if name.startswith(f"{n}."))
    column, rest = batch.column(batch.schema.names.index(outer)), name[len(outer) + 1 :]
    return pc.struct_field(column, rest.split("."))


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
