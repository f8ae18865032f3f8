"""Measure folders of images as Table 2 of the HQ-50K paper does: python benchmarks/calibrate.py FOLDER...

Prints a Markdown table: a row for each folder, with the paper's figures beside it where the folder, or one that it lies
in, has the name of a dataset that the paper gives some of. bpp is of the files as they lie there: a dataset that was
saved anew in another format has another one.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from curate.errors import ImageError
from curate.manifest.statistics import Statistics, summarise
from curate.measure import measure_image


@dataclass(frozen=True)
class Published:
    """A dataset as the paper has it; None where it says nothing."""

    name: str
    where: str
    pixels: int | None
    bpp: float | None
    ratio: str
    """Mean high-frequency ratio, as printed."""

    def __str__(self) -> str:
        figures = [
            f"{self.pixels:,} pixels" if self.pixels else "",
            f"bpp {self.bpp}" if self.bpp else "",
            f"ratio {self.ratio}",
        ]
        return f"{self.name}: {', '.join(filter(None, figures))} ({self.where})"


PUBLISHED = {
    "div2k": Published("DIV2K", "Table 2", 2_788_027, 12.69, "0.8227%"),
    "flickr2k": Published("Flickr2K", "Table 2", 2_763_878, 12.76, "0.5369%"),
    "bsds400": Published("BSDS400", "Table 2", 154_401, 3.77, "0.8863%"),
    "bsds500": Published("BSDS400", "Table 2", 154_401, 3.77, "0.8863%"),
    "wed": Published("WED", "Table 2", 218_576, 24.74, "0.5818%"),
    "rain13k": Published("Rain13K", "Table 2", 209_256, 1.5357, "1.0858%"),
    "imagenet": Published("ImageNet", "Table 2", 219_175, 4.72, "1.0930%"),
    "urban100": Published("Urban100", "Table 1", None, None, "1.514%"),
}
"""Name of a folder, in lower case -> the paper's figures."""

HEADER = """\
| images | number | mean pixels | mean bpp | `hf_ratio` | `hf_ratio_032` | the paper's |
| --- | ---: | ---: | ---: | ---: | ---: | --- |"""


def measure_folder(folder: Path) -> Statistics:
    """The means over every image below a folder; files that are no images are named on standard error."""
    rows = []
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            rows.append(measure_image(file.read_bytes()))
        except ImageError as error:
            print(f"{file}: {error}", file=sys.stderr)
    names = ("pixels", "bpp", "hf_ratio", "hf_ratio_032")
    return summarise(pa.table({name: pa.array([getattr(row, name) for row in rows], pa.float64()) for name in names}))


def published(folder: Path) -> Published | None:
    """The paper's row for a folder, by the name of the folder or of one that it lies in."""
    return next((PUBLISHED[part.lower()] for part in reversed(folder.parts) if part.lower() in PUBLISHED), None)


def table(folders: list[Path]) -> Iterator[str]:
    """The lines of the table, each as soon as it is known."""
    yield HEADER
    for folder in folders:
        found = measure_folder(folder)
        means = ["", "", "", ""]
        if found.pixels and found.bpp and found.hf_ratio is not None and found.hf_ratio_032 is not None:
            means = [f"{found.pixels:,.0f}", f"{found.bpp:.3f}", f"{found.hf_ratio:.3%}", f"{found.hf_ratio_032:.3%}"]
        yield f"| {folder} | {found.number:,} | {' | '.join(means)} | {published(folder) or ''} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    folders: list[Path] = parser.parse_args().folders
    if missing := [str(folder) for folder in folders if not folder.is_dir()]:
        parser.error(f"no folder {', '.join(missing)}")
    for line in table(folders):
        print(line, flush=True)


if __name__ == "__main__":
    main()
