"""Accuracy and cost of the additional measures: python -m benchmarks.facts WHAT FOLDER...

WHAT is one of

    noise     error of noise_sigma where noise of a known deviation is added, beside two others
    blocks    blockiness of pictures after JPEG at several qualities
    enlarged  number of pictures that spectral_cutoff takes for enlarged, before and after enlarging
    spread    quantiles of every measure, and rejections by pipelines/restoration_strict.yaml
    cost      milliseconds per megapixel of each measure, beside decoding and the paper's measures

FOLDER holds images, for the first three clean ones that are not JPEGs. Prints Markdown.
"""

from __future__ import annotations

import argparse
import io
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from curate.errors import ImageError
from curate.images.decode import open_image, to_luma, to_rgb
from curate.manifest import MANIFEST
from curate.recipe import FACTS, Fact, Recipe
from curate.stages.filters import rejections
from curate.stages.measure import measure_image
from curate.stages.measure.blockiness import blockiness
from curate.stages.measure.facts import Decoded, measure_facts
from curate.stages.measure.frequency import (
    PAPER_CUTOFF,
    PUBLISHED_CUTOFF,
    PowerSpectrum,
    ratios_and_spectrum,
)
from curate.stages.measure.noise import noise_sigma
from curate.stages.measure.resolution import spectral_cutoff
from curate.stages.measure.sample import row_bands

QUALITIES = (95, 90, 85, 80, 70, 50, 30, 10)
FILTERS = {"bilinear": 2, "bicubic": 3, "Lanczos": 1}


def files(folders: list[Path]) -> Iterator[bytes]:
    """Read the bytes of every file below some folders."""
    for folder in folders:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            yield path.read_bytes()


def pictures(folders: list[Path]) -> Iterator[Image.Image]:
    """Every picture in colours, skipping what is none."""
    for data in files(folders):
        try:
            with open_image(io.BytesIO(data)) as image:
                picture = to_rgb(image)
        except ImageError:
            continue
        yield picture


def as_jpeg(picture: Image.Image, quality: int) -> Image.Image:
    """Save a picture and read it again."""
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return Image.open(file)


def luma(picture: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(picture.convert("L"))


def table(head: str, *rows: str) -> None:
    """Format a Markdown table from cells joined by '|'."""
    columns = head.count("|") + 1
    print(
        "\n".join(
            f"| {line} |" for line in (head, " | ".join(["---"] + ["---:"] * (columns - 1)), *rows)
        )
    )


# --- noise


def immerkaer(luma_HW: NDArray[np.uint8]) -> float:
    """Immerkaer 1996, of the whole picture."""
    rows_HW = np.diff(luma_HW.astype(np.float32), 2, axis=0)
    return float(np.sqrt(np.pi / 2) * np.abs(np.diff(rows_HW, 2, axis=1)).mean() / 6)


def donoho(luma_HW: NDArray[np.uint8]) -> float:
    """Return the median absolute deviation of the finest diagonal Haar coefficients.

    Source: Donoho and Johnstone 1994.
    """
    even = luma_HW[: luma_HW.shape[0] // 2 * 2, : luma_HW.shape[1] // 2 * 2].astype(np.float32)
    diagonal = even[::2, ::2] - even[1::2, ::2] - even[::2, 1::2] + even[1::2, 1::2]
    return float(np.median(np.abs(diagonal)) / 2 / 0.6745)


def ours(luma_HW: NDArray[np.uint8]) -> float:
    bands_BRW = row_bands(luma_HW)
    assert bands_BRW is not None
    return noise_sigma(bands_BRW)


def noise(folders: list[Path]) -> None:
    estimators: dict[str, Callable[[NDArray[np.uint8]], float]] = {
        "`noise_sigma`": ours,
        "Immerkaer 1996": immerkaer,
        "wavelet MAD": donoho,
    }
    lumas = [luma(picture) for picture in pictures(folders)]
    lines = []
    for sigma in (0, 5, 10, 15, 25, 50):
        errors: dict[str, list[float]] = {name: [] for name in estimators}
        for number, clean_HW in enumerate(lumas):
            rng = np.random.default_rng(number)
            noisy_HW = np.clip(
                np.rint(clean_HW + rng.normal(0, sigma, clean_HW.shape)), 0, 255
            ).astype(np.uint8)
            for name, estimate in estimators.items():
                errors[name].append(estimate(noisy_HW) - sigma)
        cells = (
            f"{np.mean(e):+.2f} ({np.sqrt(np.mean(np.square(e))):.2f})" for e in errors.values()
        )
        lines.append(" | ".join([f"{sigma}", *cells]))
    table(" | ".join([f"sigma, {len(lumas)} pictures", *estimators]), *lines)


# --- blocks


def blocks(folders: list[Path]) -> None:
    found = []
    for picture in pictures(folders):
        values = []
        for version in (picture, *(as_jpeg(picture, quality) for quality in QUALITIES)):
            bands_BRW = row_bands(luma(version))
            assert bands_BRW is not None
            values.append(blockiness(bands_BRW))
        found.append(values)
    values_PQ = np.array(found)
    names = ["as it is", *map(str, QUALITIES)]
    lines = []
    for name, column in zip(names, values_PQ.T, strict=True):
        quantiles = np.quantile(column, (0.05, 0.5, 0.95))
        lines.append(
            f"{name} | {' | '.join(f'{q:.2f}' for q in quantiles)} | {np.mean(column > 1.2):.0%}"
        )
    table(f"JPEG quality, {len(found)} pictures | 5 % | median | 95 % | over 1.2", *lines)


# --- enlarged


def enlarged(folders: list[Path]) -> None:
    found: dict[str, list[float]] = {}

    def look(name: str, version: Image.Image) -> None:
        for suffix, saved in (("", version), (", JPEG 90", as_jpeg(version, 90))):
            cutoff = spectral_cutoff(ratios_and_spectrum(luma(saved), (PUBLISHED_CUTOFF,))[1])
            found.setdefault(name + suffix, []).append(np.nan if cutoff is None else cutoff)

    for picture in pictures(folders):
        look("as it is", picture)
        for factor in (1.5, 2, 4):
            for name, filter_ in FILTERS.items():
                size = round(picture.width * factor), round(picture.height * factor)
                look(f"x{factor} {name}", picture.resize(size, Image.Resampling(filter_)))
    lines = []
    for name, values in found.items():
        cutoffs = np.array(values)
        quantiles = np.nanquantile(cutoffs, (0.05, 0.5, 0.95))
        lines.append(
            f"{name} | {np.mean(cutoffs < 0.8):.1%} | {' | '.join(f'{q:.2f}' for q in quantiles)}"
        )
    table(f"{len(found['as it is'])} pictures | under 0.8 | 5 % | median | 95 %", *lines)


# --- spread and cost


def spread(folders: list[Path]) -> None:
    recipe = Recipe.load("restoration_strict")
    types = {column.name: column.type for column in MANIFEST}
    rows: list[dict[str, Any]] = []
    for data in files(folders):
        try:
            measures = measure_image(data, facts=FACTS)
        except ImageError:
            continue
        known = {name: getattr(measures, name) for name in types if hasattr(measures, name)}
        rows.append(known | {"nbytes": len(data)} | dict(measures.facts))
    columns = ("bpp", "jpeg_quality", "hf_ratio_032", *FACTS)
    lines = []
    for name in columns:
        values = [row[name] for row in rows if row[name] is not None]
        cells = (f"{q:.3g}" for q in np.quantile(values, (0, 0.05, 0.25, 0.5, 0.75, 0.95, 1)))
        lines.append(f"`{name}` | {len(values)} | {' | '.join(cells)}")
    table("fact | pictures | least | 5 % | 25 % | median | 75 % | 95 % | most", *lines)
    schema = pa.schema([(name, types[name]) for name in rows[0]])
    reasons = Counter(rejections(pa.Table.from_pylist(rows, schema), recipe.filters).to_pylist())
    print(
        f"\nOf {len(rows)} pictures: "
        + ", ".join(f"{n} {r or 'pass'}" for r, n in reasons.most_common())
    )


def cost(folders: list[Path]) -> None:
    seconds: defaultdict[str, float] = defaultdict(float)
    pixels = 0
    for data in files(folders):
        try:
            with open_image(io.BytesIO(data)) as image:
                colours = to_rgb(image)
        except ImageError:
            continue
        pixels += colours.width * colours.height
        for name, work in _works(data, luma(colours), np.asarray(colours)).items():
            seconds[name] += min(_timed(work) for _ in range(3))
    lines = (f"{name} | {1e3 * taken / (pixels / 1e6):.2f}" for name, taken in seconds.items())
    table(f"of {pixels / 1e6:.0f} megapixels | ms a megapixel", *lines)


def _works(
    data: bytes, luma_HW: NDArray[np.uint8], rgb_HWC: NDArray[np.uint8]
) -> dict[str, Callable[[], object]]:
    spectrum = ratios_and_spectrum(luma_HW, (PAPER_CUTOFF, PUBLISHED_CUTOFF))[1]
    return {
        "decoding": lambda: _decode(data),
        "everything, `facts: []`": lambda: measure_image(data),
        "everything, all facts": lambda: measure_image(data, facts=FACTS),
        # what several share is made anew for each
        **{f"`{fact}`": partial(_fact, luma_HW, spectrum, rgb_HWC, fact) for fact in FACTS},
    }


def _fact(
    luma_HW: NDArray[np.uint8], spectrum: PowerSpectrum, rgb_HWC: NDArray[np.uint8], fact: Fact
) -> object:
    return measure_facts(Decoded(luma_HW, spectrum, rgb_HWC), [fact])


def _timed(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def _decode(data: bytes) -> object:
    with open_image(io.BytesIO(data)) as image:
        return to_luma(image)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    methods = {method.__name__: method for method in (noise, blocks, enlarged, spread, cost)}
    parser.add_argument("what", choices=methods)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    arguments = parser.parse_args()
    methods[arguments.what](arguments.folders)


if __name__ == "__main__":
    main()
