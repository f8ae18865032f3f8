from pathlib import Path
from typing import Annotated

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field

from curate.config import KINDS, Config, find_recipe, fingerprint
from curate.errors import RecipeError
from curate.recipe import Candidates, Filters, Measure, Recipe
from curate.restore.recipe import TrainRecipe
from tests import ROOT

PIPELINES = ROOT / "pipelines"
STEADY = settings(deadline=None, derandomize=True, max_examples=60)


class Wheel(Config):
    """A group within a group."""

    incidental = frozenset({"colour"})
    radius: Annotated[float, Field(gt=0)] = 0.3
    colour: str = "black"


class Cart(Config):
    """Settings of all kinds."""

    incidental = frozenset({"speed"})
    name: str
    seats: int = 2
    speed: float = 1.0
    wheel: Wheel = Wheel()
    spare: Wheel | None = None
    others: tuple[Wheel, ...] = ()
    loads: dict[str, float] = {}


@pytest.fixture
def cart(tmp_path: Path) -> Path:
    path = tmp_path / "cart.yaml"
    path.write_text("name: tumbril\nwheel: {radius: 0.5}\nloads: {hay: 3}\n")
    return path


# Reading


def test_config_from_file_fills_defaults(cart: Path) -> None:
    loaded = Cart.load(cart)
    assert loaded == Cart(name="tumbril", wheel=Wheel(radius=0.5), loads={"hay": 3})
    assert (loaded.seats, loaded.wheel.colour) == (2, "black")


def test_config_is_immutable(cart: Path) -> None:
    with pytest.raises(ValueError, match="frozen"):
        Cart.load(cart).seats = 3


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("seats=4", {"seats": 4}),
        ("wheel.radius=2", {"wheel": Wheel(radius=2)}),
        ("wheel={radius: 1, colour: red}", {"wheel": Wheel(radius=1, colour="red")}),
        ("spare.colour=blue", {"spare": Wheel(colour="blue")}),
        ("loads.corn=1e3", {"loads": {"hay": 3, "corn": 1000}}),
        ("name=a=b", {"name": "a=b"}),
        ("name='1'", {"name": "1"}),
        ("spare=", {"spare": None}),
    ],
)
def test_override_changes_one_setting(cart: Path, override: str, expected: dict) -> None:
    unchanged = {"name": "tumbril", "wheel": Wheel(radius=0.5), "loads": {"hay": 3}}
    assert Cart.load(cart, [override]) == Cart(**unchanged | expected)
    assert Cart.load(cart).override([override]) == Cart(**unchanged | expected)


def test_last_override_wins(cart: Path) -> None:
    assert Cart.load(cart, ["seats=4", "seats=5"]).seats == 5


def test_override_of_empty_group_works(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("name: a\nwheel:\n")
    assert Cart.load(tmp_path / "a.yaml", ["wheel.radius=2"]).wheel.radius == 2


# Mistakes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seets: 3\nname: a", "unknown key 'seets'; did you mean 'seats'?"),
        ("wheel: {radus: 3}\nname: a", "unknown key 'wheel.radus'; did you mean 'wheel.radius'?"),
        ("spare: {color: red}\nname: a", "unknown key 'spare.color'; did you mean 'spare.colour'?"),
        (
            "others: [{}, {radios: 3}]\nname: a",
            "unknown key 'others.1.radios'; did you mean 'others.1.radius'?",
        ),
        ("wheel: {zzz: 3}\nname: a", "unknown key 'wheel.zzz'; known here: radius, colour"),
        ("{}", "name: field required"),
        (
            "name: a\nseats: many",
            "seats: input should be a valid integer, unable to parse string as an integer "
            "(got 'many')",
        ),
        (
            "name: a\nseats: 2.5",
            "seats: input should be a valid integer, got a number with a fractional part (got 2.5)",
        ),
        ("name: a\nwheel: {radius: 0}", "wheel.radius: input should be greater than 0 (got 0)"),
        (
            "name: a\nwheel: round",
            "wheel: input should be a valid dictionary or instance of Wheel (got 'round')",
        ),
        ("name: a\n1: 2", "1: keys should be strings (got 1)"),
        ("name: a\nseats: x\nwheel: {radius: y}", "; wheel.radius:"),
    ],
)
def test_config_error_names_place_and_nearest_key(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "cart.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError) as caught:
        Cart.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"name: [a", "is no valid YAML: while parsing a flow sequence"),
        (b"name: a\n\tb: c", "is no valid YAML"),
        (b"name: 2026-13-45", "is no valid YAML: month must be in 1..12"),
        (b"name: \x07", "is no valid YAML"),
        (b"name: a\nseats: 1\nname: b\n", "is no valid YAML: 'name' is there twice in"),
        (b"name: \xff\xfe\xfd", "can't read recipe"),
        (b"- a\n- b", "must hold `key: value` pairs, not a list"),
        (b"just text", "must hold `key: value` pairs, not a str"),
    ],
)
def test_file_without_settings_is_an_error(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "cart.yaml").write_bytes(content)
    with pytest.raises(RecipeError) as caught:
        Cart.load(tmp_path / "cart.yaml")
    assert message in str(caught.value)
    assert "cart.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seats", "--set wants key=value, as in --set select.train=60, not 'seats'"),
        ("=3", "--set wants key=value"),
        ("name.first=a", "--set name.first=a: 'name' is a value, not a group of settings"),
        ("seats=[1", r"--set seats=\[1: the value is no valid YAML"),
        ("name=2026-13-45", "--set name=2026-13-45: the value is no valid YAML"),
        ("seets=3", "unknown key 'seets'; did you mean 'seats'?"),
        ("wheel.radius=-1", "wheel.radius: input should be greater than 0"),
    ],
)
def test_wrong_override_is_named_in_error(cart: Path, override: str, message: str) -> None:
    for change in (
        lambda: Cart.load(cart, [override]),
        lambda: Cart.load(cart).override([override]),
    ):
        with pytest.raises(RecipeError, match=message.replace("?", r"\?")):
            change()


@STEADY
@given(st.text(max_size=60))
def test_any_text_gives_config_or_recipe_error(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(text.encode(errors="replace"))
    with pytest.raises(RecipeError):  # none has the name
        Cart.load(path)


# What results depend on


def test_essence_leaves_out_incidental_settings() -> None:
    assert Cart(name="a").essence() == {
        "name": "a",
        "seats": 2,
        "wheel": {"radius": 0.3},
        "spare": None,
        "others": [],
        "loads": {},
    }
    slow, fast = Cart(name="a", speed=1, wheel=Wheel(colour="red")), Cart(name="a", speed=9)
    assert fingerprint(slow.essence()) == fingerprint(fast.essence())
    assert fingerprint(slow.essence()) != fingerprint(Cart(name="a", seats=3).essence())


@STEADY
@given(
    st.dictionaries(
        st.text(max_size=5), st.one_of(st.integers(), st.text(max_size=5), st.none()), max_size=5
    )
)
def test_fingerprint_does_not_depend_on_key_order(value: dict) -> None:
    value = {k.encode(errors="replace").decode(): v for k, v in value.items()}
    backwards = dict(reversed(value.items()))
    assert fingerprint(value) == fingerprint(backwards)


def test_fingerprint_matches_hand_computed_value() -> None:
    # printf '{"a":[1,"ä"],"b":null}' | sha256sum
    assert (
        fingerprint({"b": None, "a": [1, "ä"]})
        == "09d06402b1598786e7403149b3c484b8ab826d83c444852812290076db12646b"
    )


def test_yaml_round_trip_spells_out_defaults(tmp_path: Path) -> None:
    original = Cart(
        name="ä: b", seats=7, spare=Wheel(radius=1), others=(Wheel(),), loads={"hay": 0.1}
    )
    text = original.to_yaml()
    assert list(yaml.safe_load(text)) == [
        "name",
        "seats",
        "speed",
        "wheel",
        "spare",
        "others",
        "loads",
    ]
    assert "ä" in text
    (tmp_path / "a.yaml").write_text(text, encoding="utf-8")
    assert Cart.load(tmp_path / "a.yaml") == original


# Finding recipes


def shipped(pattern: str) -> list[str]:
    return sorted(
        path.relative_to(PIPELINES).with_suffix("").as_posix() for path in PIPELINES.glob(pattern)
    )


@pytest.mark.parametrize("name", shipped("*.yaml"))
def test_shipped_curation_recipe_round_trips(name: str) -> None:
    recipe = Recipe.load(name)
    assert recipe.name == name
    assert Recipe.parse(yaml.safe_load(recipe.to_yaml()), where=name) == recipe


@pytest.mark.parametrize("name", shipped("train/*.yaml"))
def test_shipped_training_recipe_round_trips(name: str) -> None:
    from curate.restore.recipe import TrainRecipe

    recipe = TrainRecipe.load(name)
    assert TrainRecipe.parse(yaml.safe_load(recipe.to_yaml()), where=name) == recipe


def test_hq50k_recipe_has_papers_rules() -> None:
    recipe = Recipe.load("hq50k")
    assert recipe.filters.min == {
        "width": 1024,
        "height": 1024,
        "coded_nbytes": 500_000,
        "hf_ratio_032": 0.005,
    }
    assert (recipe.select.train, recipe.select.test.per_category) == (50_000, 100)


def test_file_wins_over_shipped_recipe_of_same_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_recipe("hq50k").read_bytes() == (PIPELINES / "hq50k.yaml").read_bytes()
    (tmp_path / "hq50k").write_text("")
    assert find_recipe("hq50k") == Path("hq50k")


@pytest.mark.parametrize("name", ["nowhere", "", ".", "..", "n" * 5000, "nul\0", "train", "/"])
def test_unknown_recipe_lists_shipped_ones(name: str) -> None:
    with pytest.raises(RecipeError) as caught:
        find_recipe(name)
    assert ", ".join(shipped("**/*.yaml")) in str(caught.value)


# The curation recipe refuses what could only fail later, in a worker


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        (
            {"filters": {"min": {"Widht": 1}}},
            "filters.min names 'Widht', which is no column of numbers",
        ),
        (
            {"filters": {"max": {"caption": 1}}},
            "filters.max names 'caption', which is no column of numbers",
        ),
        (
            {"filters": {"min": {"animated": 1}}},
            "filters.min names 'animated', which is no column of numbers",
        ),
        (
            {"filters": {"min": {"phash": 1}}},
            "filters.min names 'phash', which is no column of numbers",
        ),
        (
            {"filters": {"allow": {"split": ["train"]}}},
            "filters.allow names 'split', which is no column of text",
        ),
        (
            {"filters": {"max": {"bpp": float("nan")}}},
            "filters.max.bpp: input should be a finite number",
        ),
        (
            {"select": {"frequency": {"mean": float("nan")}}},
            "select.frequency.mean: input should be a finite number",
        ),
        (
            {"select": {"frequency": {"std": float("inf")}}},
            "select.frequency.std: input should be a finite number",
        ),
        (
            {"select": {"category_weights": {"Food": float("inf")}}},
            "select.category_weights.Food: input should be a finite number",
        ),
        (
            {"filters": {"allow": {"chroma_subsampling": [14520]}}},
            "filters.allow.chroma_subsampling.0: input should be a valid string; put it in quotes",
        ),
        (
            {"filters": {"allow": {"width": ["1"]}}},
            "filters.allow names 'width', which is no column of text",
        ),
        (
            {"select": {"frequency": {"column": "url"}}},
            "select.frequency.column names 'url', which is no column of numbers",
        ),
        ({"measure": {"cutoffs": [0.32]}}, "measure.cutoffs: hf_ratio_032 is there already"),
        ({"measure": {"cutoffs": [0.25, 0.25]}}, "measure.cutoffs: hf_ratio_025 is there already"),
        ({"measure": {"cutoffs": [1.0]}}, "measure.cutoffs.0: input should be less than 1"),
        ({"candidates": {"keep": ["width"]}}, "candidates.keep: width is there already"),
        ({"candidates": {"keep": ["a", "a"]}}, "candidates.keep: a is there already"),
        ({"candidates": {"keep": ["local_path"]}}, "candidates.keep: local_path is a name of ours"),
        ({"candidates": {"keep": ["malformed"]}}, "candidates.keep: malformed is a name of ours"),
        (
            {"candidates": {"columns": {"local_path": "file"}}},
            "columns names 'local_path', which is none of",
        ),
        (
            {"candidates": {"keep": ["hf_ratio_025"]}, "measure": {"cutoffs": [0.25]}},
            "candidates.keep names hf_ratio_025, which measure.cutoffs makes",
        ),
        (
            {"candidates": {"shard_size": 0}},
            "candidates.shard_size: input should be greater than or equal to 1",
        ),
        (
            {"fetch": {"allow_networks": ["Localhost"]}},
            "'Localhost' does not appear to be an IPv4 or IPv6 network",
        ),
        ({"seed": -1}, "seed: input should be greater than or equal to 0"),
        ({"name": "a b"}, "name: string should match pattern"),
    ],
)
def test_recipe_that_cannot_run_is_refused(settings_: dict, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe.parse({"name": "x"} | settings_, where="x.yaml")
    assert message in str(caught.value)
    assert len(str(caught.value)) < 200


def test_recipe_can_filter_own_columns_of_input() -> None:
    recipe = Recipe(
        name="x",
        candidates=Candidates(keep=("stars",)),
        measure=Measure(cutoffs=(0.25,)),
        filters=Filters(
            min={"stars": 3, "hf_ratio_025": 0.01, "claimed_width": 1024},
            allow={"category": ("Food",)},
        ),
    )
    assert recipe.measure.column(0.25) == "hf_ratio_025"


def test_download_limits_are_incidental() -> None:
    original = Recipe(name="x")
    hurried = original.override(
        ["fetch.concurrency=9", "fetch.retries=0", "label.batch_size=1", "fetch.engine=img2dataset"]
    )
    assert hurried.essence() == original.essence()
    assert original.override(["fetch.max_bytes=9"]).essence() != original.essence()


@pytest.mark.parametrize(
    "group",
    [
        Recipe,
        *(
            f.annotation
            for f in Recipe.model_fields.values()
            if isinstance(f.annotation, type) and issubclass(f.annotation, Config)
        ),
    ],
)
def test_every_setting_has_description(group: type[Config]) -> None:
    groups = {
        name
        for name, f in group.model_fields.items()
        if isinstance(f.annotation, type) and issubclass(f.annotation, Config)
    }
    bare = {name for name, field in group.model_fields.items() if not field.description} - groups
    assert bare == set()


def test_kinds_of_recipes_have_settings_of_their_own() -> None:
    run, train = KINDS.values()
    assert run <= Recipe.model_fields.keys() - TrainRecipe.model_fields.keys()
    assert train <= TrainRecipe.model_fields.keys() - Recipe.model_fields.keys()
