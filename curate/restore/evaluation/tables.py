"""Means of scores in tables: one's own, or in the shape of the paper's with its figures above."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import compress, pairwise, product
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from curate.errors import RestoreError
from curate.restore.evaluation.bootstrap import RESAMPLES, Estimate, estimate
from curate.restore.evaluation.paper_tables import (
    Column,
    PublishedTable,
    benchmark_sizes,
    needs,
    published_tables,
)
from curate.restore.evaluation.scoring import INPUT, Evaluation, Score
from curate.restore.metrics import METRICS

__all__ = ["GROUPINGS", "ScoreRow", "ScoreTable", "band_names", "paper_tables", "summary_table"]

GROUPINGS = ("level", "task", "category", "broad", "texture")
"""Groups that means may be taken over.

A degradation; all levels of a task; a sub-category, a broad class or a band of texture.
"""

BANDS = (0.005, 0.02)
"""Default edges of the bands of texture, as high-frequency ratios. The first is the paper's."""

Values = NDArray[np.float64] | None
"""A value for each image, in the same order for all models; None without images."""


@dataclass(frozen=True)
class ScoreRow:
    """A line of a table."""

    label: str
    """A model's name, two names for their difference, or a method and its training set."""
    kind: str
    """input, model, difference or paper."""
    cells: tuple[Estimate | None, ...]
    """One for each column; None where there is none."""


@dataclass(frozen=True)
class ScoreTable:
    """Means over images, with intervals."""

    title: str
    columns: tuple[Column, ...]
    down: tuple[str, ...]
    """Fields of the columns that stand in rows instead."""
    rows: tuple[ScoreRow, ...]
    notes: tuple[str, ...] = ()


def summary_table(
    evaluation: Evaluation,
    *,
    by: Sequence[str] = ("level",),
    metrics: Sequence[str] | None = None,
    bands: Sequence[float] = BANDS,
    level: float = 0.95,
) -> ScoreTable:
    """Summarise all scores: rows for each benchmark, degradation and group, columns for metrics.

    Args:
        evaluation: its scores.
        by: some of `GROUPINGS`; levels of a task are apart unless `task` is among them.
        metrics: some of `METRICS`; all by default.
        bands: ascending high-frequency ratios, the edges of the bands of texture.
        level: share of the bootstrap means that an interval holds.

    Raises:
        RestoreError: if a name isn't known, or no score has the groups of `by`.
    """
    metrics = tuple(METRICS) if metrics is None else metrics
    for name, known in [*product(by, [GROUPINGS]), *product(metrics, [METRICS])]:
        if name not in known:
            raise RestoreError(f"no {name!r} to tell scores apart by; known: {', '.join(known)}")
    # one column for each benchmark, degradation, group and metric that occurs
    kinds = [name for name in by if name not in ("level", "task")]
    found: dict[Column, None] = {}
    for score in evaluation.scores:
        groups = _groups(score, bands)
        degradation = score.task if "task" in by else score.degradation
        for kind, metric in product(kinds or [""], metrics):
            group = groups.get(kind)
            if group is not None or not kind:
                found[Column(score.benchmark, degradation, metric, group)] = None
    if not found:
        raise RestoreError(
            f"no picture's {', '.join(by)} is known: labels and ratios are of manifests"
        )
    columns = list(found)
    if "texture" in by:
        # bands ascend, after groups of other kinds
        names = ["", *band_names(bands)]
        columns.sort(key=lambda column: names.index(column.group) if column.group in names else 0)
    down = ("benchmark", "degradation", "group")
    layout = PublishedTable("", "scores", tuple(columns), down, tuple(bands), {})
    return _table(layout, evaluation, level)


def paper_tables(evaluation: Evaluation, number: str, *, level: float = 0.95) -> list[ScoreTable]:
    """Return a table of the HQ-50K paper, in one or more parts, with our rows below its own.

    A figure of the paper is shown if ours is of the same pictures: all of a benchmark, which is
    known by its name.

    Args:
        evaluation: its scores.
        number: number of the table: 1, 3 to 8, 10 to 13.
        level: share of the bootstrap means that an interval holds.

    Raises:
        RestoreError: if the table isn't about restorers, or nothing in it was judged.
    """
    parts = published_tables(number)
    tables = []
    for part in parts:
        table = _paper_table(evaluation, part, level)
        if table.columns:
            tables.append(table)
    if not tables:
        raise RestoreError(
            f"table {number} is of {', '.join(needs(parts))}: none of that was judged"
        )
    return tables


def _paper_table(evaluation: Evaluation, published: PublishedTable, level: float) -> ScoreTable:
    """Return one part, without the columns of which nothing was judged."""
    ours = _table(published, evaluation, level)
    obstacles = [_obstacle(column, evaluation) for column in published.columns]
    every_row = []
    for label, values in published.rows.items():
        cells: list[Estimate | None] = []
        # the paper's figures, without those that aren't comparable with ours
        for value, obstacle in zip(values, obstacles, strict=True):
            if value is None or obstacle:
                cells.append(None)
            else:
                cells.append(Estimate(value, None, None, None))
        every_row.append(ScoreRow(label, "paper", tuple(cells)))
    every_row += ours.rows
    # columns that any of our rows has a cell in, then rows with any cell in these
    judged = list(map(any, zip(*map(attrgetter("cells"), ours.rows), strict=True)))
    rows = []
    for row in every_row:
        row = replace(row, cells=tuple(compress(row.cells, judged)))
        if any(row.cells):
            rows.append(row)
    return ScoreTable(
        f"Table {published.number}: {published.title}",
        tuple(compress(ours.columns, judged)),
        ours.down,
        tuple(rows),
        (*ours.notes, *dict.fromkeys(filter(None, obstacles))),
    )


def band_names(bands: Sequence[float]) -> list[str]:
    """Return the names of the bands of texture, from the lowest."""
    if not bands:
        return ["all"]
    between = [f"ratio {100 * a:g} to {100 * b:g} %" for a, b in pairwise(bands)]
    return [f"ratio under {100 * bands[0]:g} %", *between, f"ratio over {100 * bands[-1]:g} %"]


def _table(layout: PublishedTable, evaluation: Evaluation, level: float) -> ScoreTable:
    """Estimate the means of the input and each model, and of differences from the first model."""
    values = _values(layout, evaluation)
    rows: list[ScoreRow] = []

    def cell(values_n: Values) -> Estimate | None:
        return None if values_n is None else estimate(values_n, level, evaluation.seed)

    rows.append(ScoreRow(INPUT, "input", tuple(map(cell, values[INPUT]))))
    for model in evaluation.models:
        rows.append(ScoreRow(model, "model", tuple(map(cell, values[model]))))
    first, *others = evaluation.models
    for model in others:
        cells = map(cell, map(_difference, values[model], values[first]))
        rows.append(ScoreRow(f"{model} - {first}", "difference", tuple(cells)))
    note = f"{level:.0%} intervals of {RESAMPLES:,} resamples of the images, paired for differences"
    notes = (note, *_note_on_noise(evaluation))
    return ScoreTable(layout.title, layout.columns, layout.down, tuple(rows), notes)


def _note_on_noise(evaluation: Evaluation) -> list[str]:
    """Return which noise was drawn; nothing where none was, or its name says so."""
    names = {s.degradation for s in evaluation.scores if s.drawn and s.task == "denoise"}
    if all(name.endswith("+8bit") for name in names):
        return []
    if evaluation.clip_noise:
        return ["drawn noise is clipped and rounded to bytes (--clip-noise), unlike in the papers"]
    return ["drawn noise is neither clipped nor rounded, as in the papers and in training"]


def _values(layout: PublishedTable, evaluation: Evaluation) -> dict[str, list[Values]]:
    """Return the values of the input and each model for each column.

    An image counts once, by the mean of its scores there.
    """
    # (benchmark, degradation or task, group or None for all) -> model -> image -> its scores
    index: dict[tuple[str, str, str | None], dict[str, dict[str, list[Score]]]] = {}
    for score in evaluation.scores:
        groups = {None, *_groups(score, layout.bands).values()}
        for degradation, group in product({score.degradation, score.task}, groups):
            found = index.setdefault((score.benchmark.lower(), degradation, group), {})
            found.setdefault(score.model, {}).setdefault(score.image, []).append(score)
    values: dict[str, list[Values]] = {}
    for model, column in product((INPUT, *evaluation.models), layout.columns):
        # the mean of each image's scores, images in the order of the evaluation
        metric = attrgetter(column.metric)
        key = (column.benchmark.lower(), column.degradation, column.group)
        images = index.get(key, {}).get(model, {}).values()
        means = [np.mean(list(map(metric, scores))) for scores in images]
        values.setdefault(model, []).append(np.array(means) if means else None)
    return values


def _difference(a_n: Values, b_n: Values) -> Values:
    """Return a - b; 0 also for two perfect pictures, whose PSNR is infinite."""
    if a_n is None or b_n is None:
        return None
    return np.subtract(a_n, b_n, out=np.zeros_like(a_n), where=a_n != b_n)


def _groups(score: Score, bands: Sequence[float]) -> dict[str, str | None]:
    """Return the groups of a score's picture by their kind."""
    band, ratio = None, score.hf_ratio_032
    if ratio is not None:
        band = band_names(bands)[int(np.searchsorted(bands, ratio, side="right"))]
    return {"category": score.category, "broad": score.broad, "texture": band}


def _obstacle(column: Column, evaluation: Evaluation) -> str | None:
    """Return why the paper's figure isn't comparable with ours; None where it is."""
    name, size = column.benchmark, benchmark_sizes()[column.benchmark]
    judged, drawn, images = False, False, set()
    for score in evaluation.scores:
        if score.model == INPUT and score.benchmark.lower() == name.lower():
            judged = True
            if column.degradation in (score.degradation, score.task):
                drawn |= score.drawn
                images.add(score.image)
    if not images:
        return f"{name} was not judged" + (f" under {column.degradation}" if judged else "")
    if column.degradation == "derain" and drawn:
        return f"{name}: rain was drawn here; the paper's figures are of the benchmark's pairs"
    if len(images) != size:
        return f"{name}: {len(images)} pictures of {size}, so not the paper's figure"
    return None
