"""Choice of rows whose means lie between bounds: an integer programme over rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, linprog, milp
from scipy.sparse import coo_array, csr_array, vstack

__all__ = ["MeanBetween", "Picked", "pick"]

Values = NDArray[np.float64]
Counts = NDArray[np.int64]

_NEAREST = 1000
"""Rows beyond twice the wanted number that the integer programme considers first."""
# nodes, not seconds: the same however busy the machine
_OPTIONS = {"mip_rel_gap": 1e-3, "node_limit": 1000}


@dataclass(frozen=True)
class MeanBetween:
    """Bounds on the mean of a measure over the rows that are taken."""

    values_N: Values
    low: float
    high: float


@dataclass(frozen=True)
class Picked:
    """Rows that meet all conditions."""

    row_N: Counts
    """In ascending order."""
    cost: float
    """Sum of their costs."""
    bound: float
    """Lower bound of the cost of any choice: the optimum where parts of rows may be taken."""


def pick(
    cost_N: Values,
    group_N: Counts,
    counts_G: Counts,
    means: Sequence[MeanBetween] = (),
    must_N: NDArray[np.bool_] | None = None,
) -> Picked | None:
    """Return the rows of least cost, so many of each group, whose means lie between bounds.

    First HiGHS solves the linear programme in which parts of rows may be taken. Its optimum is a
    bound, and it takes few rows in part. So the integer programme over the rows of least reduced
    cost comes within a hair of it. As long as that one has no solution, it gets more rows. So a
    million rows are no trouble.

    Args:
        cost_N: of taking each row.
        group_N: each row's group, such as its category.
        counts_G: rows wanted of each group.
        means: bounds on means over all rows taken.
        must_N: rows that have to be taken.

    Returns:
        The rows, or None where no choice meets the conditions.
    """
    rows, count = len(cost_N), int(counts_G.sum())
    must_N = np.zeros(rows, bool) if must_N is None else must_N
    if not count or (np.bincount(group_N, minlength=len(counts_G)) < counts_G).any():
        return None
    # relaxed programme: sums between bounds, group counts met, 0 <= x <= 1 (1 <= x for must_N)
    groups = csr_array((np.ones(rows), (group_N, np.arange(rows))), (len(counts_G), rows))
    sums, low_M, high_M = _sums(means, count, rows)
    relaxed = linprog(
        cost_N,
        A_ub=vstack([sums, -sums], "csr"),
        b_ub=np.concatenate([high_M, -low_M]),
        A_eq=groups,
        b_eq=counts_G,
        bounds=np.stack([must_N, np.ones(rows)], axis=1),
        method="highs",
    )
    if not relaxed.success:
        return None
    # integer programme over the rows of least reduced cost, over more while it has no solution
    reduced_N = relaxed.lower.marginals + relaxed.upper.marginals
    order = np.lexsort((np.arange(rows), np.where(must_N, -np.inf, reduced_N)))
    matrix = vstack([groups, sums], "csc")
    bounds = np.concatenate([counts_G, low_M]), np.concatenate([counts_G, high_M])
    considered = min(2 * count + _NEAREST, rows)
    while True:
        row_N = np.sort(order[:considered])
        solved = milp(
            cost_N[row_N],
            constraints=LinearConstraint(matrix[:, row_N], *bounds),
            bounds=Bounds(must_N[row_N].astype(float), 1),
            integrality=np.ones(len(row_N)),
            options=_OPTIONS,
        )
        if solved.x is not None:
            taken_N = row_N[np.rint(solved.x) == 1]
            return Picked(taken_N, float(cost_N[taken_N].sum()), float(relaxed.fun))
        if considered == rows:
            return None
        considered = min(2 * considered, rows)


def _sums(means: Sequence[MeanBetween], count: int, rows: int) -> tuple[csr_array, Values, Values]:
    """Return the bounds on means as bounds on sums, each scaled to the size of its bounds.

    Returns:
        Matrix of shape (measures, rows), lower and upper bounds of its product.
    """
    if not means:
        return csr_array(coo_array((0, rows))), np.empty(0), np.empty(0)
    bounds = np.array([(mean.low, mean.high) for mean in means])
    scale = np.maximum(np.abs(bounds).max(axis=1), 1e-300)
    values = np.stack([mean.values_N for mean in means]) / scale[:, None]
    return csr_array(values), *(bounds.T / scale * count)
