"""Tables as text: one set of columns, rows and a legend, written as CSV, JSON or Markdown."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["FORMATS", "TextColumn", "TextTable", "to_csv", "to_json"]

FORMATS = ("csv", "json", "md")
"""Names of the formats that `TextTable.to_text` writes."""


@dataclass(frozen=True)
class TextColumn:
    """A column as readers see it, and the values behind its cells."""

    heading: str
    keys: tuple[str, ...]
    """Keys of the values in a row that a cell shows. CSV has a column for each key."""
    form: Callable[..., str] = str
    """Function from these values to the cell's text."""
    left: bool = False
    """Whether the column is aligned left, as text is. Numbers are aligned right."""


@dataclass(frozen=True)
class TextTable:
    """Rows of values, and the columns in which readers see them."""

    columns: Sequence[TextColumn]
    rows: Sequence[Mapping[str, Any]]
    """Values by key. None is a missing value: a dash for readers, empty in CSV, null in JSON."""
    title: str = ""
    legend: str = ""
    content: Any = None
    """Value that JSON holds instead of the rows, where it holds more than they do."""

    def cells(self, row: Mapping[str, Any]) -> list[str]:
        """Return the cells of a row as readers see them."""
        texts = []
        for column in self.columns:
            values = [row[key] for key in column.keys]
            texts.append("-" if None in values else column.form(*values))
        return texts

    def to_text(self, form: str) -> str:
        """Return the table in one of `FORMATS`."""
        return {"csv": self.to_csv, "json": self.to_json, "md": self.to_markdown}[form]()

    def to_csv(self) -> str:
        """Return a line of keys, then a line of plain values for each row."""
        return to_csv([key for column in self.columns for key in column.keys], self.rows)

    def to_json(self) -> str:
        """Return the content, or else the rows."""
        return to_json(self.rows if self.content is None else self.content)

    def to_markdown(self) -> str:
        """Return a Markdown table, with the title above it and the legend below it."""
        headings = [column.heading for column in self.columns]
        rule = ["---" if column.left else "---:" for column in self.columns]
        lines = [headings, rule, *map(self.cells, self.rows)]
        body = "".join(f"| {' | '.join(map(_escape_pipe, line))} |\n" for line in lines)
        title = f"**{self.title}**\n\n" if self.title else ""
        return title + body + (f"\n{self.legend}\n" if self.legend else "")


def to_csv(keys: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Return a line of keys, then a line for each row with its values of these keys."""
    text = io.StringIO()
    writer = csv.DictWriter(text, keys, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def to_json(content: Any) -> str:
    """Return a value as JSON. Numbers that are not finite become null, since JSON has no others."""
    return json.dumps(_finite(content), indent=1, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _escape_pipe(text: str) -> str:
    return text.replace("|", r"\|")
