"""Funnel: candidates lost in each stage, by reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from curate.errors import Reason

__all__ = ["RARE", "STAGES", "Loss", "funnel", "rejecting_stage"]

STAGES = {
    "candidates": "the list is read",
    "fetch": "bytes are downloaded, unless claims or the file's head break a bound of the recipe",
    "measure": "images are decoded and measured",
    "filter": "measures are held against the recipe's bounds",
    "label": "images get their labels",
    "select": "benchmarks' images and duplicates go, the splits are drawn",
    "rebuild": "images are held against what was published of them",
    "engine": "shards that failed again and again are set aside",
}
"""Stages that reject, in order, and what happens in each."""

RARE = frozenset({"rebuild", "engine"})
"""Stages that the page leaves out where they lost nothing."""


@dataclass(frozen=True)
class Loss:
    """Candidates rejected in one stage for one reason."""

    reason: str
    stage: str
    count: int
    meaning: str


def rejecting_stage(reason: Reason, fetched: bool, measured: bool) -> str:
    """Return the stage that rejected a candidate: fetch gives reasons of the filters as well.

    Args:
        reason: of the rejection.
        fetched: whether there are bytes of it.
        measured: whether there are measures of it.
    """
    order = list(STAGES)
    latest = "engine" if measured else "measure" if fetched else "fetch"
    return min(reason.stage, latest, key=order.index)


def funnel(counts: Mapping[tuple[str, str], int]) -> list[Loss]:
    """Return the losses in the order of the stages, the largest of each stage first.

    Args:
        counts: candidates by the stage that rejected them and the reason.
    """
    order = list(STAGES)
    meanings = {str(reason): reason.meaning for reason in Reason}
    losses = [
        Loss(reason, stage, count, meanings[reason])
        for (stage, reason), count in counts.items()
        if count
    ]
    return sorted(losses, key=lambda loss: (order.index(loss.stage), -loss.count, loss.reason))
