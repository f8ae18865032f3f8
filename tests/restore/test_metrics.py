from __future__ import annotations

import io
import math

import numpy as np
import pytest
from PIL import Image

from curate.restore.metrics import METRICS, luma, psnr, psnr_b, psnr_y, ssim, ssim_y
from tests import TESTSETS
from tests.restore.samples import draw

CLASSIC5 = TESTSETS / "classic5"

GOLDEN = (31.298060399301363, 0.8876441263056679, 30.443803476838347)
NOISY = np.clip(draw(0) + np.random.default_rng(0).normal(0, 20, draw(0).shape), 0, 255).astype(
    np.uint8
)


def test_metrics_equal_those_of_scikit_image() -> None:
    reference = pytest.importorskip("skimage.metrics")
    assert psnr(NOISY, draw(0)) == pytest.approx(
        reference.peak_signal_noise_ratio(draw(0), NOISY), abs=1e-9
    )
    expected = reference.structural_similarity(
        NOISY,
        draw(0),
        channel_axis=2,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
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


def test_luma_equals_matlabs() -> None:
    colours = np.array([[[0, 0, 0], [255, 255, 255], [255, 0, 0]]])
    assert luma(colours)[..., 0] == pytest.approx(np.array([[16, 235, 81.481]]))
    blue = NOISY.copy()
    blue[..., 2] = 0
    assert psnr_y(blue, NOISY) > psnr(blue, NOISY), "luma hardly counts blue"


def test_tiny_pictures_have_an_ssim() -> None:
    assert 0 < ssim(NOISY[:5, :3], draw(0)[:5, :3]) < 1


@pytest.mark.parametrize("name", METRICS)
def test_sizes_must_agree(name: str) -> None:
    with pytest.raises(ValueError, match="must have one shape"):
        METRICS[name](draw(0), draw(0)[1:])


def test_grey_is_its_own_luma() -> None:
    noisy, clean = (image[..., :1] for image in (NOISY, draw(0)))
    assert psnr_y(noisy, clean) == psnr(noisy, clean)
    assert ssim_y(noisy, clean) == ssim(noisy, clean)
    assert psnr(noisy, clean) == pytest.approx(psnr(np.repeat(noisy, 3, 2), np.repeat(clean, 3, 2)))


def test_floats_need_not_be_whole() -> None:
    clean = draw(0)
    assert psnr(clean + 0.25, clean) == pytest.approx(20 * math.log10(255 / 0.25))


# --- PSNR-B


def blocking_effect(x_HW: np.ndarray) -> float:
    """The definition, pair of neighbours by pair of neighbours."""
    height, width = x_HW.shape
    pairs = [
        ((y, x), (y, x + 1), (x + 1) % 8 == 0) for y in range(height) for x in range(width - 1)
    ]
    pairs += [
        ((y, x), (y + 1, x), (y + 1) % 8 == 0) for y in range(height - 1) for x in range(width)
    ]
    steps: dict[bool, list[float]] = {True: [], False: []}
    for a, b, at_border in pairs:
        steps[at_border].append((x_HW[a] - x_HW[b]) ** 2)
    excess = np.mean(steps[True]) - np.mean(steps[False])
    return max(excess, 0) * math.log2(8) / math.log2(min(height, width))


@pytest.mark.parametrize("quality", [5, 30])
def test_psnr_b_counts_blocks_as_error(quality: int) -> None:
    clean = draw(3)[..., :1]
    buffer = io.BytesIO()
    Image.fromarray(clean[..., 0]).save(buffer, "JPEG", quality=quality)
    blocky = np.asarray(Image.open(buffer))[..., None]
    error = float(np.mean((blocky.astype(float) - clean) ** 2))
    effect = blocking_effect(blocky[..., 0].astype(float))
    assert psnr_b(blocky, clean) == pytest.approx(10 * math.log10(255**2 / (error + effect)))
    assert effect > 0, "or nothing was tested"


def test_psnr_b_finds_blocks_in_the_restored_image_alone() -> None:
    steps = np.kron(np.array([[0, 60], [90, 30]]), np.ones((8, 8)))[..., None]
    flat = np.full_like(steps, 50)
    assert psnr_b(steps, flat) < psnr(steps, flat)
    assert psnr_b(flat, steps) == psnr(flat, steps)
    shifted = np.roll(steps, 4, axis=(0, 1))
    assert psnr_b(shifted, flat) == psnr(shifted, flat), "steps elsewhere are the picture's own"
    assert psnr_b(draw(0), draw(0)) < math.inf or blocking_effect(luma(draw(0))[..., 0]) == 0


@pytest.mark.parametrize("shape", [(1, 1), (7, 7), (8, 8), (9, 3)])
def test_tiny_pictures_have_a_psnr_b(shape: tuple[int, int]) -> None:
    assert math.isfinite(psnr_b(NOISY[: shape[0], : shape[1]], draw(0)[: shape[0], : shape[1]]))


def test_metrics_of_a_drawn_picture_keep_their_values() -> None:
    """Golden values: SSIM by scikit-image 0.26, PSNR-B by the loop above."""
    clean = draw(3)[..., :1]
    levels = np.rint(clean / 24.0) * 24  # coarse, but the same with every JPEG library
    assert (psnr(levels, clean), ssim(levels, clean), psnr_b(levels, clean)) == pytest.approx(
        GOLDEN, abs=1e-9
    )


@pytest.mark.skipif(not CLASSIC5.is_dir(), reason="needs the Classic5 test set")
@pytest.mark.parametrize(
    ("quality", "expected"),
    [
        (10, (27.821, 0.7595, 25.209)),
        (20, (30.123, 0.8344, 27.501)),
        (30, (31.484, 0.8666, 28.939)),
        (40, (32.428, 0.8849, 29.921)),
    ],
)
def test_metrics_of_compressed_classic5_equal_the_literatures(
    quality: int, expected: tuple[float, ...]
) -> None:
    found = []
    for path in sorted(CLASSIC5.iterdir()):
        with Image.open(path) as image:
            grey, buffer = image.convert("L"), io.BytesIO()
        grey.save(buffer, "JPEG", quality=quality)
        compressed, clean = (np.asarray(i)[..., None] for i in (Image.open(buffer), grey))
        found.append([f(compressed, clean) for f in (psnr, ssim, psnr_b)])
    assert np.mean(found, axis=0) == pytest.approx(expected, abs=6e-4)
