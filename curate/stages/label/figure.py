"""The figure of an evaluation: confusion matrix, and how far scores can be trusted."""

from __future__ import annotations

import io

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from curate.stages.label.evaluation import BINS, LabelEvaluation

__all__ = ["confusion_figure"]


def confusion_figure(evaluation: LabelEvaluation) -> bytes:
    """A PNG: shares of each row of the confusion matrix with its counts, and the reliability diagram."""
    size = 2.5 + 0.42 * len(evaluation.categories)
    figure = Figure(figsize=(size + 5, size), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(size, 4.5))
    _draw_confusion(left, evaluation)
    _draw_reliability(right, evaluation)
    failed = f", {len(evaluation.failures)} unreadable" if evaluation.failures else ""
    figure.suptitle(
        f"{evaluation.model}: {evaluation.top1:.1%} of {len(evaluation.pictures)} pictures right{failed}",
        parse_math=False,
    )
    sink = io.BytesIO()
    figure.savefig(sink, format="png", dpi=110, metadata={"Software": None})
    return sink.getvalue()


def _draw_confusion(axes: Axes, evaluation: LabelEvaluation) -> None:
    counts_KK = evaluation.confusion
    shares_KK = counts_KK / np.maximum(counts_KK.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares_KK, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.argwhere(counts_KK):
        colour = "white" if shares_KK[row, column] > 0.5 else "black"
        axes.text(
            column,
            row,
            str(counts_KK[row, column]),
            ha="center",
            va="center",
            color=colour,
            fontsize=8,
        )
    places = range(len(evaluation.categories))
    axes.set_xticks(places, evaluation.categories, rotation=45, ha="right", parse_math=False)
    axes.set_yticks(places, evaluation.categories, parse_math=False)
    axes.set_xlabel("taken for")
    axes.set_ylabel("shows")


def _draw_reliability(axes: Axes, evaluation: LabelEvaluation) -> None:
    bins = evaluation.reliability
    axes.bar(
        [b.low for b in bins],
        [b.right for b in bins],
        1 / BINS,
        align="edge",
        color="#6baed6",
        edgecolor="white",
    )
    axes.plot([0, 1], [0, 1], color="black", linewidth=1, linestyle="--")
    for b in bins:
        axes.text(
            (b.low + b.high) / 2, b.right, str(b.pictures), ha="center", va="bottom", fontsize=7
        )
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.05)
    axes.set_box_aspect(1)
    axes.set_xlabel("label_score")
    axes.set_ylabel("share that is right")
    axes.set_title(
        f"calibration error {evaluation.calibration_error:.3f} ({BINS} bins)", fontsize=10
    )
