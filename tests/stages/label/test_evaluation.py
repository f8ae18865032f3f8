"""Evaluation of a labeller on pictures of known categories: statistics and files."""

import csv
import io
import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import curate
from curate.cli.app import app
from curate.errors import InputError, LabelError
from curate.recipe import Label
from curate.stages.label.clip import label_images
from curate.stages.label.evaluation import BINS, LabelEvaluation, LabelledPicture

TAXONOMY = """
Outdoor:
  templates: ["a photo of {}."]
  categories: {Animals: [a cat, a dog], Outdoor others: [a stone]}
Indoor: {templates: ["{}"], categories: {Food: [soup, bread, fruit]}}
"""


@pytest.fixture
def config(model_folder, tmp_path):
    (file := tmp_path / "taxonomy.yaml").write_text(TAXONOMY)
    return Label(model=f"local-dir:{model_folder}", taxonomy=str(file))


@pytest.fixture
def folder(tmp_path, pictures):
    """Seven pictures in class folders, one of them further down, and files that are no pictures."""
    folder = tmp_path / "mine"
    for n, picture in enumerate(pictures):
        path = folder / ("Food", "outdoor_others", "Animals/more")[n % 3] / f"{n}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path)
    (folder / "Food/broken.jpg").write_bytes(b"no picture")
    (folder / "Food/.hidden").write_bytes(b"")
    (folder / "readme.txt").write_text("no folder")
    return folder


def evaluation(*pairs):
    """Return the evaluation of (true category, label, score) tuples."""
    pictures = [
        LabelledPicture(f"{n}.png", truth, label, score, 0.1)
        for n, (truth, label, score) in enumerate(pairs)
    ]
    return LabelEvaluation("m", ("A", "B", "C", "D"), ("X", "X", "Y", "Y"), tuple(pictures), {})


MIXED = evaluation(
    ("A", "A", 0.9), ("A", "A", 0.9), ("A", "B", 0.5), ("A", "B", 0.5), ("A", "C", 0.5),
    ("B", "B", 0.7), ("B", "B", 0.7), ("B", "A", 0.7),
    ("C", "A", 1.0), ("C", "C", 0.0),
)  # fmt: skip


def test_confusion_and_shares_by_hand():
    assert MIXED.confusion.tolist() == [[2, 2, 1, 0], [1, 2, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]]
    a, b, c, d = MIXED.scores
    assert (a.pictures, a.labelled, a.mistaken_for) == (5, 4, "B (2)")
    assert (a.recall, a.precision) == (2 / 5, 2 / 4)
    assert a.f1 == pytest.approx(2 * (2 / 5) * (2 / 4) / (2 / 5 + 2 / 4))
    assert (b.recall, b.precision) == (2 / 3, 2 / 4)
    assert (c.recall, c.precision) == (1 / 2, 1 / 2)
    assert (d.pictures, d.recall, d.precision, d.f1, d.mistaken_for) == (0, None, None, None, "")
    assert MIXED.top1 == 5 / 10
    assert MIXED.broad_top1 == 8 / 10
    assert MIXED.mean_recall == pytest.approx((2 / 5 + 2 / 3 + 1 / 2) / 3)


def test_calibration_by_hand():
    bins = {round(b.mean_score, 3): (b.pictures, b.right) for b in MIXED.reliability}
    assert bins == {
        0.9: (2, 1.0),
        0.5: (3, 0.0),
        0.7: (3, pytest.approx(2 / 3)),
        1.0: (1, 0.0),
        0.0: (1, 1.0),
    }
    error = (2 * 0.1 + 3 * 0.5 + 3 * abs(2 / 3 - 0.7) + 1 * 1.0 + 1 * 1.0) / 10
    assert MIXED.calibration_error == pytest.approx(error)


def test_calibrated_scores_have_no_calibration_error():
    rng = np.random.default_rng(0)
    scores = rng.uniform(0, 1, 40_000)
    right = rng.uniform(0, 1, len(scores)) < scores
    pairs = [("A", "A" if r else "B", float(s)) for s, r in zip(scores, right, strict=True)]
    assert evaluation(*pairs).calibration_error < 0.02
    assert len(evaluation(*pairs).reliability) == BINS


def test_class_folders_get_the_labels_of_their_files(config, folder):
    calls = []
    found = curate.evaluate_labels(folder, config, lambda done, total: calls.append((done, total)))
    assert [(p.picture, p.truth) for p in found.pictures] == [
        ("Animals/more/2.png", "Animals"),
        ("Animals/more/5.png", "Animals"),
        ("Food/0.png", "Food"),
        ("Food/3.png", "Food"),
        ("Food/6.png", "Food"),
        ("outdoor_others/1.png", "Outdoor others"),
        ("outdoor_others/4.png", "Outdoor others"),
    ]
    labels = label_images([folder / p.picture for p in found.pictures], config)
    for picture, label in zip(found.pictures, labels, strict=True):
        expected = label.category, label.score, label.margin
        assert (picture.category, picture.score, picture.margin) == expected
    assert found.failures.keys() == {"Food/broken.jpg"}
    assert "format_unsupported" in found.failures["Food/broken.jpg"]
    assert calls[-1] == (8, 8)


def test_evaluation_accepts_pairs(config, folder, pictures):
    pairs = [
        (folder / "Food/0.png", "Food"),
        (pictures[1], "Animals"),
        (folder / "nowhere.png", "Food"),
    ]
    found = curate.evaluate_labels(pairs, config)
    assert [p.truth for p in found.pictures] == ["Food", "Animals"]
    assert "unreadable" in found.failures[str(folder / "nowhere.png")]
    with pytest.raises(InputError, match="picture 0: no category 'Cars'; the taxonomy has Animals"):
        curate.evaluate_labels([(pictures[0], "Cars")], config)


@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (lambda root: None, "is no folder"),
        (lambda root: root.mkdir(), "holds no folders"),
        (lambda root: (root / "Animal").mkdir(parents=True), "did you mean 'Animals'"),
        (
            lambda root: (root / "xyz").mkdir(parents=True),
            "named after no category: the taxonomy has Animals",
        ),
        (lambda root: (root / "Food").mkdir(parents=True), "none of 0 pictures"),
    ],
)
def test_evaluation_of_wrong_folders_raises(config, tmp_path, make, fault):
    make(tmp_path / "other")
    with pytest.raises(InputError, match=fault):
        curate.evaluate_labels(tmp_path / "other", config)


def test_evaluation_of_broken_files_only_raises_with_one_name(config, tmp_path):
    (tmp_path / "other/Food").mkdir(parents=True)
    (tmp_path / "other/Food/a.jpg").write_bytes(b"no picture")
    with pytest.raises(
        InputError, match=r"none of 1 pictures can be looked at; Food/a\.jpg: format_unsupported"
    ):
        curate.evaluate_labels(tmp_path / "other", config)


def test_a_missing_labeller_is_an_error(folder):
    with pytest.raises(LabelError, match="holds no weights"):
        curate.evaluate_labels([(folder / "Food/0.png", "Food")], Label(model="local-dir:/nowhere"))


def test_the_command_prints_and_writes_what_was_found(config, folder, tmp_path):
    settings = [f"label.model={config.model}", f"label.taxonomy={config.taxonomy}"]
    options = [option for setting in settings for option in ("--set", setting)]
    result = CliRunner().invoke(
        app, ["evaluate-labels", str(folder), *options, "--out", str(tmp_path / "out")]
    )
    assert result.exit_code == 0, result.output
    found = curate.evaluate_labels(folder, config)
    for words in (
        f"{found.top1:.1%} of 7 pictures right",
        "15 bins",
        "shown \\ taken for",
        "broken.jpg: format_un",
    ):
        assert words in result.output
    out = tmp_path / "out"
    summary = json.loads((out / "evaluation.json").read_text())
    assert summary["top1"] == found.top1
    assert summary["calibration_bins"] == BINS
    assert summary["confusion"] == found.confusion.tolist()
    rows = list(csv.DictReader(io.StringIO((out / "pictures.csv").read_text())))
    for row, picture in zip(rows, found.pictures, strict=True):
        assert row["picture"] == picture.picture
    matrix = list(csv.reader(io.StringIO((out / "confusion.csv").read_text())))
    assert [list(map(int, row[1:])) for row in matrix[1:]] == found.confusion.tolist()
    rows = csv.DictReader(io.StringIO((out / "categories.csv").read_text()))
    assert [row["category"] for row in rows] == list(found.categories)
    with Image.open(out / "confusion.png") as figure:
        assert min(figure.size) > 300
