"""Speed of measuring in one process and thread, beside the naive method and decoding alone.

    python -m benchmarks.measure [FOLDER] [--images 400]

FOLDER holds images; the default is 12 generated pictures of 0.5 to 3 megapixels, as JPEG and PNG,
awkward sizes among them. The naive method is Pillow's decoder, `numpy.fft.fft2` in complex128, and
a mask for each cut-off. Ours is timed for the same ratios alone, and for all measures of the stage;
then tiles beside the image's own measures, and the decoder process beside this one.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from curate.errors import ImageError
from curate.images.decode import open_image, to_luma
from curate.images.decoder_process import run_in_decoder
from curate.recipe import FACTS
from curate.stages.measure import (
    PAPER_CUTOFF,
    PUBLISHED_CUTOFF,
    high_frequency_ratios,
    measure_image,
)
from curate.stages.measure.tile_measures import TileGrid


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", type=Path, help="folder of images")
    parser.add_argument("--images", type=int, default=400, help="at most so many of them")
    parser.add_argument(
        "--rounds", type=int, default=3, help="the fastest of so many rounds counts"
    )
    arguments = parser.parse_args()
    groups: dict[str, list[bytes]] = {}
    for format_, data in (
        _generated() if arguments.folder is None else _found(arguments.folder, arguments.images)
    ):
        groups.setdefault(format_, []).append(data)
    print(
        "| | images | megapixels | ratios, images/s | of the obvious way's | of decoding's time "
        "| all measures |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    whole = {"images": 0.0, "megapixels": 0.0} | dict.fromkeys(_METHODS, 0.0)
    for format_, files in groups.items():
        pixels = sum(measure_image(data).pixels for data in files)
        taken = {"images": len(files), "megapixels": pixels / 1e6} | _seconds(
            files, arguments.rounds
        )
        whole = {key: whole[key] + taken[key] for key in whole}
        _print(format_, taken)
    if len(groups) > 1:
        _print("all", whole)
    # tiles beside the image's own measures with the same facts
    print(f"tiles of 512: {(whole['tiles'] - whole['facts']) / whole['facts']:.2f} x")
    every = [data for files in groups.values() for data in files]
    print(f"in the decoder process: {_in_decoder(every, arguments.rounds):.2f} x")


def _in_decoder(files: list[bytes], rounds: int) -> float:
    """Return wall time of measuring in the decoder process, of that within this process."""

    def guarded(data: bytes) -> object:
        return run_in_decoder(measure_image, data)

    methods: list[Callable[[bytes], object]] = [measure_image, guarded]
    sums = [0.0, 0.0]
    for data in files:
        fastest = [float("inf"), float("inf")]
        for number in 2 * rounds * [0, 1]:
            start = time.perf_counter()
            methods[number](data)
            fastest[number] = min(fastest[number], time.perf_counter() - start)
        sums = [total + seconds for total, seconds in zip(sums, fastest, strict=True)]
    return sums[1] / sums[0]


def _seconds(files: list[bytes], rounds: int) -> dict[str, float]:
    """Return processor seconds of each method: the fastest of some alternating rounds a file."""
    seconds = dict.fromkeys(_METHODS, 0.0)
    for data in files:
        fastest = dict.fromkeys(_METHODS, float("inf"))
        for _ in range(rounds):
            for name, method in _METHODS.items():
                start = time.process_time()
                method(data)
                fastest[name] = min(fastest[name], time.process_time() - start)
        seconds = {name: seconds[name] + fastest[name] for name in _METHODS}
    return seconds


def _print(name: str, taken: dict[str, float]) -> None:
    ratios, floor = taken["ratios"], taken["decoding"]
    print(
        f"| {name} | {taken['images']:.0f} | {taken['megapixels']:.0f}"
        f" | {taken['images'] / ratios:.1f}"
        f" | {taken['obvious'] / ratios:.2f} x | {ratios / floor:.2f} x"
        f" | {taken['all'] / floor:.2f} x |"
    )


def _obvious(data: bytes) -> list[float]:
    luma_HW = np.asarray(Image.open(io.BytesIO(data)).convert("L"), dtype=np.float64)
    height, width = luma_HW.shape
    power_HW = np.abs(np.fft.fftshift(np.fft.fft2(luma_HW))) ** 2
    v, u = np.meshgrid(np.arange(width) - width // 2, np.arange(height) - height // 2)
    distance_HW = np.hypot(u, v)
    half_diagonal = np.hypot(height / 2, width / 2)
    return [
        power_HW[distance_HW > c * half_diagonal].sum() / power_HW.sum()
        for c in (PAPER_CUTOFF, PUBLISHED_CUTOFF)
    ]


def _ratios(data: bytes) -> list[float]:
    with open_image(io.BytesIO(data)) as image:
        luma_HW = to_luma(image)
    return high_frequency_ratios(luma_HW, (PAPER_CUTOFF, PUBLISHED_CUTOFF))


def _decode(data: bytes) -> object:
    with open_image(io.BytesIO(data)) as image:
        return to_luma(image)


_METHODS: dict[str, Callable[[bytes], object]] = {
    "obvious": _obvious,
    "ratios": _ratios,
    "all": measure_image,
    "facts": partial(measure_image, facts=FACTS),
    "tiles": partial(measure_image, facts=FACTS, tiles=TileGrid((512,))),
    "decoding": _decode,
}


def _found(folder: Path, most: int) -> Iterator[tuple[str, bytes]]:
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        data = path.read_bytes()
        try:
            yield measure_image(data).format, data
        except ImageError:
            continue
        most -= 1
        if not most:
            return


def _generated() -> Iterator[tuple[str, bytes]]:
    rng = np.random.default_rng(0)
    for height, width in (
        (600, 800),
        (1024, 1024),
        (1365, 2048),
        (1367, 1879),
        (1080, 1920),
        (1500, 2000),
    ):
        field_HW3 = rng.normal(0, 1, (height, width, 3)).cumsum(axis=0).cumsum(axis=1)
        field_HW3 = (
            128 + 60 * field_HW3 / np.abs(field_HW3).max() + rng.normal(0, 6, field_HW3.shape)
        )
        picture = Image.fromarray(field_HW3.clip(0, 255).astype(np.uint8))
        for format_, options in (("JPEG", {"quality": 92}), ("PNG", {})):
            buffer = io.BytesIO()
            picture.save(buffer, format_, **options)
            yield format_, buffer.getvalue()


if __name__ == "__main__":
    main()
