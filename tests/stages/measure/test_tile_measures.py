import io

import numpy as np
import pytest
from PIL import Image

from curate.recipe import TILE_FACTS
from curate.stages.measure import measure_image
from curate.stages.measure.tile_measures import TileGrid, tile_places


def test_tiles_have_measures_of_an_image_of_their_own_pixels() -> None:
    """Each tile, saved as a file of its own, is measured alike."""
    rng = np.random.default_rng(6)
    pixels = rng.normal(130, 60, (300, 420, 3)).clip(0, 255).astype(np.uint8)
    pixels[:140, :150] = pixels[:140, :150] // 8 + 100

    def png(image: Image.Image) -> bytes:
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        return buffer.getvalue()

    whole = Image.fromarray(pixels)
    tiles = measure_image(png(whole), (0.25,), tiles=TileGrid((128, 256), 8)).tiles
    assert len(tiles["tile_x"]) == 2 * 3 + 1
    for number, (left, top, side) in enumerate(
        zip(tiles["tile_x"], tiles["tile_y"], tiles["width"], strict=True)
    ):
        crop = whole.crop((left, top, left + side, top + side))
        alone = measure_image(png(crop), (0.25,), facts=TILE_FACTS)
        assert tiles["pixel_sha256"][number] == alone.pixel_sha256
        assert tiles["phash"][number] == alone.phash
        assert tiles["cutoffs"][number] == pytest.approx(alone.cutoffs, abs=1e-6)
        assert tiles["hf_ratio"][number] == pytest.approx(alone.hf_ratio, abs=1e-6)
        assert tiles["hf_ratio_032"][number] == pytest.approx(alone.hf_ratio_032, abs=1e-6)
        for name in TILE_FACTS:
            assert tiles[name][number] == pytest.approx(alone.facts[name], rel=1e-4), name


@pytest.mark.parametrize(
    ("size", "grid", "expected"),
    [
        ((1000, 520), TileGrid((512,)), [(240, 0)]),
        ((1040, 512), TileGrid((512,)), [(8, 0), (520, 0)]),
        ((1024, 600), TileGrid((512,), 16, 256), [(0, 32), (256, 32), (512, 32)]),
        ((511, 4000), TileGrid((512,)), []),
    ],
)
def test_tile_places_are_centred_on_the_grid(
    size: tuple[int, int], grid: TileGrid, expected: list[tuple[int, int]]
) -> None:
    places = tile_places(*size, grid)
    assert [(left, top) for left, top, _ in places] == expected
