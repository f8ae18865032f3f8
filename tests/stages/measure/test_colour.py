import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.stages.measure.colour import channel_spread, clipped_share, colourfulness


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@given(st.integers(0, 255), st.integers(1, 40), st.integers(1, 40))
def test_colourfulness_of_grey_is_0(level: int, height: int, width: int) -> None:
    grey = np.full((height, width, 3), level, np.uint8)
    assert colourfulness(grey) == 0
    assert channel_spread(grey) == 0


@given(st.integers(0, 2**32 - 1))
def test_colourfulness_of_flipped_picture_is_unchanged(seed: int) -> None:
    image = noise(17, 23, seed)
    assert colourfulness(image[::-1, ::-1]) == pytest.approx(colourfulness(image), rel=1e-12)


def test_colourfulness_of_pure_red_equals_value_by_hand() -> None:
    # rg = 255, yb = 127.5 everywhere: no spread, 0.3 * sqrt(255^2 + 127.5^2)
    image = np.zeros((4, 5, 3), np.uint8)
    image[..., 0] = 255
    assert colourfulness(image) == pytest.approx(85.5296, abs=1e-4)


def test_colourfulness_of_red_and_green_equals_value_by_hand() -> None:
    # rg = +-255 in equal parts, yb = 127.5: spread 255, offset 127.5
    image = np.zeros((4, 6, 3), np.uint8)
    image[::2, :, 0] = 255
    image[1::2, :, 1] = 255
    assert colourfulness(image) == pytest.approx(255 + 0.3 * 127.5, abs=1e-4)


def test_colourfulness_of_large_picture_is_estimated_from_sample() -> None:
    small = noise(16, 16)
    large = np.kron(small, np.ones((96, 80, 1), np.uint8))  # 1536 x 1280: every second pixel counts
    assert colourfulness(large) == pytest.approx(colourfulness(small), rel=1e-6)


def test_clipped_shares_count_pixels_with_one_clipped_channel() -> None:
    image = np.full((10, 10, 3), 128, np.uint8)
    image[0, :4, 1] = 255  # 4 pixels
    image[1, :3] = 255  # 3 more, in all channels
    image[2, 5, 2] = 0
    image[2, 6] = (0, 255, 1)  # both
    assert clipped_share(image, 255) == pytest.approx(0.08)
    assert clipped_share(image, 0) == pytest.approx(0.02)
    assert channel_spread(image) == 255


def test_clipped_shares_ignore_levels_1_and_254() -> None:
    image = np.full((3, 3, 3), 254, np.uint8)
    image[1] = 1
    assert (clipped_share(image, 0), clipped_share(image, 255)) == (0, 0)


def test_channel_spread_shows_one_coloured_pixel() -> None:
    image = np.full((50, 50, 3), 90, np.uint8)
    image[49, 49] = (90, 100, 90)
    assert channel_spread(image) == 10
