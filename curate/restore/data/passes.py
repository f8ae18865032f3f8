"""Order of a training's samples: shuffled passes that keep the samples of one image apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from curate.restore.data.degradations import generator

__all__ = ["LONGEST", "SPREAD", "Passes"]

SPREAD = 64
"""Visits whose samples are mixed. A batch of half as many holds no image twice in a visit."""

LONGEST = 32
"""Most samples of a visit. The loader holds them until their batches come."""


class Passes:
    """Shuffled passes over visits, one after the other.

    A visit decodes an image once and gives one or several samples, evenly spread over those of the
    next `SPREAD` visits. So a batch holds many images, although each is decoded once. Everything
    follows from the seed and a sample's number.

    Args:
        sizes: samples of each visit.
        seed: seed of the whole training.
    """

    def __init__(self, sizes: Sequence[int], seed: int) -> None:
        self._seed = seed
        self._sizes_V = np.array(sizes, dtype=np.int64)
        self._starts_V = np.cumsum(self._sizes_V) - self._sizes_V
        self._visit_N = np.repeat(np.arange(len(sizes), dtype=np.int32), self._sizes_V)
        self._pass = -1
        self._order_N = self._place_N = np.empty(0, np.int32)

    def __len__(self) -> int:
        """Return the number of samples of a pass."""
        return len(self._visit_N)

    def entry(self, number: int) -> int:
        """Return a sample's position among those of all visits, before the shuffle."""
        pass_, place = divmod(number, len(self))
        self._shuffle(pass_)
        return int(self._order_N[place])

    def siblings(self, number: int) -> list[int]:
        """Return the numbers of all samples of one's visit, itself among them, in order."""
        visit = self._visit_N[self.entry(number)]
        start = self._starts_V[visit]
        places: list[int] = self._place_N[start : start + self._sizes_V[visit]].tolist()
        first = number - number % len(self)
        return [first + place for place in sorted(places)]

    def _shuffle(self, pass_: int) -> None:
        """Compute the order of a pass, unless it is the last one that was asked for."""
        if self._pass == pass_:
            return
        visits = len(self._sizes_V)
        spread = min(SPREAD, visits)
        rank_V = np.empty(visits, np.int64)
        rank_V[generator(self._seed, "pass", pass_).permutation(visits)] = np.arange(visits)
        # a visit begins when its rank comes, but some begin together at either end of the pass,
        # where few would be left; its samples follow evenly over the length of `spread` visits
        rank_N = rank_V[self._visit_N]
        part_N = np.arange(len(self)) - self._starts_V[self._visit_N]
        begin_N = np.clip(rank_N - spread // 2, 0, visits - spread)
        time_N = begin_N + spread * part_N / self._sizes_V[self._visit_N]
        self._order_N = np.lexsort((rank_N, time_N)).astype(np.int32)
        self._place_N = np.empty_like(self._order_N)
        self._place_N[self._order_N] = np.arange(len(self), dtype=np.int32)
        self._pass = pass_
