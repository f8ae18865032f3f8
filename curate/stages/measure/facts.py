"""Facts that a recipe may ask for beyond the paper's measures, from the same decoded picture."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from curate.stages.measure.blockiness import blockiness
from curate.stages.measure.borders import border_share
from curate.stages.measure.colour import channel_spread, clipped_share, colourfulness
from curate.stages.measure.frequency import PowerSpectrum
from curate.stages.measure.noise import noise_sigma
from curate.stages.measure.resolution import spectral_cutoff
from curate.stages.measure.sample import row_bands
from curate.stages.measure.texture import entropy, flat_share, glcm_contrast, mean_laplacian

__all__ = ["COLOUR_FACTS", "Decoded", "measure_facts"]

COLOUR_FACTS: frozenset[str] = frozenset(
    ("colourfulness", "channel_spread", "clipped_low", "clipped_high")
)
"""Facts that need colours beside the luma."""


@dataclass(frozen=True)
class Decoded:
    """Decoded picture, and what several facts share of it, computed on first use."""

    luma_HW: NDArray[np.uint8]
    spectrum: PowerSpectrum
    rgb_HWC: NDArray[np.uint8] | None = None
    """Needed for COLOUR_FACTS only."""

    @cached_property
    def bands(self) -> NDArray[np.uint8] | None:
        """Sample of the rows; see `row_bands`."""
        return row_bands(self.luma_HW)

    @cached_property
    def colours(self) -> NDArray[np.uint8]:
        """Picture in colours."""
        assert self.rgb_HWC is not None, "facts of colours want rgb_HWC"
        return self.rgb_HWC


_FACTS: dict[str, Callable[[Decoded], float | None]] = {
    "blockiness": lambda picture: None if picture.bands is None else blockiness(picture.bands),
    "noise_sigma": lambda picture: None if picture.bands is None else noise_sigma(picture.bands),
    "spectral_cutoff": lambda picture: spectral_cutoff(picture.spectrum),
    "border_share": lambda picture: border_share(picture.luma_HW),
    "clipped_low": lambda picture: clipped_share(picture.colours, 0),
    "clipped_high": lambda picture: clipped_share(picture.colours, 255),
    "colourfulness": lambda picture: colourfulness(picture.colours),
    "channel_spread": lambda picture: channel_spread(picture.colours),
    "flat_share": lambda picture: _only(flat_share(picture.luma_HW[None])),
    "laplacian": lambda picture: _only(mean_laplacian(picture.luma_HW[None])),
    "entropy": lambda picture: _only(entropy(picture.luma_HW[None])),
    "glcm_contrast": lambda picture: _only(glcm_contrast(picture.luma_HW[None])),
}


def _only(values_T: NDArray[np.float64] | None) -> float | None:
    return None if values_T is None else float(values_T[0])


def measure_facts(picture: Decoded, names: Iterable[str]) -> dict[str, float | None]:
    """Return the facts of these names; units as of the columns in curate.manifest.schema."""
    return {name: _FACTS[name](picture) for name in names}
