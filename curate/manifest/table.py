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

import fsspec
import pyarrow as pa

from curate._version import __version__
from curate.errors import ManifestError
from curate.manifest.schema import (
    MANIFEST,
    PAIRED,
    REQUIRED,
    SCHEMA_VERSION,
    huggingface_features,
)
from curate.storage import atomic
from curate.storage.parquet import DamagedTable, encode_table, read_table

__all__ = [
    "PLACES", "Manifest", "concat_rows", "drop_places", "encode_manifest", "encode_published",
    "open_manifests", "read_manifest", "replace_column", "write_manifest",
]  # fmt: skip

PLACES = {
    "tar": pa.string(),
    "offset": pa.int64(),
    "degraded_tar": pa.string(),
    "degraded_offset": pa.int64(),
}
"""Columns that mean nothing on another machine; null in what is published."""


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
        """Path or URL that the `tar` column is relative to."""
        folder = posixpath.dirname(self.path.replace("\\", "/"))
        return _join(folder, self.metadata.get("root", "."))

    @cached_property
    def is_paired(self) -> bool:
        """Whether any row points at a degraded image too."""
        name = "degraded_sha256"
        return name in self.table.column_names and self.table[name].null_count < len(self)

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
            file = _join(self.root, self.column("degraded_tar")[row])
            fault = f"{file} isn't what was paired any more; ingest it again"
            raise ManifestError(f"{self.path} row {row}: {fault}")
        return data

    def _read(self, row: int, prefix: str) -> bytes:
        tar = self.column(f"{prefix}tar")[row]
        offset, nbytes = self.column(f"{prefix}offset")[row], self.column(f"{prefix}nbytes")[row]
        if tar is None:
            fault = "is a published manifest, without images: fetch them with  curate run"
            raise ManifestError(f"{self.path} {fault}")
        url, where = _join(self.root, tar), f"{self.path} row {row}"
        try:
            fs, path = fsspec.core.url_to_fs(url)
            # an object store sends these bytes only
            data: bytes = fs.cat_file(path, start=offset, end=offset + nbytes)
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
    def _columns(self) -> dict[str, list[Any]]:
        return {}


def _join(folder: str, path: str) -> str:
    """Join a path to a folder and resolve "..", which an object store takes for a name."""
    scheme, separator, rest = folder.rpartition("://")
    return f"{scheme}{separator}{posixpath.normpath(posixpath.join(rest, path))}"


def read_manifest(path: str | PurePath) -> Manifest:
    """Read a manifest from a path or fsspec URL.

    Raises:
        ManifestError: if it isn't there, is no Parquet file, or has an unknown schema version.
    """
    url = str(path)
    try:
        with fsspec.open(url, "rb") as file:
            table = read_table(file)
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
