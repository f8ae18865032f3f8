"""Number of images to take of each category and frequency bin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.sparse import block_array, coo_array, csr_array, eye_array, hstack, kron, vstack
from scipy.special import ndtr

__all__ = ["Balance", "FrequencyBins", "balance", "share_out", "shortage"]

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class FrequencyBins:
    """Bins of equal width in log10 of a ratio, outer two open, with a normal target share each."""

    edges: tuple[float, ...]
    """Inner edges, log10 of the ratio; one fewer than bins."""
    weights: tuple[float, ...]
    """Target share of each bin; sums to 1."""
    mean: float
    std: float
    minimum: float | None = None
    """Lower cut-off of the target, log10 of the ratio."""

    @classmethod
    def fit(
        cls,
        log_ratio_N: NDArray[np.float64],
        bins: int,
        mean: float | None,
        std: float | None,
        minimum: float | None,
    ) -> FrequencyBins:
        """Span three standard deviations on both sides of the mean, cut off at the minimum.

        Args:
            log_ratio_N: log10 of the pool's ratios; gives the mean or deviation where that is None.
            bins: number of bins.
            mean: mean of the target.
            std: standard deviation of the target.
            minimum: log10 of the smallest ratio that passes the filters; the target is 0 below it.
        """
        if mean is None:
            mean = float(log_ratio_N.mean()) if len(log_ratio_N) else 0.0
        if std is None:
            std = max(float(log_ratio_N.std()), 1e-3) if len(log_ratio_N) else 1.0
        # rounded, so that the last bit of a sum never moves an edge across an image
        mean, std = round(mean, 9), round(std, 9)
        low, high = mean - 3 * std, mean + 3 * std
        if minimum is not None:
            low = max(low, minimum)
        edges = np.linspace(low, max(high, low + std), bins + 1)
        bounds = edges.copy()
        bounds[0], bounds[-1] = (-np.inf if minimum is None else minimum), np.inf
        weights = np.diff(ndtr((bounds - mean) / std))
        weights = weights / weights.sum() if weights.sum() > 0 else np.full(bins, 1 / bins)
        return cls(tuple(edges[1:-1].tolist()), tuple(weights.tolist()), mean, std, minimum)

    def place(self, log_ratio_N: NDArray[np.float64]) -> NDArray[np.int16]:
        """Return the bin of each log10 ratio, 0 for the lowest."""
        return np.searchsorted(self.edges, log_ratio_N, side="right").astype(np.int16)


@dataclass(frozen=True)
class Balance:
    """Chosen counts, their distance from the targets, and the proof that no choice is nearer."""

    counts_CB: Counts
    category_target_C: Counts
    """Even or weighted counts, as far as the pool has them."""
    frequency_target_B: Counts
    """Normally distributed counts, as far as the pool has them."""
    distance: int
    """Weighted L1 distance of both marginals from their targets."""
    bound: int
    """Lower bound of the distance of any choice, by the dual of the linear programme."""
    spread: int
    """L1 distance of the cells from the product of both targets; minimised after `distance`."""

    @property
    def gap(self) -> int:
        """Duality gap; 0 proves that the choice is optimal."""
        return self.distance - self.bound


def balance(
    available_CB: Counts,
    total: int,
    category_weights_C: NDArray[np.float64],
    bin_weights_B: NDArray[np.float64],
    *,
    least_CB: Counts | None = None,
    importance: tuple[int, int] = (1, 1),
) -> Balance:
    """Choose `total` images so that categories and bins come as near their targets as possible.

    Each target is the best that its marginal allows by itself (see `share_out`). The programme
    first minimises the weighted L1 distance of both marginals from their targets. Among those
    optima it minimises the L1 distance of the cells from the product of the marginals, so that each
    category spreads over the frequencies. This is a minimum-cost flow with integer capacities,
    targets and costs, so its optimum and its dual's are integers; HiGHS solves it.

    Args:
        available_CB: images in the pool, shape (categories, bins).
        total: images wanted; all are taken when the pool has fewer.
        category_weights_C: relative target of each category.
        bin_weights_B: relative target of each bin.
        least_CB: images of each cell that must be taken; if these are more than `total`, only they
            are candidates.
        importance: cost of an image in a wrong category, and of one in a wrong bin.
    """
    total = int(min(total, available_CB.sum()))
    least_CB = np.zeros_like(available_CB) if least_CB is None else least_CB
    if least_CB.sum() > total:
        available_CB, least_CB = least_CB, np.zeros_like(least_CB)
    target_C = share_out(available_CB.sum(axis=1), category_weights_C, total)
    target_B = share_out(available_CB.sum(axis=0), bin_weights_B, total)
    if total == 0:
        return Balance(np.zeros_like(available_CB), target_C, target_B, 0, 0, 0)
    marginals = _marginals(*available_CB.shape)
    wanted = np.concatenate([target_C, target_B])
    product = np.outer(target_C, target_B).ravel() / total
    cell_target = share_out(available_CB.ravel(), product, total)

    # variables: cells x, then overshoot of each cell and marginal, then undershoot of each
    cells = available_CB.size
    goals = block_array([[eye_array(cells)], [marginals]])
    aims = np.concatenate([cell_target, wanted])
    slack = eye_array(len(aims))
    everything = np.concatenate([np.ones(cells), np.zeros(2 * len(aims))])
    weights = np.repeat(np.array(importance, np.int64), available_CB.shape)
    outweighs = 2 * total + 1  # one image of a marginal costs more than all cells
    nearness = np.concatenate([np.ones(cells, np.int64), weights * outweighs])
    x, bound = _minimise(
        np.concatenate([np.zeros(cells, np.int64), nearness, nearness]),
        vstack([hstack([goals, -slack, slack]), everything[None]], "csr"),
        np.append(aims, total),
        np.concatenate([least_CB.ravel(), np.zeros(2 * len(aims), np.int64)]),
        np.concatenate([available_CB.ravel(), np.full(2 * len(aims), total)]),
    )
    counts = x[:cells]
    distance = int(weights @ np.abs(marginals @ counts - wanted).astype(np.int64))
    spread = int(np.abs(counts - cell_target).sum())
    # the cells' distance is at most twice the total
    least = max(-((2 * total - bound) // outweighs), 0)
    return Balance(counts.reshape(available_CB.shape), target_C, target_B, distance, least, spread)


def shortage(
    available_CB: Counts,
    total: int,
    category_weights_C: NDArray[np.float64],
    bin_weights_B: NDArray[np.float64],
) -> tuple[Counts, Counts]:
    """Find the fewest images to add to a pool so that `total` can meet both targets exactly.

    Args:
        available_CB: images in the pool, shape (categories, bins).
        total: images wanted.
        category_weights_C: relative target of each category.
        bin_weights_B: relative target of each bin.

    Returns:
        Images of each cell in a choice that meets both targets, and how many of them are missing.
        Of the choices with the fewest missing, it is the one nearest to the product of the targets.
    """
    shape, cells = available_CB.shape, available_CB.size
    plenty = np.int64(total)
    target_C = share_out(np.full(shape[0], plenty), category_weights_C, total)
    target_B = share_out(np.full(shape[1], plenty), bin_weights_B, total)
    product = np.outer(target_C, target_B).ravel() / max(total, 1)
    cell_target = share_out(np.full(cells, plenty), product, total)
    # variables: images taken of each cell, images missing in it, then over- and undershoot of
    # their sum; rows: each cell meets its target, then each marginal does
    eye, marginals = eye_array(cells), _marginals(*shape)
    by_cell = hstack([eye, eye, -eye, eye])
    by_marginal = hstack([marginals, marginals, coo_array((sum(shape), 2 * cells))])
    x, _ = _minimise(
        np.repeat(np.array([0, 2 * total + 1, 1, 1], np.int64), cells),
        vstack([by_cell, by_marginal], "csr"),
        np.concatenate([cell_target, target_C, target_B]),
        np.zeros(4 * cells, np.int64),
        np.concatenate([np.minimum(available_CB.ravel(), plenty), np.full(3 * cells, plenty)]),
    )
    taken, missing = x[:cells].reshape(shape), x[cells : 2 * cells].reshape(shape)
    return taken + missing, missing


def _marginals(categories: int, bins: int) -> coo_array:
    """Return the matrix that sums cells over bins, then over categories."""
    over_bins = kron(eye_array(categories), np.ones((1, bins)))
    over_categories = kron(np.ones((1, categories)), eye_array(bins))
    return block_array([[over_bins], [over_categories]])


def _minimise(
    cost: Counts, matrix: csr_array, right: Counts, lower: Counts, upper: Counts
) -> tuple[Counts, int]:
    """Minimise `cost @ x` over integer x with `matrix @ x = right` and `lower <= x <= upper`.

    Returns:
        x, and a lower bound of the minimum by weak duality. The bound uses the solver's prices
        rounded to integers, so it holds whatever rounding errors the solver made.
    """
    bounds = np.stack([lower, upper], axis=1)
    result = linprog(cost, A_eq=matrix, b_eq=right, bounds=bounds, method="highs")
    if not result.success:  # a choice always exists, so this is our fault or the solver's
        raise RuntimeError(f"HiGHS: {result.message}")
    price = np.rint(result.eqlin.marginals).astype(np.int64)
    reduced = cost - matrix.T.astype(np.int64) @ price
    bound = int(price @ right + np.where(reduced > 0, lower, upper) @ reduced)
    return np.rint(result.x).astype(np.int64), bound


def share_out(
    available: Counts,
    weights: NDArray[np.float64],
    total: int,
    order: NDArray[np.int64] | None = None,
) -> Counts:
    """Share `total` out in proportion to the weights, as integers; no share exceeds `available`.

    The excess of a full share goes to the others, again by weight. The largest remainders are
    rounded up; ties go by `order` (smallest number first), or by position. Shares without weight
    are filled last. The sum is `total`, or all of `available` if that is less.
    """
    available = np.asarray(available, np.int64)
    total = int(min(total, available.sum()))
    share = np.zeros(len(available))
    left = total
    for open_ in (weights > 0, weights <= 0):
        while left and open_.any():
            weight = np.where(open_, np.where(weights > 0, weights, 1.0), 0.0)
            weight /= weight.max()  # sums of subnormal floats can't be divided by
            fair = left * (weight / weight.sum())
            full = open_ & (fair >= available)
            if not full.any():
                share, left = share + fair, 0
            share[full] = available[full]
            left -= int(available[full].sum())
            open_ = open_ & ~full
    whole = np.minimum(np.floor(share + 1e-9), available).astype(np.int64)
    remainder = np.round(share - whole, 9)
    odd = np.lexsort((np.arange(len(share)) if order is None else order, -remainder))
    odd = odd[whole[odd] < available[odd]]
    whole[odd[: total - int(whole.sum())]] += 1
    return whole
