"""Read a published dataset: the facts of each image, and the candidate that fetches it again."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from itertools import islice
from os import PathLike
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml

from curate.config import fingerprint
from curate.engine import RunFolder, read_index, rows_of
from curate.errors import InputError, ManifestError, RecipeError
from curate.manifest import MANIFEST, PAIRED, read_manifest
from curate.manifest.table import PLACES
from curate.pipeline.recipe_changes import RECIPE, check_word, open_run
from curate.recipe import Candidates, Filters, Measure, Recipe
from curate.stages.candidates import CandidateReader
from curate.stages.candidates.lists import COLUMN_NAMES
from curate.stages.candidates.reader import LOCAL, schema
from curate.storage.places import locate, open_file

__all__ = ["Published", "fetching_recipe", "read_published"]

_CLAIMS = {"claimed_width", "claimed_height"}
_ALIASES = {alias for names in COLUMN_NAMES.values() for alias in names} - _CLAIMS
_PAIRED = {column.name for column in PAIRED}
_NOT_OWN = {*PLACES, *LOCAL.names, *_ALIASES, *_PAIRED, "status", "reason"}
_TYPES = {column.name: column.type for column in MANIFEST if column.name not in PLACES}
_PIECE = 8192
"""Rows read at once."""
_HEX = "^[0-9a-f]{64}$"


@dataclass(frozen=True)
class Published:
    """Rows of a list or manifest in its order, each image once."""

    source: str
    candidates: pa.Table
    """Rows of `curate.stages.candidates.reader.schema`."""
    facts: pa.Table
    """Facts of each candidate's image: every column of a manifest except its places.

    A column is null where the list has no value; `split` is then train. The list's own columns
    come last.
    """
    metadata: Mapping[str, str]
    """Metadata of the manifest; empty for other lists."""
    passed_over: Mapping[str, int]
    """Lines that add no image: "blank" and "repeated" ones."""
    fingerprint: str
    """Fingerprint of the list and of the folders of its local images."""

    def __len__(self) -> int:
        return int(self.facts.num_rows)

    def tables(self, size: int) -> Iterator[pa.Table]:
        """Yield the candidates in tables of at most `size` rows."""
        return (self.candidates.slice(start, size) for start in range(0, len(self), size))


def read_published(source: str, folders: Sequence[str] = ()) -> Published:
    """Read a published list or manifest, or a run's own manifests.

    Args:
        source: a manifest, a list of URLs in any form that candidates come in, or a run folder.
        folders: folders of rows `file:NAME/...` on this machine: PATH of a folder called NAME, or
            NAME=PATH. By default a run's local images are where its candidates were.

    Raises:
        InputError: if there is nothing to read, a column holds a wrong value, or the folder of
            local images isn't known.
        ManifestError: if a manifest can't be read, or its ids don't fit its URLs.
    """
    manifests = [f"{source.rstrip('/')}/manifest/{split}.parquet" for split in ("train", "test")]
    is_run = RunFolder(source).exists("manifest/train.parquet")
    place = locate(source)
    if not place.fs.exists(place.path):
        raise InputError(
            f"there is nothing at {source}: name a manifest, a list of URLs, or a run folder"
        )
    paths = manifests if is_run else [source]
    metadata = _metadata(paths[0])
    find = _local_file_finder(folders, cache(lambda: _local_files(source) if is_run else {}))
    reader = CandidateReader(paths, Candidates(keep=()), find)
    known = {*_TYPES, *_NOT_OWN}
    own = {name: type_ for name, type_ in reader.columns().items() if name not in known}
    candidates, facts = _read(reader, {**_TYPES, **own}, source)
    _check_local_files(candidates, source, find)
    facts = _complete(facts, candidates, source)
    for number, name in enumerate(facts.column_names):
        if own.get(name, pa.null()) is None:  # an untyped column: numbers if all values are
            with suppress(pa.ArrowInvalid):
                facts = facts.set_column(number, name, facts[name].cast(pa.float64()))
    form = fingerprint([reader.fingerprint(), sorted(folders)])
    return Published(source, candidates, facts, metadata, reader.notes(), form)


def fetching_recipe(
    published: Published,
    recipe: Recipe | str | PathLike[str] | None,
    run: str,
    settings: Sequence[str],
) -> Recipe:
    """Return the recipe that fetches published images again: with its bounds, without its filters.

    A manifest's recipe gives the measures only. User agent, networks and limits are the user's own.
    A run folder of others opens no networks, and ignores no robots.txt, unless `settings` say so.

    Args:
        published: the images.
        recipe: the user's recipe, or its path or name.
        run: a folder whose recipe is the default, if it has one; otherwise the defaults with the
            manifest's measures are used.
        settings: `a.b=c` overrides.

    Raises:
        RecipeError: if a recipe can't be used, or the manifest's measures can't be parsed.
        RunError: if the folder's recipe opens what the user hasn't; see `check_word`.
    """
    if recipe is None and RunFolder(run).exists(RECIPE):
        folder, recipe = open_run(run)
        check_word(folder, recipe, settings)
    elif recipe is None:
        recipe = Recipe(name="published", measure=_measure(published))
    elif not isinstance(recipe, Recipe):
        recipe = Recipe.load(str(recipe))
    recipe = recipe.override(settings) if settings else recipe
    return Recipe(
        name=recipe.name,
        candidates=Candidates(keep=(), shard_size=recipe.candidates.shard_size),
        fetch=recipe.fetch,
        measure=recipe.measure,
        filters=Filters(animated=True),  # every image passes
    )


def _measure(published: Published) -> Measure:
    """Return the `measure` settings of the recipe in a manifest's metadata."""
    try:
        settings = (yaml.safe_load(published.metadata.get("recipe", "{}")) or {}).get("measure", {})
    except (yaml.YAMLError, AttributeError) as error:
        raise RecipeError(
            f"{published.source} has a recipe that can't be understood: name one with --recipe"
        ) from error
    return Measure.parse(
        settings, where=f"the recipe of {published.source} (name one with --recipe)"
    )


def _metadata(path: str) -> Mapping[str, str]:
    """Return the metadata of a manifest; empty for other lists.

    Raises:
        InputError: if the file can't be read.
        ManifestError: if its schema is unknown, or it holds pairs, which no URL gives.
    """
    if not path.endswith(".parquet"):
        return {}
    try:
        with open_file(path) as file:
            metadata = pq.read_schema(file).metadata or {}
    except (OSError, ImportError, ValueError, pa.ArrowException) as error:
        raise InputError(f"can't read {path}: {error}") from error
    if b"curate.schema" not in metadata:
        return {}
    manifest = read_manifest(path)
    if manifest.is_paired:
        raise ManifestError(
            f"{path} is of pairs of images, which no URL gives: make it again with  curate ingest"
        )
    return manifest.metadata


def _local_files(run: str) -> dict[str, str]:
    """Return URL -> path of a run's local images."""
    folder = RunFolder(run)
    index = read_index(folder)
    places: dict[str, str] = {}
    for shard in index.shards if index else ():
        rows = rows_of(folder, ("candidates",), shard, ["url", "local_path"])
        local = rows.filter(pc.starts_with(rows["url"], "file:"))
        places |= dict(zip(local["url"].to_pylist(), local["local_path"].to_pylist(), strict=True))
    return places


def _local_file_finder(
    folders: Sequence[str], known: Callable[[], Mapping[str, str]]
) -> Callable[[str], str | None]:
    """Return a function that finds the file of a URL `file:NAME/...`, or None.

    It never leaves the folder and never finds a hidden file.

    Args:
        folders: see `read_published`.
        known: returns other known files as URL -> path; called when such a URL comes.
    """
    roots: dict[str, str] = {}
    for folder in folders:
        name, named, path = folder.partition("=")
        path = path if named else folder
        place = locate(path)
        if not place.fs.isdir(place.path):
            raise InputError(f"no folder at {path}: --folder takes PATH, or NAME=PATH")
        name = name if named else posixpath.basename(place.path)
        roots[f"file:{name}/"] = place.url.rstrip("/")

    def find(url: str) -> str | None:
        for prefix, root in roots.items():
            below = url.removeprefix(prefix)
            # no part may be empty, hidden or ".."
            if below != url and not any(part[:1] in ("", ".") for part in below.split("/")):
                return f"{root}/{below}"
        return known().get(url) if url.startswith("file:") else None

    return find


def _check_local_files(
    candidates: pa.Table, source: str, find: Callable[[str], str | None]
) -> None:
    """Refuse a folder of images, which is no list, and local images whose folder isn't known."""
    urls, has_file = candidates["url"], pc.is_valid(candidates["local_path"])
    if any(find(url) is None for url in urls.filter(has_file).to_pylist()):
        raise InputError(f"{source} holds images: name a manifest, a list of URLs, or a run folder")
    missing = urls.filter(pc.and_(pc.invert(has_file), pc.starts_with(urls, "file:")))
    if missing:
        raise InputError(
            f"{len(missing):,} of {len(urls):,} images of {source} are files of a folder, such as "
            f"{missing[0]}: say where it is on this machine, with --folder PATH, or --folder "
            "NAME=PATH if it has another name here"
        )


def _read(
    reader: CandidateReader, types: Mapping[str, pa.DataType | None], source: str
) -> tuple[pa.Table, pa.Table]:
    """Read the candidates, and the columns of `types` (text where the type is None).

    Rows are read in pieces, because Python objects take much memory.
    """
    rows = reader.rows(whole=True)
    candidates, facts = [], []
    while piece := list(islice(rows, _PIECE)):
        candidates.append(pa.Table.from_pylist([row for _, row in piece], schema=schema(())))
        columns = {}
        for name, type_ in types.items():
            values = [raw.get(name) for raw, _ in piece]
            columns[name] = _column(values, type_, f"{source}: {name}")
        facts.append(pa.table(columns))
    if not candidates:
        raise InputError(f"{source} names no images")
    return pa.concat_tables(candidates).combine_chunks(), pa.concat_tables(facts).combine_chunks()


def _complete(facts: pa.Table, candidates: pa.Table, source: str) -> pa.Table:
    """Validate the list's columns and fill missing ones from its parsed candidates."""
    columns = {name: facts[name] for name in facts.column_names}
    _check_ids(columns["id"], candidates, source)
    for name in ("sha256", "pixel_sha256"):
        columns[name] = pc.utf8_lower(columns[name])
        if pc.any(pc.invert(pc.match_substring_regex(columns[name], _HEX))).as_py():
            raise InputError(f"{source}: {name} is a SHA-256 of 64 hex digits, or nothing")
    columns["split"] = pc.fill_null(columns["split"], "train")
    if others := set(columns["split"].unique().to_pylist()) - {"train", "test"}:
        raise InputError(f"{source}: no split {min(others)!r}: call it train or test")
    for name in ("host", "source", "licence", "caption"):
        columns[name] = pc.coalesce(columns[name], candidates[name])
    return pa.table(columns | {"id": candidates["id"], "url": candidates["url"]})


def _check_ids(given: pa.Array, candidates: pa.Table, source: str) -> None:
    """Refuse ids that don't fit their URLs; rows without id or with a bad URL pass."""
    wrong = pc.and_(pc.is_null(candidates["reason"]), pc.not_equal(given, candidates["id"]))
    if (row := pc.index(wrong, True).as_py()) >= 0:
        raise ManifestError(
            f"{source}: the id {given[row]} is not that of its URL {candidates['url'][row]}: "
            "images that were made of others, such as crops, can't be fetched; take the manifest "
            "that they were made of"
        )


def _column(values: list[Any], type_: pa.DataType | None, where: str) -> pa.Array:
    """Convert a list's column to its type (text if None); csv gives every value as text."""
    type_ = type_ or pa.string()
    try:
        if pa.types.is_string(type_) or any(isinstance(value, str) for value in values):
            texts = [None if value in (None, "") else str(value) for value in values]
            return pa.array(texts, pa.string()).cast(type_)
        return pa.array(values, type_)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise InputError(f"{where} holds what is no {type_}: {error}") from error
