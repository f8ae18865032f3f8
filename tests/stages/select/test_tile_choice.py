import pyarrow as pa
import pytest

from curate.errors import RecipeError
from curate.recipe import Recipe, Tiles
from curate.stages.select import choose_tiles


def tiles(*rows: tuple[str, str, int, int, int, float | None]) -> pa.Table:
    names = ("id", "tile_of", "tile_x", "tile_y", "width", "laplacian")
    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    return pa.table(columns | {"height": columns["width"]})


ROWS = tiles(
    ("a0", "a", 0, 0, 128, 5.0), ("a1", "a", 64, 0, 128, 9.0), ("a2", "a", 192, 0, 128, 7.0),
    ("a3", "a", 320, 0, 128, None), ("b0", "b", 0, 0, 128, 1.0),
)  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "pinned", "expected"),
    [
        ({"prefer": "laplacian"}, (), ["a1", "a2", "a3", "b0"]),
        ({"prefer": "laplacian", "per_image": 1}, (), ["a1", "b0"]),
        ({"prefer": "-laplacian", "per_image": 2}, (), ["a0", "a2", "b0"]),
        ({"prefer": "laplacian", "per_image": 2}, ("a0",), ["a0", "a2", "b0"]),
        ({"prefer": "laplacian", "per_image": 2, "overlap": True}, (), ["a1", "a2", "b0"]),
    ],
)
def test_chosen_tiles_are_best_first_and_apart(
    settings: dict, pinned: tuple[str, ...], expected: list[str]
) -> None:
    assert choose_tiles(ROWS, Tiles(**settings), pinned)["id"].to_pylist() == expected


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("tiles.prefer=laplacain", "tiles.prefer names 'laplacain'.*did you mean 'laplacian'"),
        ("tiles.min={border_share: 1}", "tiles.min names 'border_share', which is no column of"),
        ("tiles.size=500", "tiles.size is 500, no multiple of 8"),
        ("tiles.size=[]", "tiles.size wants one side, or several"),
        ("tiles.stride=64", "tiles.stride is 64: half of the largest size, 256, is the least"),
        ("tiles.prefre=x", "did you mean 'tiles.prefer'"),
    ],
)
def test_recipe_with_wrong_tiles_is_refused_in_one_line(setting: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message) as error:
        Recipe.load("hq50k", [setting])
    assert "\n" not in str(error.value)


def test_essence_without_tiles_has_none() -> None:
    assert "tiles" not in Recipe.load("hq50k").essence()
    assert Recipe.load("tiles").essence()["tiles"]["size"] == [512]
