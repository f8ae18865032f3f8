"""Reader of candidates: every URL of the input once, with its id, in shards."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from math import isnan
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa

from curate.config import fingerprint
from curate.errors import ImageError, InputError, Reason
from curate.recipe import Candidates
from curate.stages.candidates import urls
from curate.stages.candidates.folders import read_folder
from curate.stages.candidates.img2dataset import is_img2dataset, read_img2dataset
from curate.stages.candidates.lists import Row, list_columns, read_list
from curate.storage.atomic import list_files
from curate.storage.places import Place, locate, open_file

__all__ = ["LOCAL", "CandidateReader", "schema"]

EVEN_SHARDS = 16
"""A list that fills fewer full shards is split into so many shards of even size,"""
SMALLEST_SHARD = 50
"""but into fewer ones where they would be smaller than this."""

LOCAL = pa.schema(
    [
        ("local_path", pa.string()),
        ("local_offset", pa.int64()),
        ("local_nbytes", pa.int64()),
        ("local_column", pa.string()),
        ("local_row", pa.int64()),
        ("local_digest", pa.string()),
    ]
)
"""Columns of the location of a candidate's bytes on this machine, used by the fetch stage alone.

It is a file, a range of a file's bytes, or a cell of a Parquet file. `local_digest` is the hash
that the bytes must have, as `sha256:...`.
"""

_SUFFIXES = {f".{form}": form for form in ("txt", "csv", "tsv", "jsonl", "parquet")}
_SUFFIXES |= {".lst": "txt", ".ndjson": "jsonl", ".json": "jsonl"}
_FOLDERS = ("folder", "img2dataset")
_COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".zstd")


def schema(keep: Sequence[str]) -> pa.Schema:
    """Return the schema of a table of candidates that carries the columns `keep` along."""
    text = ("id", "url", "host", "source", "licence", "caption", "status", "reason")
    fields = [(name, pa.string()) for name in text]
    fields += [("claimed_width", pa.int32()), ("claimed_height", pa.int32())]
    return pa.schema([*fields, *LOCAL, *((name, pa.float64()) for name in keep)])


def split(rows: Iterable[Row], most: int) -> Iterator[list[Row]]:
    """Split candidates into shards of `most` each; a list that fills only a few is split evenly.

    So a short list occupies several workers as well, and loses little when it is interrupted. The
    shards depend on the list alone, never on the number of workers.
    """
    rows = iter(rows)
    head = [*islice(rows, EVEN_SHARDS * most)]
    size = max(-(-len(head) // EVEN_SHARDS), min(SMALLEST_SHARD, most))
    rest = chain(head, rows)
    while shard := [*islice(rest, size)]:
        yield shard


class CandidateReader:
    """Iterator over shards of candidates, as tables of `schema`, that counts lines it skips.

    A line that is no URL becomes a candidate with reason `bad_url`. A candidate is its normalised
    URL: lines that name one again are counted, not repeated.

    Args:
        inputs: lists, folders of images, img2dataset outputs.
        config: see `Candidates`.
        find: returns the file on this machine for a URL of a list; by default there are none.
        known: returns the ids of candidates to skip.
    """

    def __init__(
        self,
        inputs: Sequence[str],
        config: Candidates,
        find: Callable[[str], str | None] = lambda url: None,
        known: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        self._config, self._find, self._known = config, find, known
        self._inputs: list[tuple[str, str, str]] = []
        """Path, form and source of each input."""
        for path in inputs:
            form = _form(path) if config.format == "auto" else config.format
            name = PurePosixPath(_open(path).path).name
            self._inputs.append((path, form, config.source or name))
        folders = Counter(source for _, form, source in self._inputs if form == "folder")
        for name, count in folders.items():
            if count > 1:  # their files would have the same URLs
                raise InputError(
                    f"several folders go by the name {name!r}: give the one that holds them all"
                )
        self._notes = Counter(blank=0, repeated=0, known=0)

    def fingerprint(self) -> str:
        """Return a fingerprint of the input: of lists' contents, of folders' names and sizes."""
        inputs = [[source, form, _digest(path, form)] for path, form, source in self._inputs]
        return fingerprint(inputs)

    def notes(self) -> dict[str, int]:
        """Return counts of skipped lines so far, and notes on img2dataset outputs.

        Skipped lines are blank, `repeated` if an earlier line names their candidate, or `known`.
        """
        always = ("blank", "repeated")
        return {name: count for name, count in self._notes.items() if count or name in always}

    def columns(self) -> dict[str, pa.DataType | None]:
        """Return all columns of the input's lists, as `rows(whole=True)` has them.

        Their type is None if the list doesn't state it.
        """
        columns: dict[str, pa.DataType | None] = {}
        for path, form, _ in self._inputs:
            for file in _list_files(path, form) if form not in _FOLDERS else ():
                columns |= list_columns(file, form)
        return columns

    def __iter__(self) -> Iterator[pa.Table]:
        rows = (row for _, row in self.rows())
        for shard in split(rows, self._config.shard_size):
            yield pa.Table.from_pylist(shard, schema(self._config.keep))

    def rows(self, *, whole: bool = False) -> Iterator[tuple[Row, Row]]:
        """Yield each candidate's raw fields, and the candidate.

        Args:
            whole: give all columns of lists, by their names in lower case, and not only the columns
                of candidates.
        """
        self._notes = Counter(blank=0, repeated=0, known=0)
        # ids as integers take a third of the memory of text
        known = {int(id_, 16) for id_ in self._known()}
        seen: set[int] = set()
        for path, form, source in self._inputs:
            for raw in self._read(path, form, source, whole):
                if not raw["url"].strip():
                    self._notes["blank"] += 1
                    continue
                row = self._candidate(raw, source)
                key = int(row["id"], 16)
                if key in seen:
                    self._notes["repeated"] += 1
                    continue
                seen.add(key)
                if key in known:
                    self._notes["known"] += 1
                    continue
                yield raw, row

    def _read(self, path: str, form: str, source: str, whole: bool) -> Iterator[Row]:
        columns, keep = self._config.columns, self._config.keep
        if form == "folder":
            yield from read_folder(path, source)
        elif form == "img2dataset":
            yield from read_img2dataset(path, columns, keep, self._notes)
        else:
            for file in _list_files(path, form):
                further = list_columns(file, form) if whole else ()
                for row in read_list(file, form, columns, (*keep, *further)):
                    row["local_path"] = self._find(row["url"])
                    yield row

    def _candidate(self, raw: Row, source: str) -> Row:
        # in the URL of a local file, an "@" and blanks at the end belong to the file's name
        is_file = raw.get("local_path") and raw["url"].startswith("file:")
        line = raw["url"] if is_file else raw["url"].strip()
        text = _text(line) or ""
        url = text if is_file else urls.without_credentials(text)
        reason, normalised = None, ""
        try:
            if raw.get("malformed") or text != line:
                raise ImageError(Reason.BAD_URL, "the line can't be understood")
            key = normalised = url if is_file else urls.normalise_url(url)
            if url != text:
                # a secret stays out of every file, and so does a hash of it: the same address
                # with another secret is the same candidate
                reason, key = Reason.CREDENTIALS.value, f"credentials {normalised}"
        except ImageError as error:
            reason, key = error.reason.value, urls.redact(url)
            url = key[: urls.MAX_LENGTH]
        kept = {name: _number(raw.get(name)) for name in self._config.keep}
        return {
            "id": urls.candidate_id(key),
            "url": url,
            "host": urlsplit(normalised).hostname or None,
            "source": source,
            "licence": _text(raw.get("licence")) or self._config.licence,
            "caption": _text(raw.get("caption")),
            "claimed_width": _whole(raw.get("claimed_width")),
            "claimed_height": _whole(raw.get("claimed_height")),
            **{name: raw.get(name) for name in LOCAL.names},
            "local_path": _text(raw.get("local_path")),
            "status": "rejected" if reason else "ok",
            "reason": reason,
            **kept,
        }


def _open(path: str) -> Place:
    try:
        return locate(path)
    except (ImportError, ValueError) as error:
        raise InputError(f"can't open {path}: {error}") from error


def _form(path: str) -> str:
    """Return the form of an input by its path, and by a folder's file names."""
    place = _open(path)
    fs, root = place.fs, place.path
    if fs.isdir(root):
        names = [PurePosixPath(name) for name, _ in list_files(path)]
        if not names:
            raise InputError(f"the folder {path} holds no files")
        if is_img2dataset(map(str, names)):
            return "img2dataset"
        # a list in several files may have marks such as Hadoop's _SUCCESS beside them
        suffixes = {_suffix(name) for name in names if not name.name.startswith("_")}
        return _SUFFIXES.get(suffixes.pop(), "folder") if len(suffixes) == 1 else "folder"
    if not fs.exists(root):
        raise InputError(
            f"no input at {path}: --input takes a list of URLs (txt, csv, tsv, jsonl, parquet) "
            "or a folder"
        )
    suffix = _suffix(PurePosixPath(root))
    if suffix not in _SUFFIXES:
        raise InputError(
            f"can't tell what {path} is: name its form with --set candidates.format=txt "
            "(or csv, parquet, ...)"
        )
    return _SUFFIXES[suffix]


def _suffix(name: PurePosixPath) -> str:
    """Return the suffix that tells a list's form: list.csv.gz is a csv."""
    packed = name.suffix.lower() in _COMPRESSED
    return (name.with_suffix("") if packed else name).suffix.lower()


def _list_files(path: str, form: str) -> list[str]:
    """Return the files of a list, which may be a folder of them, as LAION's is."""
    place = _open(path)
    if not place.fs.isdir(place.path):
        return [path]
    files = []
    for name, _ in list_files(path):
        if _SUFFIXES.get(_suffix(PurePosixPath(name))) == form:
            files.append(f"{path.rstrip('/')}/{name}")
    return files


def _digest(path: str, form: str) -> Any:
    if form in _FOLDERS:
        return [(_text(name), size) for name, size in list_files(path)]
    digest = hashlib.sha256()
    for file in _list_files(path, form):
        try:
            with open_file(file) as opened:
                while piece := opened.read(2**20):
                    digest.update(piece)
        except OSError as error:
            raise InputError(f"can't read {file}: {error}") from error
    return digest.hexdigest()


def _text(value: Any) -> str | None:
    """Return text that every file format can hold.

    Unpaired surrogates, as JSON and file names may have them, are spelled out.
    """
    if value is None or value == "":
        return None
    return str(value).encode(errors="backslashreplace").decode()


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return None if isnan(number) else number


def _whole(value: Any) -> int | None:
    number = _number(value)
    # no image has a side of 0: lists write it where they don't know
    return int(number) if number is not None and 1 <= number < 2**31 else None
