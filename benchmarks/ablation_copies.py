"""Effect of copying on an image's measures: how were the subsets of the paper's Table 9 made?

    python -m benchmarks.ablation_copies FOLDER

Prints the mean bits per pixel as PNG and the mean high-frequency ratio of a folder's pictures,
which must be stored without loss: as they are, reduced to a third by several filters, blurred, and
compressed.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from curate.datasets.ablation.copies import compress
from curate.images.decode import open_image, to_rgb
from curate.manifest.export.images import to_png
from curate.restore.data.pictures import SUFFIXES
from curate.stages.measure import measure_image

Change = Callable[[Image.Image], bytes]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    files = [
        path
        for path in sorted(parser.parse_args().folder.rglob("*"))
        if path.suffix.lower() in SUFFIXES
    ]
    pictures = [_read(path) for path in files]
    print(
        f"{len(pictures)} pictures\n\n"
        "| copies | bpp of the file | ratio beyond 0.32 |\n| --- | ---: | ---: |"
    )
    for name, change in _changes().items():
        measures = [measure_image(change(picture)) for picture in pictures]
        bpp, ratio = (
            float(np.mean([getattr(m, column) for m in measures]))
            for column in ("bpp", "hf_ratio_032")
        )
        print(f"| {name} | {bpp:.2f} | {ratio:.3%} |", flush=True)


def _changes() -> dict[str, Change]:
    def third(filter_: Image.Resampling) -> Change:
        return lambda image: to_png(
            image.resize((round(image.width / 3), round(image.height / 3)), filter_)
        )

    def blurred(sigma: float) -> Change:
        return lambda image: to_png(image.filter(ImageFilter.GaussianBlur(sigma)))

    return {
        "none": to_png,
        **{
            f"a third, {name}": third(Image.Resampling[name.upper()])
            for name in ("box", "bicubic", "lanczos")
        },
        **{f"blurred by {sigma} pixels": blurred(sigma) for sigma in (0.5, 0.6, 0.7, 0.8, 0.9)},
        **{f"JPEG of quality {quality}": compress(quality).encode for quality in (95, 85, 75, 60)},
    }


def _read(path: Path) -> Image.Image:
    with open_image(io.BytesIO(path.read_bytes())) as image:
        return to_rgb(image)


if __name__ == "__main__":
    main()
