import numpy as np
import pytest

from curate.stages.measure.borders import border_share


def texture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width), dtype=np.uint8)


def test_border_share_of_picture_without_border_is_0() -> None:
    assert border_share(texture(200, 300)) == 0


@pytest.mark.parametrize("level", [0, 5, 128, 255])
@pytest.mark.parametrize(
    ("top", "bottom", "left", "right"),
    [(20, 30, 0, 0), (0, 0, 10, 0), (0, 1, 0, 0), (7, 9, 11, 13), (90, 90, 0, 0), (0, 0, 150, 140)],
)
def test_border_share_of_bars_and_frames_equals_value_by_hand(
    level: int, top: int, bottom: int, left: int, right: int
) -> None:
    image = np.full((200, 300), level, np.uint8)
    height, width = 200 - top - bottom, 300 - left - right
    image[top : top + height, left : left + width] = texture(height, width)
    assert border_share(image) == pytest.approx(1 - height * width / (200 * 300), abs=1e-12)


def test_border_share_allows_another_level_on_each_side() -> None:
    image = np.concatenate(
        [np.zeros((10, 80), np.uint8), texture(80, 80), np.full((10, 80), 255, np.uint8)]
    )
    assert border_share(image) == pytest.approx(0.2)


def test_border_share_counts_bars_with_jpeg_noise() -> None:
    image = np.concatenate([np.full((50, 400), 16, np.uint8), texture(50, 400)])
    image[:50] += np.random.default_rng(1).integers(0, 4, (50, 400), dtype=np.uint8)
    image[20, :3] = 200  # a speck
    assert border_share(image) == pytest.approx(0.5)


def test_border_share_of_gradient_is_0() -> None:
    sky = np.repeat(np.arange(0, 200, dtype=np.uint8)[:, None], 300, axis=1)
    assert border_share(sky) < 0.06  # a few rows at either end are of one level


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (100, 100)])
def test_border_share_of_one_level_is_1(shape: tuple[int, int]) -> None:
    assert border_share(np.full(shape, 77, np.uint8)) == 1


@pytest.mark.parametrize("shape", [(1, 2000), (2000, 1), (2, 2)])
def test_border_share_of_texture_is_0(shape: tuple[int, int]) -> None:
    assert 0 <= border_share(texture(*shape)) <= 1
