"""Accuracy of a labeller per category: python -m benchmarks.label_accuracy [--model M] [FOLDER...]

Without folders: on drawings and photographs that the bundled labeller was not trained on. With
folders: on their pictures that `labelled_pictures.csv` lists by the SHA-256 of their bytes, with
labels by hand (photographs of BSDS500, Kodak24 and Urban100, and pictures of free software and free
web sites).
"""

from __future__ import annotations

import argparse
import csv
import hashlib
from pathlib import Path

from PIL import Image

from benchmarks.train_bundled_labeller import HELD_OUT_PHOTOGRAPHS, HELD_OUT_SEEDS
from curate.demo.draw import draw
from curate.demo.photographs import photographs
from curate.recipe import Label
from curate.stages.label.evaluation import LabelEvaluation, evaluate_labels
from curate.stages.label.taxonomy import load_taxonomy

Truth = list[tuple[Image.Image | str | Path, str]]


def drawn(each: int) -> Truth:
    """Return the held-out drawings and photographs."""
    names = load_taxonomy().names
    truth: Truth = [
        (draw(c, HELD_OUT_SEEDS + n, (320, 256)), c) for c in names for n in range(each)
    ]
    return truth + [(p.path, p.category) for p in photographs() if p.name in HELD_OUT_PHOTOGRAPHS]


def pictures(folders: list[Path]) -> Truth:
    """Return the pictures of folders that were labelled by hand."""
    with Path(__file__).with_name("labelled_pictures.csv").open() as file:
        known = {row["sha256_16"]: row["category"] for row in csv.DictReader(file)}
    files = [file for folder in folders for file in sorted(folder.rglob("*")) if file.is_file()]
    digests = [hashlib.sha256(file.read_bytes()).hexdigest()[:16] for file in files]
    found = {
        known_as: file for file, known_as in zip(files, digests, strict=True) if known_as in known
    }
    return [(file, known[digest]) for digest, file in found.items()]


def table(evaluation: LabelEvaluation) -> str:
    """Return Markdown: pictures, accuracy and commonest mistake, by category and over all."""
    lines = ["| category | pictures | right | most often taken for |", "| --- | --- | --- | --- |"]
    for score in evaluation.scores:
        if score.recall is not None:
            cells = (score.category, score.pictures, f"{score.recall:.0%}", score.mistaken_for)
            lines.append(f"| {' | '.join(map(str, cells))} |")
    mean = f"mean over categories {evaluation.mean_recall:.1%}"
    lines.append(f"| all | {len(evaluation.pictures)} | {evaluation.top1:.1%}; {mean} | |")
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="*")
    parser.add_argument("--model", default="bundled", help="label.model of a recipe")
    parser.add_argument("--pretrained", help="label.pretrained of a recipe")
    parser.add_argument("--drawings", type=int, default=20, help="of each category")
    given = parser.parse_args()
    config = Label(model=given.model, pretrained=given.pretrained)
    truth = pictures(given.folders) if given.folders else drawn(given.drawings)
    print(f"{given.model}\n\n{table(evaluate_labels(truth, config))}")


if __name__ == "__main__":
    main()
