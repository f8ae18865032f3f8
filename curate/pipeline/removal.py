"""Takes images out of a run, or of a manifest: rows, bytes and what was made of them; see tombstones."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from os import PathLike
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.compute as pc

from curate import engine
from curate.engine import Progress, RunFolder
from curate.errors import ImageError, InputError, RunError
from curate.manifest import read_manifest, write_manifest
from curate.pipeline import execute, recipe_changes
from curate.pipeline.earlier_picks import note_picks
from curate.pipeline.execute import RunOutcome
from curate.pipeline.tombstones import (
    IDENTITY,
    Tombstones,
    find_marked,
    fitting_marks,
    marks_of,
    read_identity,
)
from curate.recipe import Dedup, Recipe
from curate.stages.candidates.urls import candidate_id, normalise_url, without_credentials
from curate.storage import atomic

__all__ = ["Removal", "open_curated", "remove"]

_RECOGNISED_BY = ("sha256", "pixel_sha256", "phash")
"""What of a picture tells that it has come again."""

Paths = Sequence[str | PathLike[str]]


@dataclass
class Removal:
    """What went, or would go."""

    ids: set[str] = field(default_factory=set)
    """Candidates."""
    by: Counter[str] = field(default_factory=Counter)
    """How many by what they were recognised by: id, host, sha256, pixel_sha256, phash."""
    copies: int = 0
    """Of them those that no list names, but which show a picture that one names."""
    picked: Counter[str] = field(default_factory=Counter)
    """Of them those that were in the dataset, by split."""
    nbytes: int = 0
    """Bytes of all of them."""
    shards: int = 0
    """Shards that are made again without them."""
    unknown: int = 0
    """Lines that name nothing that is here; what they name won't come in later either."""
    outcome: RunOutcome | None = None
    """What the run came to without them; None if it is a dry run, or a manifest."""


def remove(
    source: str | PathLike[str],
    *,
    ids: Paths = (),
    urls: Paths = (),
    hosts: Paths = (),
    hashes: Paths = (),
    keep_copies: bool = False,
    dry_run: bool = False,
    scheduler: str = "local",
    workers: int | None = None,
    progress: Progress | None = None,
) -> Removal:
    """Take out of a run, or of a manifest, what lists name.

    It never comes back into the run. Shards that hold something of it are made again without it, from the bytes that
    are there, and what was picked before stays picked. Killed anywhere, the same call goes on, and so does `run`. A run
    that isn't finished is taken to its end. Of a manifest only rows go.

    Args:
        source: the run folder, or a manifest, which ends in `.parquet`.
        ids: lists of ids, one a line, as in the ledger.
        urls: lists of URLs, of images or of what redirects lead to.
        hosts: lists of host names, which stand for their subdomains, too.
        hashes: lists of SHA-256 of files, in hex.
        keep_copies: keep the same pictures from other URLs; by default they go, too, and so do those that come later.
        dry_run: change nothing, and say what would go.
        scheduler: see `curate.run`.
        workers: see `curate.run`.
        progress: told what happens.

    Raises:
        CurateError: for everything that the caller can mend.
    """
    entries = _read_lists(ids, urls, hosts, hashes)
    if not entries:
        raise InputError("the lists name nothing to remove")
    if str(source).endswith(".parquet"):
        return _remove_from_manifest(str(source), entries, keep_copies, dry_run)
    removal = _mark(source, entries, keep_copies, dry_run)
    if not dry_run:
        removal.outcome = execute.run(
            None, (), source, scheduler=scheduler, workers=workers, progress=progress
        )
    return removal


def open_curated(out: str | PathLike[str]) -> tuple[RunFolder, Recipe]:
    """A run folder, and its recipe, that the chain of a recipe made.

    Raises:
        RunError: if it is none, or was rebuilt from a published list.
    """
    folder, recipe = recipe_changes.open_run(out)
    if folder.exists("rebuild/whole.json"):
        raise RunError(
            f"{folder} was rebuilt from a published list, and follows that: take rows out of the list, or put them in, "
            "and rebuild it in another folder"
        )
    return folder, recipe


def _mark(
    out: str | PathLike[str], entries: Sequence[Tombstones], keep_copies: bool, dry_run: bool
) -> Removal:
    """Write the tombstones of a removal, so that the run's next turn carries it out."""
    folder, recipe = open_curated(out)
    with folder.lock():
        known = Tombstones.read(folder)
        removal, stones = _look(_Shards(folder), entries, known, recipe.select.dedup, keep_copies)
        removal.picked = _picked(folder, removal.ids)
        if removal.ids and not dry_run:
            note_picks(folder)
        if not (dry_run or stones.marks <= known.marks):
            (known | stones).write(folder)
    return removal


def _remove_from_manifest(
    path: str, entries: Sequence[Tombstones], keep_copies: bool, dry_run: bool
) -> Removal:
    """Write a manifest anew, without some rows and copies of these; tars stay as they are."""
    manifest = read_manifest(path)
    here = manifest.table.column_names
    columns = {
        column.name: manifest.table[column.name]
        if column.name in here
        else pa.nulls(len(manifest), column.type)
        for column in IDENTITY
    }
    removal, _ = _look([pa.table(columns, IDENTITY)], entries, Tombstones(), Dedup(), keep_copies)
    gone = pc.is_in(manifest.table["id"], pa.array(sorted(removal.ids), pa.string()))
    removal.picked.update(manifest.table["split"].filter(gone).to_pylist())
    if removal.ids and not dry_run:
        left = manifest.table.filter(pc.invert(gone))
        write_manifest(path, left, manifest.metadata, root=manifest.metadata.get("root", "."))
    return removal


def _look(
    parts: Iterable[pa.Table],
    entries: Sequence[Tombstones],
    known: Tombstones,
    dedup: Dedup,
    keep_copies: bool,
) -> tuple[Removal, Tombstones]:
    """What of some tables of facts has to go, and the tombstones that it needs; the tables are read twice."""
    listed = stones = Tombstones(frozenset().union(*(entry.marks for entry in entries)))
    named: set[str] = set()
    names: set[tuple[str, str]] = set()
    for facts in parts:
        by = find_marked(facts, listed, dedup)
        rows = facts.filter(pc.is_in(facts["id"], pa.array(by, pa.string())))
        names |= fitting_marks(rows)
        named |= by.keys()
        if not keep_copies:
            stones |= marks_of(rows, _RECOGNISED_BY)
    removal = Removal()
    for facts in parts:
        by = find_marked(facts, stones, dedup)
        rows = facts.filter(pc.is_in(facts["id"], pa.array(by, pa.string())))
        removal.ids |= by.keys()
        removal.by.update(by.values())
        removal.nbytes += pc.sum(rows["nbytes"].filter(pc.is_valid(rows["sha256"]))).as_py() or 0
        removal.shards += bool(by)
    removal.copies = len(removal.ids - named)
    removal.unknown = sum(entry.marks.isdisjoint(names | known.marks) for entry in entries)
    return removal, stones


class _Shards(Iterable[pa.Table]):
    """The facts of a run, shard by shard, as often as they are asked for."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder

    def __iter__(self) -> Iterator[pa.Table]:
        index = engine.read_index(self._folder)
        for shard in index.shards if index is not None else ():
            yield read_identity(self._folder, shard)


def _picked(folder: RunFolder, ids: set[str]) -> Counter[str]:
    """How many of some images are in the run's dataset, by split."""
    counts: Counter[str] = Counter()
    for split in ("train", "test"):
        if folder.exists(f"manifest/{split}.parquet"):
            counts[split] = len(
                ids & set(read_manifest(f"{folder.url}/manifest/{split}.parquet").column("id"))
            )
    return +counts


def _read_lists(ids: Paths, urls: Paths, hosts: Paths, hashes: Paths) -> list[Tombstones]:
    """The marks of each line that isn't blank.

    Raises:
        InputError: if a list can't be read, or a line is not what it should be.
    """
    entries = []
    for paths, read in ((ids, _id), (urls, _url), (hosts, _host), (hashes, _hash)):
        for path in paths:
            for number, line in atomic.read_lines(str(path)):
                try:
                    entries.append(Tombstones(frozenset(read(line))))
                except ValueError as error:
                    raise InputError(f"{path} line {number}: {line[:80]!r} is {error}") from error
    return entries


def _id(line: str) -> Iterator[tuple[str, str]]:
    if not re.fullmatch(r"[0-9a-fA-F]{16}", line):
        raise ValueError("no id: 16 hex digits, as in the ledger's id column")
    yield "id", line.lower()


def _url(line: str) -> Iterator[tuple[str, str]]:
    try:
        normalised = normalise_url(without_credentials(line))
    except ImageError as error:
        raise ValueError(f"no URL: {error.args[1]}") from error
    yield "id", candidate_id(normalised)
    yield "id", candidate_id(f"credentials {normalised}")  # see CandidateReader


def _host(line: str) -> Iterator[tuple[str, str]]:
    name = line.strip(".")
    try:
        host = urlsplit(normalise_url(f"http://{name}/")).hostname
    except (ImageError, ValueError):
        host = None
    if not host or any(sign in name for sign in "/@:?#"):
        raise ValueError("no host name such as example.org")
    yield "host", host


def _hash(line: str) -> Iterator[tuple[str, str]]:
    if not re.fullmatch(r"[0-9a-fA-F]{64}", line):
        raise ValueError("no SHA-256: 64 hex digits")
    yield "sha256", line.lower()
