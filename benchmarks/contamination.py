"""Recognition of parts of benchmark images: python -m benchmarks.contamination WHAT FOLDER...

WHAT is one of

    recall    seeded copies of the pictures of FOLDERs, matched with lists of these pictures and the
              shipped lists; then the pictures, matched with lists of their crops
    false     pictures of FOLDERs that shipped lists match, for a person to check
    cost      milliseconds of finding keypoints for each picture and each megapixel, beside decoding
              it, and of matching them; and the time to match a million pictures, measured with
              100,000 drawn from these and jittered

Prints Markdown.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from benchmarks.copies import COPIES, pictures
from curate.errors import ImageError
from curate.images.decode import open_image, to_luma
from curate.stages.match.benchmarks import BENCHMARK, Benchmarks
from curate.stages.match.build_list import KEYPOINTS
from curate.stages.match.keypoints import KEYPOINT, find_keypoints


def seen(picture: Image.Image, count: int = 40) -> tuple[bytes, int, int]:
    """Return keypoints as the match stage finds them, and the picture's size."""
    return (
        find_keypoints(np.asarray(picture.convert("L")), count).tobytes(),
        picture.width,
        picture.height,
    )


def listed(named: Iterable[tuple[str, Image.Image]]) -> Benchmarks:
    """Pictures as a benchmark of their own, among the shipped ones that don't have them."""
    rows = [
        ("copied", name, width, height, found)
        for name, p in named
        for found, width, height in [seen(p, KEYPOINTS)]
    ]
    table = pa.table([list(column) for column in zip(*rows, strict=True)], schema=BENCHMARK)
    shipped = Benchmarks.load(["shipped"]).table
    own = pa.array(
        [
            image.rpartition("/")[2] in {row[1] for row in rows}
            for image in shipped["image"].to_pylist()
        ]
    )
    return Benchmarks(pa.concat_tables([table, shipped.filter(pc.invert(own))]))


def found(benchmarks: Benchmarks, name: str, picture: Image.Image) -> bool:
    """Whether a picture is known by its name."""
    return benchmarks.match([seen(picture)]) == [f"copied/{name}"]


def recall(folders: list[Path]) -> None:
    """Print the share of copies that are known, by kind."""
    whole = [(path.stem, picture) for path, picture in pictures(folders)]
    benchmarks = listed(whole)
    rng = np.random.default_rng(0)
    print(f"{len(whole)} pictures among {len(benchmarks.table) - len(whole)} shipped ones\n")
    print(
        "| copy | known | holds a benchmark image that is this copy of it: known |\n"
        "| --- | --- | --- |"
    )
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
        if match := benchmarks.match([seen(picture)])[0]:
            print(f"- {path}: {match}", flush=True)
    print(f"\nof {count} pictures")


def cost(folders: list[Path]) -> None:
    """Print milliseconds, of the process, so that others on the machine count little."""
    benchmarks = Benchmarks.load(["shipped"])
    benchmarks.match([seen(Image.effect_noise((300, 200), 90))])  # indexed when first asked
    decoding, finding, megapixels = 0.0, 0.0, 0.0
    images = []
    for path in sorted(path for folder in folders for path in folder.rglob("*") if path.is_file()):
        data = path.read_bytes()
        start = time.process_time()
        try:
            with open_image(io.BytesIO(data)) as image:
                luma_HW = to_luma(image)
        except ImageError:
            continue
        middle = time.process_time()
        found = find_keypoints(luma_HW).tobytes()
        finding += time.process_time() - middle
        decoding += middle - start
        images.append((found, luma_HW.shape[1], luma_HW.shape[0]))
        megapixels += luma_HW.size / 1e6
    count = len(images)
    print(
        "| pictures | megapixels | decoding, ms a picture | keypoints, ms a picture "
        "| ms a megapixel |"
    )
    print("| --- | --- | --- | --- | --- |")
    print(
        f"| {count} | {megapixels:.0f} | {1e3 * decoding / count:.1f} "
        f"| {1e3 * finding / count:.1f} | "
        f"{1e3 * finding / megapixels:.1f} |\n"
    )
    rng = np.random.default_rng(0)
    many = [jittered(images[number], rng) for number in rng.integers(count, size=100_000)]
    start = time.process_time()
    matches = benchmarks.match(many)
    seconds = time.process_time() - start
    share = len([match for match in matches if match]) / len(many)
    print(
        f"{len(many)} matched in {seconds:.1f} s, {share:.1%} found: "
        f"{seconds / len(many) * 1e6:.0f} s for a million"
    )


def jittered(image: tuple[bytes, int, int], rng: np.random.Generator) -> tuple[bytes, int, int]:
    """Return keypoints like another picture's: some bits flipped, at other places."""
    other = np.frombuffer(image[0], KEYPOINT).copy()
    flips = rng.random((len(other), 64)) < rng.uniform(0, 0.3)
    other["bits"] ^= np.packbits(flips, axis=1).view(">u8")[:, 0]
    other["x"], other["y"] = rng.integers(0, 256, (2, len(other)))
    return (other.tobytes(), *image[1:])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("recall", "false", "cost"))
    parser.add_argument("folders", nargs="+", type=Path)
    options = parser.parse_args()
    {"recall": recall, "false": false, "cost": cost}[options.what](options.folders)


if __name__ == "__main__":
    main()
