import numpy as np
import pytest
from PIL import Image

from curate.demo.draw import SCENES, paint
from curate.stages.match.keypoints import KEYPOINT, find_keypoints

HOUSES = SCENES["Architecture"]["houses"]


def blobs(places: list[tuple[float, float, float]], side: int = 320) -> np.ndarray:
    """Bright Gaussians on grey, at (x, y) with a deviation, all in pixels."""
    y, x = np.mgrid[:side, :side]
    luma = sum(
        (100 * np.exp(-((x - a) ** 2 + (y - b) ** 2) / (2 * s * s)) for a, b, s in places),
        start=np.full(x.shape, 90.0),
    )
    return luma.round().astype(np.uint8)


def test_blobs_are_found_at_their_place_and_size() -> None:
    places = [(100, 90, 6), (210, 180, 10), (150, 240, 14)]
    found = find_keypoints(blobs(places), 3)
    assert found.dtype == KEYPOINT
    at = sorted(
        (k["y"] / 255 * 320, k["x"] / 255 * 320, 2 * 1.6 * 2 ** (k["scale"] / 16)) for k in found
    )
    for (y, x, size), (wanted_x, wanted_y, deviation) in zip(
        at, sorted(places, key=lambda p: p[1]), strict=True
    ):
        assert (x, y) == (pytest.approx(wanted_x, abs=2), pytest.approx(wanted_y, abs=2))
        assert size == pytest.approx(deviation, rel=0.3)
    assert all(int(k["bits"]) >> 63 for k in found)  # bright on dark


def test_most_pronounced_keypoints_come_first() -> None:
    luma = np.asarray(paint(HOUSES, np.random.default_rng(0), (400, 300)).convert("L"))
    many, few = find_keypoints(luma, 60), find_keypoints(luma, 20)
    assert len(many) > len(few) == 20
    assert many[:20].tobytes() == few.tobytes() == find_keypoints(luma, 20).tobytes()


def test_mirrored_picture_inverts_bits_of_odd_frequencies() -> None:
    luma = np.asarray(paint(HOUSES, np.random.default_rng(1), (400, 300)).convert("L"))
    for axis, odd in ((1, 0x5555_5555_5555_5555), (0, 0x00FF_00FF_00FF_00FF)):
        there = find_keypoints(luma, 20)["bits"].astype(np.uint64)
        turned = find_keypoints(np.flip(luma, axis), 20)["bits"].astype(np.uint64) ^ np.uint64(odd)
        nearest = np.bitwise_count(there[:, None] ^ turned).min(axis=1)
        assert np.mean(nearest <= 2) > 0.9


@pytest.mark.parametrize(
    "luma",
    [np.zeros((1, 1), np.uint8), np.full((300, 400), 200, np.uint8), np.zeros((3, 4000), np.uint8)],
    ids=["one pixel", "one colour", "one line"],
)
def test_plain_pictures_have_no_keypoints(luma: np.ndarray) -> None:
    assert find_keypoints(luma).shape == (0,)


def test_thin_pictures_raise_nothing() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (2, 60_000), dtype=np.uint8)
    find_keypoints(noise)
    find_keypoints(np.asarray(Image.fromarray(noise).transpose(Image.Transpose.ROTATE_90)))
