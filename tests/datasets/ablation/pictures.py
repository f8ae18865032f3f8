"""Small textures in four colours, and a labeller that goes by the colour."""

from collections.abc import Iterable, Iterator
from typing import IO

import numpy as np
from PIL import Image, ImageFilter

from curate.stages.label.clip import LabelResult

COLOURS = {
    "Animals": (150, 100, 100),
    "Food": (100, 150, 100),
    "Map": (100, 100, 150),
    "Nature": (120, 120, 120),
}


RECIPE = {
    "candidates": {"shard_size": 50},
    "filters": {"min": {"width": 48, "height": 48, "hf_ratio_032": 0.003}},
    "label": {"model": "bundled", "pretrained": None},
    "select": {
        "train": 40,
        "test": {"per_category": 2, "max_share": 0.3},
        "frequency": {"bins": 3},
    },
}
"""Settings of a recipe that the textures suit."""


class ByColour:
    """Stand-in for `curate.stages.label.clip.Labeller` that labels by mean colour."""

    key, name, dim = "by colour", "by colour", 3

    def embed(self, pictures: Iterable[IO[bytes]]) -> Iterator[np.ndarray]:
        for picture in pictures:
            with Image.open(picture) as image:
                yield np.asarray(image.convert("RGB"), np.float32).mean(axis=(0, 1))

    def classify(self, embeddings_ND: np.ndarray) -> list[LabelResult]:
        colours_KD = np.array(list(COLOURS.values()))
        nearest_N = np.abs(embeddings_ND[:, None] - colours_KD).sum(axis=2).argmin(axis=1)
        broad = {"Animals": "Outdoor", "Food": "Indoor", "Map": "Artificial", "Nature": "Outdoor"}
        names = [list(COLOURS)[n] for n in nearest_N]
        return [LabelResult(broad[name], name, 0.75, 0.5, self.name) for name in names]

    def score(self, embeddings_ND: np.ndarray) -> dict[str, np.ndarray]:
        return {}

    def embed_text(self, prompts: Iterable[str]) -> np.ndarray:
        """Return the colour of the animals, whatever is asked for."""
        return np.array(COLOURS["Animals"], np.float64)


def texture(seed: int, colour: tuple[int, int, int], slope: float) -> Image.Image:
    """Return noise whose amplitude falls with the frequency to the power of the slope."""
    rng = np.random.default_rng(seed)
    width, height = (int(side) for side in rng.integers(60, 110, 2))
    spectrum = np.fft.rfft2(rng.normal(0, 1, (height, width)))
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]) + 0.02
    values = np.fft.irfft2(spectrum / radius**slope, (height, width))
    values = np.array(colour) + 40 * np.tanh(values / values.std())[..., None]
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


GOOD, SMOOTH, BLURRED = range(80), range(80, 128), range(128, 168)
"""Numbers of pictures that pass, of too smooth ones, and of the first 40 again, too blurred."""


def picture(number: int) -> Image.Image:
    """Return a picture of the run, in the colour of its number."""
    if number in BLURRED:
        return picture(number - BLURRED.start).filter(ImageFilter.GaussianBlur(2))
    slope = 2.2 if number in SMOOTH else 0.4 + (number * 7 % 20) / 20
    return texture(number, COLOURS[list(COLOURS)[number % 4]], slope)
