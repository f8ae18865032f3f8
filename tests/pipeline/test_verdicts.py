import shutil
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import curate
from curate.errors import RunError
from curate.manifest import read_manifest
from curate.manifest.verdicts import Sidecar
from curate.pipeline.execute import RunOutcome
from curate.recipe import Recipe
from tests.contracts.contracts_run import RUN


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return Path(shutil.copytree(RUN, tmp_path / "run"))


def train(run: Path) -> list[str]:
    return read_manifest(run / "manifest/train.parquet").column("id")


def judge(run: Path, id_: str, verdict: str, category: str | None = None) -> None:
    when = datetime(2026, 1, 1, tzinfo=UTC)
    row = {"id": id_, "verdict": verdict, "category": category, "by": "ann", "when": when}
    Sidecar.of(str(run)).write(f"{id_}-{verdict}", [row])


def resume(run: Path) -> RunOutcome:
    return curate.run(None, out=run, scheduler="serial")


def ledger_row(run: Path, id_: str) -> dict[str, object]:
    ledger = pq.read_table(run / "ledger")
    return next(row for row in ledger.to_pylist() if row["id"] == id_)


def test_dropped_image_is_out_of_the_next_manifest_and_the_ledger_names_the_reviewer(
    run: Path,
) -> None:
    dropped = train(run)[0]
    judge(run, dropped, "drop")
    outcome = resume(run)
    assert dropped not in train(run)
    row = ledger_row(run, dropped)
    assert (row["status"], row["reason"]) == ("rejected", "dropped_by_review")
    assert (row["verdict"], row["verdict_by"]) == ("drop", "ann")
    # nothing before the selection is done again, and nothing after it without need
    again = [stage.stage for stage in outcome.stages if stage.resumed < stage.shards]
    assert again == ["select", "report"]
    assert "verdict_by" not in pq.read_schema(run / "manifest/train.parquet").names
    assert all(stage.resumed == stage.shards for stage in resume(run).stages)


def test_removed_file_of_verdicts_brings_the_image_back(run: Path) -> None:
    before = train(run)
    judge(run, before[0], "drop")
    resume(run)
    Sidecar.of(str(run)).remove(f"{before[0]}-drop")
    resume(run)
    assert train(run) == before


def test_relabelled_image_is_selected_under_its_new_category(run: Path) -> None:
    relabelled = train(run)[0]
    judge(run, relabelled, "relabel", "People")
    resume(run)
    row = ledger_row(run, relabelled)
    assert (row["category"], row["broad"], row["label_model"]) == ("People", "Outdoor", "review")
    assert row["label_score"] is row["label_margin"] is None


def test_kept_image_stays_rejected_by_the_filter_that_rejects_it(run: Path) -> None:
    ledger = pq.read_table(run / "ledger").to_pylist()
    filtered = next(row for row in ledger if row["reason"] == "low_texture")
    judge(run, filtered["id"], "keep")
    resume(run)
    row = ledger_row(run, filtered["id"])
    assert (row["reason"], row["verdict"]) == ("low_texture", "keep")


def test_dropped_image_stays_out_though_it_is_pinned(run: Path, tmp_path: Path) -> None:
    dropped = train(run)[0]
    (tmp_path / "pins.txt").write_text("\n".join(train(run)))
    judge(run, dropped, "drop")
    recipe = Recipe.parse(curate.Recipe.load(run / "recipe.yaml").essence(), where="recipe")
    pinned = recipe.override([f"select.pins=[{tmp_path}/pins.txt]"])
    outcome = curate.run(
        pinned, (), run, scheduler="serial", stages=("select",), redo_from="select"
    )
    assert dropped not in train(run)
    assert outcome.selection["pins"]["lost"] == {"dropped_by_review": 1}


def test_verdicts_on_unknown_ids_are_passed_over_with_one_line(run: Path) -> None:
    from curate.cli.next_steps import troubles

    judge(run, "feedfeedfeedfeed", "drop")
    before = train(run)
    outcome = resume(run)
    assert train(run) == before
    assert [line for line in troubles(outcome) if "feedfeedfeedfeed" in line] != []


def test_verdicts_that_cannot_be_used_stop_the_selection_in_one_line(run: Path) -> None:
    judge(run, train(run)[0], "relabel", "Fod")
    with pytest.raises(RunError, match="category 'Fod', which the taxonomy"):
        resume(run)
