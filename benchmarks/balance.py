"""Balanced selection compared with simpler methods: python -m benchmarks.balance [RUN...]

RUN is a run folder with a selection, whose pool is read from select/summary.json. Without RUN, only
invented pools are used. Prints Markdown with these numbers for each pool and method: the L1
distance of both marginals from the best that the pool allows (`balance` minimises it), the largest
difference of the cumulative frequency shares from the target's, diversity, and time.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curate.engine import RunFolder
from curate.manifest.statistics import diversity
from curate.pipeline.selection_step import read_summary
from curate.stages.select import FrequencyBins, balance, share_out

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Pool:
    """A pool of images, and the target of the selection."""

    name: str
    available_CB: Counts
    total: int
    weights_C: NDArray[np.float64]
    weights_B: NDArray[np.float64]

    @property
    def targets(self) -> tuple[Counts, Counts]:
        """Return the best that the pool allows for each marginal by itself."""
        return (
            share_out(self.available_CB.sum(axis=1), self.weights_C, self.total),
            share_out(self.available_CB.sum(axis=0), self.weights_B, self.total),
        )


def programme(pool: Pool) -> Counts:
    """Build the linear programme."""
    return balance(pool.available_CB, pool.total, pool.weights_C, pool.weights_B).counts_CB


def greedy(pool: Pool) -> Counts:
    """Image by image, of a cell whose category and bin both lack most."""
    target_C, target_B = pool.targets
    chosen_CB = np.zeros_like(pool.available_CB)
    for _ in range(pool.total):
        need_CB = (target_C - chosen_CB.sum(axis=1))[:, None] / np.maximum(target_C, 1)[:, None]
        need_CB = need_CB + (target_B - chosen_CB.sum(axis=0)) / np.maximum(target_B, 1)
        need_CB[chosen_CB >= pool.available_CB] = -np.inf
        chosen_CB[np.unravel_index(need_CB.argmax(), need_CB.shape)] += 1
    return chosen_CB


def independent(pool: Pool) -> Counts:
    """Return images drawn with odds (target by pool) of the category times those of the bin."""
    target_C, target_B = pool.targets
    odds_C = target_C / np.maximum(pool.available_CB.sum(axis=1), 1)
    odds_B = target_B / np.maximum(pool.available_CB.sum(axis=0), 1)
    return _draw(pool, np.outer(odds_C, odds_B))


def at_random(pool: Pool) -> Counts:
    """Images drawn with equal odds."""
    return _draw(pool, np.ones(pool.available_CB.shape))


def _draw(pool: Pool, odds_CB: NDArray[np.float64]) -> Counts:
    cell_N = np.repeat(np.arange(pool.available_CB.size), pool.available_CB.ravel())
    # the largest keys u^(1/odds) are a weighted draw without replacement
    # (Efraimidis and Spirakis 2006)
    odds_N = np.maximum(odds_CB.ravel()[cell_N], 1e-12)
    key_N = np.log(np.random.default_rng(0).random(len(cell_N))) / odds_N
    drawn_N = cell_N[np.argsort(-key_N)[: pool.total]]
    return np.bincount(drawn_N, minlength=pool.available_CB.size).reshape(pool.available_CB.shape)


METHODS: dict[str, Callable[[Pool], Counts]] = {
    "linear programme": programme,
    "greedy": greedy,
    "independent odds": independent,
    "at random": at_random,
}


def invented() -> Iterator[Pool]:
    """Pools of 16 categories and 12 bins."""
    rng = np.random.default_rng(0)
    bins = FrequencyBins.fit(np.array([]), 12, -1.8, 0.35, None)
    normal_B, even_C = np.array(bins.weights), np.ones(16)
    plenty = rng.integers(400, 1200, (16, 12))
    yield Pool("plenty of everything", plenty, 5000, even_C, normal_B)
    heavy = (
        (rng.pareto(0.8, (16, 1)) * rng.pareto(1.2, (1, 12)) * 60).astype(np.int64).clip(0, 20_000)
    )
    yield Pool("few categories and bins have most", heavy, 5000, even_C, normal_B)
    tied = np.zeros((16, 12), np.int64)
    for category in range(16):  # drawings are flat, foliage is fine
        tied[category] = 1500 * np.exp(-0.5 * ((np.arange(12) - 12 * category / 16) / 1.2) ** 2)
    yield Pool("category and frequency tied", tied, 5000, even_C, normal_B)
    web = (plenty * np.exp(-0.8 * np.arange(12)) * rng.pareto(1.0, (16, 1)) * 8).astype(np.int64)
    yield Pool("as the web: mostly flat", web, 5000, even_C, normal_B)


def of_run(run: str) -> Pool:
    """Return a run's pool, target and number of images: half the pool where it wants all."""
    summary = read_summary(RunFolder(run))
    available_CB = np.array(summary["available"], np.int64)
    total = min(summary["train"]["wanted"], int(available_CB.sum()) // 2)
    weights = (np.array(summary[f"{of}_wanted"], np.float64) for of in ("category", "frequency"))
    return Pool(run.rstrip("/").rsplit("/", 1)[-1], available_CB, total, *weights)


def main() -> None:
    """Compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", nargs="*")
    pools = [*(of_run(run) for run in parser.parse_args().run), *invented()]
    print("| pool | images of | way | distance | largest difference | diversity | ms |")
    print("| --- | ---: | --- | ---: | ---: | ---: | ---: |")
    for pool in pools:
        target_C, target_B = pool.targets
        wanted_B = np.cumsum(pool.weights_B) / pool.weights_B.sum()
        for name, method in METHODS.items():
            start = time.process_time()
            chosen_CB = method(pool)
            ms = 1000 * (time.process_time() - start)
            chosen_C, chosen_B = chosen_CB.sum(axis=1), chosen_CB.sum(axis=0)
            distance = np.abs(chosen_C - target_C).sum() + np.abs(chosen_B - target_B).sum()
            apart = np.abs(np.cumsum(chosen_B) / pool.total - wanted_B).max()
            of = f"{pool.total:,} of {pool.available_CB.sum():,}"
            print(
                f"| {pool.name} | {of} | {name} | {distance:,} | {apart:.3f} "
                f"| {diversity(chosen_C.tolist()):.3f} "
                f"| {ms:.0f} |"
            )


if __name__ == "__main__":
    main()
