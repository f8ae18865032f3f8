"""SQL on manifests, by DuckDB in this process, which opens no file and no connection by itself."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import PurePath

import pyarrow as pa
import pyarrow.dataset as ds

from curate.errors import ManifestError, MissingExtra
from curate.manifest.combine import gather, relative_folder
from curate.manifest.schema import REQUIRED
from curate.manifest.table import Manifest, write_own_manifest
from curate.storage import atomic, places
from curate.storage.parquet import encode_table
from curate.storage.run_folder import RunFolder

__all__ = ["SAVED", "query", "save"]

SAVED = (".csv", ".json", ".parquet")
"""Endings of files that a result can be saved as."""

_CLOSED: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}


def query(
    sql: str, manifests: Sequence[Manifest], *, run: str | None = None, out: str | PurePath = ""
) -> pa.Table:
    """Return the result of a statement.

    Args:
        sql: may name the tables `images`, the rows of all manifests, and `ledger`.
        manifests: sources of `images`.
        run: folder of the run whose `ledger` it is; only the columns and rows asked for are read.
        out: file of the result, if it will be saved: tars are named relative to it.

    Raises:
        ManifestError: if the statement is wrong.
        MissingExtra: if DuckDB isn't installed.
    """
    try:
        import duckdb
    except ImportError as error:
        raise MissingExtra("asking with SQL", "sql") from error
    target = str(out or manifests[0].path)
    with duckdb.connect(":memory:", config=_CLOSED) as connection:
        connection.register("images", gather(manifests, target))
        tables = ["images"]
        if run is not None and (files := _ledger_files(run)):
            # DuckDB reads the ledger through pyarrow, and sees its tars relative to the result
            rows = ds.dataset(files, filesystem=places.locate(run).fs, format="parquet")
            connection.register("ledger_of_run", rows)
            folder = relative_folder(run, target).replace("'", "''")
            connection.sql(
                "CREATE VIEW ledger AS "
                f"SELECT * REPLACE ('{folder}/' || tar AS tar) FROM ledger_of_run"
            )
            tables.append("ledger")
        try:
            result = connection.sql(sql)
            if result is None:
                raise ManifestError("the statement gives no rows: ask with SELECT")
            return result.to_arrow_table()
        except duckdb.Error as error:
            message = " ".join(str(error).split())
            raise ManifestError(f"{message}; the tables are {', '.join(tables)}") from error


def _ledger_files(run: str) -> list[str]:
    """Return the paths of a ledger's files, each of which is a regular file of the run folder.

    Raises:
        ManifestError: if one isn't, or the disk doesn't answer: pyarrow would wait at it for ever.
    """
    folder, root = RunFolder(run), places.locate(run).path
    names = folder.names("ledger", ".parquet")
    for name in names:
        try:
            with folder.open(name) as file:
                file.read(1)
        except OSError as error:
            raise ManifestError(f"can't read {run}/{name}: {error.strerror or error}") from error
    return [places.join(root, name) for name in names]


def save(result: pa.Table, out: str | PurePath, manifests: Sequence[Manifest]) -> None:
    """Write a result as .csv, .json (an object a line) or .parquet.

    A .parquet file with all columns of a manifest becomes one.

    Raises:
        ManifestError: if the name ends otherwise.
    """
    match PurePath(out).suffix:
        case ".csv":
            import pandas as pd

            frame = result.to_pandas(types_mapper=pd.ArrowDtype)
            atomic.write(out, frame.to_csv(index=False).encode())
        case ".json":
            encode = json.JSONEncoder(ensure_ascii=False, default=str).encode
            text = "".join(f"{encode(row)}\n" for row in result.to_pylist())
            atomic.write(out, text.encode())
        case ".parquet" if _is_manifest(result):
            write_own_manifest(out, result, manifests[0].metadata)
        case ".parquet":
            atomic.write(out, encode_table(result, checksums=False))
        case _:
            names = f"{', '.join(SAVED[:-1])} or {SAVED[-1]}"
            raise ManifestError(f"can't write {out}: name it {names}")


def _is_manifest(result: pa.Table) -> bool:
    """Return whether all required columns are there without nulls; rejected rows have no split."""
    if not set(REQUIRED) <= set(result.column_names):
        return False
    return not any(result[name].null_count for name in REQUIRED)
