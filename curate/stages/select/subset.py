"""Pick rows whose means lie between bounds: an integer programme over rows."""

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
"""Rows beyond twice the wanted number in the first integer programme."""
# a limit of nodes, not of seconds, gives the same result on any machine
_OPTIONS = {"mip_rel_gap": 1e-3, "node_limit": 1000}


@dataclass(frozen=True)
class MeanBetween:
    """Bounds on the mean of a measure over the picked rows."""

    values_N: Values
    low: float
    high: float


@dataclass(frozen=True)
class Picked:
    """Picked rows, which meet all conditions."""

    row_N: NDArray[np.int64]
    """Row numbers in ascending order."""
    cost: float
    """Sum of the rows' costs."""
    bound: float
    """Lower bound of the cost: the optimum of the relaxed programme."""


def pick(
    cost_N: Values,
    group_N: NDArray[np.int64],
    counts_G: Counts,
    means: Sequence[MeanBetween] = (),
    must_N: NDArray[np.bool_] | None = None,
) -> Picked | None:
    """Return the rows of least cost, `counts_G` of each group, within the bounds of all means.

    HiGHS first solves the linear relaxation, whose optimum is a lower bound. It takes few rows in
    part, so the integer programme over the rows of least reduced cost comes very near to it. While
    that has no solution, the number of rows is doubled. A million rows are feasible.

    Args:
        cost_N: cost of each row.
        group_N: group of each row, such as its category.
        counts_G: rows wanted of each group.
        means: bounds on means over all picked rows.
        must_N: mask of rows that must be picked.

    Returns:
        The picked rows; None if no choice meets the conditions.
    """
    count = int(counts_G.sum())
    must_N = np.zeros(len(cost_N), bool) if must_N is None else must_N
    if not count or (np.bincount(group_N, minlength=len(counts_G)) < counts_G).any():
        return None
    rows = len(group_N)
    groups = csr_array((np.ones(rows), (group_N, np.arange(rows))), (len(counts_G), rows))
    sums, low_M, high_M = _sums(means, count, len(cost_N))
    relaxed = linprog(
        cost_N,
        A_ub=vstack([sums, -sums], "csr"),
        b_ub=np.concatenate([high_M, -low_M]),
        A_eq=groups,
        b_eq=counts_G,
        bounds=np.stack([must_N, np.ones(len(cost_N))], axis=1),
        method="highs",
    )
    if not relaxed.success:
        return None
    reduced_N = relaxed.lower.marginals + relaxed.upper.marginals
    order = np.lexsort((np.arange(len(cost_N)), np.where(must_N, -np.inf, reduced_N)))
    matrix = vstack([groups, sums], "csc")
    bounds = np.concatenate([counts_G, low_M]), np.concatenate([counts_G, high_M])
    considered = min(2 * count + _NEAREST, len(cost_N))
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
        if considered == len(cost_N):
            return None
        considered = min(2 * considered, len(cost_N))


def _sums(means: Sequence[MeanBetween], count: int, rows: int) -> tuple[csr_array, Values, Values]:
    """Turn bounds on means into bounds on sums, each scaled by the size of its bounds.

    Returns:
        Matrix of shape (measures, rows), lower and upper bounds of its product.
    """
    if not means:
        return csr_array(coo_array((0, rows))), np.empty(0), np.empty(0)
    scale = np.array([max(abs(m.low), abs(m.high), 1e-300) for m in means])
    values = np.stack([m.values_N for m in means]) / scale[:, None]
    low, high = np.array([(m.low, m.high) for m in means]).T / scale * count
    return csr_array(values), low, high
