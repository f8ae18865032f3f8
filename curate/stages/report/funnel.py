"""Where candidates were lost on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from curate.errors import Reason

__all__ = ["RARE", "STAGES", "Loss", "funnel"]

STAGES = {
    "candidates": "the list is read",
    "fetch": "bytes are downloaded",
    "measure": "images are decoded and measured",
    "filter": "claims, heads of files and measures are held against the recipe's bounds",
    "label": "images get their labels",
    "select": "benchmarks' images and duplicates go, the splits are drawn",
    "rebuild": "images are held against what was published of them",
    "engine": "shards that failed again and again are set aside",
}
"""Stages that reject, in order, and what happens in each."""

RARE = frozenset({"rebuild", "engine"})
"""Those of which a run that lost nothing there says nothing."""


@dataclass(frozen=True)
class Loss:
    """Candidates rejected for one reason."""

    reason: str
    stage: str
    count: int
    meaning: str


def funnel(counts: Mapping[str, int]) -> list[Loss]:
    """Losses in the order of the stages, the largest of each stage first.

    Args:
        counts: candidates by reason; keys that are no reason (such as "ok" for those kept) are passed over.
    """
    losses = [
        Loss(r.value, r.stage, counts[r.value], r.meaning) for r in Reason if counts.get(r.value)
    ]
    order = list(STAGES)
    return sorted(losses, key=lambda loss: (order.index(loss.stage), -loss.count, loss.reason))
