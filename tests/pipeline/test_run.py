import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import curate
from curate import Recipe
from curate.errors import InputError, LabelError, Reason, RecipeError, RunError
from curate.manifest import LEDGER, find_faults, read_manifest
from curate.recipe import FACTS
from curate.stages.chain import build_stage, place_on_gpu
from curate.stages.filters import FilterAndLabel
from curate.stages.names import StageName
from tests.pipeline.digests import digests


def ledger(run: Path) -> dict[str, dict[str, Any]]:
    rows = [
        row
        for part in sorted(run.glob("ledger/*.parquet"))
        for row in pq.read_table(part).to_pylist()
    ]
    return {row["url"].rsplit("/", 1)[-1]: row for row in rows}


def test_ledger_has_one_row_per_candidate_and_reason_per_rejection(
    undisturbed: Path, pictures: Path
) -> None:
    rows = ledger(undisturbed)
    assert set(rows) == {path.name for path in pictures.iterdir()}
    assert len({row["id"] for row in rows.values()}) == len(rows) == 26
    for row in rows.values():
        assert (row["status"] == "kept") == (row["reason"] is None) == (row["split"] is not None)
        assert row["reason"] is None or Reason(str(row["reason"]))
        assert [name for name in row if name in {c.name for c in LEDGER}] == [
            c.name for c in LEDGER
        ]
    found = {
        name: rows[name]["reason"]
        for name in ("flat.png", "small.png", "cut.jpg", "page.jpg", "empty.png")
    }
    assert found == {
        "flat.png": "low_texture",
        "small.png": "too_small",
        "cut.jpg": "decode_failed",
        "page.jpg": "not_image",
        "empty.png": "empty",
    }
    twins = sorted((rows["00.png"], rows["again.png"]), key=lambda row: str(row["id"]))
    assert twins[1]["reason"] == "duplicate"
    assert twins[0]["dup_cluster"] == twins[1]["dup_cluster"] == twins[0]["id"]


def test_manifests_of_run_are_valid_with_bytes_as_served(undisturbed: Path, pictures: Path) -> None:
    splits = {}
    for split in ("train", "test"):
        manifest = read_manifest(undisturbed / f"manifest/{split}.parquet")
        assert list(find_faults(manifest, check_bytes=True)) == []
        splits[split] = set(manifest.table["id"].to_pylist())
        for row, url in enumerate(manifest.table["url"].to_pylist()):
            assert manifest.read_bytes(row) == (pictures / url.rsplit("/", 1)[-1]).read_bytes()
    assert len(splits["train"]) == 9
    assert not splits["train"] & splits["test"]


def test_files_of_run_hold_no_local_path(undisturbed: Path, pictures: Path) -> None:
    for path in (
        path
        for name in ("ledger", "manifest", "report")
        for path in (undisturbed / name).rglob("*.*")
    ):
        assert str(pictures).encode() not in path.read_bytes()


@pytest.mark.parametrize("scheduler", ["local", "cluster"])
def test_run_on_dask_has_same_bytes(
    request: pytest.FixtureRequest,
    undisturbed: Path,
    recipe: Path,
    pictures: Path,
    tmp_path: Path,
    scheduler: str,
) -> None:
    if scheduler == "cluster":
        scheduler = request.getfixturevalue("cluster")
    curate.run(recipe, [pictures], tmp_path / "run", scheduler=scheduler, workers=1)
    assert digests(tmp_path / "run") == digests(undisturbed)


@pytest.mark.parametrize("workers", [0, 2])
def test_selection_does_not_depend_on_tasks_of_shards(
    undisturbed: Path, cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.setattr("curate.pipeline.selection_step._BLOCK", 2)
    run = shutil.copytree(undisturbed, tmp_path / "run")
    (run / "select/whole.json").unlink()
    for file in (run / "ledger").iterdir():
        file.unlink()
    scheduler = cluster if workers else "serial"
    curate.run(None, out=run, scheduler=scheduler, stages=["select"])
    assert digests(run) == digests(undisturbed)


def test_stage_commands_give_same_bytes_as_run(
    undisturbed: Path, recipe: Path, pictures: Path, tmp_path: Path
) -> None:
    curate.run(recipe, [pictures], tmp_path / "run", scheduler="serial", stages=["candidates"])
    for stage in StageName.FETCH.onwards:
        curate.run(None, out=tmp_path / "run", scheduler="serial", stages=[stage])
    assert digests(tmp_path / "run") == digests(undisturbed)


def test_finished_run_writes_nothing_again(recipe: Path, pictures: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    own = {run, run / ".lock", run / "recipe.yaml", run / "log"}

    def stamps() -> dict[Path, int]:
        # a file that was too young for a stamp when it was written gets one now, in log/seen-*
        files = (
            path for path in run.rglob("*") if path not in own and not path.name.startswith("seen-")
        )
        return {path: path.stat().st_mtime_ns for path in files}

    curate.run(recipe, [pictures], run, scheduler="serial")
    before = stamps()
    outcome = curate.run(recipe, [pictures], run, scheduler="serial")
    assert all(stage.resumed == stage.shards for stage in outcome.stages)
    assert stamps() == before


def test_run_folder_can_be_moved(undisturbed: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(undisturbed, tmp_path / "elsewhere")
    manifest = read_manifest(moved / "manifest/train.parquet")
    assert list(find_faults(manifest, check_bytes=True)) == []
    outcome = curate.run(None, out=moved, scheduler="serial")
    assert all(stage.resumed == stage.shards for stage in outcome.stages)


def test_run_with_another_recipe_is_refused_with_its_changes(
    recipe: Path, pictures: Path, tmp_path: Path
) -> None:
    first = Recipe.load(recipe)
    curate.run(
        first,
        [pictures],
        tmp_path / "run",
        scheduler="serial",
        stages=["candidates", "fetch", "measure"],
    )
    changed = Recipe.load(recipe, ["filters.min.hf_ratio_032=0.001", "select.train=5"])
    message = (
        r"filters\.min\.hf_ratio_032: 0\.0005 -> 0\.001; select\.train: 9 -> 5\): add --from label"
    )
    with pytest.raises(RunError, match=message):
        curate.run(changed, [pictures], tmp_path / "run", scheduler="serial")
    with pytest.raises(RunError, match="add --from label"):
        curate.run(changed, [pictures], tmp_path / "run", scheduler="serial", redo_from="select")
    outcome = curate.run(
        changed, [pictures], tmp_path / "run", scheduler="serial", redo_from="label"
    )
    assert [stage.resumed == stage.shards for stage in outcome.stages] == [
        True,
        True,
        True,
        False,
        False,
        False,
        False,
    ]
    assert outcome.reasons["ok"] >= 5


def test_requested_facts_are_measured_and_filtered(
    undisturbed: Path, recipe: Path, pictures: Path, tmp_path: Path
) -> None:
    facts = {"noise_sigma", "clipped_high", "channel_spread"}
    asked = Recipe.load(
        recipe, [f"measure.facts=[{', '.join(sorted(facts))}]", "filters.max.clipped_high=0.012"]
    )
    with pytest.raises(RunError, match="add --from measure"):
        curate.run(
            asked, [pictures], shutil.copytree(undisturbed, tmp_path / "old"), scheduler="serial"
        )
    curate.run(asked, [pictures], tmp_path / "run", scheduler="serial")
    before, after = ledger(undisturbed), ledger(tmp_path / "run")
    measured = [name for name, row in after.items() if row["width"] is not None]
    for name in measured:
        known = {fact for fact in FACTS if after[name][fact] is not None}
        # the blocks are always measured, for the choice among duplicates
        assert known == facts | {"blockiness"}
        assert [fact for fact in FACTS if before[name][fact] is not None] == ["blockiness"]
        passed = before[name]["reason"] in (None, "surplus", "duplicate")
        assert (after[name]["reason"] == "clipped") == (
            passed and after[name]["clipped_high"] > 0.012
        )
    assert 0 < sum(row["reason"] == "clipped" for row in after.values()) < len(measured) - 2


@pytest.mark.parametrize(
    ("change", "stage"),
    [
        ("filters.min.width=60", "fetch"),
        ("filters.animated=true", "fetch"),
        ("filters.allow.format=[PNG]", "fetch"),
        ("fetch.probe=false", "fetch"),
        ("filters.min.jpeg_quality=60", "label"),
        ("filters.allow.mode=[RGB]", "label"),
    ],
)
def test_changed_filter_redoes_fetch_if_file_heads_can_break_it(
    recipe: Path, pictures: Path, tmp_path: Path, change: str, stage: str
) -> None:
    curate.run(recipe, [pictures], tmp_path / "run", scheduler="serial", stages=["candidates"])
    changed = Recipe.load(recipe, [change])
    with pytest.raises(RunError, match=f"add --from {stage}"):
        curate.run(changed, [pictures], tmp_path / "run", scheduler="serial")
    without = Recipe.load(recipe, ["fetch.probe=false"])
    curate.run(without, [pictures], tmp_path / "other", scheduler="serial", stages=["candidates"])
    if change.startswith("filters"):
        with pytest.raises(RunError, match="add --from label"):
            curate.run(
                without.override([change]), [pictures], tmp_path / "other", scheduler="serial"
            )


def test_run_with_incidental_settings_is_accepted(
    recipe: Path, pictures: Path, tmp_path: Path
) -> None:
    curate.run(
        recipe, [pictures], tmp_path / "run", scheduler="serial", stages=["candidates", "fetch"]
    )
    gentler = Recipe.load(
        recipe, ["fetch.concurrency=3", "fetch.user_agent=me", "label.batch_size=2"]
    )
    outcome = curate.run(
        gentler, [pictures], tmp_path / "run", scheduler="serial", stages=["candidates", "fetch"]
    )
    assert all(stage.resumed == stage.shards for stage in outcome.stages)


def test_run_with_other_input_is_refused(recipe: Path, pictures: Path, tmp_path: Path) -> None:
    curate.run(recipe, [pictures], tmp_path / "run", scheduler="serial", stages=["candidates"])
    (tmp_path / "urls.txt").write_text("http://127.0.0.1/a.jpg\n")
    with pytest.raises(RunError, match=r"the input differs .* add --from candidates"):
        curate.run(recipe, [tmp_path / "urls.txt"], tmp_path / "run", scheduler="serial")
    outcome = curate.run(
        recipe,
        [tmp_path / "urls.txt"],
        tmp_path / "run",
        scheduler="serial",
        stages=["candidates"],
        redo_from="candidates",
    )
    assert outcome.reasons == {"ok": 1}
    # nothing of the old input is left to be taken for the new one's
    assert [path.name for path in (tmp_path / "run/candidates").glob("*.parquet")] == [
        "part-00000.parquet"
    ]


def test_run_reports_lines_without_candidate(recipe: Path, tmp_path: Path) -> None:
    (tmp_path / "urls.txt").write_text("http://127.0.0.1/a.jpg\n\nHTTP://127.0.0.1:80/a.jpg\n\n")
    for _ in range(2):
        outcome = curate.run(
            recipe, [tmp_path / "urls.txt"], tmp_path / "run", stages=["candidates"]
        )
        assert outcome.passed_over == {"blank": 2, "repeated": 1}


def test_recipe_with_weight_of_unknown_category_is_refused(
    recipe: Path, pictures: Path, tmp_path: Path
) -> None:
    slip = Recipe.load(recipe, ["select.category_weights.Animal=2"])
    with pytest.raises(
        RecipeError,
        match=r"select\.category_weights: no category 'Animal'; the taxonomy has Animals, ",
    ):
        curate.run(slip, pictures, tmp_path / "run", scheduler="serial")


def test_run_accepts_one_input_as_string(recipe: Path, pictures: Path, tmp_path: Path) -> None:
    for number, inputs in enumerate((pictures, str(pictures), [pictures])):
        outcome = curate.run(recipe, inputs, tmp_path / str(number), stages=["candidates"])
        assert outcome.reasons == {"ok": 26}


def test_unknown_stage_is_refused(recipe: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no stage 'fetched': the stages are candidates, fetch"):
        curate.run(recipe, [], tmp_path / "run", stages=["fetched"])


def test_new_run_without_input_is_refused(recipe: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="name the candidates with --input"):
        curate.run(recipe, [], tmp_path / "run", scheduler="serial")
    with pytest.raises(RunError, match="is no run folder"):
        curate.run(None, [], tmp_path / "nowhere", scheduler="serial")


def test_stage_before_its_turn_names_earlier_stage(
    recipe: Path, pictures: Path, tmp_path: Path
) -> None:
    curate.run(recipe, [pictures], tmp_path / "run", scheduler="serial", stages=["candidates"])
    with pytest.raises(RunError, match="has no fetched stage for part-00000 yet"):
        curate.run(None, out=tmp_path / "run", scheduler="serial", stages=["measure"])
    with pytest.raises(RunError, match="nothing to report yet"):
        curate.run(None, out=tmp_path / "run", scheduler="serial", stages=["report"])


def test_missing_weights_are_refused_before_fetch(
    recipe: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    published = Recipe.load(recipe, ["label.model=ViT-B-32", "label.pretrained=nosuch"])
    with pytest.raises(LabelError, match="'nosuch' is neither a file nor a tag of ViT-B-32"):
        curate.run(published, [pictures], tmp_path / "run", scheduler="serial")
    assert not (tmp_path / "run/fetched").exists()


@pytest.mark.parametrize("scheduler", ["serial", "local"])
def test_missing_gpu_is_refused_before_fetch(
    recipe: Path, pictures: Path, tmp_path: Path, scheduler: str
) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is one")
    on_gpu = Recipe.load(recipe, ["label.device=cuda"])
    with pytest.raises(LabelError, match="GPU: use auto or cpu"):
        curate.run(on_gpu, [pictures], tmp_path / "run", scheduler=scheduler, workers=1)
    assert not (tmp_path / "run/fetched").exists()


class Offers:
    """An executor whose workers offer a GPU, or don't."""

    def __init__(self, gpu: bool) -> None:
        self.gpu = gpu

    def offers(self, resource: str) -> bool:
        return self.gpu and resource == "GPU"


@pytest.mark.parametrize(
    ("device", "gpu", "resource", "placed_on"),
    [
        ("auto", True, "GPU", "auto"),
        ("cuda", True, "GPU", "cuda"),
        ("auto", False, None, "cpu"),
        ("cpu", True, None, "cpu"),
    ],
)
def test_label_tasks_run_only_on_workers_with_gpu(
    recipe: Path, device: str, gpu: bool, resource: str | None, placed_on: str
) -> None:
    stage = place_on_gpu(
        build_stage(StageName.LABEL, Recipe.load(recipe, [f"label.device={device}"])), Offers(gpu)
    )
    assert isinstance(stage.function, FilterAndLabel)
    assert (stage.resource, stage.function.label.config.device) == (resource, placed_on)


def test_run_with_labels_on_one_worker_has_same_bytes(
    recipe: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GPU is offered; where there is none, PyTorch then takes the processor."""
    curate.run(
        recipe,
        [pictures],
        tmp_path / "serial",
        scheduler="serial",
        stages=["candidates", "fetch", "measure", "label"],
    )
    monkeypatch.setattr("curate.pipeline.execute.find_gpus", lambda: ("0",))
    curate.run(
        recipe,
        [pictures],
        tmp_path / "local",
        workers=2,
        stages=["candidates", "fetch", "measure", "label"],
    )
    assert digests(tmp_path / "local") == digests(tmp_path / "serial")


def test_recipe_with_unknown_category_is_refused(
    recipe: Path, pictures: Path, tmp_path: Path
) -> None:
    slip = Recipe.load(recipe, ["select.test.overrides={Foood: 3}"])
    with pytest.raises(RecipeError, match=r"select\.test\.overrides: no category 'Foood'"):
        curate.run(slip, [pictures], tmp_path / "run", scheduler="serial")


def test_run_without_kept_images_finishes(recipe: Path, pictures: Path, tmp_path: Path) -> None:
    strict = Recipe.load(recipe, ["filters.min.width=5000"])
    outcome = curate.run(strict, [pictures], tmp_path / "run", scheduler="serial")
    assert "ok" not in outcome.reasons
    assert sum(outcome.reasons.values()) == 26
    assert len(read_manifest(tmp_path / "run/manifest/train.parquet")) == 0
    assert (tmp_path / "run/report/index.html").exists()
