"""Manifests on disk: read, write, fingerprint, and reach the image bytes behind a row."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import filterfalse
from pathlib import Path, PurePath
from typing import Any

import pyarrow as pa

from curate._version import __version__
from curate.errors import InputError, ManifestError
from curate.manifest.schema import (
    MANIFEST,
    PAIRED,
    REQUIRED,
    SCHEMA_VERSION,
    huggingface_features,
)
from curate.storage import atomic, places
from curate.storage.parquet import DamagedTable, encode_table, read_table

__all__ = [
    "PLACES", "Manifest", "check_names", "concat_rows", "drop_places", "encode_manifest",
    "encode_published", "open_manifests", "place_of", "read_manifest", "replace_column",
    "write_manifest", "write_own_manifest",
]  # fmt: skip

PLACES = {
    "tar": pa.string(),
    "offset": pa.int64(),
    "degraded_tar": pa.string(),
    "degraded_offset": pa.int64(),
}
"""Columns that mean nothing on another machine; null in what is published."""

_MAX_NBYTES = 2**31
"""Most bytes of an image: a manifest of others mustn't claim all memory."""


@dataclass(frozen=True)
class Manifest:
    """A table of selected images, and the folder that its tars stand in."""

    path: str
    table: pa.Table
    metadata: Mapping[str, str]
    """Origin of the images: recipe, fingerprint, seed, versions."""

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the ids and image hashes in order: the same wherever the images lie."""
        digest = hashlib.sha256()
        partners = self.column("degraded_sha256") if self.is_paired else [None] * len(self)
        columns = self.column("id"), self.column("sha256"), partners
        # one line for each row: id, hash and, of a pair, the partner's hash
        for id_, sha256, partner in zip(*columns, strict=True):
            digest.update(f"{id_} {sha256}{f' {partner}' if partner else ''}\n".encode())
        return digest.hexdigest()

    @cached_property
    def root(self) -> str:
        """Path or URL that the `tar` column is relative to, and that it can't leave.

        Raises:
            ManifestError: if it is neither the manifest's own folder nor, of one called `manifest`,
                the folder around it.
        """
        folder = posixpath.dirname(self.path.replace("\\", "/"))
        root = self.metadata.get("root", ".")
        within = posixpath.basename(posixpath.abspath(folder)) == "manifest"
        if root != "." and not (root == ".." and within):
            fault = f"has its images in {root!r}, which is not its own folder"
            raise ManifestError(f"{self.path} {fault}: keep the manifest in its run folder")
        return places.join(folder, root)

    @cached_property
    def is_paired(self) -> bool:
        """Whether any row points at a degraded image too."""
        name = "degraded_sha256"
        return name in self.table.column_names and self.table[name].null_count < len(self)

    @cached_property
    def is_tiled(self) -> bool:
        """Whether any row is a box inside an image."""
        name = "tile_of"
        return name in self.table.column_names and self.table[name].null_count < len(self)

    @cached_property
    def first_rows(self) -> Sequence[int]:
        """First tile of the same image file, for each row; of a whole image the row itself."""
        if not self.is_tiled:
            return range(len(self))
        # a published manifest has no places, and there the hash alone tells files apart
        names = [n for n in ("tar", "offset", "sha256") if n in self.table.column_names]
        places = zip(*map(self.column, names), strict=True)
        first: dict[object, int] = {}
        rows = []
        for row, (tile_of, place) in enumerate(zip(self.column("tile_of"), places, strict=True)):
            rows.append(row if tile_of is None else first.setdefault(place, row))
        return rows

    def read_bytes(self, row: int) -> bytes:
        """Return the bytes of a row's image, exactly as served.

        Raises:
            ManifestError: if the tar isn't there or ends too early.
        """
        return self._read(row, "")

    def read_degraded_bytes(self, row: int) -> bytes:
        """Return the bytes of a row's degraded image.

        Raises:
            ManifestError: if the row has none, or its bytes aren't there or have changed since.
        """
        sha256 = self.column("degraded_sha256")[row] if self.is_paired else None
        if sha256 is None:
            fault = "has no degraded image: pairs are made with  curate ingest"
            raise ManifestError(f"{self.path} row {row} {fault}")
        data = self._read(row, "degraded_")
        if hashlib.sha256(data).hexdigest() != sha256:
            file = place_of(self, self.column("degraded_tar")[row])
            fault = f"{file.path} isn't what was paired any more; ingest it again"
            raise ManifestError(f"{self.path} row {row}: {fault}")
        return data

    def _read(self, row: int, prefix: str) -> bytes:
        tar = self.column(f"{prefix}tar")[row]
        offset, nbytes = self.column(f"{prefix}offset")[row], self.column(f"{prefix}nbytes")[row]
        if tar is None:
            fault = "is a published manifest, without images: fetch them with  curate run"
            raise ManifestError(f"{self.path} {fault}")
        where = f"{self.path} row {row}"
        if not _is_range(offset, nbytes):
            raise ManifestError(f"{where}: {nbytes} bytes from {offset} can't be an image's")
        place = place_of(self, tar)
        url = place.path if place.is_local else place.url
        try:
            data = place.read(offset, nbytes)  # an object store sends these bytes only
        except FileNotFoundError as error:
            advice = "keep the manifest in its run folder"
            raise ManifestError(f"{where}: {url} is not there; {advice}") from error
        except OSError as error:
            raise ManifestError(f"{where}: can't read {url}: {error}") from error
        if len(data) != nbytes:
            end = offset + nbytes
            raise ManifestError(f"{where}: {url} ends before byte {end}; fetch it again")
        return data

    def column(self, name: str) -> list[Any]:
        """Return the values of a column.

        Raises:
            ManifestError: if it isn't there.
        """
        if name not in self._columns:
            if name not in self.table.column_names:
                advice = f"see  curate manifest validate {self.path}"
                raise ManifestError(f"{self.path} has no column {name!r}; {advice}")
            self._columns[name] = self.table.column(name).to_pylist()
        return self._columns[name]

    @cached_property
    def _is_own(self) -> bool:
        """Whether a command of this user wrote the file."""
        try:
            with places.open_file(self.path) as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            return False
        return places.is_remembered(digest)

    @cached_property
    def _columns(self) -> dict[str, list[Any]]:
        return {}

    @cached_property
    def _places(self) -> dict[str, places.Place]:
        return {}


def place_of(manifest: Manifest, name: str) -> places.Place:
    """Return the place that `tar` or `degraded_tar` names.

    Raises:
        ManifestError: if it leads out of the root, unless a command of the user wrote the manifest.
    """
    known = manifest._places
    if name not in known:
        if not isinstance(name, str):
            raise ManifestError(f"{manifest.path}: {name!r} is no path")
        try:
            known[name] = places.resolve(manifest.root, name, lambda: manifest._is_own)
        except (InputError, ImportError, ValueError) as error:
            raise ManifestError(f"{manifest.path}: {error}") from error
    return known[name]


def check_names(manifest: Manifest) -> None:
    """Refuse values that would become names of files, and can't be.

    Raises:
        ManifestError: for an id with more than letters, digits, "-", "_" and ".", another split
            than train and test, or a column that holds no text.
    """
    for name in ("id", "split", "category", "format"):
        if name in manifest.table.column_names and not _is_text(manifest.table[name].type):
            raise ManifestError(f"{manifest.path}: column {name} holds no text")
    for row, (id_, split) in enumerate(
        zip(manifest.column("id"), manifest.column("split"), strict=True)
    ):
        if not places.is_plain_name(id_):
            raise ManifestError(f"{manifest.path} row {row}: {id_!r} can't be an image's id")
        if split not in ("train", "test"):
            raise ManifestError(f"{manifest.path} row {row}: no split {split!r}: train or test")


def _is_text(type_: pa.DataType) -> bool:
    return bool(pa.types.is_string(type_) or pa.types.is_large_string(type_))


def _is_range(offset: Any, nbytes: Any) -> bool:
    whole = isinstance(offset, int) and isinstance(nbytes, int)
    return whole and offset >= 0 and 0 < nbytes <= _MAX_NBYTES


def read_manifest(path: str | PurePath) -> Manifest:
    """Read a manifest from a path or fsspec URL.

    Raises:
        ManifestError: if it isn't there, is no Parquet file, or has an unknown schema version.
    """
    url = str(path)
    try:
        with places.open_file(url) as file:
            table = read_table(file)
        table.validate(full=True)  # text that is no text, say
    except FileNotFoundError as error:
        raise ManifestError(f"no manifest at {url}") from error
    except (DamagedTable, ImportError, OSError, ValueError) as error:
        raise ManifestError(f"{url} is no readable Parquet file: {error}") from error
    # our own keys without their prefix; others may hold anything
    metadata = {}
    for key, value in (table.schema.metadata or {}).items():
        if key.startswith(b"curate."):
            name = key.decode(errors="replace").removeprefix("curate.")
            metadata[name] = value.decode(errors="replace")
    version = metadata.get("schema")
    if version is None:
        fault = "it has no 'curate.schema' in its metadata"
        raise ManifestError(f"{url} is a Parquet file, but no manifest: {fault}")
    if version.split(".")[0] != SCHEMA_VERSION.split(".")[0]:
        known = f"this curate reads {SCHEMA_VERSION}"
        raise ManifestError(f"{url} has schema {version}, {known}: update curate")
    return Manifest(url, table.replace_schema_metadata(), metadata)


def open_manifests(source: str) -> list[Manifest]:
    """Read the manifest at a file's path, or training and test split of a run folder.

    Raises:
        ManifestError: see `read_manifest`.
    """
    if source.endswith(".parquet") or Path(source).is_file():
        return [read_manifest(source)]
    folder = f"{source.rstrip('/')}/manifest"
    return [read_manifest(f"{folder}/train.parquet"), read_manifest(f"{folder}/test.parquet")]


def concat_rows(manifests: Sequence[Manifest]) -> pa.Table:
    """Return the rows of manifests one after another; columns that one lacks are null there."""
    return pa.concat_tables([manifest.table for manifest in manifests], promote_options="default")


def drop_places(table: pa.Table) -> pa.Table:
    """Return a table without the columns that mean nothing on another machine."""
    return table.drop_columns([name for name in PLACES if name in table.column_names])


def replace_column(table: pa.Table, name: str, values: Any) -> pa.Table:
    """Return a table with other values in one of its columns, an Arrow array."""
    return table.set_column(table.column_names.index(name), name, values)


def encode_manifest(table: pa.Table, metadata: Mapping[str, str], *, root: str = "..") -> bytes:
    """Encode a manifest as a Parquet file: the same bytes for the same rows and metadata.

    Args:
        table: rows; columns of the schema in any order, further ones after them.
        metadata: origin of the images; becomes `curate.<key>` in the file's metadata.
        root: path of the tars' folder relative to the manifest's own.

    Raises:
        ManifestError: if a required column is missing or a column has another type.
    """
    # columns of the schema in its order and with its types, then the input's own
    types = dict(zip(table.column_names, table.schema.types, strict=True))
    if missing := list(filterfalse(types.__contains__, REQUIRED)):
        raise ManifestError(f"a manifest needs the columns {', '.join(missing)}")
    known = {c.name: c.type for c in (*MANIFEST, *PAIRED) if c.name in types}
    fields = known | types | known  # the first gives the order, the last the types
    try:
        table = table.select(list(fields)).cast(pa.schema(fields))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ManifestError(f"a column has the wrong type: {error}") from error
    # sorted, so that equal metadata are equal bytes
    own = {**metadata, "schema": SCHEMA_VERSION, "root": root, "code": __version__}
    text: dict[str, str | bytes] = {f"curate.{key}": own[key] for key in sorted(own)}
    text["huggingface"] = huggingface_features(table.schema)
    return encode_table(table.replace_schema_metadata(text), checksums=False, group_rows=10_000)


def encode_published(table: pa.Table, metadata: Mapping[str, str]) -> bytes:
    """Encode a manifest for others: the columns that mean nothing on another machine are null."""
    columns = dict(zip(table.column_names, table.columns, strict=True))
    for name, type_ in PLACES.items():
        if name in columns or not name.startswith("degraded_"):
            columns[name] = pa.nulls(len(table), type_)
    return encode_manifest(pa.table(columns), metadata, root=".")


def write_manifest(
    path: str | PurePath, table: pa.Table, metadata: Mapping[str, str], *, root: str = ".."
) -> None:
    """Write a manifest to a path or fsspec URL; see `encode_manifest`."""
    atomic.write(path, encode_manifest(table, metadata, root=root))


def write_own_manifest(path: str | PurePath, table: pa.Table, metadata: Mapping[str, str]) -> None:
    """Write a manifest that may point out of its own folder, since the user's command says where.

    Its root is its own folder.
    """
    places.remember(atomic.write(path, encode_manifest(table, metadata, root=".")))
