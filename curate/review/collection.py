"""Images to review: of a run's ledger, of a manifest, or of a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import yaml

from curate.errors import CurateError, ImageError, InputError, Reason, RunError
from curate.images.header import read_header
from curate.manifest import CATEGORIES, Manifest, read_manifest
from curate.manifest.table import place_of
from curate.manifest.verdicts import Sidecar
from curate.pipeline.finding.matches import MOST, find
from curate.pipeline.recipe_changes import open_run
from curate.recipe import Bound, Candidates, Recipe
from curate.stages.candidates import CandidateReader
from curate.stages.label.taxonomy import load_taxonomy
from curate.stages.names import StageName
from curate.storage import places

__all__ = ["MAX_NBYTES", "Collection", "Row", "open_collection"]

Row = Mapping[str, Any]

MAX_NBYTES = 256 * 2**20
"""Bytes of a file from which on it isn't shown."""

_HEAD = 2**16
"""First bytes of a file of a folder that are read; sizes stand there but for rare files."""
_FOLDER = pa.schema(
    dict.fromkeys(("id", "url", "local_path", "format"), pa.string())
    | dict.fromkeys(("nbytes", "width", "height", "pixels"), pa.int64())
)


@dataclass(frozen=True)
class Collection:
    """Rows to review, and access to the bytes of their images."""

    title: str
    rows: ds.Dataset
    """One row an image, with the column id."""
    read: Callable[[Row], bytes]
    """Function that returns the bytes of a row's image, or raises a CurateError."""
    sidecar: Sidecar
    categories: tuple[str, ...]
    """Categories that images can get."""
    bounds: tuple[Bound, ...] = ()
    """Bounds of numbers that the images were filtered by."""
    find: Callable[[str], Sequence[str]] | None = None
    """Function that returns ids of images, nearest to a text first, where there is a search."""
    measures_on_demand: bool = False
    """Whether the rows hold facts of headers only."""


def open_collection(source: str) -> Collection:
    """Open a run folder, a manifest or a folder of images for review.

    Raises:
        CurateError: if it is none of these, or can't be read.
    """
    sidecar = Sidecar.of(source)
    if source.endswith(".parquet") or Path(source).is_file():
        return _of_manifest(read_manifest(source), sidecar)
    if sidecar.is_of_run:
        return _of_run(source, sidecar)
    return _of_folder(source, sidecar)


def _of_run(source: str, sidecar: Sidecar) -> Collection:
    folder, recipe = open_run(source)
    if not folder.names("ledger", ".parquet"):
        raise RunError(f"{folder} has no ledger yet: run  curate run --out {folder}  first")
    place = places.locate(f"{folder.url}/ledger")
    try:
        rows = ds.dataset(place.path, filesystem=place.fs, format="parquet")
    except (OSError, pa.ArrowException) as error:
        raise RunError(f"{folder}/ledger is damaged: {' '.join(str(error).split())}") from error

    def read(row: Row) -> bytes:
        return _read_range(lambda name: places.resolve(folder.url, name), row)

    def near(text: str) -> list[str]:
        return [match.id for match in find(source, text, count=MOST).matches]

    names = load_taxonomy(recipe.label.taxonomy).names
    searched = near if folder.names(str(StageName.LABEL.cache), ".parquet") else None
    return Collection(source, rows, read, sidecar, names, _numeric(recipe), searched)


def _of_manifest(manifest: Manifest, sidecar: Sidecar) -> Collection:
    def read(row: Row) -> bytes:
        return _read_range(lambda name: place_of(manifest, name), row)

    recipe = _recipe_of(manifest)
    names, bounds = CATEGORIES, () if recipe is None else _numeric(recipe)
    if "category" in manifest.table.column_names:
        own = manifest.table["category"].drop_null().unique().to_pylist()
        names += tuple(sorted(set(own) - set(names)))
    return Collection(manifest.path, ds.dataset(manifest.table), read, sidecar, names, bounds)


def _of_folder(source: str, sidecar: Sidecar) -> Collection:
    reader = CandidateReader([source], Candidates(format="folder"))
    table = pa.Table.from_pylist(list(_headers(reader)), _FOLDER)
    if not len(table):
        raise InputError(f"{source} is no run, no manifest, and no folder of images")

    def read(row: Row) -> bytes:
        return _read_file(places.locate(row["local_path"]), 0, row["nbytes"])

    return Collection(source, ds.dataset(table), read, sidecar, CATEGORIES, measures_on_demand=True)


def _headers(reader: CandidateReader) -> Iterator[Row]:
    """Yield a row of each file that begins like an image."""
    for _, candidate in reader.rows():
        try:
            place = places.locate(candidate["local_path"])
            header = read_header(place.read(0, _HEAD))
            nbytes = int(place.fs.size(place.path))
        except OSError:
            continue  # no longer there, or nobody may read it
        if header.format is None:
            continue
        width, height = header.width, header.height
        pixels = width * height if width and height else None
        facts = {"format": header.format, "width": width, "height": height, "pixels": pixels}
        own = {name: candidate[name] for name in ("id", "url", "local_path")}
        yield {**own, **facts, "nbytes": nbytes}


def _recipe_of(manifest: Manifest) -> Recipe | None:
    """Return the recipe that a manifest was made with; None where it says none of ours."""
    try:
        return Recipe.parse(yaml.safe_load(manifest.metadata["recipe"]), where=manifest.path)
    except (KeyError, yaml.YAMLError, CurateError):
        return None


def _numeric(recipe: Recipe) -> tuple[Bound, ...]:
    return tuple(bound for bound in recipe.filters.bounds if bound.test != "in")


def _read_range(resolve: Callable[[str], places.Place], row: Row) -> bytes:
    """Return the bytes that a row of a ledger or manifest points at.

    Raises:
        ImageError: if it points at none, at too many, or they aren't there.
    """
    tar, offset, nbytes = (row.get(name) for name in ("tar", "offset", "nbytes"))
    if tar is None or offset is None or nbytes is None or offset < 0:
        raise ImageError(Reason.UNREADABLE, "its bytes were not kept")
    return _read_file(resolve(tar), offset, nbytes)


def _read_file(place: places.Place, offset: int, nbytes: int) -> bytes:
    if not 0 < nbytes <= MAX_NBYTES:
        raise ImageError(Reason.UNREADABLE, f"{nbytes:,} bytes are too many to show")
    try:
        data = place.read(offset, nbytes)
    except OSError as error:
        fault = f"can't read {place.path}: {error.strerror or error}"
        raise ImageError(Reason.UNREADABLE, fault) from error
    if len(data) != nbytes:
        raise ImageError(Reason.UNREADABLE, f"{place.path} ends before its last byte")
    return data
