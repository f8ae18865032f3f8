"""Manifests on disk: read, write, fingerprint, and reach the image bytes behind a row."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePath
from typing import Any

import fsspec
import pyarrow as pa

from curate._version import __version__
from curate.errors import ManifestError
from curate.manifest.schema import MANIFEST, PAIRED, SCHEMA_VERSION, huggingface_features
from curate.storage import atomic
from curate.storage.parquet import DamagedTable, encode_table, read_table

__all__ = [
    "PLACES",
    "Manifest",
    "encode_manifest",
    "encode_published",
    "open_manifests",
    "read_manifest",
    "write_manifest",
]

PLACES = {
    "tar": pa.string(),
    "offset": pa.int64(),
    "degraded_tar": pa.string(),
    "degraded_offset": pa.int64(),
}
"""Columns that mean nothing on another machine; null in what is published."""

_ROOT = "curate.root"
_VERSION = "curate.schema"


@dataclass(frozen=True)
class Manifest:
    """A table of selected images, and the folder that its tars stand in."""

    path: str
    table: pa.Table
    metadata: Mapping[str, str]
    """How it was made: recipe, fingerprint, seed, versions."""

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the ids and image hashes in order: which images these are, wherever they lie."""
        digest = hashlib.sha256()
        partners = self.column("degraded_sha256") if self.is_paired else [None] * len(self)
        for id_, sha256, partner in zip(
            self.column("id"), self.column("sha256"), partners, strict=True
        ):
            digest.update(f"{id_} {sha256}{f' {partner}' if partner else ''}\n".encode())
        return digest.hexdigest()

    @cached_property
    def root(self) -> str:
        """Path or URL that the `tar` column is relative to."""
        folder = posixpath.dirname(self.path.replace("\\", "/"))
        return _join(folder, self.metadata.get("root", "."))

    def read_bytes(self, row: int) -> bytes:
        """The bytes of a row's image, exactly as served.

        Raises:
            ManifestError: if the tar isn't there or ends too early.
        """
        return self._read(row, "")

    @cached_property
    def is_paired(self) -> bool:
        """Whether any row points at a degraded image too."""
        name = "degraded_sha256"
        return name in self.table.column_names and self.table[name].null_count < len(self)

    def read_degraded_bytes(self, row: int) -> bytes:
        """The bytes of a row's degraded image.

        Raises:
            ManifestError: if the row has none, or its bytes aren't there or aren't those that were paired.
        """
        sha256 = self.column("degraded_sha256")[row] if self.is_paired else None
        if sha256 is None:
            raise ManifestError(
                f"{self.path} row {row} has no degraded image: pairs are made with  curate ingest"
            )
        data = self._read(row, "degraded_")
        if hashlib.sha256(data).hexdigest() != sha256:
            place = _join(self.root, self.column("degraded_tar")[row])
            raise ManifestError(
                f"{self.path} row {row}: {place} isn't what was paired any more; ingest it again"
            )
        return data

    def _read(self, row: int, of: str) -> bytes:
        tar, offset, nbytes = (
            self.column(f"{of}{name}")[row] for name in ("tar", "offset", "nbytes")
        )
        if tar is None:
            raise ManifestError(
                f"{self.path} is a published manifest, without images: fetch them with  curate run"
            )
        url = _join(self.root, tar)
        try:
            fs, path = fsspec.core.url_to_fs(url)
            data: bytes = fs.cat_file(
                path, start=offset, end=offset + nbytes
            )  # of a far one, these bytes only
        except FileNotFoundError as error:
            raise ManifestError(
                f"{self.path} row {row}: {url} is not there; keep the manifest in its run folder"
            ) from error
        except OSError as error:
            raise ManifestError(f"{self.path} row {row}: can't read {url}: {error}") from error
        if len(data) != nbytes:
            raise ManifestError(
                f"{self.path} row {row}: {url} ends before byte {offset + nbytes}; fetch it again"
            )
        return data

    def column(self, name: str) -> list[Any]:
        """The values of a column.

        Raises:
            ManifestError: if it isn't there.
        """
        if name not in self._columns:
            if name not in self.table.column_names:
                raise ManifestError(
                    f"{self.path} has no column {name!r}; see  curate manifest validate {self.path}"
                )
            self._columns[name] = self.table.column(name).to_pylist()
        return self._columns[name]

    @cached_property
    def _columns(self) -> dict[str, list[Any]]:
        return {}


def _join(folder: str, path: str) -> str:
    """A path as seen from a folder, without "..": an object store takes that for a name."""
    scheme, separator, rest = folder.rpartition("://")
    return f"{scheme}{separator}{posixpath.normpath(posixpath.join(rest, path))}"


def read_manifest(path: str | PurePath) -> Manifest:
    """Read a manifest from a path or fsspec URL.

    Raises:
        ManifestError: if it isn't there, is no Parquet file, or has a schema version that this code doesn't know.
    """
    url = str(path)
    try:
        with fsspec.open(url, "rb") as file:
            table = read_table(file)
    except FileNotFoundError as error:
        raise ManifestError(f"no manifest at {url}") from error
    except (DamagedTable, ImportError, OSError, ValueError) as error:
        raise ManifestError(f"{url} is no readable Parquet file: {error}") from error
    own = {
        key: value
        for key, value in (table.schema.metadata or {}).items()
        if key.startswith(b"curate.")
    }
    raw = {
        key.decode(errors="replace"): value.decode(errors="replace") for key, value in own.items()
    }
    version = raw.get(_VERSION)
    if version is None:
        raise ManifestError(
            f"{url} is a Parquet file, but no manifest: it has no {_VERSION!r} in its metadata"
        )
    if version.split(".")[0] != SCHEMA_VERSION.split(".")[0]:
        raise ManifestError(
            f"{url} has schema {version}, this curate reads {SCHEMA_VERSION}: update curate"
        )
    metadata = {key.removeprefix("curate."): value for key, value in raw.items()}
    return Manifest(url, table.replace_schema_metadata(), metadata)


def open_manifests(source: str) -> list[Manifest]:
    """The manifest at a `.parquet` path, or training and test split of a run folder.

    Raises:
        ManifestError: see `read_manifest`.
    """
    if source.endswith(".parquet"):
        return [read_manifest(source)]
    return [
        read_manifest(f"{source.rstrip('/')}/manifest/{split}.parquet")
        for split in ("train", "test")
    ]


def encode_manifest(table: pa.Table, metadata: Mapping[str, str], *, root: str = "..") -> bytes:
    """A manifest as the bytes of a Parquet file: the same bytes for the same rows and metadata.

    Args:
        table: rows; columns of the schema in any order, further ones after them.
        metadata: how it was made; becomes `curate.<key>` in the file's metadata.
        root: where the tars' folder lies as seen from the manifest's own.

    Raises:
        ManifestError: if a required column is missing or a column has another type.
    """
    known = {c.name: c for c in (*MANIFEST, *PAIRED)}
    missing = [c.name for c in MANIFEST if c.required and c.name not in table.column_names]
    if missing:
        raise ManifestError(f"a manifest needs the columns {', '.join(missing)}")
    order = [name for name in known if name in table.column_names]
    order += [name for name in table.column_names if name not in known]
    try:
        types = [
            known[name].type if name in known else table.schema.field(name).type for name in order
        ]
        table = table.select(order).cast(pa.schema(list(zip(order, types, strict=True))))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ManifestError(f"a column has the wrong type: {error}") from error
    own = {f"curate.{key}": value for key, value in metadata.items()}
    own |= {_VERSION: SCHEMA_VERSION, _ROOT: root, "curate.code": __version__}
    table = table.replace_schema_metadata(
        {**dict(sorted(own.items())), "huggingface": huggingface_features(table.schema)}
    )
    return encode_table(table, checksums=False, group_rows=10_000)


def encode_published(table: pa.Table, metadata: Mapping[str, str]) -> bytes:
    """The same for others: its places, which mean nothing on another machine, are null."""
    columns = {name: table[name] for name in table.column_names}
    places = {n: t for n, t in PLACES.items() if n in columns or not n.startswith("degraded_")}
    columns |= {name: pa.nulls(len(table), type_) for name, type_ in places.items()}
    return encode_manifest(pa.table(columns), metadata, root=".")


def write_manifest(
    path: str | PurePath, table: pa.Table, metadata: Mapping[str, str], *, root: str = ".."
) -> None:
    """Write a manifest to a path or fsspec URL; see `encode_manifest`."""
    atomic.write(path, encode_manifest(table, metadata, root=root))
