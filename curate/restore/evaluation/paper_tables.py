"""Tables of the HQ-50K paper about restorers: their shapes and figures, from paper_tables.yaml."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
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
    """Benchmark, degradation, group and metric of the figures in one column."""

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
    """Edges of its bands of texture."""
    rows: Mapping[str, tuple[float | None, ...]]
    """A method and its training set -> a value for each column."""


def published_tables(number: str) -> list[PublishedTable]:
    """Return the parts of a table of the paper.

    Raises:
        RestoreError: if it isn't one about restorers.
    """
    if number not in _tables():
        known = ", ".join(_tables())
        raise RestoreError(
            f"no table {number!r} of the paper judges restorers: take one of {known}"
        )
    return _tables()[number]


def degradations_for(
    numbers: Sequence[str], benchmarks: Iterable[str]
) -> dict[str, tuple[str, ...]]:
    """Return the degradations of each benchmark that tables of the paper need.

    Args:
        numbers: numbers of the tables.
        benchmarks: names as in the paper; capitals don't matter.

    Raises:
        RestoreError: if there is no such table, or none of them has one of the benchmarks. The
            message lists what they need.
    """
    parts, found, strangers = [], {}, []
    for number in numbers:
        parts += published_tables(number)
    needed = needs(parts)
    # names of benchmarks without regard to capitals
    by_name = {name.lower(): degradations for name, degradations in needed.items()}
    for name in benchmarks:
        if name.lower() in by_name:
            found[name] = by_name[name.lower()]
        else:
            strangers.append(name)
    if strangers:
        known = "; ".join(f"{name} ({', '.join(needed[name])})" for name in needed)
        raise RestoreError(
            f"table {', '.join(numbers)} is of {known}, not of {', '.join(strangers)}: "
            "say NAME=PLACE"
        )
    return found


def needs(tables: Iterable[PublishedTable]) -> dict[str, tuple[str, ...]]:
    """Return the degradations of each benchmark in some tables."""
    found: dict[str, dict[str, None]] = {}
    for table in tables:
        for column in table.columns:
            found.setdefault(column.benchmark, {})[column.degradation] = None
    return {benchmark: tuple(names) for benchmark, names in found.items()}


def benchmark_sizes() -> dict[str, int]:
    """Return the number of pictures of each benchmark."""
    sizes: dict[str, int] = _file()["pictures"]
    return sizes


@cache
def _file() -> dict[str, Any]:
    text = Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8")
    content: dict[str, Any] = yaml.safe_load(text)
    return content


@cache
def _tables() -> dict[str, list[PublishedTable]]:
    """Return number -> the parts of the table."""
    tables: dict[str, list[PublishedTable]] = {}
    for entry in _file()["tables"]:
        tables.setdefault(str(entry["table"]), []).append(_parse_table(entry))
    return tables


def _parse_table(entry: Mapping[str, Any]) -> PublishedTable:
    columns: list[Column] = []
    for block in entry["columns"]:
        # a block lists values of some fields; its columns are all combinations of them
        choices = [value if isinstance(value, list) else [value] for value in block.values()]
        columns += [Column(**dict(zip(block, v, strict=True))) for v in product(*choices)]
    rows = {}
    for label, values in entry["rows"].items():
        # figures are nested for people who read the file, and stay floats or None
        rows[label] = tuple(np.array(values, dtype=object).ravel())
    return PublishedTable(
        str(entry["table"]),
        entry["title"],
        tuple(columns),
        tuple(entry.get("down", ())),
        tuple(entry.get("bands", ())),
        rows,
    )
