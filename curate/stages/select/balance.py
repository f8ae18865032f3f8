"""Balance of the training split: counts of images by category and frequency bin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.sparse import block_array, coo_array, csr_array, eye_array, hstack, kron, vstack
from scipy.special import ndtr

__all__ = ["Balance", "FrequencyBins", "balance", "share_out", "shortage"]

Counts = NDArray[np.int64]
Weights = NDArray[np.float64]


@dataclass(frozen=True)
class FrequencyBins:
    """Bins of equal width in log10 of a ratio, and a normal distribution's share of each.

    The outer two bins are open.
    """

    edges: tuple[float, ...]
    """Inner edges, log10 of the ratio; one fewer than bins."""
    weights: tuple[float, ...]
    """The target's share of each bin; they add up to 1."""
    mean: float
    std: float
    minimum: float | None = None
    """Lower end of the target, log10 of the ratio."""

    @classmethod
    def fit(
        cls,
        log_ratio_N: NDArray[np.float64],
        bins: int,
        mean: float | None,
        std: float | None,
        minimum: float | None,
    ) -> FrequencyBins:
        """Return bins over three standard deviations either side of the mean, from the minimum on.

        Args:
            log_ratio_N: log10 of the pool's ratios, which give a mean or deviation that is None.
            bins: number of bins.
            mean: of the target.
            std: of the target.
            minimum: log10 of the smallest ratio that passes the filters; the target starts there.
        """
        empty = not len(log_ratio_N)
        if mean is None:
            mean = 0.0 if empty else float(log_ratio_N.mean())
        if std is None:
            std = 1.0 if empty else max(float(log_ratio_N.std()), 1e-3)
        # rounded, so that the last bit of a sum never moves an edge across an image
        mean, std = round(mean, 9), round(std, 9)
        low, high = mean - 3 * std, mean + 3 * std
        if minimum is not None:
            low = max(low, minimum)
        edges = np.linspace(low, max(high, low + std), bins + 1)
        # the normal distribution's mass between the bounds, scaled to add up to 1
        bounds = edges.copy()
        bounds[0], bounds[-1] = (-np.inf if minimum is None else minimum), np.inf
        weights = np.diff(ndtr((bounds - mean) / std))
        weights = weights / weights.sum() if weights.sum() > 0 else np.full(bins, 1 / bins)
        return cls(tuple(edges[1:-1].tolist()), tuple(weights.tolist()), mean, std, minimum)

    def place(self, log_ratio_N: NDArray[np.float64]) -> NDArray[np.int16]:
        """Return the bin of each ratio, 0 the lowest."""
        return np.searchsorted(self.edges, log_ratio_N, side="right").astype(np.int16)


@dataclass(frozen=True)
class Balance:
    """Chosen counts, their distance from the targets, and a proof that no others come nearer."""

    counts_CB: Counts
    category_target_C: Counts
    """Even (or as weighted), as far as the pool has them."""
    frequency_target_B: Counts
    """Normal, as far as the pool has them."""
    distance: int
    """Weighted L1 distance of both marginals from their targets."""
    bound: int
    """Lower bound of the distance of any choice of so many images, by the dual programme."""
    spread: int
    """L1 distance of the cells from the product of both targets; it only breaks ties."""

    @property
    def gap(self) -> int:
        """Duality gap: 0 where the choice is proven to be the best."""
        return self.distance - self.bound


def balance(
    available_CB: Counts,
    total: int,
    category_weights_C: Weights,
    bin_weights_B: Weights,
    *,
    least_CB: Counts | None = None,
    importance: tuple[int, int] = (1, 1),
) -> Balance:
    """Choose `total` images so that both marginals come as near their targets as any choice can.

    The marginals are the counts of categories and of frequency bins. Each target is its marginal's
    own optimum (see `share_out`). Minimised first: the weighted L1 distance of both marginals from
    their targets. Then, among those optima: the L1 distance of the cells from the product of the
    marginals, so that each category spreads over the frequencies. This linear programme is a flow
    through a network with whole capacities, targets and costs. So its optimum and its dual's are
    whole numbers. HiGHS solves it.

    Args:
        available_CB: images there are, shape (categories, bins).
        total: images wanted; all are taken when there are fewer.
        category_weights_C: relative target of each category.
        bin_weights_B: relative target of each bin.
        least_CB: images of each cell that must be taken; if these are more than `total`, no others
            are taken.
        importance: costs of an image in a wrong category, and of one in a wrong bin.
    """
    total = int(min(total, available_CB.sum()))
    least_CB = np.zeros_like(available_CB) if least_CB is None else least_CB
    if least_CB.sum() > total:
        available_CB, least_CB = least_CB, np.zeros_like(least_CB)
    target_C = share_out(available_CB.sum(axis=1), category_weights_C, total)
    target_B = share_out(available_CB.sum(axis=0), bin_weights_B, total)
    if total == 0:
        return Balance(np.zeros_like(available_CB), target_C, target_B, 0, 0, 0)
    cells, marginals = available_CB.size, _marginals(*available_CB.shape)
    wanted = np.concatenate([target_C, target_B])
    product = np.outer(target_C, target_B).ravel() / total
    cell_target = share_out(available_CB.ravel(), product, total)

    # variables: cells x, then over- and undershoot of each cell, then of each marginal;
    # rows: x - over + under = target for each cell and marginal, and the sum of x is the total
    goals = block_array([[eye_array(cells)], [marginals]])
    aims = np.concatenate([cell_target, wanted])
    slack, slacks = eye_array(len(aims)), np.zeros(2 * len(aims), np.int64)
    sum_of_x = np.concatenate([np.ones(cells), slacks])
    # costs: one image of a marginal outweighs all cells, which are at most 2 x total away
    weights = np.repeat(np.array(importance, np.int64), available_CB.shape)
    outweighs = 2 * total + 1
    slack_cost = np.concatenate([np.ones(cells, np.int64), weights * outweighs])
    x, bound = _minimise(
        np.concatenate([np.zeros(cells, np.int64), slack_cost, slack_cost]),
        vstack([hstack([goals, -slack, slack]), sum_of_x[None]], "csr"),
        np.append(aims, total),
        np.concatenate([least_CB.ravel(), slacks]),
        np.concatenate([available_CB.ravel(), slacks + total]),
    )
    counts = x[:cells]
    distance = int(weights @ np.abs(marginals @ counts - wanted).astype(np.int64))
    spread = int(np.abs(counts - cell_target).sum())
    least = max(-((2 * total - bound) // outweighs), 0)
    return Balance(counts.reshape(available_CB.shape), target_C, target_B, distance, least, spread)


def shortage(
    available_CB: Counts,
    total: int,
    category_weights_C: Weights,
    bin_weights_B: Weights,
) -> tuple[Counts, Counts]:
    """Return the fewest images that a pool lacks for `total` images to meet both targets exactly.

    Args:
        available_CB: images there are, shape (categories, bins).
        total: images wanted.
        category_weights_C: relative target of each category.
        bin_weights_B: relative target of each bin.

    Returns:
        Images of each cell in a choice that meets both targets, and how many of them are missing.
        Of the choices that miss as few, it is the one whose cells come nearest to the product of
        the targets.
    """
    shape, cells = available_CB.shape, available_CB.size
    target_C = share_out(np.full(shape[0], total), category_weights_C, total)
    target_B = share_out(np.full(shape[1], total), bin_weights_B, total)
    product = np.outer(target_C, target_B).ravel() / max(total, 1)
    cell_target = share_out(np.full(cells, total), product, total)
    # variables: images taken of each cell, images missing in it, over- and undershoot of both;
    # rows: taken + missing - over + under = target for each cell, and the marginals are exact
    eye, marginals = eye_array(cells), _marginals(*shape)
    no_slack = coo_array((sum(shape), 2 * cells))
    rows = hstack([eye, eye, -eye, eye]), hstack([marginals, marginals, no_slack])
    available = np.minimum(available_CB.ravel(), total)
    x, _ = _minimise(
        np.repeat(np.array([0, 2 * total + 1, 1, 1], np.int64), cells),
        vstack(rows, "csr"),
        np.concatenate([cell_target, target_C, target_B]),
        np.zeros(4 * cells, np.int64),
        np.concatenate([available, np.full(3 * cells, total)]),
    )
    taken, missing = x[:cells].reshape(shape), x[cells : 2 * cells].reshape(shape)
    return taken + missing, missing


def _marginals(categories: int, bins: int) -> coo_array:
    """Return the matrix that sums cells over bins, then over categories."""
    by_category = kron(eye_array(categories), np.ones((1, bins)))
    by_bin = kron(np.ones((1, categories)), eye_array(bins))
    return block_array([[by_category], [by_bin]])


def _minimise(
    cost: Counts, matrix: csr_array, right: Counts, lower: Counts, upper: Counts
) -> tuple[Counts, int]:
    """Return whole x of least `cost @ x`, and a lower bound of that cost.

    Subject to `matrix @ x = right` and `lower <= x <= upper`. The bound is weak duality's, with the
    solver's prices rounded: whole numbers throughout, so it holds whatever rounding errors the
    solver made.
    """
    limits = np.stack([lower, upper], axis=1)
    result = linprog(cost, A_eq=matrix, b_eq=right, bounds=limits, method="highs")
    if not result.success:  # there always is a choice, so this is a bug, here or in the solver
        raise RuntimeError(f"HiGHS: {result.message}")
    # dual bound: each variable stands where its reduced cost is least
    price = np.rint(result.eqlin.marginals).astype(np.int64)
    reduced = cost - matrix.T.astype(np.int64) @ price
    bound = int(price @ right + np.where(reduced > 0, lower, upper) @ reduced)
    return np.rint(result.x).astype(np.int64), bound


def share_out(
    available: Counts,
    weights: Weights,
    total: int,
    order: NDArray[np.int64] | None = None,
) -> Counts:
    """Share `total` out in proportion to the weights, none above its capacity.

    The excess over a capacity goes to the other shares, again by weight; shares without weight come
    last. Shares are whole numbers. The largest remainders get the odd ones; of equal remainders
    those that come first in `order` (smallest number first), or in the array. The sum is `total`,
    or all that is available.
    """
    available = np.asarray(available, np.int64)
    total = int(min(total, available.sum()))
    share = np.zeros(len(available))
    left = total
    # fill up the shares that can't hold theirs, and share the rest again; then those of no weight
    for open_ in (weights > 0, weights <= 0):
        while left and open_.any():
            weight = np.where(open_, np.where(weights > 0, weights, 1.0), 0.0)
            weight /= weight.max()  # a sum of the smallest floats is too small to divide by
            fair = left * (weight / weight.sum())
            full = open_ & (fair >= available)
            if not full.any():
                share, left = share + fair, 0
            share[full] = available[full]
            left -= int(available[full].sum())
            open_ = open_ & ~full
    # round down, then give one more to the largest remainders
    whole = np.minimum(np.floor(share + 1e-9), available).astype(np.int64)
    remainder = np.round(share - whole, 9)
    odd = np.lexsort((np.arange(len(share)) if order is None else order, -remainder))
    odd = odd[whole[odd] < available[odd]][: total - int(whole.sum())]
    whole[odd] += 1
    return whole
