"""Patches a second of the loader, by patches for each decoded picture and by workers.

Beside them stands the ratio to the first column, and below what a batch holds.

    python -m benchmarks.loader [PICTURES] [--crop 128] [--seconds 5] [--workers 0 1 2]
                                [--crops 1 4 16]

PICTURES is a manifest or a folder, and may be of tiles; the default is 32 drawings of 2048 x 1536
as JPEG. Patches are of `denoise_25`, 32 in a batch, and pictures are decoded again on each use. The
loader keeps up with training steps that use no more patches than this.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image as PillowImage

from curate.restore.data.degradations import Image
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
            shown = [f"{rate:,.0f} ({rate / rates[0]:.1f} x)" for rate in rates]
            print(f"| {workers} | " + " | ".join(shown) + " |", flush=True)
        print("\n| patches a picture | decodings of a pass, of its patches | fewest in a batch |")
        print("| ---: | ---: | ---: |")
        for crops in arguments.crops:
            print(f"| {crops} | {_mixture(pictures, arguments.crop, crops)} |", flush=True)


def _rate(pictures: list[Picture], crop: int, crops: int, workers: int, seconds: float) -> float:
    """Patches a second, once the first batch of every worker is there."""
    patches, phase = _patches(pictures, crop, crops)
    batches = iter(PatchLoader(patches, Schedule([phase], 2**24), lambda: 0, workers=workers))
    for _ in range(1 + 2 * workers):  # what was cut ahead of being asked for
        next(batches)
    count, start = 0, time.perf_counter()
    while (taken := time.perf_counter() - start) < seconds:
        count += len(next(batches)[0])
    return count / taken


def _mixture(pictures: list[Picture], crop: int, crops: int) -> str:
    """Count the decodings of a pass, and the fewest images of one of its batches."""
    patches, phase = _patches(pictures, crop, crops)
    total = len(pictures) * crops
    decoded: list[object] = []
    patches.cache.read = _count(  # type: ignore[method-assign, assignment]
        patches.cache.read, decoded
    )
    loader = PatchLoader(patches, Schedule([phase], total), lambda: 0)
    steps = sum(1 for _ in loader)
    # a file stays until another one takes its place in the cache
    runs = sum(one is not other for one, other in zip(decoded, [None, *decoded], strict=False))
    fewest = len(pictures)
    for step in range(steps):
        samples = map(patches.sample, range(step * phase.batch, (step + 1) * phase.batch))
        files = {pictures[sample.picture].file for sample in samples}
        fewest = min(fewest, len(files))
    return f"{runs} of {steps * phase.batch} | {fewest} of {phase.batch}"


def _count(
    read: Callable[[Picture], Sequence[Image]], seen: list[object]
) -> Callable[[Picture], Sequence[Image]]:
    def note(picture: Picture) -> Sequence[Image]:
        seen.append(picture.file)
        return read(picture)

    return note


def _patches(pictures: list[Picture], crop: int, crops: int) -> tuple[PatchDataset, Phase]:
    phase = Phase(epochs=1, crop=crop, batch=32, lr=1)
    groups = [Group(pictures, {"denoise_25": 1})]
    settings = {"seed": 0, "crops_per_image": crops, "cache_bytes": 0}
    return PatchDataset(groups, [phase], **settings), phase


def _draw(folder: Path, count: int = 32) -> str:
    rng = np.random.default_rng(0)
    for number in range(count):
        coarse = PillowImage.fromarray(rng.integers(0, 256, (96, 128, 3), dtype=np.uint8))
        fine = rng.normal(0, 6, (1536, 2048, 3))
        picture = np.asarray(coarse.resize((2048, 1536), PillowImage.Resampling.BICUBIC)) + fine
        PillowImage.fromarray(picture.clip(0, 255).astype(np.uint8)).save(
            folder / f"{number}.jpg", quality=95
        )
    return str(folder)


if __name__ == "__main__":
    main()
