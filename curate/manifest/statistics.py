"""Statistics of a dataset: the five measures of the HQ-50K paper's Table 2."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from math import log

import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["Statistics", "diversity", "natural_diversity", "summarise"]


@dataclass(frozen=True)
class Statistics:
    """A row of Table 2; None where there is nothing to take a mean of."""

    number: int
    """Images."""
    pixels: float | None
    """Mean of width x height."""
    bpp: float | None
    """Mean bits per pixel, of the bytes as served."""
    hf_ratio: float | None
    """Mean high-frequency ratio beyond 0.5 of the half-diagonal, a share."""
    hf_ratio_032: float | None
    """Mean high-frequency ratio beyond 0.32, the scale of the paper's figures."""
    diversity: float | None
    """Over the sub-categories, to base 10."""
    natural_diversity: float | None
    """Over the broad classes, natural logarithm."""


def summarise(table: pa.Table) -> Statistics:
    """Return the statistics of a manifest's or ledger's rows; null values enter no mean."""
    categories, broad = _counts(table, "category"), _counts(table, "broad")
    return Statistics(
        number=table.num_rows,
        pixels=_mean(table, "pixels"),
        bpp=_mean(table, "bpp"),
        hf_ratio=_mean(table, "hf_ratio"),
        hf_ratio_032=_mean(table, "hf_ratio_032"),
        diversity=diversity(categories) if categories else None,
        natural_diversity=natural_diversity(broad) if broad else None,
    )


def diversity(counts: Collection[int]) -> float:
    """Return -sum p log10 p over classes, the paper's "diversity" as it is read here.

    Over 16 sub-categories it is at most 1.204.

    Args:
        counts: images in each class.
    """
    return natural_diversity(counts) / log(10)


def natural_diversity(counts: Collection[int]) -> float:
    """Return -sum p ln p over classes: their entropy in nats; 0 when there are no images."""
    total = sum(counts)
    return sum(count / total * log(total / count) for count in counts if count)


def _mean(table: pa.Table, column: str) -> float | None:
    return pc.mean(table[column]).as_py() if column in table.column_names else None


def _counts(table: pa.Table, column: str) -> list[int]:
    if column not in table.column_names:
        return []
    counts: list[int] = table[column].drop_null().value_counts().field("counts").to_pylist()
    return counts
