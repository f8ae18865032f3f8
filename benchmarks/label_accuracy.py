"""How often a labeller is right, per category: python -m benchmarks.label_accuracy [--model M] [FOLDER...]

Without folders: on drawings and photographs that the bundled labeller was not trained on. With folders: on the pictures
in them that `labelled_pictures.csv` knows by the SHA-256 of their bytes, labelled by hand (photographs of BSDS500,
Kodak24 and Urban100, and pictures of free software and free web sites).
"""

from __future__ import annotations

import argparse
import csv
import hashlib
from collections import Counter
from pathlib import Path

from PIL import Image

from benchmarks.train_bundled_labeller import HELD_OUT_PHOTOGRAPHS, HELD_OUT_SEEDS
from curate.demo.draw import draw
from curate.demo.photographs import photographs
from curate.label.clip import label_images
from curate.label.taxonomy import load_taxonomy
from curate.recipe import Label

Truth = list[tuple[Image.Image | Path, str]]


def drawn(each: int) -> Truth:
    """Held-out drawings, and the held-out photographs."""
    names = load_taxonomy().names
    truth: Truth = [(draw(c, HELD_OUT_SEEDS + n, (320, 256)), c) for c in names for n in range(each)]
    return truth + [(p.path, p.category) for p in photographs() if p.name in HELD_OUT_PHOTOGRAPHS]


def pictures(folders: list[Path]) -> Truth:
    """The pictures of folders that were labelled by hand."""
    with Path(__file__).with_name("labelled_pictures.csv").open() as file:
        known = {row["sha256_16"]: row["category"] for row in csv.DictReader(file)}
    files = [file for folder in folders for file in sorted(folder.rglob("*")) if file.is_file()]
    digests = [hashlib.sha256(file.read_bytes()).hexdigest()[:16] for file in files]
    found = {known_as: file for file, known_as in zip(files, digests, strict=True) if known_as in known}
    return [(file, known[digest]) for digest, file in found.items()]


def table(truth: Truth, config: Label) -> str:
    """Markdown: pictures, share that is right, and the commonest mistake, for each category and over all."""
    results = label_images((picture for picture, _ in truth), config)
    pairs = [(category, result.category) for (_, category), result in zip(truth, results, strict=True)]
    lines = ["| category | pictures | right | most often taken for |", "| --- | --- | --- | --- |"]
    shares = []
    for name in load_taxonomy(config.taxonomy).names:
        given = [label for category, label in pairs if category == name]
        if not given:
            continue
        wrong = Counter(label for label in given if label != name).most_common(1)
        shares.append(given.count(name) / len(given))
        mistake = f"{wrong[0][0]} ({wrong[0][1]})" if wrong else ""
        lines.append(f"| {name} | {len(given)} | {shares[-1]:.0%} | {mistake} |")
    right = sum(category == label for category, label in pairs) / len(pairs)
    lines.append(f"| all | {len(pairs)} | {right:.1%}; mean over categories {sum(shares) / len(shares):.1%} | |")
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
    print(f"{given.model}\n\n{table(truth, config)}")


if __name__ == "__main__":
    main()
