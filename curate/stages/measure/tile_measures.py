"""Tiles of an image: boxes on JPEG's grid, each with the measures of its own pixels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.stages.measure.blockiness import blockiness
from curate.stages.measure.colour import clipped_share
from curate.stages.measure.frequency import (
    PAPER_CUTOFF,
    PUBLISHED_CUTOFF,
    stacked_ratios_and_spectra,
)
from curate.stages.measure.identity import perceptual_hash, pixel_sha256
from curate.stages.measure.noise import noise_sigma
from curate.stages.measure.resolution import spectral_cutoff
from curate.stages.measure.sample import row_bands
from curate.stages.measure.texture import entropy, flat_share, glcm_contrast, mean_laplacian

__all__ = ["Place", "TileColumns", "TileGrid", "measure_tiles", "tile_places"]

Place = tuple[int, int, int]
"""Left, top and side of a tile in pixels of the upright image."""

TileColumns = dict[str, list[Any]]
"""Column -> a value for each tile: `tile_x`, `tile_y`, `width`, `height`, measures, hashes.

Further cut-offs stand under `cutoffs`, a list for each tile.
"""

_PIXELS = 2**18
"""Pixels of the tiles that are measured at once: their values stay in a fast cache."""


@dataclass(frozen=True)
class TileGrid:
    """Places of an image's tiles, from the recipe; see `curate.recipe.Tiles`."""

    sizes: tuple[int, ...]
    """Sides in pixels."""
    grid: int = 8
    """Pixels that sides, places and stride are multiples of."""
    stride: int | None = None
    """Pixels from one tile to the next; the side by default."""


def tile_places(width: int, height: int, config: TileGrid) -> list[Place]:
    """Return the tiles of an image, size by size, each from top to bottom and left to right.

    Tiles of a size begin at equal steps, all multiples of the grid. What is left over lies around
    them rather than at the right and the bottom alone.
    """
    places = []
    for side in config.sizes:
        stride = config.stride or side
        for top in _starts(height, side, stride, config.grid):
            for left in _starts(width, side, stride, config.grid):
                places.append((left, top, side))
    return places


def _starts(length: int, side: int, stride: int, grid: int) -> range:
    """Return where tiles begin along an axis; nowhere if it is shorter than a tile."""
    if length < side:
        return range(0)
    left_over = (length - side) % stride
    first = left_over // 2 // grid * grid
    return range(first, length - side + 1, stride)


def measure_tiles(
    luma_HW: NDArray[np.uint8],
    rgb_HWC: NDArray[np.uint8],
    config: TileGrid,
    cutoffs: Sequence[float] = (),
) -> TileColumns:
    """Measure the tiles of a decoded image.

    Args:
        luma_HW: ITU-R 601 luma of the upright image.
        rgb_HWC: the same in colours.
        config: which tiles.
        cutoffs: further cut-offs of the high-frequency ratio.
    """
    height, width = luma_HW.shape
    columns: TileColumns = defaultdict(list)
    for places in _stacks(tile_places(width, height, config)):
        boxes = [np.s_[top : top + side, left : left + side] for left, top, side in places]
        luma_THW = np.stack([luma_HW[box] for box in boxes])
        for left, top, side in places:
            columns["tile_x"].append(left)
            columns["tile_y"].append(top)
            columns["width"].append(side)
            columns["height"].append(side)
        _add_frequencies(columns, luma_THW, cutoffs)
        _add_facts(columns, luma_THW)
        for box in boxes:
            columns["clipped_low"].append(clipped_share(rgb_HWC[box], 0))
            columns["clipped_high"].append(clipped_share(rgb_HWC[box], 255))
    return dict(columns)


def _stacks(places: Sequence[Place]) -> Iterator[list[Place]]:
    """Yield runs of tiles of one size, of about _PIXELS together."""
    stack: list[Place] = []
    for place in places:
        side = place[2]
        if stack and (stack[0][2] != side or (len(stack) + 1) * side**2 > _PIXELS):
            yield stack
            stack = []
        stack.append(place)
    if stack:
        yield stack


def _add_frequencies(
    columns: TileColumns, luma_THW: NDArray[np.uint8], cutoffs: Sequence[float]
) -> None:
    wanted = (PAPER_CUTOFF, PUBLISHED_CUTOFF, *cutoffs)
    for ratios, spectrum in stacked_ratios_and_spectra(luma_THW, wanted):
        columns["hf_ratio"].append(ratios[0])
        columns["hf_ratio_032"].append(ratios[1])
        columns["cutoffs"].append(ratios[2:])
        columns["spectral_cutoff"].append(spectral_cutoff(spectrum))


def _add_facts(columns: TileColumns, luma_THW: NDArray[np.uint8]) -> None:
    facts: dict[str, NDArray[np.float64] | None] = {
        "flat_share": flat_share(luma_THW),
        "laplacian": mean_laplacian(luma_THW),
        "entropy": entropy(luma_THW),
        "glcm_contrast": glcm_contrast(luma_THW),
    }
    for name, values_T in facts.items():
        assert values_T is not None, "a tile has 128 pixels a side"
        columns[name] += values_T.tolist()
    for luma_HW in luma_THW:
        bands_BRW = row_bands(luma_HW)
        assert bands_BRW is not None, "a tile has 128 pixels a side"
        columns["blockiness"].append(blockiness(bands_BRW))
        columns["noise_sigma"].append(noise_sigma(bands_BRW))
        columns["pixel_sha256"].append(pixel_sha256(luma_HW))
        columns["phash"].append(perceptual_hash(luma_HW))
