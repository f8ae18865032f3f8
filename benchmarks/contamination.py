"""How well parts of benchmark images are known: python -m benchmarks.contamination WHAT FOLDER...

WHAT is one of

    recall    seeded copies of the pictures of FOLDERs, held against lists made of these pictures and the shipped ones;
              then the pictures, held against lists made of their crops
    false     pictures of FOLDERs that shipped lists match: look at them
    cost      milliseconds of finding keypoints for each megapixel, and of matching them, for each picture

Prints Markdown.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from benchmarks.copies import COPIES, pictures
from curate.decontamination import KEYPOINTS
from curate.measure import find_keypoints
from curate.select import Benchmarks
from curate.select.contamination import BENCHMARK


def keypoints(picture: Image.Image, count: int = 40) -> bytes:
    """What the measure stage finds."""
    return find_keypoints(np.asarray(picture.convert("L")), count).tobytes()


def listed(named: Iterable[tuple[str, Image.Image]]) -> Benchmarks:
    """Pictures as a benchmark of their own, among the shipped ones that don't have them."""
    rows = [("copied", name, p.width, p.height, keypoints(p, KEYPOINTS)) for name, p in named]
    table = pa.table([list(column) for column in zip(*rows, strict=True)], schema=BENCHMARK)
    shipped = Benchmarks.load(["shipped"]).table
    own = pa.array([image.rpartition("/")[2] in {row[1] for row in rows} for image in shipped["image"].to_pylist()])
    return Benchmarks(pa.concat_tables([table, shipped.filter(pc.invert(own))]))


def found(benchmarks: Benchmarks, name: str, picture: Image.Image) -> bool:
    """Whether a picture is known by its name."""
    return benchmarks.match(keypoints(picture), *picture.size) == f"copied/{name}"


def recall(folders: list[Path]) -> None:
    """Print the share of copies that are known, by kind."""
    whole = [(path.stem, picture) for path, picture in pictures(folders)]
    benchmarks = listed(whole)
    rng = np.random.default_rng(0)
    print(f"{len(whole)} pictures among {len(benchmarks.table) - len(whole)} shipped ones\n")
    print("| copy | known | holds a benchmark image that is this copy of it: known |\n| --- | --- | --- |")
    for name, copy in COPIES.items():
        copies = [(stem, copy(picture, rng)) for stem, picture in whole]
        known = np.mean([found(benchmarks, *pair) for pair in copies])
        turned = listed(copies)
        held = np.mean([found(turned, *pair) for pair in whole])
        print(f"| {name} | {known:.0%} | {held:.0%} |", flush=True)


def false(folders: list[Path]) -> None:
    """Print what is matched."""
    benchmarks = Benchmarks.load(["shipped"])
    count = 0
    for path, picture in pictures(folders):
        count += 1
        if match := benchmarks.match(keypoints(picture), *picture.size):
            print(f"- {path}: {match}", flush=True)
    print(f"\nof {count} pictures")


def cost(folders: list[Path]) -> None:
    """Print milliseconds, of the process, so that others on the machine count little."""
    benchmarks = Benchmarks.load(["shipped"])
    benchmarks.match(keypoints(Image.effect_noise((300, 200), 90)), 300, 200)  # indexed when first asked
    finding, matching, megapixels, count = 0.0, 0.0, 0.0, 0
    for _, picture in pictures(folders):
        luma_HW = np.asarray(picture.convert("L"))
        start = time.process_time()
        data = find_keypoints(luma_HW).tobytes()
        middle = time.process_time()
        benchmarks.match(data, *picture.size)
        matching += time.process_time() - middle
        finding += middle - start
        megapixels += luma_HW.size / 1e6
        count += 1
    print("| pictures | megapixels | keypoints, ms a picture | ms a megapixel | matching, ms a picture |")
    print("| --- | --- | --- | --- | --- |")
    print(
        f"| {count} | {megapixels:.0f} | {1e3 * finding / count:.1f} | {1e3 * finding / megapixels:.1f} | "
        f"{1e3 * matching / count:.1f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("recall", "false", "cost"))
    parser.add_argument("folders", nargs="+", type=Path)
    options = parser.parse_args()
    {"recall": recall, "false": false, "cost": cost}[options.what](options.folders)


if __name__ == "__main__":
    main()
