import numpy as np
import pytest

from curate.demo.draw import SCENES, draw, scene_name
from curate.demo.draw.canvas import Canvas
from curate.demo.draw.motifs import MOTIFS
from curate.demo.draw.parts import draw_motif
from curate.demo.draw.shapes import blob, box, curve, oval, place, stroke
from curate.demo.draw.textures import (
    TILES,
    VARIANTS,
    cells,
    knit,
    noise,
    strokes,
    tile,
    weave,
    wood,
)
from curate.manifest.schema import BROAD, NAMED_CATEGORIES

SIZE = (72, 56)
ALL = [
    pytest.param(category, number, id=f"{category}-{name}")
    for category, scenes in SCENES.items()
    for number, name in enumerate(scenes)
]
NAMES = [line.split(":")[0] for line in MOTIFS.splitlines() if line[:1].isalpha()]


def test_scenes_cover_every_category_of_the_taxonomy() -> None:
    named = [name for names in NAMED_CATEGORIES.values() for name in names]
    assert sorted(SCENES) == sorted([*named, *(f"{broad} others" for broad in BROAD)])


@pytest.mark.parametrize(("category", "number"), ALL)
def test_draw_with_one_seed_gives_one_picture(category: str, number: int) -> None:
    again = number + len(SCENES[category])  # the next seed of the same scene
    one, same, other = (np.asarray(draw(category, seed, SIZE)) for seed in (number, number, again))
    assert one.shape == (SIZE[1], SIZE[0], 3)
    assert one.dtype == np.uint8
    assert (one == same).all()
    assert (one != other).mean() > 0.2, "two seeds should differ in more than details"
    assert one.std() > 5, "an empty picture"


def test_scene_name_of_neighbouring_seeds_goes_through_all_scenes() -> None:
    names = [scene_name("Furniture", seed) for seed in range(len(SCENES["Furniture"]))]
    assert len(set(names)) == len(names) > 3


def test_draw_of_two_categories_with_one_seed_gives_two_pictures() -> None:
    first, second = (
        np.asarray(draw(category, 0, SIZE)) for category in ("Indoor others", "Artificial others")
    )
    assert (first != second).any()


@pytest.mark.parametrize("name", NAMES)
def test_every_motif_can_be_drawn(name: str, rng: np.random.Generator) -> None:
    canvas = Canvas(rng, SIZE)
    canvas.clean = True
    before = np.asarray(canvas.finish())
    draw_motif(canvas.at(0.5, 0.5, 0.5), name)
    assert (np.asarray(canvas.finish()) != before).any()


def test_a_view_maps_its_origin_scale_and_turn(rng: np.random.Generator) -> None:
    canvas = Canvas(rng, (200, 100))
    view = canvas.at(1, 0.5, 0.25, turn=np.pi / 2)
    # the canvas is twice as large as the picture; a quarter turn takes right to down
    assert view._pixels([[0, 0], [1, 0]]) == pytest.approx(np.array([[200, 100], [200, 150]]))
    assert canvas.floor()._pixels([[0, 1e9]])[0, 1] == pytest.approx(200 * canvas.level)


def test_canvas_paint_of_one_name_is_one_paint_until_renamed(rng: np.random.Generator) -> None:
    canvas = Canvas(rng, SIZE)
    assert canvas.paint("hue") is canvas.paint("hue")
    assert sum(canvas.ink("hue+")) > sum(canvas.ink("hue")) > sum(canvas.ink("hue-"))
    assert len({canvas.renamed().ink("hue") for _ in range(8)}) > 1


@pytest.mark.parametrize("make", [noise, weave, knit, wood, strokes])
def test_textures_have_mean_0_and_deviation_1(make, rng: np.random.Generator) -> None:
    arguments = {noise: (1.2,), weave: (6,), knit: (12,), wood: (), strokes: (0.5, 8)}[make]
    texture = make(rng, (60, 83), *arguments)
    assert texture.dtype == np.float32
    assert texture.shape == (60, 83)
    assert texture.mean() == pytest.approx(0, abs=1e-4)
    assert texture.std() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("name", TILES)
def test_tiles_are_cached_and_differ_by_variant(name: str) -> None:
    assert tile(name, 0) is tile(name, 0)
    assert (tile(name, 0) != tile(name, VARIANTS - 1)).any()
    assert tile(name, 0).std() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("slope", [0.0, 1.0, 2.0])
def test_noise_of_a_slope_has_that_spectrum(slope: float, rng: np.random.Generator) -> None:
    power = np.abs(np.fft.fft2(noise(rng, (256, 256), slope))) ** 2
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(256), np.fft.fftfreq(256)))
    low, high = (power[(frequency > f) & (frequency < 1.2 * f)].mean() for f in (0.05, 0.4))
    assert low / high == pytest.approx(8 ** (2 * slope), rel=0.25)


def test_noise_tiles_without_a_seam(rng: np.random.Generator) -> None:
    texture = noise(rng, (128, 128), 2.0)
    seam = np.abs(texture[0] - texture[-1]).mean()
    inside = np.abs(np.diff(texture, axis=0)).mean()
    assert seam < 2 * inside


def test_cells_number_every_pixel_by_its_nearest_point(rng: np.random.Generator) -> None:
    number, distance, border = cells(rng, (50, 70), 9)
    assert number.shape == distance.shape == border.shape == (50, 70)
    assert len(np.unique(number)) > 25
    assert (border >= 0).all()
    assert distance.max() < 2 * 9


def test_shapes_have_the_given_place_and_size(rng: np.random.Generator) -> None:
    circle = oval(2, 3, 0.5)
    assert np.hypot(*(circle - (2, 3)).T) == pytest.approx(0.5)
    quarter = place([[1, 0]], 10, 20, 2, turn=np.pi / 2)
    assert quarter == pytest.approx(np.array([[10, 22]])), "a quarter turn takes right to down"
    assert np.ptp(box(0, 0, 4, 2, 0.3), axis=0) == pytest.approx([4, 2])
    assert box(0, 1, 2, 3).tolist() == [[0, 1], [2, 1], [2, 3], [0, 3]]
    assert np.hypot(*(blob(rng, 0, 0, 1, rough=0)).T) == pytest.approx(1)


def test_curves_pass_through_their_points() -> None:
    knots = np.array([[0, 0], [1, 2], [3, 1], [4, 4.0]])
    open_, closed = curve(knots, closed=False, steps=5), curve(knots, steps=5)
    assert open_[::5] == pytest.approx(knots)
    assert closed[::5] == pytest.approx(knots)
    assert len(closed) == 20


def test_stroke_has_the_given_widths() -> None:
    outline = stroke([[0, 0], [1, 0], [2, 0]], 0.2, 0.6)
    above, below = outline[:3], outline[3:][::-1]
    assert np.abs(above - below)[:, 1] == pytest.approx([0.2, 0.4, 0.6])
