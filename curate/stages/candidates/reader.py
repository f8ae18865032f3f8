"""Candidates in shards: every line of the input once, with its id, whatever form it came in."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from math import isnan
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import fsspec
import pyarrow as pa

from curate.config import fingerprint
from curate.errors import ImageError, InputError, Reason
from curate.recipe import Candidates
from curate.stages.candidates.folders import read_folder
from curate.stages.candidates.img2dataset import is_img2dataset, read_img2dataset
from curate.stages.candidates.lists import Row, list_columns, read_list
from curate.stages.candidates.urls import (
    LONGEST,
    candidate_id,
    normalise_url,
    redact,
    without_credentials,
)
from curate.storage.atomic import list_files

__all__ = ["LOCAL", "CandidateReader", "schema"]

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
"""Where a candidate's bytes are on this machine: a file, so many bytes of it from an offset on, or a cell of a Parquet
file; and what their hash is to be, as `sha256:...`. Goes no further than the fetch stage."""

_SUFFIXES = {
    ".txt": "txt",
    ".lst": "txt",
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
_SUFFIXES |= {".json": "jsonl", ".parquet": "parquet"}
_FOLDERS = ("folder", "img2dataset")
_COMPRESSED = (".gz", ".bz2", ".xz", ".zst")


def schema(keep: Sequence[str]) -> pa.Schema:
    """Columns of a table of candidates."""
    text = ("id", "url", "host", "source", "licence", "caption", "status", "reason")
    claimed = {"claimed_width": pa.int32(), "claimed_height": pa.int32()}
    kept = ((name, pa.float64()) for name in keep)
    return pa.schema([*((name, pa.string()) for name in text), *claimed.items(), *LOCAL, *kept])


class CandidateReader:
    """Iterates over shards of candidates, as tables of `schema`, and counts what it passes over.

    A line that is no URL becomes a candidate with reason `bad_url`. Lines that name a candidate again are counted, not
    repeated: a candidate is its normalised URL.

    Args:
        inputs: lists, folders of images, img2dataset outputs.
        config: see `Candidates`.
        find: of a URL in a list, the file on this machine that it stands for; by default lists name none.
        known: gives the ids of candidates to pass over.
    """

    def __init__(
        self,
        inputs: Sequence[str],
        config: Candidates,
        find: Callable[[str], str | None] = lambda url: None,
        known: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        self._config = config
        self._find = find
        forms = [_form(path) if config.format == "auto" else config.format for path in inputs]
        self._inputs = [
            (path, form, config.source or _name(path))
            for path, form in zip(inputs, forms, strict=True)
        ]
        folders = [source for _, form, source in self._inputs if form == "folder"]
        if twice := [
            name for name in folders if folders.count(name) > 1
        ]:  # their files would pass for each other's
            raise InputError(
                f"several folders go by the name {twice[0]!r}: give the one that holds them all"
            )
        self._schema = schema(config.keep)
        self._known = known
        self._blank = self._repeated = self._passed = 0
        self._taken: Counter[str] = Counter()

    def fingerprint(self) -> str:
        """Changes when the input does: by content for lists, by names and sizes for folders of images."""
        return fingerprint(
            [[source, form, _digest(path, form)] for path, form, source in self._inputs]
        )

    def notes(self) -> dict[str, int]:
        """Lines passed over so far: blank ones, those that named a candidate again, and those that named a known one;
        and what of an img2dataset output could be taken over."""
        known = {"known": self._passed} if self._passed else {}
        return {"blank": self._blank, "repeated": self._repeated, **known} | {
            k: n for k, n in self._taken.items() if n
        }

    def columns(self) -> dict[str, pa.DataType | None]:
        """Columns of the lists among the input, as `rows` gives them whole, and their types where a list tells them."""
        lists = ((path, form) for path, form, _ in self._inputs if form not in _FOLDERS)
        files = ((file, form) for path, form in lists for file in _list_files(path, form))
        return {
            name: type_ for file, form in files for name, type_ in _columns_of(file, form).items()
        }

    def __iter__(self) -> Iterator[pa.Table]:
        rows: list[Row] = []
        for _, row in self.rows():
            rows.append(row)
            if len(rows) == self._config.shard_size:
                yield pa.Table.from_pylist(rows, schema=self._schema)
                rows = []
        if rows:
            yield pa.Table.from_pylist(rows, schema=self._schema)

    def rows(self, *, whole: bool = False) -> Iterator[tuple[Row, Row]]:
        """What the input has of each candidate, and the candidate.

        Args:
            whole: of lists, every column, by its name in lower case, not just those that a candidate has.
        """
        self._blank = self._repeated = self._passed = 0
        self._taken.clear()
        known = {int(id_, 16) for id_ in self._known()}
        seen: set[int] = set()
        for path, form, source in self._inputs:
            for raw in self._read(path, form, source, whole):
                if not raw["url"].strip():
                    self._blank += 1
                    continue
                row = self._candidate(raw, source)
                key = int(row["id"], 16)
                if key in seen:
                    self._repeated += 1
                    continue
                seen.add(key)
                if key in known:
                    self._passed += 1
                    continue
                yield raw, row

    def _read(self, path: str, form: str, source: str, whole: bool) -> Iterator[Row]:
        if form == "folder":
            yield from read_folder(path, source)
        elif form == "img2dataset":
            yield from read_img2dataset(path, self._config.columns, self._config.keep, self._taken)
        else:
            for file in _list_files(path, form):
                further = _columns_of(file, form) if whole else ()
                for row in read_list(
                    file, form, self._config.columns, (*self._config.keep, *further)
                ):
                    row["local_path"] = self._find(row["url"])
                    yield row

    def _candidate(self, raw: Row, source: str) -> Row:
        line = raw["url"].strip()
        given = _text(line) or ""
        ours = raw.get("local_path") and given.startswith(
            "file:"
        )  # an "@" there belongs to a file's name
        url = given if ours else without_credentials(given)
        try:
            if raw.get("malformed") or given != line:
                raise ImageError(Reason.BAD_URL, "the line can't be understood")
            normalised = normalise_url(url)
            # a secret stays out of every file, its hash too; the same address with another one is the same candidate
            secret = url != given
            reason, key = (
                (Reason.CREDENTIALS.value, f"credentials {normalised}")
                if secret
                else (None, normalised)
            )
        except ImageError as error:
            key, reason, normalised = redact(url), error.reason.value, ""
            url = key[:LONGEST]
        return {
            "id": candidate_id(key),
            "url": url,
            "host": _host(normalised),
            "source": source,
            "licence": _text(raw.get("licence")) or self._config.licence,
            "caption": _text(raw.get("caption")),
            "claimed_width": _whole(raw.get("claimed_width")),
            "claimed_height": _whole(raw.get("claimed_height")),
            **{name: raw.get(name) for name in LOCAL.names},
            "local_path": _text(raw.get("local_path")),
            "status": "rejected" if reason else "ok",
            "reason": reason,
            **{name: _number(raw.get(name)) for name in self._config.keep},
        }


def _columns_of(path: str, form: str) -> dict[str, pa.DataType | None]:
    """Those of a list, less what would pass for a word of ours, such as where bytes are on this machine."""
    columns = list_columns(path, form)
    return {
        n: type_ for n, type_ in columns.items() if n != "malformed" and not n.startswith("local_")
    }


def _open(path: str) -> tuple[fsspec.AbstractFileSystem, str]:
    try:
        fs, root = fsspec.core.url_to_fs(path)
    except (ImportError, ValueError) as error:
        raise InputError(f"can't open {path}: {error}") from error
    return fs, root


def _name(path: str) -> str:
    """Name of a file or folder, whatever way leads to it."""
    return PurePosixPath(_open(path)[1]).name


def _form(path: str) -> str:
    """Form of an input, from what its path is."""
    fs, root = _open(path)
    if fs.isdir(root):
        names = [PurePosixPath(name) for name, _ in list_files(path)]
        if not names:
            raise InputError(f"the folder {path} holds no files")
        if is_img2dataset(map(str, names)):
            return "img2dataset"
        # a list in several files, beside marks such as Hadoop's _SUCCESS
        suffixes = {name.suffix.lower() for name in names if not name.name.startswith("_")}
        return _SUFFIXES.get(suffixes.pop(), "folder") if len(suffixes) == 1 else "folder"
    if not fs.exists(root):
        raise InputError(
            f"no input at {path}: --input takes a list of URLs (txt, csv, tsv, jsonl, parquet) or a folder"
        )
    name = PurePosixPath(root)
    suffix = (name.with_suffix("") if name.suffix in _COMPRESSED else name).suffix.lower()
    if suffix not in _SUFFIXES:
        raise InputError(
            f"can't tell what {path} is: name its form with --set candidates.format=txt (or csv, parquet, ...)"
        )
    return _SUFFIXES[suffix]


def _list_files(path: str, form: str) -> list[str]:
    """The files of a list that may be a folder of them, as LAION's is."""
    fs, root = fsspec.core.url_to_fs(path)
    if not fs.isdir(root):
        return [path]
    names = [
        name
        for name, _ in list_files(path)
        if _SUFFIXES.get(PurePosixPath(name).suffix.lower()) == form
    ]
    return [f"{path.rstrip('/')}/{name}" for name in names]


def _digest(path: str, form: str) -> Any:
    if form in _FOLDERS:
        return [(_text(name), size) for name, size in list_files(path)]
    digest = hashlib.sha256()
    for file in _list_files(path, form):
        try:
            with fsspec.open(file, "rb") as opened:
                while piece := opened.read(2**20):
                    digest.update(piece)
        except OSError as error:
            raise InputError(f"can't read {file}: {error}") from error
    return digest.hexdigest()


def _host(normalised: str) -> str | None:
    return (urlsplit(normalised).hostname or None) if normalised else None


def _text(value: Any) -> str | None:
    """Text that every file format can hold: half surrogate pairs, as JSON and file names may have, are spelled out."""
    return (
        None
        if value is None or value == ""
        else str(value).encode(errors="backslashreplace").decode()
    )


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return None if isnan(number) else number


def _whole(value: Any) -> int | None:
    number = _number(value)
    return int(number) if number is not None and 0 <= number < 2**31 else None
