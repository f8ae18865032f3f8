"""Search for the definition of the paper's high-frequency ratios: python -m benchmarks.calibrate

Two figures of the HQ-50K paper are of public sets: 0.8863 % on BSDS400 (Table 2) and 1.514 % on
Urban100 (Table 1). Prints Markdown: both sets as they are, beside the paper's rows; the plainest
definition with one change at a time; and all definitions with any cut-off that give both figures,
beside the number expected by chance. `--help` lists the options.
"""

from __future__ import annotations

import argparse
import csv
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import reduce
from operator import add
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import curate
from benchmarks.readings import BASE, BINS, Curve, Means, Reading
from curate.manifest.paper_statistics import PUBLISHED

BSDS, URBAN = (float(PUBLISHED[name].hf_ratio_032 or 0) for name in ("BSDS400", "Urban100"))
NEAR = 0.01
"""Both figures within this share of the paper's."""
ROUND = sorted({*(round(0.05 * i, 2) for i in range(1, 20)), 1 / 3, 2 / 3})
"""Cut-offs that somebody would choose."""
CUTOFFS = np.linspace(0.02, 1, 981)

DRAWS = 200
"""Pairs of figures that nobody published."""

Curves = Mapping[Reading, Curve]


@dataclass(frozen=True)
class Fit:
    """A reading at a cut-off, beside the paper."""

    reading: Reading
    images: str
    """Pictures of BSDS500."""
    cutoff: float
    bsds: float
    urban: float

    @property
    def error(self) -> float:
        """The larger of the two relative errors."""
        return max(abs(self.bsds / BSDS - 1), abs(self.urban / URBAN - 1))


def departures(reading: Reading) -> list[str]:
    """Return the differences of a definition from the plainest one."""
    return [mine for mine, plain in zip(reading, BASE, strict=True) if mine != plain]


def at(curves: Iterable[Curve], cutoffs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ratios (curves, cut-offs), interpolated by the logarithm along each curve."""
    logs = np.log(np.maximum(np.stack(list(curves)), 1e-12))
    below = np.minimum((cutoffs * BINS).astype(int), BINS - 1)
    share = cutoffs * BINS - below
    ratios: NDArray[np.float64] = np.exp(logs[:, below] * (1 - share) + logs[:, below + 1] * share)
    return ratios


def fits(bsds: Mapping[str, Curves], urban: Curves, cutoffs: NDArray[np.float64]) -> Iterator[Fit]:
    """Every reading, at the cut-off that suits best."""
    for images, curves in bsds.items():
        x, y = at(curves.values(), cutoffs), at((urban[reading] for reading in curves), cutoffs)
        best = np.argmin(np.maximum(abs(x / BSDS - 1), abs(y / URBAN - 1)), axis=1)
        for r, (reading, c) in enumerate(zip(curves, best, strict=True)):
            yield Fit(reading, images, float(cutoffs[c]), float(x[r, c]), float(y[r, c]))


def by_chance(bsds: Mapping[str, Curves], urban: Curves, cutoffs: NDArray[np.float64]) -> list[int]:
    """Count the definitions that fit invented figures near the paper's, for each draw."""
    rng = np.random.default_rng(0)
    first = BSDS * np.exp(rng.uniform(-0.5, 0.5, DRAWS))
    pairs = list(zip(first, first * rng.uniform(1.3, 2.2, DRAWS), strict=True))
    counts = [0] * DRAWS
    for curves in bsds.values():
        x, y = at(curves.values(), cutoffs), at((urban[reading] for reading in curves), cutoffs)
        for draw, (b, u) in enumerate(pairs):
            counts[draw] += int(
                ((abs(x / b - 1) < NEAR) & (abs(y / u - 1) < NEAR)).any(axis=1).sum()
            )
    return counts


# --- the sets


def shares(names: Sequence[str], known: Mapping[str, tuple[float, ...]]) -> NDArray[np.float64]:
    """Return weights of the pictures of a part that give known measures the means of the whole set.

    Calibration weights, nearest to equal ones (Deville and Särndal, "Calibration estimators in
    survey sampling", 1992).
    """
    equal = np.full(len(names), 1 / len(names))
    if not known:
        return equal
    part = np.array([[1, *known[name]] for name in names]).T
    whole = np.mean([[1, *values] for values in known.values()], axis=0)
    weights: NDArray[np.float64] = equal + np.linalg.pinv(part) @ (whole - part @ equal)
    return weights


def read_known(path: Path | None) -> dict[str, tuple[float, ...]]:
    """Name of a picture -> its known measures."""
    if path is None:
        return {}
    with path.open(newline="") as file:
        return {
            row["image"]: (float(row["hf_ratio"]), float(row["hf_ratio_032"]))
            for row in csv.DictReader(file)
        }


def pictures(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix in (".jpg", ".png", ".webp"))


def measure(task: tuple[list[Path], list[float]]) -> Means:
    means = Means()
    for path, share in zip(*task, strict=True):
        with Image.open(path) as image:
            means.add(image, share)
    return means


def curves_of(
    paths: list[Path], weights: NDArray[np.float64], workers: ProcessPoolExecutor
) -> Means:
    parts = [(paths[i::16], list(weights[i::16])) for i in range(16)]
    return reduce(add, workers.map(measure, parts))


# --- the tables


def row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def describe(fit: Fit) -> str:
    return "; ".join(departures(fit.reading)) or "as the paper's text, read plainly"


def line(fit: Fit, *first: object) -> str:
    return row(
        *first,
        fit.images,
        f"{fit.cutoff:.3f}",
        f"{fit.bsds:.3%}",
        f"{fit.urban:.3%}",
        f"{fit.error:.1%}",
    )


def plain_table(bsds: Mapping[str, Curves], urban: Curves) -> Iterator[str]:
    """Tabulate the printed and the best cut-off of readings with at most one departure."""
    yield row(
        "reading", "BSDS, c = 0.5", "Urban100, c = 0.5", "best *c*", "BSDS", "Urban100", "off by"
    )
    yield row("---", *["---:"] * 6)
    images = next(iter(bsds))
    free = {fit.reading: fit for fit in fits({images: bsds[images]}, urban, CUTOFFS)}
    half = {fit.reading: fit for fit in fits({images: bsds[images]}, urban, np.array([0.5]))}
    for reading, fit in free.items():
        if len(departures(fit.reading)) <= 1:
            printed = half[reading]
            yield row(
                describe(fit), f"{printed.bsds:.3%}", f"{printed.urban:.3%}",
                f"{fit.cutoff:.3f}", f"{fit.bsds:.3%}", f"{fit.urban:.3%}", f"{fit.error:.1%}",
            )  # fmt: skip


def search_tables(bsds: Mapping[str, Curves], urban: Curves) -> Iterator[str]:
    yield row(
        "readings", "cut-off", "tried", "both within 1 %", "by chance, mean", "90 % of draws under"
    )
    yield row("---", "---", *["---:"] * 4)
    best = {}
    kinds = {"0.5, as printed": np.array([0.5]), "a round one": np.array(ROUND), "any": CUTOFFS}
    for most in (1, 2, len(BASE)):
        chosen = {
            k: {r: c for r, c in v.items() if len(departures(r)) <= most} for k, v in bsds.items()
        }
        for kind, cutoffs in kinds.items():
            found = list(fits(chosen, urban, cutoffs))
            chance = by_chance(chosen, urban, cutoffs)
            near = sum(fit.error < NEAR for fit in found)
            what = f"{most} departure{'s' * (most > 1)} at most" if most < len(BASE) else "all"
            yield row(
                what,
                kind,
                f"{len(found):,}",
                near,
                f"{np.mean(chance):.1f}",
                int(np.quantile(chance, 0.9)),
            )
            best[kind] = found
    for kind, found in best.items():
        yield f"\nThe nearest, where the cut-off is {kind}:\n"
        yield row("reading", "images", "*c*", "BSDS", "Urban100", "off by")
        yield row("---", "---", *["---:"] * 4)
        yield from (
            line(fit, describe(fit)) for fit in sorted(found, key=lambda fit: fit.error)[:10]
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--bsds", type=Path, required=True, help="BSDS500's images: a folder with train/ and test/"
    )
    parser.add_argument(
        "--urban", type=Path, required=True, help="Urban100's images, or some of them"
    )
    parser.add_argument(
        "--known",
        type=Path,
        help="of some of them: both measures of all, such as urban100.csv here",
    )
    arguments = parser.parse_args()
    splits = [arguments.bsds / "train", arguments.bsds / "test"]
    if missing := [str(folder) for folder in (*splits, arguments.urban) if not folder.is_dir()]:
        parser.error(f"no folder {', '.join(missing)}")

    from curate.datasets.statistics import survey_table

    print("## As they lie there\n")
    surveys = curate.stats([*splits, arguments.urban], scheduler="serial")
    print(survey_table(surveys).to_markdown())
    paths, known = pictures(arguments.urban), read_known(arguments.known)
    with ProcessPoolExecutor(os.cpu_count()) as workers:
        urban = curves_of(paths, shares([path.stem for path in paths], known), workers).curves()
        halves = [
            curves_of(files, shares([f.stem for f in files], {}), workers)
            for files in map(pictures, splits)
        ]
    bsds = {"train": halves[0].curves(), "train and test": add(*halves).curves()}
    print("## One thing changed at a time\n", *plain_table(bsds, urban), sep="\n")
    print("\n## All readings\n", *search_tables(bsds, urban), sep="\n")


if __name__ == "__main__":
    main()
