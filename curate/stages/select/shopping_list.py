"""What a pool lacks: which images to look for, and how many candidates that takes."""

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
"""`low` and `high` are the bin's bounds, as values of the balanced column. `candidates_searched` are candidates that
show the category, `candidates_as_before` ones of the same lists; null where nothing like it was seen."""

_LARGEST_POOL = 1e15
"""Images beyond which no pool will ever go: a share that asks for more can't be met."""

Row = dict[str, Any]
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Yields:
    """What became of the candidates so far."""

    candidates: int
    pool_CB: Counts
    """Those that passed everything, by category and bin."""

    def searched(self, images: int, category: int, bin_: int | None = None) -> int | None:
        """Candidates to fetch when all show the category, for so many images of it (and of a bin) to pass."""
        share = 1.0
        if bin_ is not None:
            # a category's own bands, unless none of its images is in this one
            seen = (
                self.pool_CB[category] if self.pool_CB[category, bin_] else self.pool_CB.sum(axis=0)
            )
            share = seen[bin_] / max(seen.sum(), 1)
        return self._needed(images, share * int(self.pool_CB.sum()))

    def as_before(self, images: int, category: int, bin_: int | None = None) -> int | None:
        """The same when they are such as before."""
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
    """A row for each cell that lacks images; see `balance.shortage`.

    Args:
        asked_CB: images of each cell in a choice that meets the targets.
        missing_CB: how many of them the pool doesn't have.
        categories: their names.
        edges: the bins' inner edges, log10.
        yields: of the run.
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
    """A row for each category whose quota isn't met; `max_share` makes the pool of it count, not the quota alone."""
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
    """A row for each category that lacks something: what is crawled for one of its bands brings others, too.

    `bands` are (low, high, lacking) of the training split; `unknown_...` says that something is lacking of which
    nothing was seen, so that the candidates are those for the rest. The last row, if there are several, is of all.
    """
    found = []
    for category in dict.fromkeys(row["category"] for row in rows):
        own = [row for row in rows if row["category"] == category]
        train = [row for row in own if row["split"] == "train"]
        found.append(
            {
                "category": category,
                "train": sum(row["lacking"] for row in train),
                "test": sum(row["lacking"] for row in own if row["split"] == "test"),
                "bands": [[row["low"], row["high"], row["lacking"]] for row in train],
                "candidates_searched": max(
                    (row["candidates_searched"] or 0 for row in own), default=0
                ),
                "candidates_as_before": max(
                    (row["candidates_as_before"] or 0 for row in own), default=0
                ),
                "unknown_searched": any(row["candidates_searched"] is None for row in own),
                "unknown_as_before": any(row["candidates_as_before"] is None for row in own),
            }
        )
    found.sort(key=lambda row: -(row["train"] + row["test"]))
    if len(found) > 1:
        # each category is searched for by itself; more of the same lists bring all of them
        everything = {
            key: sum(row[key] for row in found) for key in ("train", "test", "candidates_searched")
        }
        everything["candidates_as_before"] = max(row["candidates_as_before"] for row in found)
        unknown = {
            key: any(row[key] for row in found) for key in ("unknown_searched", "unknown_as_before")
        }
        found.append({"category": "all", "bands": [], **everything, **unknown})
    return found


def shopping_csv(rows: Sequence[Row]) -> bytes:
    """The rows as CSV with a header."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()
