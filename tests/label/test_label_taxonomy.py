"""The taxonomy file: the paper's classes by default, and clear faults in one's own."""

import pytest

from curate.errors import LabelError
from curate.label.taxonomy import load_taxonomy
from curate.manifest.schema import NAMED_CATEGORIES

GOOD = "A: {templates: ['a photo of {}.'], categories: {Cats: [a cat, a kitten], Dogs: [a dog]}}"


def write(tmp_path, text):
    path = tmp_path / "taxonomy.yaml"
    path.write_text(text)
    return path


def test_default_has_the_papers_16_categories():
    categories = load_taxonomy().categories
    for broad, named in NAMED_CATEGORIES.items():
        assert tuple(c.name for c in categories if c.broad == broad) == (*named, f"{broad} others")
    assert len(categories) == 16
    assert all(len(c.prompts) >= 10 for c in categories)


def test_default_knows_the_papers_examples_of_others():
    prompts = {c.name: " ".join(c.prompts) for c in load_taxonomy().categories}
    for name, nouns in {
        "Outdoor others": ("traffic light", "road sign"),
        "Indoor others": ("knitted texture", "electronic device"),
        "Artificial others": ("game interface", "handwriting", "screenshot"),
    }.items():
        assert all(noun in prompts[name] for noun in nouns)


def test_prompts_are_templates_times_nouns(tmp_path):
    taxonomy = load_taxonomy(write(tmp_path, "A: {templates: ['x {}', '{} y'], categories: {C: [a, b], D: [c]}}"))
    assert set(taxonomy.categories[0].prompts) == {"x a", "a y", "x b", "b y"}
    assert taxonomy.names == ("C", "D")


def test_fingerprint_follows_the_prompts_and_not_the_place(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    one, same = load_taxonomy(write(tmp_path, GOOD)), load_taxonomy(write(tmp_path / "elsewhere", GOOD))
    other = load_taxonomy(write(tmp_path, GOOD.replace("a kitten", "kittens")))
    assert one.fingerprint == same.fingerprint != other.fingerprint


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "must hold `Broad class"),
        ("- a", "must hold `Broad class"),
        ("A: [b", "no valid YAML"),
        ("A: {categories: {C: [a]}}", "A must hold exactly"),
        ("A: {templates: ['{}'], categories: {C: [a]}, more: 1}", "A must hold exactly"),
        ("A: {templates: [a photo], categories: {C: [a], D: [b]}}", "A.templates: 'a photo' must hold {}"),
        ("A: {templates: ['{} {}'], categories: {C: [a], D: [b]}}", "exactly once"),
        ("A: {templates: [], categories: {C: [a], D: [b]}}", "A.templates must be a list"),
        ("A: {templates: ['{}'], categories: {C: [], D: [b]}}", "A.C must be a list"),
        ("A: {templates: ['{}'], categories: {C: [1], D: [b]}}", "A.C holds 1"),
        ("A: {templates: ['{}'], categories: {C: ['  '], D: [b]}}", "A.C holds '  '"),
        ("A: {templates: ['{}'], categories: {C: a cat, D: [b]}}", "A.C must be a list"),
        ("A: {templates: ['{}'], categories: {}}", "A.categories must hold"),
        ("A: {templates: ['{}'], categories: {no: [a], D: [b]}}", "put the name in quotes"),
        ("A: {templates: ['{}'], categories: {C: [a]}}", "at least two"),
        (GOOD + "\nB: {templates: ['{}'], categories: {Cats: [a lion]}}", "Cats is there twice"),
    ],
)
def test_faults_are_named(tmp_path, text, fault):
    path = write(tmp_path, text)
    with pytest.raises(LabelError) as caught:
        load_taxonomy(path)
    assert fault in str(caught.value)
    assert str(path) in str(caught.value)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(LabelError, match=r"nowhere\.yaml"):
        load_taxonomy(tmp_path / "nowhere.yaml")
