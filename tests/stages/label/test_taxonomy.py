"""The taxonomy file: the paper's classes by default, and clear faults in one's own."""

import pytest

from curate.errors import LabelError
from curate.manifest.schema import NAMED_CATEGORIES
from curate.stages.label.taxonomy import load_taxonomy

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


def test_default_has_the_papers_examples_of_others():
    prompts = {c.name: " ".join(c.prompts) for c in load_taxonomy().categories}
    for name, nouns in {
        "Outdoor others": ("traffic light", "road sign"),
        "Indoor others": ("knitted texture", "electronic device"),
        "Artificial others": ("game interface", "handwriting", "screenshot"),
    }.items():
        assert all(noun in prompts[name] for noun in nouns)


def test_prompts_are_templates_times_nouns(tmp_path):
    taxonomy = load_taxonomy(
        write(tmp_path, "A: {templates: ['x {}', '{} y'], categories: {C: [a, b], D: [c]}}")
    )
    assert set(taxonomy.categories[0].prompts) == {"x a", "a y", "x b", "b y"}
    assert taxonomy.names == ("C", "D")


def test_fingerprint_depends_on_prompts_but_not_on_the_path(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    one, same = (
        load_taxonomy(write(tmp_path, GOOD)),
        load_taxonomy(write(tmp_path / "elsewhere", GOOD)),
    )
    other = load_taxonomy(write(tmp_path, GOOD.replace("a kitten", "kittens")))
    assert one.fingerprint == same.fingerprint != other.fingerprint


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "line 1: the file must hold `Broad class"),
        ("\n- a", "line 2: the file must hold `Broad class"),
        ("A:\n  B: [b", "line 2: no valid YAML: expected ',' or ']'"),
        (
            "A: {templates: [a photo of {}.]}",
            "line 1: no valid YAML: expected ',' or ']', but got '{'; a text with braces",
        ),
        ("A: \x01", "no valid YAML"),
        ("A: {categories: {C: [a]}}", "A has no `templates`"),
        (
            "A: {templates: ['{}'], categories: {C: [a]},\n  more: 1}",
            "line 2: A holds 'more'; it takes templates",
        ),
        ("A:\n  template: ['{}']", "line 2: A holds 'template'; did you mean templates?"),
        ("A: [b]", "A must hold `templates` and `categories`"),
        (
            "A: {templates: [a photo], categories: {C: [a], D: [b]}}",
            "A.templates: 'a photo' must hold {}",
        ),
        (
            "A: {templates: ['{}',\n '{} {}'], categories: {C: [a], D: [b]}}",
            "line 2: A.templates: '{} {}' must hold",
        ),
        ("A: {templates: [], categories: {C: [a], D: [b]}}", "A.templates must be a list"),
        ("A: {templates: ['{}'], categories: {\n\nC: [], D: [b]}}", "line 3: A.C must be a list"),
        (
            "A: {templates: ['{}'], categories: {C: [a,\n1], D: [b]}}",
            "line 2: A.C holds '1', which is no text",
        ),
        (
            "A: {templates: ['{}'], categories: {C: [[a]], D: [b]}}",
            "A.C holds a seq, which is no text",
        ),
        ("A: {templates: ['{}'], categories: {C: ['  '], D: [b]}}", "A.C holds '  '"),
        ("A: {templates: ['{}'], categories: {C: a cat, D: [b]}}", "A.C must be a list"),
        ("A: {templates: ['{}'], categories: {}}", "A.categories must hold"),
        (
            "A: {templates: ['{}'], categories: {no: [a], D: [b]}}",
            "'no', which is no text: put it in quotes",
        ),
        (
            "A: {templates: ['{}'], categories: {[x]: [a], D: [b]}}",
            "the name a seq, which is no text",
        ),
        ("A: {templates: ['{}'], categories: {C: [a]}}", "at least two"),
        (
            GOOD + "\nB: {templates: ['{}'], categories: {Cats: [a lion]}}",
            "line 2: Cats is on line 1 already",
        ),
        (GOOD + "\n" + GOOD, "line 2: the file holds A twice"),
        (
            "A: {templates: ['{}'], categories: {C: [a],\n C: [b]}}",
            "line 2: A.categories holds C twice",
        ),
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


def test_others_of_a_broad_class_are_found_by_name(tmp_path):
    taxonomy = load_taxonomy()
    names = taxonomy.names
    assert names[taxonomy.others_of(names.index("Food"))] == "Indoor others"
    assert names[taxonomy.others_of(names.index("Map"))] == "Artificial others"
    without = load_taxonomy(write(tmp_path, GOOD))
    assert [without.others_of(index) for index in (0, 1)] == [0, 1]
