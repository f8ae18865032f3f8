import io

import numpy as np
import pytest
from PIL import Image

from curate.stages.measure.frequency import ratios_and_spectrum
from curate.stages.measure.resolution import _ring_power, spectral_cutoff


def photograph(height: int, width: int, exponent: float = 2.5, seed: int = 0) -> Image.Image:
    """Noise whose power falls by f^-exponent, as photographs' does."""
    rng = np.random.default_rng(seed)
    f = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    f[0, 0] = 1
    field_HW = np.fft.irfft2(
        np.fft.rfft2(rng.normal(0, 1, (height, width))) / f ** (exponent / 2), (height, width)
    )
    return Image.fromarray(np.clip(128 + 45 * field_HW / field_HW.std(), 0, 255).astype(np.uint8))


def cutoff(image: Image.Image | np.ndarray) -> float | None:
    return spectral_cutoff(ratios_and_spectrum(np.asarray(image), (0.32,))[1])


def enlarge(image: Image.Image, factor: float, filter_: Image.Resampling) -> Image.Image:
    return image.resize((round(image.width * factor), round(image.height * factor)), filter_)


def as_jpeg(image: Image.Image) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=90)
    return Image.open(file)


@pytest.mark.parametrize("exponent", [1.0, 2.0, 2.5])
@pytest.mark.parametrize("size", [(200, 300), (383, 257), (128, 128)])
def test_a_power_law_has_no_end(exponent: float, size: tuple[int, int]) -> None:
    assert cutoff(photograph(*size, exponent)) == 1
    assert cutoff(as_jpeg(photograph(*size, exponent))) == 1


@pytest.mark.parametrize(
    "filter_", [Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS]
)
@pytest.mark.parametrize(
    ("factor", "low", "high"), [(1.5, 0.45, 0.76), (2, 0.36, 0.63), (4, 0.15, 0.36)]
)
@pytest.mark.parametrize("saved", [False, True], ids=["", "JPEG 90"])
def test_spectrum_of_enlarged_picture_ends_early(
    filter_: Image.Resampling, factor: float, low: float, high: float, saved: bool
) -> None:
    for seed in range(3):
        large = enlarge(photograph(200, 301, seed=seed), factor, filter_)
        found = cutoff(as_jpeg(large) if saved else large)
        assert found is not None
        assert low < found < high


def test_an_ideal_low_pass_ends_where_it_ends() -> None:
    spectrum_HV = np.fft.rfft2(np.asarray(photograph(400, 600), np.float64))
    u, v = np.fft.fftfreq(400)[:, None], np.fft.rfftfreq(600)[None]
    for end in (0.25, 0.4, 0.5):
        kept = np.where(np.maximum(abs(u), v) <= end / 2, spectrum_HV, 0)
        image = np.clip(np.rint(np.fft.irfft2(kept, (400, 600))), 0, 255).astype(np.uint8)
        assert cutoff(image) == pytest.approx(end, abs=0.06)


def test_power_below_rounding_counts_as_empty() -> None:
    y, x = np.mgrid[0:256, 0:256]
    waves = 128 + 100 * np.sin(2 * np.pi * (3 * x + 2 * y) / 256)
    found = cutoff(np.rint(waves).astype(np.uint8))
    assert found is not None
    assert found < 0.2


def test_drawings_with_sharp_edges_have_no_end() -> None:
    drawing = np.full((300, 400), 240, np.uint8)
    rng = np.random.default_rng(0)
    for _ in range(60):
        top, left = rng.integers(0, 280), rng.integers(0, 380)
        drawing[top : top + 20 + rng.integers(40), left : left + 20 + rng.integers(40)] = (
            rng.integers(0, 256)
        )
    assert cutoff(drawing) == 1


def test_opposite_edges_that_differ_fill_no_ring() -> None:
    # a slope from black to white leaves a cross in the spectrum, at all frequencies
    large = np.asarray(enlarge(photograph(200, 300), 2, Image.Resampling.BICUBIC), np.float64)
    sloped = 0.5 * large + np.linspace(0, 127, large.shape[1])
    found = cutoff(sloped.astype(np.uint8))
    assert found is not None
    assert found < 0.6


@pytest.mark.parametrize("shape", [(127, 500), (500, 127), (1, 1), (16, 20_000)])
def test_cutoff_of_small_picture_is_none(shape: tuple[int, int]) -> None:
    assert cutoff(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)) is None


@pytest.mark.parametrize("level", [0, 255])
def test_cutoff_of_one_level_is_none(level: int) -> None:
    assert cutoff(np.full((200, 200), level, np.uint8)) is None


@pytest.mark.parametrize("size", [(300, 256), (257, 401)])
def test_white_noise_has_its_variance_in_every_ring(size: tuple[int, int]) -> None:
    noise = np.clip(np.rint(np.random.default_rng(0).normal(128, 20, size)), 0, 255).astype(
        np.uint8
    )
    power = _ring_power(ratios_and_spectrum(noise, (0.32,))[1])
    assert np.mean(power[8:]) == pytest.approx(400, rel=0.1)
    assert np.all((power[16:] > 250) & (power[16:] < 600))
