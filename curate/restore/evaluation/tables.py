"""Scores as tables: of one's own making, or in the shape of the paper's, with what it reports beside ours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise, product

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
"""What means can be of: a degradation; all levels of a task; a sub-category, a broad class or a band of texture."""

BANDS = (0.005, 0.02)
"""Where bands of texture part unless said otherwise, as high-frequency ratios. The first is the paper's least."""


Found = dict[str, dict[str, list[Score]]]
"""Model -> image -> its scores."""


@dataclass(frozen=True)
class ScoreRow:
    """A line of a table."""

    label: str
    """A model's name, two names for their difference, or a method and its training set of the paper."""
    kind: str
    """input, model, difference or paper."""
    cells: tuple[Estimate | None, ...]
    """One for each column; None where there is nothing to tell."""


@dataclass(frozen=True)
class ScoreTable:
    """Means over images, with intervals."""

    title: str
    columns: tuple[Column, ...]
    down: tuple[str, ...]
    """Fields of the columns that stand in rows instead."""
    rows: tuple[ScoreRow, ...]
    notes: tuple[str, ...] = field(default=())


def summary_table(
    evaluation: Evaluation,
    *,
    by: Sequence[str] = ("level",),
    metrics: Sequence[str] | None = None,
    bands: Sequence[float] = BANDS,
    level: float = 0.95,
) -> ScoreTable:
    """All that was judged: rows for each benchmark, degradation (or task) and group, a column for each metric.

    Args:
        evaluation: its scores.
        by: of `GROUPINGS`; a degradation is told apart where `task` isn't named.
        metrics: of `METRICS`; all by default.
        bands: ascending high-frequency ratios at which bands of texture part.
        level: of the intervals.

    Raises:
        RestoreError: if a name isn't known, or no score has what `by` asks for.
    """
    metrics = tuple(METRICS) if metrics is None else metrics
    for name, known in [
        *((name, GROUPINGS) for name in by),
        *((name, tuple(METRICS)) for name in metrics),
    ]:
        if name not in known:
            raise RestoreError(f"no {name!r} to tell scores apart by; known: {', '.join(known)}")
    columns: dict[Column, None] = {}
    for score in evaluation.scores:
        what = score.task if "task" in by else score.degradation
        groups = _groups(score, bands)
        named = [groups[name] for name in by if name in groups]
        for group in named or [None]:
            if group is not None or not named:
                columns |= {
                    Column(score.benchmark, what, metric, group): None for metric in metrics
                }
    if not columns:
        raise RestoreError(
            f"no picture's {', '.join(by)} is known: labels and ratios are of manifests"
        )
    order = {name: i for i, name in enumerate(band_names(bands))}
    ordered = (
        sorted(columns, key=lambda c: order.get(c.group or "", -1))
        if "texture" in by
        else list(columns)
    )
    return _table(
        "scores", tuple(ordered), ("benchmark", "degradation", "group"), evaluation, bands, level
    )


def paper_tables(evaluation: Evaluation, number: str, *, level: float = 0.95) -> list[ScoreTable]:
    """A table of the HQ-50K paper, in one or more parts, with our rows, and above them its own.

    A figure of the paper is there if ours is of the same pictures: all of a benchmark, known by its name.

    Args:
        evaluation: its scores.
        number: of the table: 1, 3 to 8, 10 to 13.
        level: of the intervals.

    Raises:
        RestoreError: if it isn't one about restorers, or nothing was judged that it tells of.
    """
    parts = published_tables(number)
    tables = [
        table for part in parts if (table := _paper_table(evaluation, part, level)) is not None
    ]
    if not tables:
        raise RestoreError(
            f"table {number} is of {', '.join(needs(parts))}: none of that was judged"
        )
    return tables


def _paper_table(
    evaluation: Evaluation, published: PublishedTable, level: float
) -> ScoreTable | None:
    """One part, without the columns that nothing was judged of; None if that leaves none."""
    table = _table(
        f"Table {published.number}: {published.title}", published.columns, published.down, evaluation,
        published.bands, level,
    )  # fmt: skip
    why_not = [_why_not(column, evaluation) for column in published.columns]
    theirs = [
        ScoreRow(
            label,
            "paper",
            tuple(None if why else _reported(v) for v, why in zip(values, why_not, strict=True)),
        )
        for label, values in published.rows.items()
    ]
    judged = [i for i in range(len(table.columns)) if any(row.cells[i] for row in table.rows)]
    if not judged:
        return None
    rows = [
        replace(row, cells=tuple(row.cells[i] for i in judged)) for row in (*theirs, *table.rows)
    ]
    return replace(
        table,
        columns=tuple(table.columns[i] for i in judged),
        rows=tuple(row for row in rows if any(row.cells)),
        notes=(*table.notes, *dict.fromkeys(why for why in why_not if why)),
    )


def _reported(value: float | None) -> Estimate | None:
    return None if value is None else Estimate(value, None, None, None)


def band_names(bands: Sequence[float]) -> list[str]:
    """What bands of texture are called, from the lowest."""
    percents = [f"{100 * edge:g}" for edge in bands]
    between = [f"ratio {low} to {high} %" for low, high in pairwise(percents)]
    return (
        [f"ratio under {percents[0]} %", *between, f"ratio over {percents[-1]} %"]
        if percents
        else ["all"]
    )


def _table(
    title: str,
    columns: tuple[Column, ...],
    down: tuple[str, ...],
    evaluation: Evaluation,
    bands: Sequence[float],
    level: float,
) -> ScoreTable:
    index = _index(evaluation, bands)
    values = {
        c: _values(index.get((c.benchmark.lower(), c.degradation, c.group), {}), c.metric)
        for c in columns
    }

    def row(label: str, kind: str, of: Iterable[NDArray[np.float64] | None]) -> ScoreRow:
        cells = (None if found is None else estimate(found, level, evaluation.seed) for found in of)
        return ScoreRow(label, kind, tuple(cells))

    rows = [row(INPUT, "input", (values[c].get(INPUT) for c in columns))]
    rows += [
        row(model, "model", (values[c].get(model) for c in columns)) for model in evaluation.models
    ]
    first, *others = evaluation.models
    for model in others:
        differences = (
            _difference(values[c][model], values[c][first]) if values[c] else None for c in columns
        )
        rows.append(row(f"{model} - {first}", "difference", differences))
    note = f"{level:.0%} intervals of {RESAMPLES:,} resamples of the images, paired for differences"
    return ScoreTable(title, columns, down, tuple(rows), (note,))


def _index(
    evaluation: Evaluation, bands: Sequence[float]
) -> dict[tuple[str, str, str | None], Found]:
    """Scores by what columns may be of: benchmark in lower case, degradation or task, group or None for all."""
    index: dict[tuple[str, str, str | None], Found] = {}
    for score in evaluation.scores:
        groups = {None, *_groups(score, bands).values()}
        for what, group in product({score.degradation, score.task}, groups):
            found = index.setdefault((score.benchmark.lower(), what, group), {})
            found.setdefault(score.model, {}).setdefault(score.image, []).append(score)
    return index


def _values(found: Found, metric: str) -> dict[str, NDArray[np.float64]]:
    """Model -> a value for each image, in the same order for all: the mean of what it has there."""
    return {
        model: np.array(
            [np.mean([getattr(score, metric) for score in scores]) for scores in images.values()]
        )
        for model, images in found.items()
    }


def _difference(a_n: NDArray[np.float64], b_n: NDArray[np.float64]) -> NDArray[np.float64]:
    """0 also between two perfect pictures, whose PSNR is infinite."""
    return np.subtract(a_n, b_n, out=np.zeros_like(a_n), where=a_n != b_n)


def _groups(score: Score, bands: Sequence[float]) -> Mapping[str, str | None]:
    """The groups that a picture belongs to, by their kind."""
    ratio = score.hf_ratio_032
    band = (
        None
        if ratio is None
        else band_names(bands)[int(np.searchsorted(bands, ratio, side="right"))]
    )
    return {"category": score.category, "broad": score.broad, "texture": band}


def _why_not(column: Column, evaluation: Evaluation) -> str | None:
    """Why the paper's figure can't be held against ours; None where it can."""
    name = column.benchmark
    ours = [
        s for s in evaluation.scores if s.benchmark.lower() == name.lower() and s.model == INPUT
    ]
    scores = [score for score in ours if column.degradation in (score.degradation, score.task)]
    if not scores:
        return (
            f"{name} was not judged"
            if not ours
            else f"{name} was not judged under {column.degradation}"
        )
    if column.degradation == "derain" and any(score.drawn for score in scores):
        return f"{name}: rain was drawn here; the paper's figures are of the benchmark's pairs"
    images = len({score.image for score in scores})
    if images != benchmark_sizes()[name]:
        return f"{name}: {images} pictures of {benchmark_sizes()[name]}, so not the paper's figure"
    return None
