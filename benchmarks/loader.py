"""Patches a second of the loader, by patches for each decoded picture and by workers.

    python -m benchmarks.loader [PICTURES] [--crop 128] [--seconds 5] [--workers 0 1 2]
                                [--crops 1 4 16]

PICTURES is a manifest or a folder; the default is 8 drawings of 2048 x 1536 as JPEG. Patches are of
`denoise_25`, 32 in a batch, and pictures are decoded again on each use. The loader keeps up with
training steps that use no more patches than this.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from curate.restore.data.loader import PatchLoader
from curate.restore.data.patches import Group, PatchDataset
from curate.restore.data.pictures import Picture, open_pictures
from curate.restore.recipe import Phase
from curate.restore.schedule import Schedule


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pictures", nargs="?", help="manifest, or folder of pictures")
    parser.add_argument("--crop", type=int, default=128, help="side of a patch in pixels")
    parser.add_argument(
        "--seconds", type=float, default=5.0, help="how long each figure is measured, at least"
    )
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument(
        "--crops", type=int, nargs="+", default=[1, 4, 16], help="patches for each decoded picture"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        pictures = open_pictures(arguments.pictures or _draw(Path(folder)))
        print(f"patches/s of {arguments.crop} pixels from {len(pictures)} pictures\n")
        print("| workers | " + " | ".join(f"{crops} a picture" for crops in arguments.crops) + " |")
        print("| ---: |" + " ---: |" * len(arguments.crops))
        for workers in arguments.workers:
            rates = [
                _rate(pictures, arguments.crop, crops, workers, arguments.seconds)
                for crops in arguments.crops
            ]
            print(
                f"| {workers} | " + " | ".join(f"{rate:,.0f}" for rate in rates) + " |", flush=True
            )


def _rate(pictures: list[Picture], crop: int, crops: int, workers: int, seconds: float) -> float:
    """Patches a second, once the first batch of every worker is there."""
    phase = Phase(epochs=1, crop=crop, batch=32, lr=1)
    patches = PatchDataset(
        [Group(pictures, {"denoise_25": 1})], [phase], seed=0, crops_per_image=crops, cache_bytes=0
    )
    batches = iter(PatchLoader(patches, Schedule([phase], 2**24), lambda: 0, workers=workers))
    for _ in range(1 + 2 * workers):  # what was cut ahead of being asked for
        next(batches)
    count, start = 0, time.perf_counter()
    while (taken := time.perf_counter() - start) < seconds:
        count += len(next(batches)[0])
    return count / taken


def _draw(folder: Path, count: int = 8) -> str:
    rng = np.random.default_rng(0)
    for number in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (96, 128, 3), dtype=np.uint8))
        fine = rng.normal(0, 6, (1536, 2048, 3))
        picture = np.asarray(coarse.resize((2048, 1536), Image.Resampling.BICUBIC)) + fine
        Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(
            folder / f"{number}.jpg", quality=95
        )
    return str(folder)


if __name__ == "__main__":
    main()
