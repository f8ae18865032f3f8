"""Accuracy of find_task: python -m benchmarks.task_finding FOLDER... [--limit N]

Classifies each picture of the FOLDERs under the eleven degradations of the HQ-50K paper, and as it
is. Rain is drawn, light and heavy. Clean pictures should give no task. Prints Markdown.
"""

from __future__ import annotations

import argparse
from collections import Counter

import numpy as np

from curate.errors import RestoreError
from curate.restore.data.degradations import TASKS, generator, parse_degradation
from curate.restore.data.pictures import open_pictures
from curate.stages.measure.restoration_task import find_task

DEGRADATIONS = (
    *(f"sr_x{scale}" for scale in (2, 3, 4)),
    "derain_light",
    "derain_heavy",
    *(f"denoise_{sigma}" for sigma in (15, 25, 50)),
    *(f"dejpeg_{quality}" for quality in (10, 20, 30, 40)),
)
NONE = "nothing"


def found(image: np.ndarray) -> str:
    try:
        return find_task(image)
    except RestoreError:
        return NONE


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="+")
    parser.add_argument("--limit", type=int, default=None)
    arguments = parser.parse_args()
    pictures = [
        picture
        for folder in arguments.folders
        for picture in open_pictures(folder)[: arguments.limit]
    ]
    answers: dict[str, Counter[str]] = {name: Counter() for name in (*DEGRADATIONS, "as it is")}
    for picture in pictures:
        image = picture.read()
        answers["as it is"][found(image)] += 1
        for name in DEGRADATIONS:
            degraded = parse_degradation(name).pair(image, generator(0, name, picture.id))[1]
            answers[name][found(degraded)] += 1
    print(
        f"{len(pictures)} pictures\n\n"
        f"| | {' | '.join((*TASKS[:4], NONE))} |\n| --- |{' ---: |' * 5}"
    )
    for name, counts in answers.items():
        shares = (
            f"{counts[task] / len(pictures):.0%}" if counts[task] else ""
            for task in (*TASKS[:4], NONE)
        )
        print(
            f"| `{name}` | {' | '.join(shares)} |"
            if name != "as it is"
            else f"| {name} | {' | '.join(shares)} |"
        )
    right = [answers[name][parse_degradation(name).task] / len(pictures) for name in DEGRADATIONS]
    print(f"\nright: {np.mean(right):.1%} of the degraded ones, mean over degradations")


if __name__ == "__main__":
    main()
