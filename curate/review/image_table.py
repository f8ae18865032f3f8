"""Table of the images under review, asked for pages: DuckDB in a file of this process."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.dataset as ds

from curate.errors import InputError, MissingExtra, RunError

__all__ = ["CHOICES", "ImageTable", "Page", "Query"]

CHOICES = ("reason", "category", "split", "format")
"""Columns of few different texts, which can be chosen from."""

_TEXTS = ("url", "caption")
_MOST = 200
"""Rows of a page."""
_MOST_CHOICES = 200
_HIDDEN = ("phash", "offset", "degraded_offset", "http_status")
"""Numbers that are no measures."""
_SHOWN = ("width", "height", "category", "reason", "split")
"""Columns of a page, where the table has them."""
_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "memory_limit": "1GB",
}


@dataclass(frozen=True)
class Query:
    """Images to list. Column names are checked against the table; values are parameters."""

    least: Mapping[str, float] = field(default_factory=dict)
    """Column -> smallest value."""
    most: Mapping[str, float] = field(default_factory=dict)
    """Column -> largest value."""
    choices: Mapping[str, str] = field(default_factory=dict)
    """Column of CHOICES -> its value; "" for rows without one."""
    text: str = ""
    """Text within the URL or caption."""
    verdict: str = ""
    """keep, drop or relabel; "none" or "any"."""
    ids: Sequence[str] | None = None
    """Ids to list alone, in this order."""
    sort: str = ""
    """Column to order by, with "-" before it largest first."""
    offset: int = 0
    limit: int = 60


@dataclass(frozen=True)
class Page:
    """A page of a list of images."""

    total: int
    """Images of the whole list."""
    rows: list[dict[str, Any]]


class ImageTable:
    """Images under review with the newest verdict on each, in a temporary file.

    Its methods may be called from any thread.

    Args:
        rows: one row an image.
    """

    def __init__(self, rows: ds.Dataset) -> None:
        try:
            import duckdb
        except ImportError as error:
            raise MissingExtra("reviewing images", "review") from error
        self._folder = tempfile.TemporaryDirectory(prefix="curate-review-")
        path = Path(self._folder.name, "images.duckdb")
        self._connection = duckdb.connect(str(path), config=_CONFIG)
        try:
            self._connection.register("source", rows)
            self._connection.execute(
                "CREATE TABLE images AS SELECT row_number() OVER () AS _place, * FROM source"
            )
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            self.close()
            raise RunError(f"can't read the images: {' '.join(str(error).split())}") from error
        self._connection.unregister("source")
        self._connection.execute("CREATE INDEX by_id ON images (id)")
        self._connection.execute(
            "CREATE TABLE verdicts (id VARCHAR PRIMARY KEY, verdict VARCHAR, category VARCHAR)"
        )
        types = zip(rows.schema.names, rows.schema.types, strict=True)
        self.columns = dict(types)
        self.numbers = [n for n, t in self.columns.items() if _is_number(t) and n not in _HIDDEN]
        self.choices = [name for name in CHOICES if name in self.columns]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the file."""
        self._connection.close()
        self._folder.cleanup()

    def ask(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of a statement on the tables images and verdicts."""
        return self._connection.cursor().execute(sql, list(parameters)).fetchall()

    def count(self) -> int:
        """Return the number of images."""
        return int(self.ask("SELECT count(*) FROM images")[0][0])

    def values_of(self, column: str) -> list[str]:
        """Return the values of a column of CHOICES, the most frequent first."""
        quoted = self._quote(column, self.choices)
        found = self.ask(
            f"SELECT {quoted}, count(*) FROM images WHERE {quoted} IS NOT NULL "
            f"GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {_MOST_CHOICES}"
        )
        return [value for value, _ in found]

    def row(self, id_: str) -> dict[str, Any] | None:
        """Return all columns of an image; None if it isn't there."""
        cursor = self._connection.cursor().execute(
            "SELECT * EXCLUDE (_place) FROM images WHERE id = ? LIMIT 1", [id_]
        )
        found = cursor.fetchone()
        names = [column[0] for column in cursor.description or ()]
        return None if found is None else dict(zip(names, found, strict=True))

    def page(self, query: Query) -> Page:
        """Return a page of a list.

        Raises:
            InputError: if the query names a column that the table doesn't have.
        """
        conditions, values = self._conditions(query)
        where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
        tables = "images AS i LEFT JOIN verdicts AS v ON v.id = i.id"
        total = self.ask(f"SELECT count(*) FROM {tables} {where}", values)[0][0]
        shown = [name for name in _SHOWN if name in self.columns]
        columns = ", ".join(f'i."{name}"' for name in shown)
        there = "i.tar IS NOT NULL" if "tar" in self.columns else "true"
        order, order_values = self._order(query)
        limit, offset = min(max(query.limit, 1), _MOST), max(query.offset, 0)
        found = self.ask(
            f"SELECT i.id, v.verdict, v.category, {there}, {columns or 'NULL'} "
            f"FROM {tables} {where} ORDER BY {order} LIMIT {limit} OFFSET {offset}",
            [*values, *order_values],
        )
        names = ["id", "verdict", "new_category", "has_bytes", *shown]
        return Page(total, [dict(zip(names, row, strict=False)) for row in found])

    def set_verdict(self, id_: str, verdict: str | None, category: str | None) -> None:
        """Note the newest verdict on an image; None where there is none any more."""
        self.set_verdicts([(id_, verdict, category)])

    def set_verdicts(self, rows: Iterable[tuple[str, str | None, str | None]]) -> None:
        """Note the newest verdicts on images."""
        cursor = self._connection.cursor()
        for id_, verdict, category in rows:
            if verdict is None:
                cursor.execute("DELETE FROM verdicts WHERE id = ?", [id_])
            else:
                values = [id_, verdict, category]
                cursor.execute("INSERT OR REPLACE INTO verdicts VALUES (?, ?, ?)", values)

    def _conditions(self, query: Query) -> tuple[list[str], list[Any]]:
        """Return the conditions of a query, and the values of their parameters."""
        conditions: list[str] = []
        values: list[Any] = []
        for bounds, sign in ((query.least, ">="), (query.most, "<=")):
            for name, value in bounds.items():
                conditions.append(f"i.{self._quote(name, self.numbers)} {sign} ?")
                values.append(value)
        for name, choice in query.choices.items():
            quoted = f"i.{self._quote(name, self.choices)}"
            conditions.append(f"{quoted} = ?" if choice else f"{quoted} IS NULL")
            values += [choice] if choice else []
        if query.text:
            texts = [name for name in _TEXTS if name in self.columns]
            found = [f"contains(lower(i.{name}), lower(?))" for name in texts]
            conditions.append(f"({' OR '.join(found) or 'false'})")
            values += [query.text] * len(texts)
        match query.verdict:
            case "":
                pass
            case "none" | "any":
                is_ = "IS NULL" if query.verdict == "none" else "IS NOT NULL"
                conditions.append(f"v.verdict {is_}")
            case verdict:
                conditions.append("v.verdict = ?")
                values.append(verdict)
        if query.ids is not None:
            conditions.append("list_contains(?::VARCHAR[], i.id)")
            values.append(list(query.ids))
        return conditions, values

    def _order(self, query: Query) -> tuple[str, list[Any]]:
        if query.sort:
            descending = "DESC" if query.sort.startswith("-") else "ASC"
            quoted = self._quote(query.sort.removeprefix("-"), self.numbers)
            return f"i.{quoted} {descending} NULLS LAST, i._place", []
        if query.ids is not None:
            return "list_position(?::VARCHAR[], i.id)", [list(query.ids)]
        return "i._place", []

    def _quote(self, name: str, known: Iterable[str]) -> str:
        """Return a column's name for a statement."""
        if name not in known:
            raise InputError(f"there is no {name!r} to choose images by")
        return '"' + name.replace('"', '""') + '"'


def _is_number(type_: pa.DataType) -> bool:
    return bool(pa.types.is_integer(type_) or pa.types.is_floating(type_))
