"""Funnel: candidates lost in each stage, by reason."""

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
"""Stages that the page leaves out where they lost nothing."""


@dataclass(frozen=True)
class Loss:
    """Candidates rejected for one reason."""

    reason: str
    stage: str
    count: int
    meaning: str


def funnel(counts: Mapping[str, int]) -> list[Loss]:
    """Return the losses in the order of the stages, the largest of each stage first.

    Args:
        counts: candidates by reason; keys that are no reason, such as "ok", are ignored.
    """
    lost = [r for r in Reason if counts.get(r)]
    order = list(STAGES)
    lost.sort(key=lambda r: (order.index(r.stage), -counts[r], r.value))
    return [Loss(r.value, r.stage, counts[r], r.meaning) for r in lost]
