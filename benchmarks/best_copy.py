"""How often a worse copy of a photograph is taken for the best of its cluster of duplicates.

python -m benchmarks.best_copy FOLDER...

Each original, as PNG and as JPEG of quality 92, meets one copy at a time: enlarged, reduced,
compressed once, or compressed and saved anew. The row `pixels, bpp` is the plain rule: the most
pixels, then the most bits per pixel.
"""

from __future__ import annotations

import io
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
from PIL import Image

from curate.recipe import Dedup
from curate.stages.measure import measure_image
from curate.stages.select import find_clusters

SIDE, LIMIT = 640, 14
"""Pixels a side of the originals, cut from the middle; and how many of them."""
KINDS = ("enlarged", "reduced", "compressed", "saved anew")

Row = dict[str, Any]


def originals(folders: list[str]) -> Iterator[Image.Image]:
    """Yield squares of photographs, which are reduced first where they are large."""
    for path in sorted(path for folder in folders for path in Path(folder).rglob("*.jpg")):
        try:
            with Image.open(path) as opened:
                picture = opened.convert("RGB")
        except OSError:
            continue
        scale = max(1, min(picture.size) / 900)
        width, height = (round(side / scale) for side in picture.size)
        if min(width, height) >= SIDE:
            picture = picture.resize((width, height), Image.Resampling.LANCZOS)
            left, top = (width - SIDE) // 2, (height - SIDE) // 2
            yield picture.crop((left, top, left + SIDE, top + SIDE))


def encode(picture: Image.Image, form: str, quality: int = 95) -> bytes:
    """Return a picture's file."""
    file = io.BytesIO()
    picture.save(file, form, quality=quality)
    return file.getvalue()


def decode(data: bytes) -> Image.Image:
    """Return a file's picture."""
    return Image.open(io.BytesIO(data)).convert("RGB")


def pairs(original: bytes) -> Iterator[tuple[str, bytes, bytes]]:
    """Yield (kind of the worse copy, the better file, the worse file)."""
    picture = decode(original)
    for scale in (0.5, 0.75, 1.5, 2, 3):
        size = (round(scale * SIDE), round(scale * SIDE))
        resized = picture.resize(size, Image.Resampling.BICUBIC)
        kind = "enlarged" if scale > 1 else "reduced"
        yield kind, original, encode(resized, "PNG")
        yield kind, original, encode(resized, "JPEG", 90)
    for quality in (30, 50, 70, 85):
        once = encode(picture, "JPEG", quality)
        yield "compressed", original, once
        for form in ("PNG", "JPEG", "WEBP"):
            yield "saved anew", once, encode(decode(once), form)


def measure(number: int, data: bytes) -> Row:
    """Return the columns that the choice among duplicates reads."""
    found = measure_image(data, facts=("blockiness", "spectral_cutoff"))
    row: Row = {
        "id": f"{number:016x}",
        "sha256": "of one cluster",
        "pixel_sha256": found.pixel_sha256,
        "phash": None,
        "pixels": found.pixels,
        "bpp": found.bpp,
        "jpeg_quality": found.jpeg_quality,
    }
    row.update((str(name), value) for name, value in found.facts.items())
    return row


def takes_worse(better: Row, worse: Row) -> bool:
    """Return whether the package takes the worse of two copies."""
    table = pa.Table.from_pylist([better, worse])
    table = table.set_column(3, "phash", pa.nulls(2, pa.uint64()))
    return bool(find_clusters(table, Dedup(perceptual=None)).best_N[0])


def takes_larger(better: Row, worse: Row) -> bool:
    """Return whether the plain rule takes the worse of two copies."""
    return (worse["pixels"], worse["bpp"]) > (better["pixels"], better["bpp"])


RULES: dict[str, Callable[[Row, Row], bool]] = {
    "curate": takes_worse,
    "pixels, bpp": takes_larger,
}


def judge(original: bytes) -> Counter[tuple[str, str]]:
    """Count pairs by kind, and each rule's wrong choices by (rule, kind)."""
    counts: Counter[tuple[str, str]] = Counter()
    for kind, better, worse in pairs(original):
        rows = measure(0, better), measure(1, worse)
        counts["pairs", kind] += 1
        for name, rule in RULES.items():
            counts[name, kind] += rule(*rows)
    return counts


def main() -> None:
    """Print the shares of pairs in which each rule takes the worse copy."""
    files = []
    for picture, _ in zip(originals(sys.argv[1:]), range(LIMIT), strict=False):
        files += [encode(picture, "PNG"), encode(picture, "JPEG", 92)]
    counts: Counter[tuple[str, str]] = Counter()
    with ProcessPoolExecutor(2) as workers:
        for found in workers.map(judge, files):
            counts += found
    print(f"| rule | {' | '.join(KINDS)} |")
    print(f"| --- | {' | '.join('---:' for _ in KINDS)} |")
    for name in RULES:
        shares = (counts[name, kind] / max(1, counts["pairs", kind]) for kind in KINDS)
        print(f"| {name} | {' | '.join(f'{share:.0%}' for share in shares)} |")


if __name__ == "__main__":
    main()
