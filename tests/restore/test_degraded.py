"""Blur, cameras, darkness and chains of degradations, with pinned results."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from PIL import Image as Pillow
from scipy import ndimage

from curate.errors import RestoreError
from curate.restore.data.degradations import generator, parse_degradation
from curate.restore.data.degradations.blur import blur_disk, blur_motion, blur_shake
from curate.restore.data.degradations.camera import encode, linearise, read_variance
from curate.restore.metrics import psnr
from tests import TESTSETS
from tests.restore.samples import draw

y, x, c = np.mgrid[:48, :48, :3]
WAVES = (127.5 + 80 * np.sin(x / 5 + c) + 40 * np.cos(y / 3 - c)).astype(np.float32)
POINT = np.zeros((65, 65, 3), np.float32)
POINT[32, 32] = 255


def degrade(name: str, image: np.ndarray, *key: object) -> np.ndarray:
    return parse_degradation(name).pair(image, generator(*key))[1]


# What they give

GOLDEN = {
    "denoise_25": (136.447, 24.752, 233.907),
    "denoise_25+8bit": (135.541, 24.178, 213.000),
    "denoise_0-50": (136.774, 1.600, 213.635),
    "poisson_100": (136.524, 18.792, 221.850),
    "sensor_300": (136.240, 8.065, 213.858),
    "camera_300": (136.896, 8.138, 210.816),
    "dejpeg_10": (136.246, 13.047, 221.000),
    "dejpeg_10-40": (137.458, 6.249, 218.000),
    "sr_x2": (136.790, 1.133, 213.0),
    "sr_x3": (136.790, 2.353, 211.0),
    "sr_x4": (136.790, 4.401, 210.0),
    "derain_light": (140.620, 16.444, 212.695),
    "derain_heavy": (174.599, 45.306, 217.914),
    "blur_motion_15": (136.790, 18.052, 187.778),
    "blur_shake_15": (136.683, 13.615, 197.800),
    "blur_disk_2.5": (136.790, 3.587, 208.164),
    "lowlight_10": (43.648, 101.078, 71.452),
    "gamma_3": (63.574, 77.149, 147.976),
    "blur_motion_15+dejpeg_40": (136.663, 20.457, 201.000),
    "blur_disk_1-3+camera_1000+dejpeg_40+8bit": (137.263, 7.640, 210.000),
}
"""Mean, RMS distance from the clean image and one value, so that trainings stay repeatable."""


@pytest.mark.parametrize("name", GOLDEN)
def test_what_a_name_gives_stays_what_it_is(name: str) -> None:
    degraded = degrade(name, WAVES, 0, name)
    distance = np.sqrt(np.mean((degraded - WAVES) ** 2, dtype=float))
    # another build of a JPEG library or transform may round a coefficient otherwise
    assert (degraded.mean(dtype=float), distance) == pytest.approx(GOLDEN[name][:2], abs=0.05)
    assert degraded[20, 30, 1] == pytest.approx(
        GOLDEN[name][2], abs=1.01 if "jpeg" in name else 0.01
    )


@pytest.mark.parametrize("name", GOLDEN)
def test_bytes_are_what_floats_are_but_for_rounding(name: str) -> None:
    image = WAVES.round().astype(np.uint8)
    as_bytes, as_floats = degrade(name, image, 1), degrade(name, image.astype(np.float32), 1)
    assert (as_bytes.dtype, as_floats.dtype) == (np.uint8, np.float32)
    assert as_bytes.shape == as_floats.shape
    rounding = 2 if name.startswith("sr") else 0.51  # whose small image is of bytes too
    assert np.abs(as_bytes - as_floats.clip(0, 255)).max() <= rounding


@pytest.mark.parametrize("name", GOLDEN)
def test_workers_get_the_same_degradation(name: str) -> None:
    degradation = parse_degradation(name)
    sent = pickle.loads(pickle.dumps(degradation))
    assert np.array_equal(
        sent.pair(WAVES, generator(3))[1], degradation.pair(WAVES, generator(3))[1]
    )


@pytest.mark.skipif(not TESTSETS.exists(), reason="wants classic5")
@pytest.mark.parametrize(
    ("quality", "expected"), [(10, 27.821), (20, 30.123), (30, 31.484), (40, 32.428)]
)
def test_jpeg_is_as_far_from_classic5_as_in_the_literature(quality: int, expected: float) -> None:
    values = []
    for path in sorted((TESTSETS / "classic5").iterdir()):
        grey = np.asarray(Pillow.open(path).convert("RGB"))
        degraded = degrade(f"dejpeg_{quality}", grey, 0).mean(2).round()
        values.append(psnr(np.stack([degraded] * 3, 2).astype(np.uint8), grey))
    assert np.mean(values) == pytest.approx(expected, abs=0.02)


# Blur


def kernel_of(name: str, *key: object) -> np.ndarray:
    """Return the degraded image of a point."""
    return degrade(name, POINT, *key)[..., 0].astype(float) / 255


@pytest.mark.parametrize(
    "name", ["blur_motion_1", "blur_motion_20.5", "blur_shake_3", "blur_shake_21", "blur_disk_5"]
)
@pytest.mark.parametrize("seed", range(3))
def test_blur_moves_nothing_and_loses_no_light(name: str, seed: int) -> None:
    kernel = kernel_of(name, seed)
    assert kernel.min() > -1e-6
    assert kernel.sum() == pytest.approx(1, abs=1e-4)
    assert ndimage.center_of_mass(kernel) == pytest.approx((32, 32), abs=0.01)


@pytest.mark.parametrize("function", [blur_motion, blur_shake, blur_disk])
def test_blur_is_a_convolution_on_a_mirrored_border(function) -> None:
    level = (
        {"size": 9}
        if function is blur_shake
        else {"length": 9}
        if function is blur_motion
        else {"radius": 3.5}
    )
    point = function(POINT, generator(5), **level)[..., 0] / 255
    expected = np.stack(
        [
            ndimage.convolve(WAVES[..., i].astype(float), point[22:43, 22:43], mode="reflect")
            for i in range(3)
        ],
        2,
    )
    assert np.abs(function(WAVES, generator(5), **level) - expected).max() < 1e-2


def test_a_line_is_as_long_as_its_name_says_and_points_anywhere() -> None:
    angles = []
    for seed in range(40):
        kernel = kernel_of("blur_motion_21", seed)
        row, column = np.mgrid[-32:33, -32:33]
        variances, axes = np.linalg.eigh(
            np.cov([row.ravel(), column.ravel()], aweights=kernel.ravel().clip(0))
        )
        assert np.sqrt(12 * variances[1]) == pytest.approx(
            21, rel=0.06
        )  # of an even line: length / sqrt(12)
        assert variances[0] < 0.5
        angles.append(np.degrees(np.arctan2(*axes[:, 1])) % 180)
    assert np.histogram(angles, 4, (0, 180))[0].min() >= 4


def test_a_shake_stays_within_its_size_and_no_two_are_alike() -> None:
    kernels = [kernel_of("blur_shake_15", seed) for seed in range(8)]
    for kernel in kernels:
        rows, columns = np.nonzero(kernel > 1e-5)
        assert max(abs(rows - 32).max(), abs(columns - 32).max()) == 7
    assert min(np.abs(a - b).sum() for i, a in enumerate(kernels) for b in kernels[:i]) > 0.5


def test_a_disk_is_even_and_as_large_as_its_name_says() -> None:
    kernel = kernel_of("blur_disk_6")
    assert kernel[29:36, 29:36] == pytest.approx(1 / (np.pi * 36), rel=0.01)
    assert (kernel > kernel.max() / 2).sum() == pytest.approx(np.pi * 36, rel=0.05)
    assert np.abs(kernel - kernel.T).max() < 1e-6


# Cameras and darkness


def test_the_encoding_is_srgbs_and_has_an_inverse() -> None:
    # IEC 61966-2-1: middle grey of 18 % light, and where the straight part ends
    assert encode(np.array([0.18, 1.0, 0.0])) == pytest.approx([0.4614, 1, 0], abs=1e-4)
    values = np.linspace(-0.2, 1.4, 999)
    assert np.abs(linearise(encode(values)) - values).max() < 1e-6
    assert (np.diff(encode(values)) > 0).all()


@pytest.mark.parametrize("electrons", [100, 1000, 10_000])
@pytest.mark.parametrize("light", [0.02, 0.2, 0.8])
def test_sensor_noise_has_the_variance_of_its_model(electrons: int, light: float) -> None:
    flat = np.full((96, 96, 3), 255 * encode(np.array(light)), np.float32)
    linear = linearise(degrade(f"sensor_{electrons}", flat, 0).astype(float) / 255)
    expected = light / electrons + np.exp(2.18 * np.log(1 / electrons) + 1.2)
    assert linear.mean() == pytest.approx(light, rel=0.02)
    assert linear.var() == pytest.approx(expected, rel=0.06)
    assert abs(np.corrcoef(linear.reshape(-1, 3).T) - np.eye(3)).max() < 0.06


def test_read_noise_is_as_brooks_et_al_fitted_it() -> None:
    assert np.log(read_variance(100)) == pytest.approx(1.2 - 2.18 * np.log(100))


def test_a_camera_keeps_flat_colours_and_its_noise_has_grain() -> None:
    flat = np.empty((96, 96, 3), np.float32)
    flat[:] = 180, 120, 60
    quiet = degrade("camera_1000000", flat, 0)
    assert np.abs(quiet - flat).max() < 2
    linear = linearise(degrade("camera_500", flat, 0).astype(float) / 255)
    noise = linear - linear.mean((0, 1))
    assert linear.mean((0, 1)) == pytest.approx(linearise(flat[0, 0].astype(float) / 255), rel=0.02)
    beside = [np.mean(noise[:, 1:, i] * noise[:, :-1, i]) / noise[..., i].var() for i in range(3)]
    assert min(beside) > 0.25
    plain = linearise(degrade("sensor_500", flat, 0).astype(float) / 255)
    still = plain - plain.mean((0, 1))
    assert abs(np.mean(still[:, 1:] * still[:, :-1]) / still.var()) < 0.05


def test_a_camera_sees_one_colour_at_each_pixel() -> None:
    """A measured colour stays; elsewhere it is the mean of its nearest."""
    image = np.random.default_rng(0).uniform(60, 200, (12, 12, 3)).astype(np.float32)
    taken = degrade("camera_1000000", image, 0)
    for rows, columns, channel in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2)):
        assert (
            np.abs(taken[rows::2, columns::2, channel] - image[rows::2, columns::2, channel]).max()
            < 2
        )
    linear = linearise(image.astype(float) / 255)
    green = np.mean([linear[4, 5, 1], linear[4, 7, 1], linear[3, 6, 1], linear[5, 6, 1]])
    red = np.mean([linear[4, 4, 0], linear[4, 6, 0]])
    assert taken[4, 6, 1] == pytest.approx(255 * encode(green), abs=2)
    assert taken[4, 5, 0] == pytest.approx(255 * encode(red), abs=2)


def test_low_light_is_the_share_of_light_that_its_name_says() -> None:
    flat = np.full((96, 96, 3), 200, np.float32)
    light = linearise(np.array(200 / 255))
    for percent in (5, 40):
        linear = linearise(degrade(f"lowlight_{percent}", flat, 0).astype(float) / 255)
        assert linear.mean() == pytest.approx(light * percent / 100, rel=0.02)
        assert linear.var() == pytest.approx(
            light * percent / 100 / 1000 + read_variance(1000), rel=0.05
        )


def test_gamma_is_a_power_of_what_is_encoded() -> None:
    ramp = np.linspace(0, 255, 48, dtype=np.float32).reshape(4, 4, 3)
    assert degrade("gamma_2.5", ramp, 0) == pytest.approx(255 * (ramp / 255) ** 2.5, abs=1e-3)
    assert degrade("gamma_1", ramp, 0) == pytest.approx(ramp, abs=1e-4)


# Ranges and sequences


def test_levels_of_a_range_are_drawn_evenly() -> None:
    flat = np.full((64, 64, 3), 128, np.float32)
    sigmas = [(degrade("denoise_10-50", flat, seed) - flat).std() for seed in range(60)]
    assert 9 < min(sigmas) < 15
    assert 45 < max(sigmas) < 52
    assert np.mean(sigmas) == pytest.approx(30, abs=4)
    for name in ("dejpeg_30-31", "blur_shake_5-6"):
        names = {degrade(name, WAVES, seed).tobytes() for seed in range(12)}
        assert len(names) >= 2
    fixed = {degrade(f"dejpeg_{q}", WAVES, 0).tobytes() for q in (30, 31)}
    assert {degrade("dejpeg_30-31", WAVES, seed).tobytes() for seed in range(12)} == fixed


def test_one_after_the_other_in_the_order_of_the_name() -> None:
    rng = generator(7)
    blurred = parse_degradation("blur_motion_9").pair(WAVES, rng)[1]
    expected = parse_degradation("dejpeg_20").pair(blurred, rng)[1]
    assert np.array_equal(degrade("blur_motion_9+dejpeg_20", WAVES, 7), expected)
    assert not np.array_equal(degrade("dejpeg_20+blur_motion_9", WAVES, 7), expected)


def test_a_sequence_has_the_needs_of_all_its_parts_and_the_task_of_the_first() -> None:
    degradation = parse_degradation("sr_x3+camera_500+dejpeg_40")
    assert (degradation.task, degradation.multiple, degradation.grid) == ("sr", 3, 48)
    clean, degraded = degradation.pair(draw(0, 61, 74), generator(0))
    assert clean.shape == degraded.shape == (60, 72, 3)
    assert parse_degradation("blur_disk_2+denoise_5").task == "deblur"
    assert parse_degradation("lowlight_10+denoise_5").task == "enhance"


def test_eight_bits_are_truncated_as_the_papers_code_does() -> None:
    flat = np.full((64, 64, 3), 250, np.uint8)
    noise = generator(0).standard_normal(flat.shape, dtype=np.float32)
    expected = np.clip(flat + noise * 25, 0, 255).astype(np.uint8)
    assert np.array_equal(degrade("denoise_25+8bit", flat, 0), expected)
    floats = degrade("denoise_25+8bit", flat.astype(np.float32), 0)
    assert floats.dtype == np.float32
    assert np.array_equal(floats, expected)


@pytest.mark.parametrize(
    "name",
    [
        "8bit", "8bit+denoise_5", "denoise_25+", "+denoise_25", "denoise_50-10", "sr_x2-4",
        "denoise_-5", "derain_1-2",
        "blur_motion", "blur_shake_2.5", "blur_motion_15 + dejpeg_40", "denoise_25+unknown",
    ],
)  # fmt: skip
def test_wrong_name_error_lists_right_forms(name: str) -> None:
    with pytest.raises(
        RestoreError,
        match=r"known: denoise_<sigma> .*may be a range \(denoise_0-50\).* joined by \+",
    ):
        parse_degradation(name)


def test_eight_bits_come_last() -> None:
    with pytest.raises(RestoreError, match="8bit comes last"):
        parse_degradation("denoise_25+8bit+dejpeg_40")
