"""Remove images from a run or a manifest: rows, bytes and cached results; see tombstones."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
"""Marks by which a picture is recognised when it comes back under another URL."""

Paths = Sequence[str | PathLike[str]]


@dataclass
class Removal:
    """Images that were removed, or would be."""

    ids: set[str] = field(default_factory=set)
    """Ids of the candidates."""
    by: Counter[str] = field(default_factory=Counter)
    """Kind of mark (id, host, sha256, pixel_sha256, phash) -> candidates that it found."""
    copies: int = 0
    """Candidates that no list names, but that show a picture which a list names."""
    picked: Counter[str] = field(default_factory=Counter)
    """Split -> candidates that were in the dataset."""
    nbytes: int = 0
    """Bytes of their files."""
    shards: int = 0
    """Shards that are computed again without them."""
    unknown: int = 0
    """Lines that match nothing here; later candidates that match them are refused."""
    outcome: RunOutcome | None = None
    """Outcome of the run without them; None after a dry run, or for a manifest."""


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
    """Remove the images that lists name from a run or a manifest.

    A removed image never comes back into the run. Shards that hold one are computed again from the
    other images' bytes, and other picks stay. After a kill the same call resumes, and so does
    `run`. An unfinished run is finished. A manifest loses rows only.

    Args:
        source: the run folder, or a manifest, which ends in `.parquet`.
        ids: lists of ids, one a line, as in the ledger.
        urls: lists of URLs, as listed or as redirects end.
        hosts: lists of host names; each stands for its subdomains, too.
        hashes: lists of SHA-256 of files, in hex.
        keep_copies: keep copies from other URLs; by default they go too, now and when they come
            later.
        dry_run: change nothing, and report what would go.
        scheduler: see `curate.run`.
        workers: see `curate.run`.
        progress: callbacks for what happens.

    Raises:
        CurateError: for every error that the caller can mend.
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
    """Open a run folder that a recipe's chain wrote, and read its recipe.

    Raises:
        RunError: if it isn't a run folder, or was rebuilt from a published list.
    """
    folder, recipe = recipe_changes.open_run(out)
    if folder.exists("rebuild/whole.json"):
        raise RunError(
            f"{folder} was rebuilt from a published list, and follows that: take rows out of the "
            "list, or put them in, and rebuild it in another folder"
        )
    return folder, recipe


def _mark(
    out: str | PathLike[str], entries: Sequence[Tombstones], keep_copies: bool, dry_run: bool
) -> Removal:
    """Write the tombstones of a removal; the next execution of the run applies them."""
    folder, recipe = open_curated(out)
    with folder.lock():
        known = Tombstones.read(folder)
        owners = {tile: {image} for tile, image in _read_tiles(folder)}
        entries = _with_other_ids(entries, owners)
        removal, stones = _find_removed(
            _Shards(folder), entries, known, recipe.select.dedup, keep_copies
        )
        removal.picked = _count_picked(folder, removal.ids)
        if removal.ids and not dry_run:
            note_picks(folder)
        if not (dry_run or stones.marks <= known.marks):
            (known | stones).write(folder)
    return removal


def _remove_from_manifest(
    path: str, entries: Sequence[Tombstones], keep_copies: bool, dry_run: bool
) -> Removal:
    """Rewrite a manifest without the marked rows and their copies; tars stay as they are."""
    manifest = read_manifest(path)
    here = manifest.table.column_names
    missing = {column.name: pa.nulls(len(manifest), column.type) for column in IDENTITY}
    columns = missing | {name: manifest.table[name] for name in IDENTITY.names if name in here}
    facts = pa.table(columns, IDENTITY)
    tiles: dict[str, set[str]] = defaultdict(set)
    for tile, image in _tiles_in(manifest.table):
        tiles[image].add(tile)
    entries = _with_other_ids(entries, tiles)
    removal, _ = _find_removed([facts], entries, Tombstones(), Dedup(), keep_copies)
    gone = pc.is_in(manifest.table["id"], pa.array(sorted(removal.ids), pa.string()))
    removal.picked.update(manifest.table["split"].filter(gone).to_pylist())
    if removal.ids and not dry_run:
        left = manifest.table.filter(pc.invert(gone))
        write_manifest(path, left, manifest.metadata, root=manifest.metadata.get("root", "."))
    return removal


def _find_removed(
    parts: Iterable[pa.Table],
    entries: Sequence[Tombstones],
    known: Tombstones,
    dedup: Dedup,
    keep_copies: bool,
) -> tuple[Removal, Tombstones]:
    """Return the images of `parts` to remove, and their tombstones.

    `parts` is read twice: first for the marks of named images, then for the copies of these.
    """
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
    """Identity columns of a run, shard by shard; can be iterated again."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder

    def __iter__(self) -> Iterator[pa.Table]:
        index = engine.read_index(self._folder)
        for shard in index.shards if index is not None else ():
            yield read_identity(self._folder, shard)


def _count_picked(folder: RunFolder, ids: set[str]) -> Counter[str]:
    """Count the images of `ids` in the run's manifests, by split."""
    counts: Counter[str] = Counter()
    for split in ("train", "test"):
        path = f"manifest/{split}.parquet"
        if folder.exists(path):
            table = read_manifest(f"{folder.url}/{path}").table
            picked = table["id"]
            if "tile_of" in table.column_names:
                picked = pc.coalesce(table["tile_of"], picked)
            counts[split] = len(ids & set(picked.to_pylist()))
    return +counts


def _read_tiles(folder: RunFolder) -> list[tuple[str, str]]:
    """Read id and image of all tiles in the run's manifests."""
    pairs = []
    for split in ("train", "test"):
        path = f"manifest/{split}.parquet"
        if folder.exists(path):
            pairs += _tiles_in(read_manifest(f"{folder.url}/{path}").table)
    return pairs


def _tiles_in(table: pa.Table) -> list[tuple[str, str]]:
    """Return id and image of each row of a manifest that is a tile."""
    if "tile_of" not in table.column_names:
        return []
    table = table.filter(pc.is_valid(table["tile_of"]))
    return list(zip(table["id"].to_pylist(), table["tile_of"].to_pylist(), strict=True))


def _with_other_ids(
    entries: Sequence[Tombstones], others: Mapping[str, set[str]]
) -> list[Tombstones]:
    """Return the marks of lists, with an id's other ids where it has any."""
    found = []
    for entry in entries:
        marks = set(entry.marks)
        for id_ in entry.of("id") & others.keys():
            marks |= {("id", other) for other in others[id_]}
        found.append(Tombstones(frozenset(marks)))
    return found


def _read_lists(ids: Paths, urls: Paths, hosts: Paths, hashes: Paths) -> list[Tombstones]:
    """Read the marks of each line that isn't blank.

    Raises:
        InputError: if a list can't be read, or a line isn't of the list's kind.
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
