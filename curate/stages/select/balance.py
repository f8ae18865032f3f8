"""How many images to take of each category and frequency bin."""

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
    """Bins of equal width in log10 of a ratio, the outer two open, and what a normal distribution puts in each."""

    edges: tuple[float, ...]
    """Inner edges, log10 of the ratio; one fewer than bins."""
    weights: tuple[float, ...]
    """The target's share of each bin; they add up to 1."""
    mean: float
    std: float
    minimum: float | None = None
    """Where the target is cut off, log10 of the ratio."""

    @classmethod
    def fit(
        cls,
        log_ratio_N: NDArray[np.float64],
        bins: int,
        mean: float | None,
        std: float | None,
        minimum: float | None,
    ) -> FrequencyBins:
        """Bins over three standard deviations either side of the target's mean, cut off at the recipe's minimum.

        Args:
            log_ratio_N: log10 of the pool's ratios, from which a mean or deviation that isn't given is taken.
            bins: number of bins.
            mean: of the target.
            std: of the target.
            minimum: log10 of the smallest ratio that the filters let pass; the target has nothing below it.
        """
        mean = mean if mean is not None else float(log_ratio_N.mean()) if len(log_ratio_N) else 0.0
        # rounded, so that the last bit of a sum never moves an edge across an image
        mean = round(mean, 9)
        std = round(
            std
            if std is not None
            else max(float(log_ratio_N.std()), 1e-3)
            if len(log_ratio_N)
            else 1.0,
            9,
        )
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
        """Bin of each ratio, 0 the lowest."""
        return np.searchsorted(self.edges, log_ratio_N, side="right").astype(np.int16)


@dataclass(frozen=True)
class Balance:
    """The counts chosen, how near they come to what was wanted, and the proof that no others come nearer."""

    counts_CB: Counts
    category_target_C: Counts
    """Even (or as weighted), as far as the pool has them."""
    frequency_target_B: Counts
    """Normal, as far as the pool has them."""
    distance: int
    """Weighted L1 distance of both marginals from their targets."""
    bound: int
    """What no choice of so many images can be nearer than, by the dual of the linear programme."""
    spread: int
    """L1 distance of the cells from the product of both targets; of no importance beside `distance`."""

    @property
    def gap(self) -> int:
        """Duality gap: 0 where the choice is proven to be the best."""
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
    """Choose `total` images so that categories and frequency bins come as near their targets as any choice can.

    The targets are each marginal by itself at its best (see `share_out`). Minimised first: the weighted L1 distance of
    both marginals to them. Then, among those optima: the L1 distance of the cells to the product of the marginals, so
    that each category spreads over the frequencies. This is a linear programme of flow through a network with
    whole-number capacities, targets and costs, so its optimum and its dual's are whole; HiGHS solves it.

    Args:
        available_CB: images there are, shape (categories, bins).
        total: images wanted; all are taken when there are fewer.
        category_weights_C: relative target of each category.
        bin_weights_B: relative target of each bin.
        least_CB: images of each cell that must be among them; if these are more than `total`, all are of them.
        importance: what an image in a wrong category, and one in a wrong bin, count for.
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
    cell_target = share_out(
        available_CB.ravel(), np.outer(target_C, target_B).ravel() / total, total
    )

    # variables: cells x, then over- and undershoot of each cell, then of each marginal
    cells = available_CB.size
    goals = block_array([[eye_array(cells)], [marginals]])
    aims = np.concatenate([cell_target, wanted])
    slack = eye_array(len(aims))
    everything = np.concatenate([np.ones(cells), np.zeros(2 * len(aims))])
    weights = np.repeat(np.array(importance, np.int64), available_CB.shape)
    outweighs = 2 * total + 1  # one image of a marginal, all cells together
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
    least = max(
        -((2 * total - bound) // outweighs), 0
    )  # cells are never more than twice the total away
    return Balance(counts.reshape(available_CB.shape), target_C, target_B, distance, least, spread)


def shortage(
    available_CB: Counts,
    total: int,
    category_weights_C: NDArray[np.float64],
    bin_weights_B: NDArray[np.float64],
) -> tuple[Counts, Counts]:
    """The fewest images that would have to be added to a pool for `total` to meet both targets exactly.

    Args:
        available_CB: images there are, shape (categories, bins).
        total: images wanted.
        category_weights_C: relative target of each category.
        bin_weights_B: relative target of each bin.

    Returns:
        How many images a choice that meets both targets takes of each cell, and how many of them are missing. Of the
        choices that miss as few, it is the one whose cells come nearest to the product of the targets.
    """
    shape, cells = available_CB.shape, available_CB.size
    plenty = np.int64(total)
    target_C, target_B = (
        share_out(np.full(len(weights), plenty), weights, total)
        for weights in (category_weights_C, bin_weights_B)
    )
    product = np.outer(target_C, target_B).ravel() / max(total, 1)
    cell_target = share_out(np.full(cells, plenty), product, total)
    # variables: images taken of each cell, images missing in it, then over- and undershoot of both together
    eye, marginals = eye_array(cells), _marginals(*shape)
    x, _ = _minimise(
        np.repeat(np.array([0, 2 * total + 1, 1, 1], np.int64), cells),
        vstack(
            [
                hstack([eye, eye, -eye, eye]),
                hstack([marginals, marginals, coo_array((sum(shape), 2 * cells))]),
            ],
            "csr",
        ),
        np.concatenate([cell_target, target_C, target_B]),
        np.zeros(4 * cells, np.int64),
        np.concatenate([np.minimum(available_CB.ravel(), plenty), np.full(3 * cells, plenty)]),
    )
    taken, missing = x[:cells].reshape(shape), x[cells : 2 * cells].reshape(shape)
    return taken + missing, missing


def _marginals(categories: int, bins: int) -> coo_array:
    """The matrix that sums cells over bins, then over categories."""
    return block_array(
        [
            [kron(eye_array(categories), np.ones((1, bins)))],
            [kron(np.ones((1, categories)), eye_array(bins))],
        ]
    )


def _minimise(
    cost: Counts, matrix: csr_array, right: Counts, lower: Counts, upper: Counts
) -> tuple[Counts, int]:
    """Whole x of least `cost @ x`, where `matrix @ x = right` and `lower <= x <= upper`, and a lower bound of that.

    The bound is weak duality's, with the solver's prices rounded: whole numbers throughout, so it holds whatever
    rounding errors the solver made.
    """
    result = linprog(
        cost, A_eq=matrix, b_eq=right, bounds=np.stack([lower, upper], axis=1), method="highs"
    )
    if not result.success:  # there always is a choice, so this is a fault of ours or the solver's
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
    """Share `total` out in proportion to the weights; what a share can't hold goes to the others, again by weight.

    Whole numbers; the largest remainders get the odd ones, and of equal ones those that come first in `order` (smallest
    number first), or in the array. Shares without weight come last. Adds up to `total`, or to all there is.
    """
    available = np.asarray(available, np.int64)
    total = int(min(total, available.sum()))
    share = np.zeros(len(available))
    left = total
    for open_ in (weights > 0, weights <= 0):
        while left and open_.any():
            weight = np.where(open_, np.where(weights > 0, weights, 1.0), 0.0)
            weight /= weight.max()  # sums of the smallest floats would be too small to divide by
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
    for index in [i for i in odd if whole[i] < available[i]][: total - int(whole.sum())]:
        whole[index] += 1
    return whole
