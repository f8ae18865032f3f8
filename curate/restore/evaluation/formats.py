"""Tables of scores as text: CSV, Markdown, LaTeX, JSON."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from operator import attrgetter
from typing import Any

from curate.restore.evaluation.bootstrap import Estimate
from curate.restore.evaluation.paper_tables import Column
from curate.restore.evaluation.scoring import Evaluation
from curate.restore.evaluation.tables import ScoreRow, ScoreTable
from curate.storage.text_table import TextColumn, TextTable, to_csv, to_json

__all__ = ["SCORE_TEXTS", "score_table", "scores_csv"]

_FIELDS = ("benchmark", "degradation", "group", "metric")
_FIGURE = ("table", "row", "kind", *_FIELDS, "mean", "low", "high", "images", "notes")
_RIVALS = ("model", "paper")
_MOST_INTERVALS = 6
"""Largest number of columns for which a terminal has room for intervals."""


@dataclass(frozen=True)
class _Line:
    """A row of a table within one of its blocks."""

    block: tuple[str, ...]
    """Labels of the block: benchmark, degradation and group, as far as they stand in rows."""
    row: ScoreRow
    cells: Sequence[Estimate | None]

    @property
    def label(self) -> str:
        """Name of the row; one of the paper is marked as such."""
        return f"{self.row.label} (paper)" if self.row.kind == "paper" else self.row.label

    def texts(self, metrics: Iterable[str], to: str) -> list[tuple[str, str]]:
        """Return the value and the interval of each cell; "-" or nothing where there is none."""
        texts = []
        for cell, metric in zip(self.cells, metrics, strict=True):
            digits = 4 if metric.startswith("ssim") else 2  # as papers give them
            sign = "+" if self.row.kind == "difference" else ""
            value, interval = "-", ""
            if cell is not None and not math.isnan(cell.mean):
                value = f"{cell.mean:{sign}.{digits}f}"
            if cell is not None and cell.low is not None:
                interval = f"{cell.low:.{digits}f}{to}{cell.high:.{digits}f}"
            texts.append((value, interval))
        return texts


@dataclass(frozen=True)
class _Grid:
    """A table of scores as it is laid out on paper."""

    headings: Mapping[tuple[str, ...], str]
    """Headings of each column, from the widest to its metric -> the metric's key."""
    lines: list[_Line]
    labels: int
    """Number of labels to the left of a line's scores."""


def _lay_out(table: ScoreTable) -> _Grid:
    """Turn the fields of a table's columns into blocks of rows (`table.down`) and headings."""
    down, across = [], []
    for name in _FIELDS:
        # what is the same everywhere isn't shown, except the metric and the names of blocks
        varies = len(set(map(attrgetter(name), table.columns))) > 1
        if name in table.down and (varies or name != "group"):
            down.append(name)
        elif name not in table.down and (varies or name == "metric"):
            across.append(name)
    headings: dict[tuple[str, ...], str] = {}
    # block -> heading -> position among the table's columns
    blocks: dict[tuple[str, ...], dict[tuple[str, ...], int]] = {}
    for position, column in enumerate(table.columns):
        heading = _labels(column, across)
        headings[heading] = column.metric
        blocks.setdefault(_labels(column, down), {})[heading] = position
    # a line for each block and row that has any cell there
    lines = []
    for block, positions in blocks.items():
        for row in table.rows:
            cells = [row.cells[positions[h]] if h in positions else None for h in headings]
            if any(cells):
                lines.append(_Line(block, row, cells))
    return _Grid(headings, lines, len(down) + 1)


def _labels(column: Column, names: Sequence[str]) -> tuple[str, ...]:
    """Return some fields of a column as readers see them."""
    labels = []
    for name in names:
        value = getattr(column, name)
        label = value.upper().replace("_", "-") if name == "metric" else value
        labels.append("all" if label is None else label)
    return tuple(labels)


def score_table(table: ScoreTable, *, stacked: bool = False) -> TextTable:
    """Return scores as readers see them, with their intervals.

    Args:
        table: the scores.
        stacked: whether parts of headings, and intervals, stand on lines of their own, as on a
            terminal. There a table of more than six columns is shown without intervals.
    """
    grid = _lay_out(table)
    roomy = not stacked or len(grid.headings) <= _MOST_INTERVALS
    columns = [TextColumn("", (str(i),), left=True) for i in range(grid.labels)]
    above = tuple[str, ...]()
    for heading in grid.headings:
        parts = list(heading)
        for i in range(len(heading) if stacked else 0):
            if heading[: i + 1] == above[: i + 1]:
                parts[i] = ""  # shared with the heading to the left
        columns.append(TextColumn(("\n" if stacked else " ").join(parts), (str(len(columns)),)))
        above = heading
    rows = []
    for line in grid.lines:
        texts = [*line.block, line.label]
        for value, interval in line.texts(grid.headings.values(), ".." if stacked else " to "):
            within = f"\n{interval}" if stacked else f" ({interval})"
            texts.append(value + within if interval and roomy else value)
        rows.append(dict(zip(map(str, range(len(texts))), texts, strict=True)))
    notes = table.notes
    if not roomy:
        notes = (*notes, "Intervals are in the other formats (--format)")
    return TextTable(columns, rows, table.title, f"{'. '.join(notes)}.")


def _markdown(evaluation: Evaluation, tables: Sequence[ScoreTable]) -> str:
    return "\n".join(map(TextTable.to_markdown, map(score_table, tables)))


def _latex(evaluation: Evaluation, tables: Sequence[ScoreTable]) -> str:
    """Return tables for the packages booktabs and graphicx, the best of each column in bold."""
    return "\n".join(map(_latex_table, tables))


def _latex_table(table: ScoreTable) -> str:
    grid = _lay_out(table)
    lines = ["% " + "\n% ".join((table.title, *table.notes))]
    lines += [rf"\begin{{tabular}}{{{'l' * grid.labels}{'r' * len(grid.headings)}}}", r"\toprule"]
    for depth in range(1, len(next(iter(grid.headings))) + 1):
        # neighbours that share a heading, and all above it, are spanned by one
        heads = [""] * grid.labels
        for shared, columns in groupby(grid.headings, key=lambda heading: heading[:depth]):
            name, span = _escape(shared[-1]), len(list(columns))
            heads.append(name if span == 1 else rf"\multicolumn{{{span}}}{{c}}{{{name}}}")
        lines.append(" & ".join(heads) + r" \\")
    for _, block in groupby(grid.lines, key=attrgetter("block")):
        lines.append(r"\midrule")
        lines += _latex_rows(list(block), grid.headings.values())
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _latex_rows(block: Sequence[_Line], metrics: Iterable[str]) -> Iterator[str]:
    # the best mean of each column within the block
    rivals = [line.cells for line in block if line.row.kind in _RIVALS]
    best = list(map(_best, zip(*rivals, strict=True)))
    for line in block:
        texts = [*map(_escape, line.block), _escape(line.label)]
        for i, (value, interval) in enumerate(line.texts(metrics, "--")):
            cell, text = line.cells[i], _escape(value)
            if cell is not None and cell.mean == best[i] and line.row.kind in _RIVALS:
                text = rf"\textbf{{{text}}}"
            texts.append(rf"{text} {{\tiny {interval}}}" if interval else text)
        yield " & ".join(texts) + r" \\"


def _best(cells: Iterable[Estimate | None]) -> float | None:
    """Return the highest mean; None unless there are two to compare."""
    means = [cell.mean for cell in cells if cell is not None]
    return max(means) if len(means) > 1 else None


def _escape(text: str) -> str:
    for character in "\\&%$#_{}":
        text = text.replace(
            character, r"\textbackslash{}" if character == "\\" else f"\\{character}"
        )
    return text


def _csv(evaluation: Evaluation, tables: Sequence[ScoreTable]) -> str:
    """Return a line for each figure, with the notes of its table, such as how noise was added."""
    figures = []
    for table in tables:
        of_table = {"table": table.title, "notes": ". ".join(table.notes)}
        figures += [of_table | figure for figure in _figures(table)]
    return to_csv(_FIGURE, figures)


def _figures(table: ScoreTable) -> Iterator[dict[str, Any]]:
    for row in table.rows:
        for column, cell in zip(table.columns, row.cells, strict=True):
            if cell is not None:
                yield {"row": row.label, "kind": row.kind, **asdict(column), **asdict(cell)}


def _json(evaluation: Evaluation, tables: Sequence[ScoreTable]) -> str:
    """Return the tables, the score of each picture, the failures and the experts' shares."""
    content: dict[str, Any] = {"tables": [], "scores": list(map(asdict, evaluation.scores))}
    for table in tables:
        figures = list(_figures(table))
        content["tables"].append({"title": table.title, "notes": table.notes, "figures": figures})
    content |= {"failures": evaluation.failures, "routes": {}}
    for model, routes in evaluation.routes.items():
        shares: dict[str, dict[str, list[float]]] = {}
        for _, degradation, layer, shares_e in routes.rows():
            shares.setdefault(degradation, {})[layer] = shares_e.tolist()
        content["routes"][model] = shares
    return to_json(content)


def scores_csv(evaluation: Evaluation) -> str:
    """Return a line for each picture, model and degradation."""
    rows = list(map(asdict, evaluation.scores))
    return to_csv(list(rows[0]), rows)


Write = Callable[[Evaluation, Sequence[ScoreTable]], str]
SCORE_TEXTS: dict[str, Write] = {"csv": _csv, "md": _markdown, "tex": _latex, "json": _json}
"""Name of a format -> function that writes tables in it."""
