import numpy as np
import pytest

from curate.demo.draw import DRAWINGS, draw
from curate.demo.draw.fields import cells, hatching, knit, noise, weave, wood
from curate.demo.draw.shapes import blob, ellipse, place, rectangle, ribbon, rounded, smooth
from curate.manifest.schema import BROAD, NAMED_CATEGORIES

SIZE = (72, 56)
ALL = [
    pytest.param(category, number, id=f"{category}-{drawing.__name__}")
    for category, drawings in DRAWINGS.items()
    for number, drawing in enumerate(drawings)
]


def test_every_category_of_the_taxonomy_is_drawn() -> None:
    named = [name for names in NAMED_CATEGORIES.values() for name in names]
    assert sorted(DRAWINGS) == sorted([*named, *(f"{broad} others" for broad in BROAD)])


@pytest.mark.parametrize(("category", "number"), ALL)
def test_a_seed_is_a_picture(category: str, number: int) -> None:
    again = number + len(DRAWINGS[category])  # the next seed of the same drawing
    one, same, other = (np.asarray(draw(category, seed, SIZE)) for seed in (number, number, again))
    assert one.shape == (SIZE[1], SIZE[0], 3)
    assert one.dtype == np.uint8
    assert (one == same).all()
    assert (one != other).mean() > 0.2, "two seeds should differ in more than details"
    assert one.std() > 5, "an empty picture"


def test_neighbouring_seeds_go_through_all_drawings_of_a_category() -> None:
    names = [drawing.__name__ for drawing in DRAWINGS["Furniture"]]
    assert len(set(names)) == len(names) > 3


def test_categories_share_no_pictures_for_a_seed() -> None:
    first, second = (
        np.asarray(draw(category, 0, SIZE)) for category in ("Indoor others", "Artificial others")
    )
    assert (first != second).any()


@pytest.mark.parametrize("make", [noise, weave, knit, wood, hatching])
def test_fields_are_standardised(make, rng: np.random.Generator) -> None:
    arguments = {noise: (1.2,), weave: (6,), knit: (12,), wood: (), hatching: (0.5, 8)}[make]
    field = make(rng, (60, 83), *arguments)
    assert field.dtype == np.float32
    assert field.shape == (60, 83)
    assert field.mean() == pytest.approx(0, abs=1e-4)
    assert field.std() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("slope", [0.0, 1.0, 2.0])
def test_noise_has_the_spectrum_it_promises(slope: float, rng: np.random.Generator) -> None:
    power = np.abs(np.fft.fft2(noise(rng, (256, 256), slope))) ** 2
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(256), np.fft.fftfreq(256)))
    low, high = (power[(frequency > f) & (frequency < 1.2 * f)].mean() for f in (0.05, 0.4))
    assert low / high == pytest.approx(8 ** (2 * slope), rel=0.25)


def test_noise_tiles_without_a_seam(rng: np.random.Generator) -> None:
    field = noise(rng, (128, 128), 2.0)
    seam = np.abs(field[0] - field[-1]).mean()
    inside = np.abs(np.diff(field, axis=0)).mean()
    assert seam < 2 * inside


def test_cells_number_every_pixel_by_its_nearest_point(rng: np.random.Generator) -> None:
    number, distance, border = cells(rng, (50, 70), 9)
    assert number.shape == distance.shape == border.shape == (50, 70)
    assert len(np.unique(number)) > 25
    assert (border >= 0).all()
    assert distance.max() < 2 * 9


def test_shapes_lie_where_they_are_put(rng: np.random.Generator) -> None:
    circle = ellipse(2, 3, 0.5)
    assert np.hypot(*(circle - (2, 3)).T) == pytest.approx(0.5)
    quarter = place([[1, 0]], 10, 20, 2, turn=np.pi / 2)
    assert quarter == pytest.approx(np.array([[10, 22]])), "a quarter turn takes right to down"
    assert place([[1, 5]], 0, 0, flip=True) == pytest.approx(np.array([[-1, 5]]))
    assert np.ptp(rounded(0, 0, 4, 2, 0.3), axis=0) == pytest.approx([4, 2])
    assert np.hypot(*(blob(rng, 0, 0, 1, rough=0)).T) == pytest.approx(1)


def test_curves_pass_through_their_points() -> None:
    knots = np.array([[0, 0], [1, 2], [3, 1], [4, 4.0]])
    open_, closed = smooth(knots, closed=False, steps=5), smooth(knots, steps=5)
    assert open_[::5] == pytest.approx(knots)
    assert closed[::5] == pytest.approx(knots)
    assert len(closed) == 20


def test_a_ribbon_is_as_wide_as_told() -> None:
    outline = ribbon([[0, 0], [1, 0], [2, 0]], [0.2, 0.6])
    above, below = outline[:3], outline[3:][::-1]
    assert (above - below)[:, 1] == pytest.approx([0.2, 0.4, 0.6])
    assert rectangle(0, 1, 2, 3).tolist() == [[0, 1], [2, 1], [2, 3], [0, 3]]
