"""Size and opening time of a report: python -m benchmarks.report_page [--kept N] [--shots FOLDER]

Invents a run that kept 50,000 images, in all cells of category and frequency, with pictures that
are hard to compress; builds its report, and opens it in Chromium. With --shots it makes a run of
pieces of photographs that packages ship, and saves the documentation's pictures of its report.
"""

from __future__ import annotations

import argparse
import io
import json
import tarfile
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from PIL import Image, ImageFilter

import curate
from benchmarks.chromium import find_chromium, opening_times, screenshot
from benchmarks.select_scale import invent
from curate.demo.photographs import photographs
from curate.engine import RunFolder, Shard
from curate.manifest import CATEGORIES, LEDGER, write_manifest
from curate.recipe import Recipe
from curate.stages.match.benchmarks import Benchmarks
from curate.stages.report import build_report
from curate.stages.select import select

SHARD = 1000
PICTURES = 300
TRIES = 5
SHOTS = {
    "report.png": (1280, 1150, ""),
    "report-heat.png": (1280, 1150, "content"),
    "report-pictures.png": (1280, 900, "borderline"),
}
"""File -> width, height, and the section that it shows; the head of the page where it is empty."""
PIECES = 5
"""Pieces of each photograph."""
PHOTOGRAPHS = {
    "name": "photographs",
    "filters": {"min": {"width": 240, "bpp": 0.5, "hf_ratio_032": 0.0005}},
    "label": {"model": "bundled"},
    "select": {"train": 40, "test": {"per_category": 1, "max_share": 0.3}},
}
"""Recipe of the run of photographs."""
ALONE = "<style>body > nav, main > :not(:has(#{key})) {{ display: none }} section {{ margin: 0 }}"
"""Leaves one section of a page."""


def textures(folder: RunFolder) -> list[tuple[int, int]]:
    """Write pictures of fine detail in a tar; returns offset and length of each."""
    random = np.random.default_rng(1)
    radius_HW = np.hypot(np.fft.fftfreq(480)[:, None], np.fft.rfftfreq(640)[None]) + 0.004
    sink, spots = io.BytesIO(), []
    with tarfile.open(fileobj=sink, mode="w") as tar:
        for number in range(PICTURES):
            noise_HWC = random.normal(0, 1, (480, 640, 3))
            spectrum = np.fft.rfft2(noise_HWC, axes=(0, 1))
            spectrum /= radius_HW[..., None] ** random.uniform(0.8, 1.4)
            texture_HWC = np.fft.irfft2(spectrum, (480, 640), axes=(0, 1))
            levels_HWC = (128 + 55 * texture_HWC / texture_HWC.std()).clip(0, 255)
            image = io.BytesIO()
            Image.fromarray(levels_HWC.astype(np.uint8)).save(image, "JPEG", quality=92)
            info = tarfile.TarInfo(f"{number}.jpg")
            info.size = image.tell()
            image.seek(0)
            tar.addfile(info, image)
            spots.append((tar.offset - 512 * -(-info.size // 512), info.size))
    folder.write("images/part-00000.tar", sink.getvalue())
    return spots


def invent_run(folder: RunFolder, kept: int) -> int:
    """Write a run folder that kept so many images; returns the candidates."""
    test = {"per_category": 100}
    filters = {"min": {"width": 1024, "height": 1024, "bpp": 1.0, "hf_ratio_032": 0.0005}}
    recipe = Recipe.parse(
        {"name": "invented", "filters": filters, "select": {"train": kept, "test": test}}, "here"
    )
    folder.write("recipe.yaml", recipe.to_yaml().encode())
    spots = textures(folder)
    count = int(1.6 * kept)
    table = invent(count, 0.95, 7, [column.name for column in LEDGER])
    place = np.arange(count) % PICTURES
    offset, nbytes = (np.array(side)[place] for side in zip(*spots, strict=True))
    even = np.random.default_rng(3).integers(0, len(CATEGORIES), count)
    columns = {
        "tar": pa.array(["images/part-00000.tar"] * count),
        "offset": pa.array(offset),
        "nbytes": pa.array(nbytes),
        "category": pa.array(CATEGORIES).take(pa.array(even)),
    }
    for name, values in columns.items():
        at = table.column_names.index(name)
        table = table.set_column(at, name, pc.cast(values, table.schema.field(name).type))
    chosen = select(table, recipe.select, recipe.filters, CATEGORIES, recipe.seed)
    for name in chosen.decisions.column_names:
        at = table.column_names.index(name)
        kind = table.schema.field(name).type
        table = table.set_column(at, name, chosen.decisions[name].cast(kind))
    for start in range(0, count, SHARD):
        sink = io.BytesIO()
        pq.write_table(table.slice(start, SHARD), sink)
        folder.write(f"ledger/part-{start // SHARD:05}.parquet", sink.getvalue())
    benchmarks = Benchmarks.load(recipe.select.benchmarks).coverage()
    summary = chosen.summary | {"benchmarks": benchmarks}
    folder.write("select/summary.json", json.dumps(summary).encode())
    for split in ("train", "test"):
        rows = table.filter(pc.equal(table["split"], split)).drop_columns(["status", "reason"])
        write_manifest(f"{folder}/manifest/{split}.parquet", rows, {"recipe_name": "invented"})
    return count


def measure(kept: int) -> None:
    """Print size and times of the report of an invented run."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = RunFolder(scratch)
        candidates = invent_run(folder, kept)
        start = time.process_time()
        build_report(Shard("report", folder))
        seconds = time.process_time() - start
        page = folder.read("report/index.html").decode()
    opened = f"{min(opening_times(page, TRIES)):.2f} s" if find_chromium() else "no Chromium"
    print("| candidates | kept | thumbnails | MB | built, processor time | opened, best of 5 |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: |")
    print(
        f"| {candidates:,} | {kept:,} | {page.count('<img '):,} | {len(page.encode()) / 1e6:.1f} "
        f"| {seconds:.0f} s | {opened} |"
    )


def cut_photographs(folder: Path) -> None:
    """Write pieces of photographs as files of a folder, some of them twice or blurred."""
    random = np.random.default_rng(4)
    for photograph in photographs():
        whole = photograph.open().convert("RGB")
        whole.thumbnail((900, 900))
        for number in range(PIECES):
            side = int(random.integers(200, min(whole.size) + 1))
            left, top = (int(random.integers(0, room - side + 1)) for room in whole.size)
            piece = whole.crop((left, top, left + side, top + side))
            if number == 1:
                piece = piece.filter(ImageFilter.GaussianBlur(random.uniform(0.6, 3)))
            name = folder / f"{Path(photograph.name).stem}-{number}"
            piece.save(f"{name}.jpg", quality=int(random.integers(60, 96)))
            if number == 2:
                piece.save(f"{name}-copy.jpg", quality=50)


def shoot(folder: Path) -> None:
    """Make a run of photographs' pieces, and save pictures of its report."""
    with tempfile.TemporaryDirectory() as scratch:
        pieces, run = Path(scratch) / "photographs", Path(scratch) / "run"
        pieces.mkdir()
        cut_photographs(pieces)
        curate.run(Recipe.parse(PHOTOGRAPHS, "here"), pieces, run, scheduler="serial")
        page = (run / "report/index.html").read_text()
        for name, (width, height, key) in SHOTS.items():
            style = f"{ALONE.format(key=key)}</style>" if key else ""
            path = Path(scratch) / "page.html"
            path.write_text(page.replace("</head>", f"{style}</head>", 1))
            screenshot(path, folder / name, width, height)
            with Image.open(folder / name) as shot:  # in fewer colours: half the bytes
                few = shot.convert("RGB").quantize(192, dither=Image.Dither.NONE)
            few.save(folder / name, optimize=True)
            print(folder / name)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kept", type=int, default=50_000)
    parser.add_argument("--shots", type=Path, help="folder of the pictures")
    given = parser.parse_args()
    if given.shots:
        shoot(given.shots)
    else:
        measure(given.kept)


if __name__ == "__main__":
    main()
