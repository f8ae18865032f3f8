import csv
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from curate.stages.measure import PAPER_CUTOFF, PUBLISHED_CUTOFF, high_frequency_ratios
from tests import TESTSETS

STEADY = settings(deadline=None, derandomize=True, max_examples=60)
CUTOFFS = {
    0.05: (1, 20),
    0.25: (1, 4),
    PUBLISHED_CUTOFF: (8, 25),
    PAPER_CUTOFF: (1, 2),
    0.9: (9, 10),
}
SHARED = TESTSETS.parent

small = arrays(np.uint8, st.tuples(st.integers(1, 14), st.integers(1, 14)))


def reference(luma_HW: np.ndarray, cutoff: float, *, fast: bool = False) -> float:
    """Return the ratio by eqs. (3) to (6) in float64; eq. (3) as a plain sum, or `fast` by FFT."""
    height, width = luma_HW.shape
    if fast:
        spectrum_HW = np.fft.fft2(luma_HW.astype(np.float64))
    else:
        by_row, by_column = (
            np.exp(-2j * np.pi * np.outer(range(n), range(n)) / n) for n in (height, width)
        )
        spectrum_HW = by_row @ luma_HW @ by_column / (height * width)
    power_HW = np.abs(spectrum_HW) ** 2
    # frequencies from H/2 on are negative; distances in whole numbers, since ties count
    u_H, v_W = (np.minimum(np.arange(n), n - np.arange(n)) for n in (height, width))
    part, whole = CUTOFFS[cutoff]
    beyond_HW = 4 * whole**2 * (u_H[:, None] ** 2 + v_W[None] ** 2) > part**2 * (
        height**2 + width**2
    )
    return float(power_HW[beyond_HW].sum() / power_HW.sum()) if power_HW.any() else 0.0


def ratio(luma_HW: np.ndarray, cutoff: float = PAPER_CUTOFF) -> float:
    return high_frequency_ratios(luma_HW, [cutoff])[0]


@STEADY
@given(small)
def test_turning_and_mirroring_changes_nothing(luma_HW: np.ndarray) -> None:
    expected = pytest.approx(high_frequency_ratios(luma_HW, list(CUTOFFS)), rel=1e-9, abs=1e-15)
    for turned in (luma_HW.T, luma_HW[::-1], luma_HW[:, ::-1], np.rot90(luma_HW)):
        assert high_frequency_ratios(turned, list(CUTOFFS)) == expected


@STEADY
@given(small, st.integers(0, 13), st.integers(0, 13))
def test_a_cyclic_shift_changes_phases_only(luma_HW: np.ndarray, rows: int, columns: int) -> None:
    shifted = np.roll(luma_HW, (rows, columns), (0, 1))
    assert ratio(shifted) == pytest.approx(ratio(luma_HW), rel=1e-9, abs=1e-15)


@STEADY
@given(small)
def test_ratio_is_independent_of_contrast(luma_HW: np.ndarray) -> None:
    assert ratio(luma_HW // 2 * 2) == pytest.approx(ratio(luma_HW // 2), rel=1e-9, abs=1e-15)


@STEADY
@given(small)
def test_ratio_falls_with_the_cutoff(luma_HW: np.ndarray) -> None:
    ratios = high_frequency_ratios(luma_HW, sorted(CUTOFFS))
    assert all(0 <= ratio <= 1 for ratio in ratios)
    assert ratios == sorted(ratios, reverse=True)


@STEADY
@given(st.integers(1, 255), st.integers(1, 30), st.integers(1, 30))
def test_ratio_of_one_level_is_0(level: int, height: int, width: int) -> None:
    assert ratio(np.full((height, width), level, np.uint8)) == pytest.approx(0, abs=1e-25)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (8, 8), (600, 500)])
def test_ratio_of_black_image_is_0(shape: tuple[int, int]) -> None:
    assert high_frequency_ratios(np.zeros(shape, np.uint8), [0.5, 0.32]) == [0, 0]


def test_checkerboard_by_hand() -> None:
    # half of the power is DC, half lies in the corner: at a distance of a whole half-diagonal
    board = (np.indices((8, 8)).sum(axis=0) % 2 * 200).astype(np.uint8)
    assert ratio(board, 0.5) == pytest.approx(0.5, rel=1e-12)
    assert ratio(board, 0.9) == pytest.approx(0.5, rel=1e-12)


@pytest.mark.parametrize("upright", [False, True])
def test_frequency_at_the_cutoff_is_not_beyond_it(upright: bool) -> None:
    # a wave of (120, 160) cycles lies at 200, half of the half-diagonal of 480 x 640; by eq. (5),
    # D <= D0 is stopped
    wave = np.array([228, 128, 28, 128], np.uint8)[np.indices((480, 640)).sum(axis=0) % 4]
    wave = wave.T if upright else wave
    assert ratio(wave, 0.5) == pytest.approx(0, abs=1e-12)
    assert ratio(wave, 0.4999) == pytest.approx(5000 / (128**2 + 5000), rel=1e-6)


@STEADY
@given(small, st.sampled_from(list(CUTOFFS)))
def test_agrees_with_the_sums_of_the_paper(luma_HW: np.ndarray, cutoff: float) -> None:
    assert ratio(luma_HW, cutoff) == pytest.approx(reference(luma_HW, cutoff), rel=1e-6, abs=1e-15)


SIZES = [
    (1, 1),
    (1, 2),
    (2, 1),
    (1, 3),
    (3, 1),
    (2, 2),
    (3, 5),
    (5, 3),
    (16, 16),
    (17, 16),
    (31, 37),
    (64, 3),
    (2, 99),
]
LARGE = [(512, 512), (513, 512), (521, 509), (2, 131_073), (1, 262_147), (700, 401), (257, 1031)]


@pytest.mark.parametrize("shape", SIZES, ids=str)
@pytest.mark.parametrize("cutoff", CUTOFFS)
def test_odd_even_prime_and_tiny_sides(shape: tuple[int, int], cutoff: float) -> None:
    luma_HW = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    assert ratio(luma_HW, cutoff) == pytest.approx(reference(luma_HW, cutoff), rel=1e-6, abs=1e-15)


@pytest.mark.parametrize("shape", LARGE, ids=str)
@pytest.mark.parametrize("noise", [0, 0.3, 4, 80], ids=lambda noise: f"noise {noise}")
def test_either_side_of_the_switch_to_float32(shape: tuple[int, int], noise: float) -> None:
    # from as smooth as a gradient can be, with ratios down to 1e-9, to all noise
    y, x = (np.linspace(0, 5, side) for side in shape)
    picture_HW = 120 + 90 * np.sin(y)[:, None] * np.cos(x) + 20 * np.cos(x)
    picture_HW = picture_HW + np.random.default_rng(2).normal(0, noise, shape)
    luma_HW = picture_HW.clip(0, 255).astype(np.uint8)
    for cutoff in (PAPER_CUTOFF, PUBLISHED_CUTOFF):
        expected = reference(luma_HW, cutoff, fast=True)
        assert 1e-10 < expected < 0.4
        assert ratio(luma_HW, cutoff) == pytest.approx(expected, rel=1e-6)


def test_ratio_of_one_sharp_edge_is_exact() -> None:
    luma_HW = np.full(
        (2048, 720), 3, np.uint8
    )  # curved enough to look rich, and yet its ratio is of the order of 1e-6
    luma_HW[:, 311:] = 250
    luma_HW[700, 100] += 40
    expected = [
        reference(luma_HW, cutoff, fast=True) for cutoff in (PAPER_CUTOFF, PUBLISHED_CUTOFF)
    ]
    assert high_frequency_ratios(luma_HW, (PAPER_CUTOFF, PUBLISHED_CUTOFF)) == pytest.approx(
        expected, rel=1e-6
    )


@pytest.mark.parametrize("rows", [1, 2], ids=["lines", "dots"])
def test_ratio_of_few_frequencies_is_exact_to_six_digits(rows: int) -> None:
    # rounding errors gather where the power is, and don't average out over so few
    luma_HW = np.zeros((1024, 1024), np.uint8)
    luma_HW[:, 512:] = 255
    luma_HW[::rows, ::2] ^= 7
    expected = [
        reference(luma_HW, cutoff, fast=True) for cutoff in (PAPER_CUTOFF, PUBLISHED_CUTOFF)
    ]
    assert high_frequency_ratios(luma_HW, (PAPER_CUTOFF, PUBLISHED_CUTOFF)) == pytest.approx(
        expected, rel=1e-6
    )


@pytest.mark.parametrize("noise", [0, 20], ids=["float64", "float32"])
def test_ratio_needs_at_most_12_bytes_a_pixel(noise: float) -> None:
    luma_HW = (
        (np.random.default_rng(6).normal(0, noise, (1201, 1500)) + 128)
        .clip(0, 255)
        .astype(np.uint8)
    )
    tracemalloc.start()
    high_frequency_ratios(luma_HW)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12 * luma_HW.size


def test_several_cutoffs_at_once_give_the_same_ratios() -> None:
    luma_HW = np.random.default_rng(3).integers(90, 120, (600, 500), dtype=np.uint8)
    assert high_frequency_ratios(luma_HW, [0.9, 0.25, 0.5]) == pytest.approx(
        [ratio(luma_HW, c) for c in (0.9, 0.25, 0.5)], rel=1e-6
    )


def test_ratio_of_view_equals_ratio_of_copy() -> None:
    luma_HW = np.random.default_rng(4).integers(0, 256, (40, 60), dtype=np.uint8)
    assert ratio(luma_HW[::2, 1::3]) == ratio(luma_HW[::2, 1::3].copy())


def test_ratio_does_not_write_to_the_image() -> None:
    luma_HW = np.random.default_rng(5).integers(0, 256, (40, 60), dtype=np.uint8)
    luma_HW.flags.writeable = False
    ratio(luma_HW)


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((4, 4, 3), np.uint8),
        np.zeros((4, 4)),
        np.zeros(4, np.uint8),
        np.zeros((0, 4), np.uint8),
    ],
)
def test_wrong_input_says_what_is_wanted(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"wants a non-empty uint8 \(height, width\)"):
        high_frequency_ratios(bad)


def _golden() -> list[dict[str, str]]:
    try:
        text = (SHARED / "research/frequency_golden.csv").read_text()
    except OSError:
        return []
    rows = [row for row in csv.DictReader(text.splitlines()) if _picture(row).is_file()]
    return rows[::12]


def _picture(row: dict[str, str]) -> Path:
    return SHARED / "testsets" / row["image"].replace("Urban100/", "Urban100_25/")


@pytest.mark.skipif(not _golden(), reason="the test sets are not beside the repository")
def test_golden_values_of_published_test_sets() -> None:
    for row in _golden():
        with Image.open(_picture(row)) as image:
            luma_HW = np.asarray(image.convert("L"))
        ratios = high_frequency_ratios(luma_HW, (PAPER_CUTOFF, PUBLISHED_CUTOFF))
        assert ratios == pytest.approx(
            [float(row["hf_ratio"]), float(row["hf_ratio_032"])], rel=1e-6
        ), row["image"]
