"""Figure of an evaluation: the confusion matrix and the reliability diagram."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

__all__ = ["confusion_figure"]


def confusion_figure(
    title: str,
    categories: Sequence[str],
    counts_KK: NDArray[np.int64],
    bins: Sequence[tuple[float, float, int, float]],
    bin_count: int,
    error: float,
) -> bytes:
    """Return a PNG of the confusion matrix and the reliability diagram.

    Args:
        title: above both.
        categories: K names.
        counts_KK: confusion matrix; cells are coloured by their share of the row.
        bins: (low, high, pictures, share that is right) of each bin of scores that has pictures.
        bin_count: bins between 0 and 1.
        error: expected calibration error.
    """
    size = 2.5 + 0.42 * len(categories)
    figure = Figure(figsize=(size + 5, size), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(size, 4.5))
    _draw_confusion(left, categories, counts_KK)
    _draw_reliability(right, bins, bin_count)
    right.set_title(f"calibration error {error:.3f} ({bin_count} bins)", fontsize=10)
    figure.suptitle(title, parse_math=False)
    sink = io.BytesIO()
    figure.savefig(sink, format="png", dpi=110, metadata={"Software": None})
    return sink.getvalue()


def _draw_confusion(axes: Axes, categories: Sequence[str], counts_KK: NDArray[np.int64]) -> None:
    shares_KK = counts_KK / np.maximum(counts_KK.sum(axis=1, keepdims=True), 1)
    # colours are shares of the row, numbers are counts
    axes.imshow(shares_KK, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.argwhere(counts_KK):
        colour = "white" if shares_KK[row, column] > 0.5 else "black"
        count = str(counts_KK[row, column])
        axes.text(column, row, count, ha="center", va="center", color=colour, fontsize=8)
    places = range(len(categories))
    axes.set_xticks(places, categories, rotation=45, ha="right", parse_math=False)
    axes.set_yticks(places, categories, parse_math=False)
    axes.set_xlabel("taken for")
    axes.set_ylabel("shows")


def _draw_reliability(
    axes: Axes, bins: Sequence[tuple[float, float, int, float]], bin_count: int
) -> None:
    lows, _, _, shares = zip(*bins, strict=True)
    axes.bar(lows, shares, 1 / bin_count, align="edge", color="#6baed6", edgecolor="white")
    # calibrated scores lie on the diagonal
    axes.plot([0, 1], [0, 1], color="black", linewidth=1, linestyle="--")
    for low, high, pictures, right in bins:
        middle = (low + high) / 2
        axes.text(middle, right, str(pictures), ha="center", va="bottom", fontsize=7)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.05)
    axes.set_box_aspect(1)
    axes.set_xlabel("label_score")
    axes.set_ylabel("share that is right")
