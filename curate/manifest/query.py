"""Questions in SQL, answered by DuckDB within this process: it reads no file and no network by itself."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import PurePath

import fsspec
import pyarrow as pa
import pyarrow.dataset as ds

from curate.errors import ManifestError, MissingExtra
from curate.manifest.combine import gather, way_to
from curate.manifest.schema import MANIFEST
from curate.manifest.table import Manifest, write_manifest
from curate.storage import atomic
from curate.storage.parquet import encode_table

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
    """What a statement gives.

    Args:
        sql: may name the tables `images`, the rows of all manifests, and `ledger`.
        manifests: where `images` come from.
        run: folder of the run whose `ledger` it is; only the columns and rows that are asked for are read.
        out: where the result will be saved, if it will: tars are named as seen from there.

    Raises:
        ManifestError: if the statement is wrong.
        MissingExtra: if DuckDB isn't installed.
    """
    try:
        import duckdb
    except ImportError as error:
        raise MissingExtra("asking with SQL", "sql") from error
    seen_from = str(out or manifests[0].path)
    with duckdb.connect(":memory:", config=_CLOSED) as connection:
        connection.register("images", gather(manifests, seen_from))
        tables = ["images"]
        if run is not None:
            fs, path = fsspec.core.url_to_fs(f"{run}/ledger")
            connection.register("ledger_of_run", ds.dataset(path, filesystem=fs, format="parquet"))
            way = way_to(run, seen_from).replace("'", "''")
            connection.sql(
                f"CREATE VIEW ledger AS SELECT * REPLACE ('{way}/' || tar AS tar) FROM ledger_of_run"
            )
            tables.append("ledger")
        try:
            result = connection.sql(sql)
            if result is None:
                raise ManifestError("the statement gives no rows: ask with SELECT")
            return result.to_arrow_table()
        except duckdb.Error as error:
            told = " ".join(str(error).split())
            raise ManifestError(f"{told}; the tables are {', '.join(tables)}") from error


def save(result: pa.Table, out: str | PurePath, manifests: Sequence[Manifest]) -> None:
    """Write a result as .csv, .json (an object a line) or .parquet, a manifest if it has the columns.

    Raises:
        ManifestError: if the name ends otherwise.
    """
    match PurePath(out).suffix:
        case ".csv":
            import pandas as pd

            atomic.write(
                out, result.to_pandas(types_mapper=pd.ArrowDtype).to_csv(index=False).encode()
            )
        case ".json":
            lines = (
                json.dumps(row, ensure_ascii=False, default=str) + "\n"
                for row in result.to_pylist()
            )
            atomic.write(out, "".join(lines).encode())
        case ".parquet" if _is_manifest(result):
            write_manifest(out, result, manifests[0].metadata, root=".")
        case ".parquet":
            atomic.write(out, encode_table(result, checksums=False))
        case _:
            raise ManifestError(
                f"can't write {out}: name it {', '.join(SAVED[:-1])} or {SAVED[-1]}"
            )


def _is_manifest(result: pa.Table) -> bool:
    """Whether every column that is never null is there, and isn't; rejected rows of a ledger have no split."""
    required = [column.name for column in MANIFEST if column.required]
    return set(required) <= set(result.column_names) and not any(
        result[name].null_count for name in required
    )
