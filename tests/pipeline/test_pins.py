import shutil
from pathlib import Path

import pytest

import curate
from curate.errors import InputError
from curate.manifest import read_manifest
from curate.pipeline.execute import STAGES, RunOutcome
from curate.recipe import Recipe


def ids(run: Path) -> set[str]:
    return set(read_manifest(run / "manifest/train.parquet").column("id"))


def select_again(recipe: Path, run: Path, *settings: str) -> RunOutcome:
    changed = Recipe.load(recipe, settings)
    return curate.run(changed, (), run, scheduler="serial", stages=("select",), redo_from="select")


def test_pins_keep_picks_and_are_part_of_fingerprint(
    recipe: Path, pictures: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    curate.run(recipe, [pictures], run, scheduler="serial", stages=STAGES[:6])
    few = ("select.train=3", "select.test.per_category=0", "select.test.overrides={}")
    select_again(recipe, run, *few)
    first = ids(run)
    with pytest.raises(InputError, match="which this run writes anew: copy it elsewhere"):
        select_again(recipe, run, *few, f"select.pins=[{run}/manifest/train.parquet]")

    shutil.copy(run / "manifest/train.parquet", tmp_path / "first.parquet")
    pinned = (*few, f"select.pins=[{tmp_path}/first.parquet]", "select.train=4")
    assert any(
        ids(run) != first for seed in range(1, 9) if select_again(recipe, run, *few, f"seed={seed}")
    )
    for seed in range(1, 4):
        outcome = select_again(recipe, run, *pinned, f"seed={seed}")
        assert first < ids(run)
        assert outcome.selection["pins"]["kept"] == 3

    # another list under the same name is another selection
    (tmp_path / "first.parquet").unlink()
    (tmp_path / "pins.txt").write_text("\n".join(sorted(first)[:1]))
    listed = (*few, f"select.pins=[{tmp_path}/pins.txt]")
    assert select_again(recipe, run, *listed).selection["pins"]["named"] == 1
    (tmp_path / "pins.txt").write_text("\n".join(sorted(first)[:2]))
    assert (
        curate.run(None, (), run, scheduler="serial", stages=("select",)).selection["pins"]["named"]
        == 2
    )


def test_lost_pins_are_written_to_run_folder(recipe: Path, pictures: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    outcome = curate.run(recipe, [pictures], run, scheduler="serial", stages=STAGES[:6])
    rows = outcome.selection["shopping"]["rows"]
    lines = Path(outcome.places["shopping"]).read_text().splitlines()
    assert len(lines) == 1 + len(rows) > 1
    assert sum(row["lacking"] for row in rows if row["split"] == "train") >= outcome.selection[
        "train"
    ]["wanted"] - len(ids(run))
