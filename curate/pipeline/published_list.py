"""A dataset as it was published: what its list tells of each image, and the candidate that asks for it again."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from itertools import islice
from os import PathLike
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml

from curate.config import fingerprint
from curate.engine import RunFolder, read_index, rows_of
from curate.errors import InputError, ManifestError, RecipeError
from curate.manifest import MANIFEST, PAIRED, read_manifest
from curate.manifest.table import PLACES
from curate.pipeline.recipe_changes import RECIPE, open_run
from curate.recipe import Candidates, Filters, Measure, Recipe
from curate.stages.candidates import CandidateReader
from curate.stages.candidates.lists import COLUMN_NAMES
from curate.stages.candidates.reader import LOCAL, schema

__all__ = ["Published", "asking", "read_published"]

_CLAIMS = {"claimed_width", "claimed_height"}
_ALIASES = {alias for names in COLUMN_NAMES.values() for alias in names} - _CLAIMS
_NOT_OWN = {
    *PLACES,
    *LOCAL.names,
    *_ALIASES,
    *(column.name for column in PAIRED),
    "status",
    "reason",
}
_TYPES = {column.name: column.type for column in MANIFEST if column.name not in PLACES}
_PIECE = 8192
"""Rows that are read at once."""
_HEX = "^[0-9a-f]{64}$"


@dataclass(frozen=True)
class Published:
    """The rows of a list or manifest, each image once, in its order."""

    source: str
    candidates: pa.Table
    """As `curate.stages.candidates.reader.schema` has them."""
    facts: pa.Table
    """Beside each candidate what the list tells of its image: every column of a manifest but its places, null where
    the list has none; `split` is train where it doesn't tell; at the end columns of its own."""
    metadata: Mapping[str, str]
    """How the dataset was made, if the list is a manifest."""
    passed_over: Mapping[str, int]
    """Lines that are no images of their own: "blank", and "repeated" ones."""
    fingerprint: str
    """Changes when the list does, or where its local images are."""

    def __len__(self) -> int:
        return int(self.facts.num_rows)

    def tables(self, size: int) -> Iterator[pa.Table]:
        """The candidates in shards."""
        return (self.candidates.slice(start, size) for start in range(0, len(self), size))


def read_published(source: str, folders: Sequence[str] = ()) -> Published:
    """Read what was published, or a run's own manifests.

    Args:
        source: a manifest, a list of URLs in any form that candidates come in, or a run folder.
        folders: where rows `file:NAME/...` are on this machine: PATH of a folder called NAME, or NAME=PATH. Those of a
            run are where its candidates were, unless told otherwise.

    Raises:
        InputError: if there is nothing to read, a column holds what it can't, or local images are nowhere.
        ManifestError: if it is a manifest that can't be read, or whose ids are not those of its URLs.
    """
    manifests = [f"{source.rstrip('/')}/manifest/{split}.parquet" for split in ("train", "test")]
    is_run = RunFolder(source).exists("manifest/train.parquet")
    fs, path = fsspec.core.url_to_fs(source)
    if not fs.exists(path):
        raise InputError(
            f"there is nothing at {source}: name a manifest, a list of URLs, or a run folder"
        )
    paths = manifests if is_run else [source]
    metadata = _metadata(paths[0])
    find = _finder(folders, cache(lambda: _places_of_run(source) if is_run else {}))
    reader = CandidateReader(paths, Candidates(keep=()), find)
    own = {
        name: type_
        for name, type_ in reader.columns().items()
        if name not in _TYPES and name not in _NOT_OWN
    }
    candidates, facts = _read(reader, {**_TYPES, **own}, source)
    _refuse_places(candidates, source, find)
    facts = _complete(facts, candidates, source)
    for name in (name for name, type_ in own.items() if type_ is None):
        with suppress(pa.ArrowInvalid):  # numbers, if it can be
            facts = facts.set_column(
                facts.column_names.index(name), name, facts[name].cast(pa.float64())
            )
    known = fingerprint([reader.fingerprint(), sorted(folders)])
    return Published(source, candidates, facts, metadata, reader.notes(), known)


def asking(
    published: Published,
    recipe: Recipe | str | PathLike[str] | None,
    run: str,
    settings: Sequence[str],
) -> Recipe:
    """The recipe that asks for published images again: by its manners and bounds, and without filters.

    Of a recipe that came with a manifest only the measures count. Who asks, and which networks may be asked, is nobody
    else's to say.

    Args:
        published: what is asked for.
        recipe: of whoever asks, or its path or name.
        run: a folder whose recipe it is otherwise, if it has one; else the defaults, measuring what was measured.
        settings: `a.b=c` overrides.

    Raises:
        RecipeError: if one can't be used, or what the manifest says of its measures can't be understood.
    """
    if recipe is None and RunFolder(run).exists(RECIPE):
        recipe = open_run(run)[1]
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
        filters=Filters(animated=True),  # everything passes
    )


def _measure(published: Published) -> Measure:
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
    """How a manifest was made; nothing for what is no manifest.

    Raises:
        InputError: if it can't be read.
        ManifestError: if it is one that this code doesn't know, or its images have partners that no URL gives.
    """
    if not path.endswith(".parquet"):
        return {}
    try:
        with fsspec.open(path, "rb") as file:
            told = pq.read_schema(file).metadata or {}
    except (OSError, ImportError, ValueError, pa.ArrowException) as error:
        raise InputError(f"can't read {path}: {error}") from error
    if b"curate.schema" not in told:
        return {}
    manifest = read_manifest(path)
    if manifest.is_paired:
        raise ManifestError(
            f"{path} is of pairs of images, which no URL gives: make it anew with  curate ingest"
        )
    return manifest.metadata


def _places_of_run(run: str) -> dict[str, str]:
    """URL -> file, of a run's local images."""
    folder = RunFolder(run)
    index = read_index(folder)
    places: dict[str, str] = {}
    for shard in index.shards if index else ():
        rows = rows_of(folder, ("candidates",), shard, ["url", "local_path"])
        local = rows.filter(pc.starts_with(rows["url"], "file:"))
        places |= dict(zip(local["url"].to_pylist(), local["local_path"].to_pylist(), strict=True))
    return places


def _finder(
    folders: Sequence[str], known: Callable[[], Mapping[str, str]]
) -> Callable[[str], str | None]:
    """Finds the file that a URL `file:NAME/...` stands for. What it names lies in its folder, and isn't hidden.

    Args:
        folders: see `read_published`.
        known: asked, where there is such a URL, for files that are known besides.
    """
    roots: dict[str, str] = {}
    for folder in folders:
        name, named, path = folder.partition("=")
        path = path if named else folder
        fs, root = fsspec.core.url_to_fs(path)
        if not fs.isdir(root):
            raise InputError(f"no folder at {path}: --folder takes PATH, or NAME=PATH")
        roots[f"file:{name if named else posixpath.basename(root)}/"] = str(
            fs.unstrip_protocol(root)
        ).rstrip("/")

    def find(url: str) -> str | None:
        for prefix, root in roots.items():
            below = url.removeprefix(prefix)
            if below != url and not any(
                part in ("", "..") or part.startswith(".") for part in below.split("/")
            ):
                return f"{root}/{below}"
        return known().get(url) if url.startswith("file:") else None

    return find


def _refuse_places(candidates: pa.Table, source: str, find: Callable[[str], str | None]) -> None:
    """Refuse what is no list, and files whose folder isn't known."""
    urls, places = candidates["url"].to_pylist(), candidates["local_path"].to_pylist()
    if any(
        place is not None and find(url) is None for url, place in zip(urls, places, strict=True)
    ):
        raise InputError(f"{source} holds images: name a manifest, a list of URLs, or a run folder")
    nowhere = [
        url
        for url, place in zip(urls, places, strict=True)
        if place is None and url.startswith("file:")
    ]
    if nowhere:
        raise InputError(
            f"{len(nowhere):,} of {len(urls):,} images of {source} are files of a folder, such as {nowhere[0]}: "
            "say where it is on this machine, with --folder PATH, or --folder NAME=PATH if it has another name here"
        )


def _read(
    reader: CandidateReader, types: Mapping[str, pa.DataType | None], source: str
) -> tuple[pa.Table, pa.Table]:
    """The candidates, and the columns of these types, text where none is told.

    A piece at a time: as objects they take much memory.
    """
    rows = reader.rows(whole=True)
    candidates, facts = [], []
    while piece := list(islice(rows, _PIECE)):
        candidates.append(pa.Table.from_pylist([row for _, row in piece], schema=schema(())))
        columns = {
            n: _column([raw.get(n) for raw, _ in piece], t, f"{source}: {n}")
            for n, t in types.items()
        }
        facts.append(pa.table(columns))
    if not candidates:
        raise InputError(f"{source} names no images")
    return pa.concat_tables(candidates).combine_chunks(), pa.concat_tables(facts).combine_chunks()


def _complete(facts: pa.Table, candidates: pa.Table, source: str) -> pa.Table:
    """What a list tells, checked, and with what its candidates tell in the place of what it doesn't."""
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
    """Refuse ids that are not those of their URLs; what the list gives none of, and what is no URL, isn't looked at."""
    wrong = pc.and_(pc.is_null(candidates["reason"]), pc.not_equal(given, candidates["id"]))
    if (row := pc.index(wrong, True).as_py()) >= 0:
        raise ManifestError(
            f"{source}: the id {given[row]} is not that of its URL {candidates['url'][row]}: images that were made of "
            "others, such as crops, can't be fetched; take the manifest that they were made of"
        )


def _column(values: list[Any], type_: pa.DataType | None, where: str) -> pa.Array:
    """A column of a list: of text, as csv has it, the values that it stands for; text where no type is told."""
    type_ = type_ or pa.string()
    try:
        if pa.types.is_string(type_) or any(isinstance(value, str) for value in values):
            return pa.array(
                [None if value in (None, "") else str(value) for value in values], pa.string()
            ).cast(type_)
        return pa.array(values, type_)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise InputError(f"{where} holds what is no {type_}: {error}") from error
