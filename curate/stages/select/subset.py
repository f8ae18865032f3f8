"""Which rows to take so that means over them are as wanted: an integer programme over rows."""

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
"""Rows beyond twice as many as are wanted that the integer programme looks at first."""
_OPTIONS = {
    "mip_rel_gap": 1e-3,
    "node_limit": 1000,
}  # nodes, not seconds: the same however busy the machine


@dataclass(frozen=True)
class MeanBetween:
    """Bounds on the mean of a measure over the rows that are taken."""

    values_N: Values
    low: float
    high: float


@dataclass(frozen=True)
class Picked:
    """Rows that meet all conditions."""

    row_N: NDArray[np.int64]
    """In ascending order."""
    cost: float
    """Sum of their costs."""
    bound: float
    """What no choice costs less than: the optimum where parts of rows may be taken."""


def pick(
    cost_N: Values,
    group_N: NDArray[np.int64],
    counts_G: Counts,
    means: Sequence[MeanBetween] = (),
    must_N: NDArray[np.bool_] | None = None,
) -> Picked | None:
    """The rows of least cost, so many of each group, whose means lie between bounds; None where there are none.

    First the linear programme in which parts of rows may be taken (HiGHS). Its optimum is a bound, and so few of its
    rows are taken in part that the integer programme over those whose reduced costs are least comes within a hair of
    it; more rows are looked at as long as that one has no solution. So a million rows are no trouble.

    Args:
        cost_N: of taking each row.
        group_N: each row's group, such as its category.
        counts_G: rows wanted of each group.
        means: bounds on means over all rows taken.
        must_N: rows that have to be taken.
    """
    count = int(counts_G.sum())
    must_N = np.zeros(len(cost_N), bool) if must_N is None else must_N
    if not count or (np.bincount(group_N, minlength=len(counts_G)) < counts_G).any():
        return None
    groups = csr_array(
        (np.ones(len(group_N)), (group_N, np.arange(len(group_N)))), (len(counts_G), len(group_N))
    )
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
    looked_at = min(2 * count + _NEAREST, len(cost_N))
    while True:
        row_N = np.sort(order[:looked_at])
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
        if looked_at == len(cost_N):
            return None
        looked_at = min(2 * looked_at, len(cost_N))


def _sums(means: Sequence[MeanBetween], count: int, rows: int) -> tuple[csr_array, Values, Values]:
    """The bounds on means as bounds on sums, each scaled to the size of its bounds; those that bind nothing left out.

    Returns:
        Matrix of shape (measures, rows), lower and upper bounds of its product.
    """
    if not means:
        return csr_array(coo_array((0, rows))), np.empty(0), np.empty(0)
    scale = np.array([max(abs(m.low), abs(m.high), 1e-300) for m in means])
    values = np.stack([m.values_N for m in means]) / scale[:, None]
    low, high = (
        np.array([getattr(m, name) for m in means]) / scale * count for name in ("low", "high")
    )
    return csr_array(values), low, high
