"""What the HQ-50K paper reports of restorers: its tables' shapes and figures, of published.yaml."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from curate.errors import RestoreError

__all__ = [
    "Column",
    "PublishedTable",
    "benchmark_sizes",
    "degradations_for",
    "needs",
    "published_tables",
]


@dataclass(frozen=True)
class Column:
    """What one figure of a table is the mean of."""

    benchmark: str
    degradation: str
    """A degradation's name, or a task: all of its levels."""
    metric: str
    """One of `curate.restore.metrics.METRICS`."""
    group: str | None = None
    """A sub-category, broad class or band of texture; None is all of the benchmark."""


@dataclass(frozen=True)
class PublishedTable:
    """A table of the paper, or a part of one."""

    number: str
    title: str
    columns: tuple[Column, ...]
    down: tuple[str, ...]
    """Fields of its columns that stand in rows instead."""
    bands: tuple[float, ...]
    """Where its bands of texture part."""
    rows: Mapping[str, tuple[float | None, ...]]
    """A method, and the set that it was trained on -> a value for each column."""


def published_tables(number: str) -> list[PublishedTable]:
    """The parts of a table of the paper.

    Raises:
        RestoreError: if it isn't one about restorers.
    """
    found = [table for table in _all() if table.number == number]
    if not found:
        known = ", ".join(dict.fromkeys(table.number for table in _all()))
        raise RestoreError(
            f"no table {number!r} of the paper judges restorers: take one of {known}"
        )
    return found


def degradations_for(
    numbers: Sequence[str], benchmarks: Iterable[str]
) -> dict[str, tuple[str, ...]]:
    """What benchmarks are to be degraded with, so that tables of the paper can be made of them.

    Args:
        numbers: of the tables.
        benchmarks: their names, as the paper has them but for capitals.

    Raises:
        RestoreError: if there is no such table, or they want nothing of a benchmark; says what they want.
    """
    wanted = needs(part for number in numbers for part in published_tables(number))
    by_name = {name.lower(): degradations for name, degradations in wanted.items()}
    if strangers := [name for name in benchmarks if name.lower() not in by_name]:
        what = "; ".join(
            f"{name} ({', '.join(degradations)})" for name, degradations in wanted.items()
        )
        raise RestoreError(
            f"table {', '.join(numbers)} is of {what}, not of {', '.join(strangers)}: say NAME=PLACE"
        )
    return {name: by_name[name.lower()] for name in benchmarks}


def needs(tables: Iterable[PublishedTable]) -> dict[str, tuple[str, ...]]:
    """The degradations that tables want of each benchmark."""
    found: dict[str, dict[str, None]] = {}
    for table in tables:
        for column in table.columns:
            found.setdefault(column.benchmark, {})[column.degradation] = None
    return {benchmark: tuple(names) for benchmark, names in found.items()}


def benchmark_sizes() -> dict[str, int]:
    """How many pictures each benchmark has."""
    sizes: dict[str, int] = _file()["pictures"]
    return sizes


@cache
def _all() -> tuple[PublishedTable, ...]:
    return tuple(
        PublishedTable(
            str(entry["table"]),
            entry["title"],
            tuple(column for block in entry["columns"] for column in _expand(block)),
            tuple(entry.get("down", ())),
            tuple(entry.get("bands", ())),
            {label: tuple(_flat(values)) for label, values in entry["rows"].items()},
        )
        for entry in _file()["tables"]
    )


@cache
def _file() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(
        Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8")
    )
    return content


def _expand(block: Mapping[str, Any]) -> Iterable[Column]:
    choices = [value if isinstance(value, list) else [value] for value in block.values()]
    return (Column(**dict(zip(block, values, strict=True))) for values in product(*choices))


def _flat(values: list[Any]) -> Iterable[float | None]:
    for value in values:
        if isinstance(value, list):
            yield from _flat(value)
        else:
            yield value
