"""Shopping list: images that a pool lacks, and the candidates that they take."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["COLUMNS", "Yields", "by_category", "missing_test", "missing_train", "shopping_csv"]

COLUMNS = (
    "split", "category", "bin", "low", "high", "asked", "there", "lacking",
    "candidates_searched", "candidates_as_before",
)  # fmt: skip
"""Columns of the list.

`low` and `high` are the bin's bounds, as values of the balanced column. `candidates_searched`
counts candidates that show the category, `candidates_as_before` candidates of the same lists; null
if no such image was seen.
"""

_LARGEST_POOL = 1e15
"""Largest pool, in images; a share that needs more can't be met."""

Row = dict[str, Any]
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Yields:
    """Yields of the candidates so far."""

    candidates: int
    pool_CB: Counts
    """Images that passed everything, by category and bin."""

    def searched(self, images: int, category: int, bin_: int | None = None) -> int | None:
        """Return candidates for `images` of a category (and bin) if all show the category."""
        share = 1.0
        if bin_ is not None:
            # the category's own distribution, or the pool's if the category has none in this bin
            own = self.pool_CB[category]
            seen = own if own[bin_] else self.pool_CB.sum(axis=0)
            share = seen[bin_] / max(seen.sum(), 1)
        return self._needed(images, share * int(self.pool_CB.sum()))

    def as_before(self, images: int, category: int, bin_: int | None = None) -> int | None:
        """Return candidates needed for them if candidates are like those so far."""
        seen = self.pool_CB[category].sum() if bin_ is None else self.pool_CB[category, bin_]
        return self._needed(images, int(seen))

    def _needed(self, images: int, passed: float) -> int | None:
        return ceil(images * self.candidates / passed - 1e-9) if passed else None


def missing_train(
    asked_CB: Counts,
    missing_CB: Counts,
    categories: Sequence[str],
    edges: Sequence[float],
    yields: Yields,
) -> Iterator[Row]:
    """Yield a row for each cell that lacks images; see `balance.shortage`.

    Args:
        asked_CB: images of each cell in a choice that meets the targets.
        missing_CB: how many of them the pool lacks.
        categories: names of the categories.
        edges: inner edges of the bins, log10.
        yields: yields of the run.
    """
    bounds = [None, *(10**edge for edge in edges), None]
    for category, bin_ in np.argwhere(missing_CB > 0).tolist():
        asked, lacking = int(asked_CB[category, bin_]), int(missing_CB[category, bin_])
        yield {
            "split": "train",
            "category": categories[category],
            "bin": bin_,
            "low": bounds[bin_],
            "high": bounds[bin_ + 1],
            "asked": asked,
            "there": asked - lacking,
            "lacking": lacking,
            "candidates_searched": yields.searched(lacking, category, bin_),
            "candidates_as_before": yields.as_before(lacking, category, bin_),
        }


def missing_test(
    asked_C: Counts, taken_C: Counts, max_share: float, categories: Sequence[str], yields: Yields
) -> Iterator[Row]:
    """Yield a row for each category below its quota; `max_share` needs a larger pool, too."""
    for category in np.flatnonzero(taken_C < asked_C).tolist():
        asked, taken = int(asked_C[category]), int(taken_C[category])
        more = None
        if asked < max_share * _LARGEST_POOL:
            more = ceil(asked / max_share - 1e-9) - int(yields.pool_CB[category].sum())
        yield {
            "split": "test",
            "category": categories[category],
            "bin": None,
            "low": None,
            "high": None,
            "asked": asked,
            "there": taken,
            "lacking": asked - taken,
            "candidates_searched": None if more is None else yields.searched(more, category),
            "candidates_as_before": None if more is None else yields.as_before(more, category),
        }


def by_category(rows: Sequence[Row]) -> list[Row]:
    """Return a row for each category that lacks images, and a last one for all if several do.

    Candidates for one band of a category bring its other bands, too. `bands` are (low, high,
    lacking) of the training split. `unknown_...` is true if no image of some band was seen; the
    candidates are then those of the other bands.
    """
    found = []
    searched, as_before = "candidates_searched", "candidates_as_before"
    for category in dict.fromkeys(row["category"] for row in rows):
        own = [row for row in rows if row["category"] == category]
        lacking = {"train": 0, "test": 0}
        for row in own:
            lacking[row["split"]] += row["lacking"]
        train = [row for row in own if row["split"] == "train"]
        found.append(
            {
                "category": category,
                **lacking,
                "bands": [[row["low"], row["high"], row["lacking"]] for row in train],
                searched: max(row[searched] or 0 for row in own),
                as_before: max(row[as_before] or 0 for row in own),
                "unknown_searched": any(row[searched] is None for row in own),
                "unknown_as_before": any(row[as_before] is None for row in own),
            }
        )
    found.sort(key=lambda row: -(row["train"] + row["test"]))
    if len(found) > 1:
        # each category is searched for by itself, while more of the same lists bring all of them
        total: Row = {"category": "all", "bands": []}
        for key in ("train", "test", searched):
            total[key] = sum(row[key] for row in found)
        total[as_before] = max(row[as_before] for row in found)
        for key in ("unknown_searched", "unknown_as_before"):
            total[key] = any(row[key] for row in found)
        found.append(total)
    return found


def shopping_csv(rows: Sequence[Row]) -> bytes:
    """Encode the rows as CSV with a header."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()
