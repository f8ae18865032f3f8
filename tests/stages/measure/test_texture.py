import numpy as np
import pytest
from numpy.typing import NDArray

from curate.stages.measure.texture import (
    PATCH,
    entropy,
    flat_share,
    glcm_contrast,
    mean_laplacian,
)

RNG = np.random.default_rng(4)
NOISE = RNG.integers(0, 256, (2, 61, 83), dtype=np.uint8)
LARGE = np.clip(RNG.normal(128, 40, (1, 700, 900)), 0, 255).astype(np.uint8)


def convolved(luma_HW: NDArray[np.uint8], kernel: list[list[int]]) -> NDArray[np.float64]:
    """Values of a 3 x 3 operator where it lies within the picture, sum by sum."""
    height, width = luma_HW.shape
    total = np.zeros((height - 2, width - 2))
    for row in range(3):
        for column in range(3):
            part = luma_HW[row : row + height - 2, column : column + width - 2]
            total += kernel[row][column] * part.astype(float)
    return total


def contrast_by_matrix(luma_HW: NDArray[np.uint8], down: int, right: int) -> float:
    """Haralick's definition, with the matrix itself."""
    counts = np.zeros((256, 256))
    height, width = luma_HW.shape
    columns = range(max(0, -right), width - max(0, right))
    for row in range(height - down):
        for column in columns:
            counts[luma_HW[row, column], luma_HW[row + down, column + right]] += 1
    i, j = np.indices(counts.shape)
    return float(((i - j) ** 2 * counts).sum() / counts.sum())


def test_glcm_contrast_equals_contrast_of_matrix() -> None:
    found = glcm_contrast(NOISE)
    assert found is not None
    steps = ((0, 1), (1, 0), (1, 1), (1, -1))
    expected = [np.mean([contrast_by_matrix(one, *step) for step in steps]) for one in NOISE]
    assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("luma_THW", [NOISE, LARGE], ids=["small", "several bands"])
def test_mean_laplacian_equals_operator(luma_THW: NDArray[np.uint8]) -> None:
    kernel = [[0, -1, 0], [-1, 4, -1], [0, -1, 0]]
    expected = [np.abs(convolved(one, kernel)).mean() for one in luma_THW]
    assert mean_laplacian(luma_THW) == pytest.approx(expected, rel=1e-12)


def test_contrast_of_bands_equals_contrast_of_whole() -> None:
    one = LARGE[0].astype(float)
    steps = (one[:, 1:] - one[:, :-1], one[1:] - one[:-1])
    steps += (one[1:, 1:] - one[:-1, :-1], one[1:, :-1] - one[:-1, 1:])
    expected = np.mean([np.square(step).mean() for step in steps])
    assert glcm_contrast(LARGE) == pytest.approx([expected], rel=1e-12)


def test_entropy_of_equal_levels_is_8_bits_and_of_one_level_0() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert entropy(np.stack([levels, np.full_like(levels, 9)])).tolist() == [8.0, 0.0]


def test_flat_share_counts_patches_by_variance_of_gradient() -> None:
    """Of two by two whole patches one has noise; rows that are left over count nothing."""
    picture = np.full((2 * PATCH + 40, 2 * PATCH + 9), 120, np.uint8)
    picture[20:200, 20:200] = RNG.integers(0, 256, (180, 180))
    picture[-30:] = RNG.integers(0, 256, picture[-30:].shape)
    assert flat_share(picture[None]) == pytest.approx([0.25 * 3])
    # on both sides of the limit
    for sigma in (2.0, 5.0):
        soft = np.clip(RNG.normal(128, sigma, (PATCH + 2, PATCH + 2)), 0, 255).astype(np.uint8)
        dx = convolved(soft, [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
        dy = convolved(soft, [[-1, -2, -1], [0, 0, 0], [1, 2, 1]])
        assert flat_share(soft[None]) == [float(np.hypot(dx, dy).var() < 100)]


def test_texture_of_tiny_picture_is_unknown() -> None:
    tiny = np.zeros((1, 1, 5), np.uint8)
    assert flat_share(tiny) is mean_laplacian(tiny) is glcm_contrast(tiny) is None
    assert entropy(tiny).tolist() == [0.0]
