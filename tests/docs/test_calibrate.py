"""Calibration: the plain reading equals the measure, and counts are right."""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import calibrate, readings
from benchmarks.readings import BASE, BINS, PICTURES, Means
from curate.stages.measure import high_frequency_ratios


def picture(height: int, width: int, seed: int = 0) -> Image.Image:
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (height // 9, width // 9, 3), dtype=np.uint8))
    smooth_HWC = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.float64)
    return Image.fromarray(
        (smooth_HWC + rng.normal(0, 9, smooth_HWC.shape)).clip(0, 255).astype(np.uint8)
    )


class Serial:
    """A pool of no workers."""

    def __init__(self, workers: int | None) -> None:
        self.map = map

    def __enter__(self) -> "Serial":
        return self

    def __exit__(self, *_: object) -> None:
        pass


@pytest.fixture(autouse=True, scope="module")
def few_pictures() -> Iterator[None]:
    """Some of the colours and sizes, so that it doesn't take long."""
    native = [
        picture
        for picture in PICTURES
        if picture[0] == BASE.size and picture[1] in ("luma", "R", "G", "B")
    ]
    resized = [picture for picture in PICTURES if picture[0] != BASE.size]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(readings, "PICTURES", native + resized[::9])
        yield


@pytest.fixture(scope="module")
def means() -> Means:
    """Means over a picture with odd sides and one with even sides, weighed 0.3 and 0.7."""
    means = Means()
    for share, image in zip((0.3, 0.7), PAIR, strict=True):
        means.add(image, share)
    return means


PAIR = picture(261, 303), picture(270, 306, seed=1)


def test_calibration_of_plain_reading_equals_measure(means: Means) -> None:
    curve = means.curves()[BASE]
    cutoffs = [0.25, 0.32, 0.5, 0.75]
    ratios = [high_frequency_ratios(np.asarray(image.convert("L")), cutoffs) for image in PAIR]
    expected = 0.3 * np.array(ratios[0]) + 0.7 * np.array(ratios[1])
    assert [curve[round(c * BINS)] for c in cutoffs] == pytest.approx(expected, rel=1e-3)


def test_calibration_curves_decrease(means: Means) -> None:
    curves = means.curves()
    assert (
        len(curves) == 2 * 2 * 2 * 8 * len(readings.PICTURES) + 2 * 2 * 8 * 2
    )  # and three ratios' means
    for reading, curve in curves.items():
        assert np.all(np.diff(curve) <= 1e-12), reading
        assert 0 <= curve[-1] <= curve[0] <= 1 + 1e-12, reading
        assert (curve[0] == pytest.approx(1)) == (reading.dc == "DC left out"), reading


def test_calibration_parts_add_up(means: Means) -> None:
    one, other = Means(), Means()
    one.add(PAIR[0], 0.3)
    other.add(PAIR[1], 0.7)
    both, curves = (one + other).curves(), means.curves()
    assert list(both) == list(curves)
    np.testing.assert_allclose(np.stack(list(both.values())), np.stack(list(curves.values())))


def test_calibration_weighs_part_to_known_means() -> None:
    rng = np.random.default_rng(0)
    known = {f"{i}": tuple(rng.random(2)) for i in range(40)}
    part = [f"{i}" for i in range(0, 40, 4)]
    weights = calibrate.shares(part, known)
    assert weights.sum() == pytest.approx(1)
    assert weights @ [known[name] for name in part] == pytest.approx(
        np.mean(list(known.values()), axis=0)
    )
    assert calibrate.shares(part, {}) == pytest.approx([0.1] * 10)


def test_calibration_finds_reading_that_fits_both_figures() -> None:
    slope = np.linspace(0, 1, BINS + 1)
    right = (
        {BASE: calibrate.BSDS * np.exp(2 - 5 * slope)},
        {BASE: calibrate.URBAN * np.exp(2 - 5 * slope)},
    )
    (fit,) = calibrate.fits({"train": right[0]}, right[1], calibrate.CUTOFFS)
    assert (fit.cutoff, fit.error) == (pytest.approx(0.4), pytest.approx(0, abs=1e-6))
    (printed,) = calibrate.fits({"train": right[0]}, right[1], np.array([0.5]))
    assert printed.error == pytest.approx(1 - np.exp(-0.5))
    # where one figure fits, the other is 2 % off: no cut-off brings both within 1 %
    wrong = {BASE: right[1][BASE] * 1.03}
    (fit,) = calibrate.fits({"train": right[0]}, wrong, calibrate.CUTOFFS)
    assert fit.error == pytest.approx(0.015, abs=2e-3)


def test_calibration_names_departures() -> None:
    assert calibrate.departures(BASE) == []
    assert calibrate.departures(BASE._replace(colour="G", window="Hann")) == ["G", "Hann"]


def test_calibration_command_prints_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, seed in (("train", 1), ("test", 2), ("urban", 3)):
        (tmp_path / name).mkdir()
        picture(257, 261, seed).save(tmp_path / name / "picture.png")
    monkeypatch.setattr(
        sys, "argv", ["calibrate", "--bsds", str(tmp_path), "--urban", str(tmp_path / "urban")]
    )
    monkeypatch.setattr(calibrate, "DRAWS", 3)
    monkeypatch.setattr(calibrate, "CUTOFFS", np.linspace(0.1, 1, 10))
    monkeypatch.setattr(calibrate, "ProcessPoolExecutor", Serial)
    calibrate.main()
    out = capsys.readouterr().out
    assert "| BSDS400 (paper) | 400 | 154,401 | 3.770 | 0.8863% |" in out
    assert "| as the paper's text, read plainly |" in out
    assert "The nearest, where the cut-off is any:" in out
