"""Scores by pairs of prompts: read from a recipe or a file, with clear faults."""

import pytest

from curate.errors import LabelError, RecipeError
from curate.recipe import Label, Recipe
from curate.stages.label.scores import check_scores, load_pairs, score_columns

SHARP = {"positive": "a sharp photo", "negative": ["a blurry photo", "a soft photo"]}


def recipe_with(label, **groups):
    return Recipe.parse({"name": "r", "label": label, **groups}, where="r.yaml")


def write(tmp_path, text):
    path = tmp_path / "pairs.yaml"
    path.write_text(text)
    return str(path)


def test_load_pairs_fills_templates_on_both_sides():
    templates = {"templates": ["{}.", "see {}"]}
    (pair,) = load_pairs(recipe_with({"scores": {"sharp": SHARP | templates}}).label)
    assert pair.positive == ("a sharp photo.", "see a sharp photo")
    assert len(pair.negative) == 4


def test_load_pairs_of_shipped_file_have_two_sides():
    pairs = load_pairs(Label(scores="shipped"))
    assert {"sharp", "watermark", "generated", "unsafe"} <= {pair.name for pair in pairs}
    assert all(set(pair.positive).isdisjoint(pair.negative) for pair in pairs)


def test_load_pairs_from_file_equals_pairs_in_recipe(tmp_path):
    path = write(
        tmp_path, "sharp: {positive: a sharp photo, negative: [a blurry photo, a soft photo]}"
    )
    assert load_pairs(Label(scores=path)) == load_pairs(
        recipe_with({"scores": {"sharp": SHARP}}).label
    )


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        ({"sharp": {"positive": "a"}}, ["label.scores.sharp.negative", "required"]),
        ({"sharp": SHARP | {"negativ": "b"}}, ["label.scores.sharp.negativ'", "did you mean"]),
        ({"sharp": "a sharp photo"}, ["label.scores.sharp", "positive", "negative"]),
        ({"sharp": {"positive": "a", "negative": []}}, ["label.scores.sharp.negative", "one text"]),
        ({"sharp": {"positive": "a", "negative": " "}}, ["label.scores.sharp.negative", "empty"]),
        ({"Is sharp": SHARP}, ["label.scores.Is sharp", "a-z"]),
        ({"sharp": SHARP | {"templates": "a photo"}}, ["label.scores.sharp.templates", "once"]),
        (["sharp"], ["label.scores", "dictionary"]),
    ],
)
def test_recipe_with_faulty_pair_is_refused_in_one_line(scores, words):
    with pytest.raises(RecipeError) as raised:
        recipe_with({"scores": scores})
    assert "\n" not in str(raised.value)
    assert all(word in str(raised.value) for word in words)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sharp: {positive: a}", ["sharp.negative", "required"]),
        ("sharp: {positive: a, negative: b, kind: c}", ["unknown key 'sharp.kind'"]),
        ("sharp: {positive: a, negative: b}\nsharp: {positive: c, negative: d}", ["there twice"]),
        ("sharp: {positive: [a", ["no valid YAML"]),
        ("- sharp", ["must hold"]),
        ("", ["must hold"]),
    ],
)
def test_file_with_faulty_pair_is_refused_in_one_line(tmp_path, text, words):
    path = write(tmp_path, text)
    with pytest.raises(LabelError) as raised:
        load_pairs(Label(scores=path))
    assert "\n" not in str(raised.value)
    assert all(word in str(raised.value) for word in [*words, path])


def test_missing_file_of_pairs_is_refused(tmp_path):
    with pytest.raises(LabelError, match=r"can't read label.scores .*none.yaml"):
        load_pairs(Label(scores=str(tmp_path / "none.yaml")))


def test_setting_with_a_name_twice_is_refused():
    pair = "{positive: a, negative: b}"
    with pytest.raises(RecipeError, match="no valid YAML"):
        Recipe.load("hq50k", [f"label.scores={{sharp: {pair}, sharp: {pair}}}"])


def test_pair_and_head_of_one_name_are_refused():
    with pytest.raises(RecipeError, match="both name 'sharp'"):
        recipe_with({"scores": {"sharp": SHARP}, "heads": {"sharp": "a.safetensors"}})
    with pytest.raises(LabelError, match="'sharp'"):
        score_columns(Label.model_validate({"scores": "shipped", "heads": {"sharp": "a"}}))


@pytest.mark.parametrize(
    "groups",
    [
        {"filters": {"min": {"score_blunt": 0.5}}},
        {"filters": {"max": {"score_blunt": 0.5}}},
        {"select": {"prefer": "-score_blunt"}},
        {"candidates": {"keep": ["score_sharp"]}},
    ],
)
def test_rules_on_unknown_scores_are_refused(groups):
    with pytest.raises(RecipeError, match="score_"):
        recipe_with({"scores": {"sharp": SHARP}}, **groups)
    # names of a file's pairs are known when it is read
    with pytest.raises(RecipeError, match="score_"):
        check_scores(recipe_with({"scores": "shipped"}, **groups))


def test_rules_on_known_scores_are_accepted():
    groups = {"filters": {"min": {"score_sharp": 0.5}}, "select": {"prefer": "score_sharp"}}
    for scores in ({"sharp": SHARP}, "shipped"):
        check_scores(recipe_with({"scores": scores}, **groups))


def test_recipe_without_scores_has_the_essence_of_before():
    essence = Recipe.load("hq50k").essence()["label"]
    assert not {"scores", "heads"} & essence.keys()
    assert "scores" in Recipe.load("hq50k", ["label.scores=shipped"]).essence()["label"]
