"""How many images to take of each category and frequency bin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import LinearConstraint, milp
from scipy.sparse import block_array, eye_array, kron
from scipy.special import ndtr

__all__ = ["Balance", "FrequencyBins", "balance", "share_out"]

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

    @classmethod
    def fit(
        cls, log_ratio_N: NDArray[np.float64], bins: int, mean: float | None, std: float | None, minimum: float | None
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
        std = round(std if std is not None else max(float(log_ratio_N.std()), 1e-3) if len(log_ratio_N) else 1.0, 9)
        low, high = mean - 3 * std, mean + 3 * std
        if minimum is not None:
            low = max(low, minimum)
        edges = np.linspace(low, max(high, low + std), bins + 1)
        bounds = edges.copy()
        bounds[0], bounds[-1] = (-np.inf if minimum is None else minimum), np.inf
        weights = np.diff(ndtr((bounds - mean) / std))
        weights = weights / weights.sum() if weights.sum() > 0 else np.full(bins, 1 / bins)
        return cls(tuple(edges[1:-1].tolist()), tuple(weights.tolist()), mean, std)

    def place(self, log_ratio_N: NDArray[np.float64]) -> NDArray[np.int16]:
        """Bin of each ratio, 0 the lowest."""
        return np.searchsorted(self.edges, log_ratio_N, side="right").astype(np.int16)


@dataclass(frozen=True)
class Balance:
    """The counts chosen, and how near they come to what was wanted."""

    counts_CB: Counts
    category_target_C: Counts
    """Even (or as weighted), as far as the pool has them."""
    frequency_target_B: Counts
    """Normal, as far as the pool has them."""
    distance: int
    """L1 distance of both marginals from their targets; no other choice comes nearer."""


def balance(
    available_CB: Counts, total: int, category_weights_C: NDArray[np.float64], bin_weights_B: NDArray[np.float64]
) -> Balance:
    """Choose `total` images so that categories and frequency bins come as near their targets as any choice can.

    The targets are each marginal by itself at its best (see `share_out`). Minimised first: the L1 distance of both
    marginals to them. Then, among those optima: the L1 distance of the cells to the product of the marginals, so that
    each category spreads over the frequencies. This is a linear programme of flow through a network with whole-number
    capacities and targets, so its optimum is whole; HiGHS solves it.

    Args:
        available_CB: images there are, shape (categories, bins).
        total: images wanted; all are taken when there are fewer.
        category_weights_C: relative target of each category.
        bin_weights_B: relative target of each bin.
    """
    total = int(min(total, available_CB.sum()))
    target_C = share_out(available_CB.sum(axis=1), category_weights_C, total)
    target_B = share_out(available_CB.sum(axis=0), bin_weights_B, total)
    if total == 0:
        return Balance(np.zeros_like(available_CB), target_C, target_B, 0)
    categories, bins = available_CB.shape
    cells = categories * bins
    marginals = block_array(
        [[kron(eye_array(categories), np.ones((1, bins)))], [kron(np.ones((1, categories)), eye_array(bins))]]
    )
    wanted = np.concatenate([target_C, target_B])
    product = np.outer(target_C, target_B) / total
    cell_target = share_out(available_CB.ravel(), product.ravel(), total)

    # variables: cells x, then over- and undershoot of each marginal, then of each cell
    goals = block_array([[eye_array(cells)], [marginals]])
    aims = np.concatenate([cell_target, wanted])
    slack = eye_array(len(aims))
    everything = np.concatenate([np.ones(cells), np.zeros(2 * len(aims))])
    nearness = np.concatenate([np.ones(cells), np.full(len(wanted), 2 * total + 1)])  # a marginal outweighs all cells
    result = milp(
        np.concatenate([np.zeros(cells), nearness, nearness]),
        constraints=[
            LinearConstraint(block_array([[goals, -slack, slack]]), aims, aims),
            LinearConstraint(everything[None], total, total),
        ],
        bounds=(0, np.concatenate([available_CB.ravel(), np.full(2 * len(aims), total)])),
    )
    if not result.success:  # the cells always hold `total`, so this is a fault of ours or the solver's
        raise RuntimeError(f"HiGHS: {result.message}")
    counts_CB = np.rint(result.x[:cells]).astype(np.int64).reshape(categories, bins)
    distance = int(np.abs(marginals @ counts_CB.ravel() - wanted).sum())
    return Balance(counts_CB, target_C, target_B, distance)


def share_out(
    available: Counts, weights: NDArray[np.float64], total: int, order: NDArray[np.int64] | None = None
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
