"""Scores of a run by prompts and heads: columns, late bounds, and the report."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file

import curate
from curate import Recipe
from curate.errors import LabelError, RecipeError
from curate.pipeline.recipe_changes import revise_recipe
from curate.stages.label.clip import Labeller


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A head that adds up the first eight numbers of an embedding."""
    path = tmp_path_factory.mktemp("head") / "sum.safetensors"
    save_file({"weight": torch.cat([torch.ones(1, 8), torch.zeros(1, 8)], 1)}, path)
    return path


@pytest.fixture(scope="module")
def settings(recipe: Path, head: Path) -> Recipe:
    """Two pairs of prompts and a head, of which one bounds images and one ranks them."""
    pairs = "{sharp: {positive: sharp, negative: blurry}, plain: {positive: a wall, negative: fog}}"
    return Recipe.load(recipe, [f"label.scores={pairs}", f"label.heads.sum={head}"])


@pytest.fixture(scope="module")
def scored(settings: Recipe, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("scored") / "run"
    curate.run(settings, [pictures], run, scheduler="serial")
    return run


def ledger(run: Path) -> pa.Table:
    return pa.concat_tables(pq.read_table(part) for part in sorted((run / "ledger").glob("*")))


def test_scores_are_columns_of_ledger_and_manifest(scored: Path) -> None:
    rows = ledger(scored)
    names = ["score_sharp", "score_plain", "score_sum"]
    assert rows.column_names[-3:] == names
    assert {rows.schema.field(name).type for name in names} == {pa.float32()}
    labelled = rows["label_score"].is_valid()
    assert all(rows[name].is_valid().equals(labelled) for name in names)
    assert curate.read_manifest(scored / "manifest/train.parquet").table.column_names[-3:] == names
    assert pc.max(rows["score_sharp"]).as_py() <= 1


def test_report_shows_the_scores(scored: Path) -> None:
    page = (scored / "report/index.html").read_text()
    assert all(f">{name}</th>" in page for name in ("score_sharp", "score_plain", "score_sum"))


def test_bound_on_a_score_rejects_after_labelling_without_a_second_look(
    scored: Path, settings: Recipe, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = ledger(scored)
    bound = pc.quantile(before["score_sum"], 0.4)[0].as_py()
    changes = [f"filters.min.score_sum={bound}", "select.prefer=-score_sharp"]
    monkeypatch.setattr(Labeller, "embed", lambda self, pictures: iter(()))
    recipe, redo_from = revise_recipe(scored, "label", changes)
    curate.run(recipe, [pictures], scored, scheduler="serial", redo_from=redo_from)
    after = ledger(scored)
    broken = pc.less(before["score_sum"], bound)
    reasons = dict(zip(after["id"].to_pylist(), after["reason"].to_pylist(), strict=True))
    low = {id_ for id_, reason in reasons.items() if reason == "low_score"}
    assert low == set(before.filter(pc.fill_null(broken, False))["id"].to_pylist())
    assert low
    # a rejected image keeps its scores: they are the evidence
    assert after["score_sum"].equals(before["score_sum"])


def test_run_refuses_rules_and_heads_that_cannot_be_before_it_starts(
    recipe: Path, pictures: Path, tmp_path: Path
) -> None:
    unknown = Recipe.load(recipe, ["label.scores=shipped", "filters.min.score_blunt=0.5"])
    with pytest.raises(RecipeError, match=r"'score_blunt', which is no score; there are score_sha"):
        curate.run(unknown, [pictures], tmp_path / "run", scheduler="serial")
    missing = Recipe.load(recipe, [f"label.heads.sum={tmp_path}/none.safetensors"])
    with pytest.raises(LabelError, match=r"can't read .*none"):
        curate.run(missing, [pictures], tmp_path / "run", scheduler="serial")
    assert not (tmp_path / "run").exists()
