"""Other prompts for a labelled run: the cache of embeddings stays, whatever else goes."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

import curate
from curate import Recipe
from curate.pipeline.recipe_changes import revise_recipe
from curate.stages.label.clip import Labeller
from tests.pipeline.digests import digests

STAGES = ("candidates", "fetch", "measure", "label")


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the pictures of each call of the encoder."""
    passes: list[int] = []
    encode = Labeller._encode
    monkeypatch.setattr(
        Labeller, "_encode", lambda self, images: passes.append(len(images)) or encode(self, images)
    )
    return passes


@pytest.fixture
def prompts(tmp_path: Path) -> str:
    (file := tmp_path / "taxonomy.yaml").write_text(
        "A: {templates: ['{}'], categories: {One: [a], Two: [b], Three: [c]}}"
    )
    return f"label.taxonomy={file}"


def label(run: Path, *settings: str) -> None:
    recipe, redo_from = revise_recipe(run, "label", settings)
    curate.run(recipe, (), run, scheduler="serial", stages=("label",), redo_from=redo_from)


def test_run_with_other_prompts_reads_no_image_again(
    recipe: Path, pictures: Path, tmp_path: Path, encoded: list[int], prompts: str
) -> None:
    fresh, run = tmp_path / "fresh", tmp_path / "run"
    curate.run(Recipe.load(recipe, [prompts]), [pictures], fresh, scheduler="serial", stages=STAGES)
    curate.run(recipe, [pictures], run, scheduler="serial", stages=STAGES)
    assert sum(encoded)
    encoded.clear()
    label(run, prompts)
    assert sum(encoded) == 0
    assert digests(run) == digests(fresh)
    for file in (run / "labelled").glob("*.parquet"):
        assert set(pq.read_table(file)["category"].to_pylist()) <= {"One", "Two", "Three", None}


def test_run_with_changed_filter_labels_only_newly_passing_images(
    recipe: Path, pictures: Path, tmp_path: Path, encoded: list[int]
) -> None:
    loose, run = tmp_path / "loose", tmp_path / "run"
    curate.run(
        Recipe.load(recipe, ["fetch.probe=false"]),
        [pictures],
        loose,
        scheduler="serial",
        stages=STAGES,
    )
    everything = sum(encoded)
    strict = Recipe.load(recipe, ["fetch.probe=false", "filters.min.width=72"])
    encoded.clear()
    curate.run(strict, [pictures], run, scheduler="serial", stages=STAGES)
    some = sum(encoded)
    assert 0 < some < everything
    encoded.clear()
    label(run, "filters.min.width=48")
    assert sum(encoded) == everything - some
    assert digests(run) == digests(loose)


def test_run_stopped_before_label_commit_keeps_embeddings(
    recipe: Path, pictures: Path, tmp_path: Path, encoded: list[int]
) -> None:
    curate.run(recipe, [pictures], tmp_path, scheduler="serial", stages=STAGES)
    whole = digests(tmp_path)
    for file in (tmp_path / "labelled").glob("part-*"):
        file.unlink()
    encoded.clear()
    label(tmp_path)
    assert sum(encoded) == 0
    assert digests(tmp_path) == whole
