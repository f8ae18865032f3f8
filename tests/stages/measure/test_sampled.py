"""Noise and blockiness: what is measured on bands of rows."""

import io

import numpy as np
import pytest
from PIL import Image

from curate.stages.measure.blockiness import blockiness
from curate.stages.measure.noise import noise_sigma
from curate.stages.measure.sample import row_bands


def scene(height: int = 256, width: int = 384, seed: int = 0) -> np.ndarray:
    """Slopes, an edge and a patch of texture."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(60, 196, (5, 7), dtype=np.uint8))
    image_HW = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC), np.float64)
    image_HW[:, width // 2 :] -= 30
    image_HW[: height // 3, : width // 3] += rng.normal(0, 40, (height // 3, width // 3))
    return image_HW


def levels(image_HW: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(image_HW), 0, 255).astype(np.uint8)


def noise_of(luma_HW: np.ndarray) -> float:
    bands = row_bands(luma_HW)
    assert bands is not None
    return noise_sigma(bands)


def blocks_of(luma_HW: np.ndarray) -> float:
    bands = row_bands(luma_HW)
    assert bands is not None
    return blockiness(bands)


def as_jpeg(luma_HW: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(luma_HW).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


@pytest.mark.parametrize(
    ("height", "width", "bands"),
    [(34, 34, 1), (66, 500, 2), (65, 500, 1), (1025, 64, 31), (4000, 3000, 10)],
)
def test_bands_are_whole_and_begin_on_jpegs_grid(height: int, width: int, bands: int) -> None:
    rows = np.repeat((np.arange(height) % 251).astype(np.uint8)[:, None], width, axis=1)
    found = row_bands(rows)
    assert found is not None
    assert found.shape == (bands, 34, width)
    starts = [
        int(np.flatnonzero((rows[:, 0] == band[0, 0]) & (np.arange(height) % 32 == 0))[0])
        for band in found
    ]
    assert starts == sorted(set(starts))
    assert all(
        (band[:, 0] == rows[start : start + 34, 0]).all()
        for band, start in zip(found, starts, strict=True)
    )


@pytest.mark.parametrize("shape", [(33, 500), (500, 33), (1, 1), (65535, 16)])
def test_pictures_smaller_than_a_band_have_no_bands(shape: tuple[int, int]) -> None:
    assert row_bands(np.zeros(shape, np.uint8)) is None


@pytest.mark.parametrize("sigma", [3, 5, 10, 15, 25])
def test_white_noise_is_found(sigma: int) -> None:
    noise = np.random.default_rng(1).normal(0, sigma, (256, 384))
    assert noise_of(levels(128 + noise)) == pytest.approx(sigma, rel=0.05)
    assert noise_of(levels(scene() + noise)) == pytest.approx(sigma, rel=0.1)


def test_texture_and_edges_are_no_noise() -> None:
    stripes = np.tile(np.repeat([20, 200], 4), 48)[:384]
    assert noise_of(levels(scene())) < 0.4  # of rounding
    assert noise_of(np.tile(stripes, (256, 1)).astype(np.uint8)) == 0


def test_bars_and_burnt_out_skies_do_not_hide_noise() -> None:
    noisy = levels(scene() + np.random.default_rng(1).normal(0, 10, (256, 384)))
    noisy[:96] = 0
    noisy[96:128] = np.where(np.random.default_rng(2).random((32, 384)) < 0.95, 255, 250)
    assert noise_of(noisy) == pytest.approx(10, rel=0.1)


@pytest.mark.parametrize("level", [0, 128, 255])
def test_one_level_has_neither_noise_nor_blocks(level: int) -> None:
    flat = np.full((64, 64), level, np.uint8)
    assert (noise_of(flat), blocks_of(flat)) == (0, 1)


def test_noise_and_slopes_have_no_blocks() -> None:
    noise = np.random.default_rng(0).normal(0, 12, (512, 768))
    assert blocks_of(levels(128 + noise)) == pytest.approx(1, abs=0.03)
    assert blocks_of(levels(scene(512, 768) + noise)) == pytest.approx(1, abs=0.03)


def test_harder_compression_shows_more_blocks() -> None:
    picture = levels(scene(512, 768) + np.random.default_rng(0).normal(0, 8, (512, 768)))
    values = [blocks_of(as_jpeg(picture, quality)) for quality in (95, 85, 75, 60, 45, 30, 15)]
    assert values == sorted(values)
    assert blocks_of(picture) == pytest.approx(1, abs=0.02)
    assert values[0] < 1.02
    assert values[-1] > 2.5


@pytest.mark.parametrize(("top", "left"), [(0, 0), (3, 0), (0, 5), (7, 1)])
def test_blocks_are_found_wherever_the_grid_begins(top: int, left: int) -> None:
    whole = as_jpeg(levels(scene(512, 768) + np.random.default_rng(0).normal(0, 4, (512, 768))), 50)
    assert blocks_of(whole[top:, left:]) == pytest.approx(blocks_of(whole), rel=0.05)


def test_blockiness_of_flat_blocks_is_finite() -> None:
    board = np.kron(
        np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8),
        np.ones((8, 8), np.uint8),
    )
    assert 3 < blocks_of(board) < 5  # a border is one of the four pixels of three steps


def test_wide_and_tall_pictures_are_measured() -> None:
    noise = levels(128 + np.random.default_rng(0).normal(0, 10, (40, 60_000)))
    for luma_HW in (noise, np.ascontiguousarray(noise.T)):
        assert noise_of(luma_HW) == pytest.approx(10, rel=0.05)
        assert blocks_of(luma_HW) == pytest.approx(1, abs=0.05)
