"""Shopping list: images that a pool lacks, and the number of candidates to search for them."""

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

`low` and `high` are the bin's bounds, as values of the balanced column. `candidates_searched` are
candidates that show the category, `candidates_as_before` are candidates of the same lists. Both are
null where the run has seen nothing like it.
"""

_LARGEST_POOL = 1e15
"""Images in the largest pool conceivable: a share that asks for more can't be met."""

Row = dict[str, Any]
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Yields:
    """Yields of the candidates so far."""

    candidates: int
    pool_CB: Counts
    """Images that passed everything, by category and bin."""

    def searched(self, images: int, category: int, bin_: int | None = None) -> int | None:
        """Return how many candidates of a category yield so many images of it (and of a bin)."""
        share = 1.0
        if bin_ is not None:
            # a category's own bands, unless none of its images is in this one
            own = bool(self.pool_CB[category, bin_])
            seen = self.pool_CB[category] if own else self.pool_CB.sum(axis=0)
            share = seen[bin_] / max(seen.sum(), 1)
        return self._needed(images, share * int(self.pool_CB.sum()))

    def as_before(self, images: int, category: int, bin_: int | None = None) -> int | None:
        """Return how many more candidates of the same lists yield so many images."""
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
        missing_CB: how many of them the pool doesn't have.
        categories: their names.
        edges: the bins' inner edges, log10.
        yields: of the run.
    """
    bounds = [None, *(10**edge for edge in edges), None]
    for category, bin_ in np.argwhere(missing_CB > 0).tolist():
        asked, lacking = int(asked_CB[category, bin_]), int(missing_CB[category, bin_])
        row = (
            "train", categories[category], bin_, bounds[bin_], bounds[bin_ + 1],
            asked, asked - lacking, lacking,
            yields.searched(lacking, category, bin_), yields.as_before(lacking, category, bin_),
        )  # fmt: skip
        yield dict(zip(COLUMNS, row, strict=True))


def missing_test(
    asked_C: Counts, taken_C: Counts, max_share: float, categories: Sequence[str], yields: Yields
) -> Iterator[Row]:
    """Yield a row for each category whose quota isn't met.

    With `max_share` not only the quota counts, but the size of the category's pool, too.
    """
    for category in np.flatnonzero(taken_C < asked_C).tolist():
        asked, taken = int(asked_C[category]), int(taken_C[category])
        searched = as_before = None
        if asked < max_share * _LARGEST_POOL:
            more = ceil(asked / max_share - 1e-9) - int(yields.pool_CB[category].sum())
            searched, as_before = yields.searched(more, category), yields.as_before(more, category)
        row = (
            "test", categories[category], None, None, None,
            asked, taken, asked - taken, searched, as_before,
        )  # fmt: skip
        yield dict(zip(COLUMNS, row, strict=True))


def by_category(rows: Sequence[Row]) -> list[Row]:
    """Return a row for each category that lacks images; a search for one band brings others, too.

    `bands` are (low, high, lacking) of the training split. `unknown_...` is true where the run has
    seen nothing like some of the lacking images; the candidates are those for the rest. The last
    row, if there are several, is of all.
    """
    found: dict[str, Row] = {}
    for row in rows:
        sums = found.setdefault(row["category"], _empty(row["category"]))
        sums[row["split"]] += row["lacking"]
        if row["split"] == "train":
            sums["bands"].append([row["low"], row["high"], row["lacking"]])
        for kind in ("searched", "as_before"):
            candidates = row[f"candidates_{kind}"]
            sums[f"candidates_{kind}"] = max(sums[f"candidates_{kind}"], candidates or 0)
            sums[f"unknown_{kind}"] |= candidates is None
    largest = sorted(found.values(), key=lambda sums: -(sums["train"] + sums["test"]))
    if len(largest) > 1:
        # bands first: the order of the keys is part of the summary's bytes
        everything = {"category": "all", "bands": [], **_empty("all")}
        for sums in largest:
            # each category is searched for by itself; more of the same lists bring all of them
            for key in ("train", "test", "candidates_searched"):
                everything[key] += sums[key]
            most = max(everything["candidates_as_before"], sums["candidates_as_before"])
            everything["candidates_as_before"] = most
            for key in ("unknown_searched", "unknown_as_before"):
                everything[key] |= sums[key]
        largest.append(everything)
    return largest


def _empty(category: str) -> Row:
    row: Row = {"category": category, "train": 0, "test": 0, "bands": []}
    row |= {"candidates_searched": 0, "candidates_as_before": 0}
    return row | {"unknown_searched": False, "unknown_as_before": False}


def shopping_csv(rows: Sequence[Row]) -> bytes:
    """Return the rows as CSV with a header."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()
