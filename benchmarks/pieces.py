"""Accuracy of restoring in pieces: python -m benchmarks.pieces CHECKPOINT FOLDER... [--tile 256]

Prints Markdown: how near pieces come to the whole picture (PSNR between both, mean and least), with
one route for all pieces and with a route for each. Then how often the input that the route is
picked from sends a picture where the whole goes: the samples that are taken, the middle, and the
picture scaled down.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from curate.restore import load_model
from curate.restore.data.degradations import generator, parse_degradation
from curate.restore.data.patches import to_tensor
from curate.restore.data.pictures import open_pictures
from curate.restore.inference import restore_image
from curate.restore.inference.tiles import sample_sheet
from curate.restore.metrics import psnr

DEGRADATIONS = ("denoise_15", "denoise_50", "dejpeg_10", "dejpeg_40", "sr_x2", "sr_x4", "derain")
Pixels = NDArray[np.uint8]


def middle(image: Pixels, side: int) -> Pixels:
    top, left = (max(length - side, 0) // 2 for length in image.shape[:2])
    return image[top : top + side, left : left + side]


def scaled_down(image: Pixels, side: int) -> Pixels:
    picture = Image.fromarray(image)
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    return np.asarray(picture)


INPUTS: dict[str, Callable[[Pixels, int], Pixels]] = {
    "samples from all over": lambda image, side: np.asarray(sample_sheet(image, side)),
    "the middle": middle,
    "scaled down": scaled_down,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint")
    parser.add_argument("folders", nargs="+")
    parser.add_argument("--tile", type=int, default=256)
    parser.add_argument("--limit", type=int, default=None)
    arguments = parser.parse_args()
    model, tile = load_model(arguments.checkpoint), arguments.tile
    pictures = []
    for folder in arguments.folders:
        pictures += open_pictures(folder)[: arguments.limit]
    near: dict[str, list[float]] = defaultdict(list)
    same: dict[str, list[float]] = defaultdict(list)
    for picture in pictures:
        for name in DEGRADATIONS:
            degradation = parse_degradation(name)
            image = degradation.pair(picture.read(), generator(0, name, picture.id))[1]
            restore = partial(
                restore_image.restore_array, model, image, task=degradation.task, quantise=False
            )
            whole = restore(tile=max(image.shape))
            near["one route"].append(psnr(restore(tile=tile), whole))
            if not hasattr(model, "forward_with_choices"):
                continue
            with patch.object(restore_image, "_pick_route", lambda *_: {}):
                near["a route for each piece"].append(psnr(restore(tile=tile), whole))
            inputs = {"whole": image}
            for source, cut in INPUTS.items():
                inputs[source] = cut(image, tile)
            routes = {}
            with torch.inference_mode():
                for source, pixels in inputs.items():
                    pick: Any = model.forward_with_choices
                    routes[source] = pick(to_tensor(pixels)[None])[1][0]
            for source in INPUTS:
                same[source].append(float((routes[source] == routes["whole"]).float().mean()))
    print(f"{len(pictures)} pictures, {len(DEGRADATIONS)} degradations, pieces of {tile}\n")
    print("| pieces | PSNR to the whole, mean | least |\n| --- | ---: | ---: |")
    for pieces, values in near.items():
        print(f"| {pieces} | {np.mean(values):.2f} | {np.min(values):.2f} |")
    if same:
        print("\n| route picked from | decoder blocks that go where the whole's do |")
        print("| --- | ---: |")
        for source, values in same.items():
            print(f"| {source} | {np.mean(values):.1%} |")


if __name__ == "__main__":
    main()
