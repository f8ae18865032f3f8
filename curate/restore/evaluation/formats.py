"""Tables of scores as text: CSV, Markdown, LaTeX, JSON."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby

from curate.restore.evaluation.bootstrap import Estimate
from curate.restore.evaluation.paper_tables import Column
from curate.restore.evaluation.scoring import Evaluation
from curate.restore.evaluation.tables import ScoreRow, ScoreTable

__all__ = ["SCORE_TEXTS", "Grid", "as_grid", "interval_text", "scores_csv", "value_text"]

_NAMES = {
    "psnr": "PSNR",
    "psnr_y": "PSNR-Y",
    "ssim": "SSIM",
    "ssim_y": "SSIM-Y",
    "psnr_b": "PSNR-B",
}
_FIELDS = ("benchmark", "degradation", "group", "metric")


@dataclass(frozen=True)
class Grid:
    """A table as it is laid out on paper."""

    across: tuple[tuple[str, ...], ...]
    """Headings of each column, from the widest on."""
    blocks: tuple[
        tuple[tuple[str, ...], tuple[tuple[ScoreRow, tuple[Estimate | None, ...]], ...]], ...
    ]
    """What a block of rows is of, and its rows with their cells."""
    metrics: tuple[str, ...]
    """Of each column."""


def as_grid(table: ScoreTable) -> Grid:
    """Lay a table out: what its columns differ by across, but what goes down, which becomes blocks of rows."""
    keys = [
        tuple(str(getattr(column, name) or "all") for name in table.down)
        for column in table.columns
    ]
    across_of = [
        tuple(getattr(column, name) for name in _FIELDS if name not in table.down)
        for column in table.columns
    ]
    order = list(dict.fromkeys(across_of))
    place = {pair: i for i, pair in enumerate(zip(keys, across_of, strict=True))}
    blocks = []
    for key in dict.fromkeys(keys):
        places = [place.get((key, across)) for across in order]
        rows = (
            (row, tuple(None if i is None else row.cells[i] for i in places)) for row in table.rows
        )
        blocks.append(
            (
                key,
                tuple(
                    (row, cells) for row, cells in rows if any(cell is not None for cell in cells)
                ),
            )
        )
    names = [
        tuple(_NAMES.get(str(part), str(part or "all")) for part in across) for across in order
    ]
    varied = [
        i
        for i in range(len(names[0]))
        if len({name[i] for name in names}) > 1 or i == len(names[0]) - 1
    ]
    headings = tuple(tuple(name[i] for i in varied) for name in names)
    kept = tuple(block for block in blocks if block[1])
    told = [
        i
        for i in range(len(table.down))
        if len({key[i] for key, _ in kept}) > 1 or table.down[i] != "group"
    ]
    shown = tuple((tuple(key[i] for i in told), rows) for key, rows in kept)
    return Grid(headings, shown, tuple(str(across[-1]) for across in order))


def value_text(cell: Estimate | None, metric: str, signed: bool = False) -> str:
    """A mean with the digits that papers give it."""
    if cell is None or math.isnan(cell.mean):
        return "-"
    return f"{cell.mean:{'+' if signed else ''}.{_digits(metric)}f}"


def interval_text(cell: Estimate | None, metric: str, to: str = " to ") -> str:
    """Where it may lie; empty where that isn't known."""
    if cell is None or cell.low is None or cell.high is None:
        return ""
    return f"{cell.low:.{_digits(metric)}f}{to}{cell.high:.{_digits(metric)}f}"


def _digits(metric: str) -> int:
    return 4 if metric.startswith("ssim") else 2


def _markdown(evaluation: Evaluation, tables: Sequence[ScoreTable]) -> str:
    return "\n".join(_one_markdown(table) for table in tables)


def _one_markdown(table: ScoreTable) -> str:
    grid = as_grid(table)
    depth = len(grid.blocks[0][0]) if grid.blocks else 0
    lines = [[*[""] * (depth + 1), *(" ".join(heading) for heading in grid.across)]]
    lines.append([*["---"] * (depth + 1), *["---:"] * len(grid.across)])
    for key, rows in grid.blocks:
        for row, cells in rows:
            values = (
                _with_interval(cell, m, row) for cell, m in zip(cells, grid.metrics, strict=True)
            )
            label = f"{row.label} (paper)" if row.kind == "paper" else row.label
            lines.append([*key, label, *values])
    escaped = ([cell.replace("|", r"\|") for cell in line] for line in lines)
    body = "".join(f"| {' | '.join(line)} |\n" for line in escaped)
    return f"**{table.title}**\n\n{body}\n{'. '.join(table.notes)}.\n"


def _with_interval(cell: Estimate | None, metric: str, row: ScoreRow) -> str:
    within = interval_text(cell, metric)
    value = value_text(cell, metric, signed=row.kind == "difference")
    return f"{value} ({within})" if within else value


def _latex(evaluation: Evaluation, tables: Sequence[ScoreTable]) -> str:
    return "\n".join(_one_latex(table) for table in tables)


def _one_latex(table: ScoreTable) -> str:
    """For the packages booktabs and graphicx, as papers set theirs; the best of each column in bold."""
    grid = as_grid(table)
    depth = len(grid.blocks[0][0]) if grid.blocks else 0
    lines = [rf"\begin{{tabular}}{{{'l' * (depth + 1)}{'r' * len(grid.across)}}}", r"\toprule"]
    for i in range(len(grid.across[0])):
        spans = [
            (name, len(list(same))) for name, same in groupby(grid.across, key=lambda h: h[: i + 1])
        ]
        heads = (
            rf"\multicolumn{{{n}}}{{c}}{{{_escape(name[i])}}}" if n > 1 else _escape(name[i])
            for name, n in spans
        )
        lines.append(" & ".join([*[""] * (depth + 1), *heads]) + r" \\")
    for key, rows in grid.blocks:
        lines.append(r"\midrule")
        rivals = [cells for row, cells in rows if row.kind in ("model", "paper")]
        best = [_best([cells[i] for cells in rivals]) for i in range(len(grid.metrics))]
        for row, cells in rows:
            texts = []
            for cell, metric, top in zip(cells, grid.metrics, best, strict=True):
                text = _escape(value_text(cell, metric, signed=row.kind == "difference"))
                bold = row.kind in ("model", "paper") and cell is not None and cell.mean == top
                within = interval_text(cell, metric, "--")
                texts.append(
                    (rf"\textbf{{{text}}}" if bold else text)
                    + (rf" {{\tiny {within}}}" if within else "")
                )
            label = rf"{_escape(row.label)} (paper)" if row.kind == "paper" else _escape(row.label)
            lines.append(" & ".join([*map(_escape, key), label, *texts]) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    comments = [f"% {table.title}", *(f"% {note}" for note in table.notes)]
    return "\n".join([*comments, *lines]) + "\n"


def _best(cells: Sequence[Estimate | None]) -> float | None:
    means = [cell.mean for cell in cells if cell is not None]
    return max(means) if len(means) > 1 else None


def _escape(text: str) -> str:
    for character in "\\&%$#_{}":
        text = text.replace(
            character, r"\textbackslash{}" if character == "\\" else f"\\{character}"
        )
    return text


def _csv(evaluation: Evaluation, tables: Sequence[ScoreTable]) -> str:
    """A line for each figure."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("table", "row", "kind", *_FIELDS, "mean", "low", "high", "images"))
    for table in tables:
        for row, column, cell in _figures(table):
            of = (getattr(column, name) for name in _FIELDS)
            writer.writerow(
                (table.title, row.label, row.kind, *of, cell.mean, cell.low, cell.high, cell.images)
            )
    return text.getvalue()


def _figures(table: ScoreTable) -> Iterator[tuple[ScoreRow, Column, Estimate]]:
    for row in table.rows:
        for column, cell in zip(table.columns, row.cells, strict=True):
            if cell is not None:
                yield row, column, cell


def _json(evaluation: Evaluation, tables: Sequence[ScoreTable]) -> str:
    """Everything: tables, the score of each picture, what couldn't be judged, what was routed where."""
    content = {
        "tables": [
            {
                "title": table.title,
                "notes": list(table.notes),
                "figures": [
                    {"row": row.label, "kind": row.kind, **asdict(column), **asdict(cell)}
                    for row, column, cell in _figures(table)
                ],
            }
            for table in tables
        ],
        "scores": [asdict(score) for score in evaluation.scores],
        "failures": dict(evaluation.failures),
        "routes": {
            model: {
                d: {layer: list(s) for layer, s in layers.items()}
                for d, layers in routes.shares().items()
            }
            for model, routes in evaluation.routes.items()
        },
    }
    return json.dumps(_finite(content), indent=1, allow_nan=False) + "\n"


def _finite(value: object) -> object:
    """JSON knows no infinite numbers, such as the PSNR of equal pictures: they become null."""
    if isinstance(value, dict):
        return {key: _finite(v) for key, v in value.items()}
    if isinstance(value, list):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def scores_csv(evaluation: Evaluation) -> str:
    """A line for each picture, model and degradation."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(asdict(evaluation.scores[0])), lineterminator="\n")
    writer.writeheader()
    writer.writerows(map(asdict, evaluation.scores))
    return text.getvalue()


SCORE_TEXTS: dict[str, Callable[[Evaluation, Sequence[ScoreTable]], str]] = {
    "csv": _csv,
    "md": _markdown,
    "tex": _latex,
    "json": _json,
}
"""Name of a format -> what writes tables in it."""
