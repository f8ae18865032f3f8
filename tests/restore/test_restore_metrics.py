from __future__ import annotations

import math

import numpy as np
import pytest
from restore_samples import draw

from curate.restore.metrics import luma, psnr, psnr_y, ssim

NOISY = np.clip(draw(0) + np.random.default_rng(0).normal(0, 20, draw(0).shape), 0, 255).astype(np.uint8)


def test_metrics_are_those_of_scikit_image() -> None:
    reference = pytest.importorskip("skimage.metrics")
    assert psnr(NOISY, draw(0)) == pytest.approx(reference.peak_signal_noise_ratio(draw(0), NOISY), abs=1e-9)
    expected = reference.structural_similarity(
        NOISY, draw(0), channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    assert ssim(NOISY, draw(0)) == pytest.approx(expected, abs=1e-9)


def test_equal_pictures_are_perfect() -> None:
    assert psnr(draw(0), draw(0)) == math.inf
    assert ssim(draw(0), draw(0)) == 1


def test_psnr_of_one_grey_level_by_hand() -> None:
    grey = np.full((4, 4, 3), 100, np.uint8)
    assert psnr(grey, grey + 1) == pytest.approx(20 * math.log10(255))
    # bytes must not wrap around
    assert psnr(grey * 0, grey * 0 + 255) == 0


def test_luma_is_matlabs() -> None:
    assert luma(np.array([[[0, 0, 0], [255, 255, 255], [255, 0, 0]]])) == pytest.approx(np.array([[16, 235, 81.481]]))
    blue = NOISY.copy()
    blue[..., 2] = 0
    assert psnr_y(blue, NOISY) > psnr(blue, NOISY), "luma hardly counts blue"


def test_tiny_pictures_have_an_ssim() -> None:
    assert 0 < ssim(NOISY[:5, :3], draw(0)[:5, :3]) < 1


def test_sizes_must_agree() -> None:
    with pytest.raises(ValueError, match="must have one shape"):
        psnr(draw(0), draw(0)[1:])
