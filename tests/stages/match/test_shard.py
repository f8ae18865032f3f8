"""Match stage in a run: copies and parts of benchmark images are rejected by name."""

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner

import curate
from curate import Recipe
from curate.cli.app import app
from curate.demo.draw import SCENES, paint
from curate.engine import RunFolder, Shard, cache, encode_table
from curate.errors import InputError, Reason, RecipeError, RunError
from curate.pipeline.execute import STAGES
from curate.pipeline.recipe_changes import revise_recipe
from curate.stages.match import shard
from curate.stages.match.benchmarks import Benchmarks
from curate.stages.match.build_list import build_benchmark
from curate.stages.match.keypoints import find_keypoints
from curate.stages.match.shard import MatchShard
from tests.images.work import find_keypoints_or_fail
from tests.pipeline.digests import digests

SIZE = (300, 220)


def drawn(number: int) -> Image.Image:
    scenes = (SCENES["Architecture"]["houses"], SCENES["Animals"]["herd"])
    return paint(scenes[number % 2], np.random.default_rng(number), SIZE)


@pytest.fixture(scope="module")
def lists(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A benchmark of two drawings, as a user makes it."""
    folder = tmp_path_factory.mktemp("benchmark")
    (folder / "images/set").mkdir(parents=True)
    for number in range(2):
        drawn(number).save(folder / f"images/set/{number}.png")
    (folder / "images/readme.txt").write_text("two drawings")
    options = [str(folder / "images"), "--out", str(folder / "drawn.parquet")]
    result = CliRunner().invoke(app, ["decontaminate", "build", "Drawn", *options])
    assert result.exit_code == 0, result.output
    assert f"2 images in {folder / 'drawn.parquet'}" in result.output
    return folder / "drawn.parquet"


@pytest.fixture(scope="module")
def crawl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six drawings, two of them parts of the benchmark; copies of one of these and of another."""
    folder = tmp_path_factory.mktemp("crawl")
    for number in range(6):
        drawn(number).save(folder / f"{number}.png")
    drawn(1).crop((20, 10, 290, 200)).resize(SIZE).save(folder / "1.png")
    drawn(0).convert("L").resize((450, 330)).save(folder / "0 grey.jpg", quality=60)
    drawn(2).save(folder / "2 again.webp", lossless=True)
    return folder


@pytest.fixture
def settings(recipe: Path, lists: Path) -> Recipe:
    return Recipe.load(recipe, [f"select.benchmarks=[shipped, {lists}]", "select.train=20"])


def ledger(run: Path) -> dict[str, dict[str, Any]]:
    rows = [
        row
        for part in sorted(run.glob("ledger/*.parquet"))
        for row in pq.read_table(part).to_pylist()
    ]
    return {row["url"].rpartition("/")[2]: row for row in rows}


def test_benchmark_images_are_rejected_and_the_best_copy_is_kept(
    settings: Recipe, crawl: Path, tmp_path: Path
) -> None:
    curate.run(settings, [crawl], tmp_path / "run", scheduler="serial")
    rows = ledger(tmp_path / "run")
    assert {
        name: row["contaminated_by"]
        for name, row in rows.items()
        if row["reason"] == "contaminated"
    } == {
        "0.png": "Drawn/set/0",
        "0 grey.jpg": "Drawn/set/0",
        "1.png": "Drawn/set/1",
    }
    # the grey copy has more pixels, and less of the picture
    assert {rows[name]["dup_cluster"] for name in ("0.png", "0 grey.jpg")} == {rows["0.png"]["id"]}
    twins = [rows["2.png"], rows["2 again.webp"]]
    best = max(twins, key=lambda row: row["bpp"])
    assert {row["dup_cluster"] for row in twins} == {best["id"]}
    assert [row["reason"] for row in twins if row is not best] == ["duplicate"]
    assert all(
        row["status"] == "kept" for name, row in rows.items() if name in ("3.png", "4.png", "5.png")
    )
    assert "keypoints" not in rows["0.png"]


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Pixels of the images whose keypoints were computed."""
    sizes: list[int] = []

    def run(function: Any, data: bytes) -> Any:
        (width, height), keypoints = function(data)
        sizes.append(width * height)
        return (width, height), keypoints

    monkeypatch.setattr(shard, "run_in_decoder", run)
    return sizes


def test_changed_list_repeats_matching_without_new_keypoints(
    settings: Recipe, crawl: Path, lists: Path, tmp_path: Path, computed: list[int]
) -> None:
    own = tmp_path / "own.parquet"
    own.write_bytes(lists.read_bytes())
    settings = settings.override([f"select.benchmarks=[{own}]"])
    run = tmp_path / "run"
    curate.run(settings, [crawl], run, scheduler="serial")
    before = digests(run)
    assert len(computed) == 8
    curate.run(settings, [crawl], run, scheduler="serial")
    assert digests(run) == before
    pq.write_table(pq.read_table(lists).slice(1), own)
    with pytest.raises(
        RunError, match=r"aren't those .* was held against: run  curate match .*/run  first"
    ):
        curate.run(None, out=run, scheduler="serial", stages=["select"])
    outcome = curate.run(settings, [crawl], run, scheduler="serial")
    again = [stage.stage for stage in outcome.stages if stage.resumed < stage.shards]
    assert again == ["matched", "select", "report"]
    assert len(computed) == 8
    assert {row["contaminated_by"] for row in ledger(run).values()} == {None, "Drawn/set/1"}


def test_other_lists_need_a_run_from_the_match_stage(
    settings: Recipe, crawl: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    curate.run(settings, [crawl], run, scheduler="serial")
    with pytest.raises(RunError, match=r"add --from match"):
        curate.run(settings.override(["select.benchmarks=[]"]), [], run, scheduler="serial")
    with pytest.raises(RunError, match=r"matters to the match stage already"):
        revise_recipe(run, "select", ["select.benchmarks=[]"])
    recipe, redo_from = revise_recipe(run, "match", ["select.benchmarks=[]"])
    assert redo_from == "match"
    curate.run(recipe, [], run, scheduler="serial", redo_from=redo_from)
    rows = ledger(run)
    assert {row["contaminated_by"] for row in rows.values()} == {None}
    assert "contaminated" not in {row["reason"] for row in rows.values()}


def test_unexpected_error_of_one_image_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard, "decode_keypoints", find_keypoints_or_fail)
    file = io.BytesIO()
    drawn(0).save(file, "PNG")
    found = list(shard._keypoints(iter([file.getvalue(), b"fail", file.getvalue()])))
    assert [getattr(item, "reason", None) for item in found] == [None, Reason.INTERNAL_ERROR, None]


def test_only_images_that_pass_the_filters_get_keypoints(
    settings: Recipe, crawl: Path, tmp_path: Path, computed: list[int]
) -> None:
    strict = settings.override(["fetch.probe=false", "filters.min.pixels=100000"])
    run = tmp_path / "run"
    curate.run(strict, [crawl], run, scheduler="serial")
    assert computed == [450 * 330]
    known = [
        row for part in run.glob("keypoints/*") for row in pq.read_table(part)["sha256"].to_pylist()
    ]
    assert known == [ledger(run)["0 grey.jpg"]["sha256"]]
    loose = settings.override(["fetch.probe=false"])
    curate.run(loose, [], run, scheduler="serial", redo_from="label")
    assert len(computed) == 8
    curate.run(loose, [crawl], tmp_path / "fresh", scheduler="serial")
    assert digests(run) == digests(tmp_path / "fresh")


def test_matches_equal_those_of_the_full_pixels(
    settings: Recipe, crawl: Path, lists: Path, tmp_path: Path
) -> None:
    # the luma of all pixels, and at most 40 keypoints
    curate.run(settings, [crawl], tmp_path / "run", scheduler="serial")
    benchmarks = Benchmarks.load(["shipped", str(lists)])
    found = {}
    for part in (tmp_path / "run").glob("matched/*.parquet"):
        found |= {row["id"]: row["contaminated_by"] for row in pq.read_table(part).to_pylist()}
    for name, row in ledger(tmp_path / "run").items():
        with Image.open(crawl / name) as image:
            seen = (
                find_keypoints(np.asarray(image.convert("RGB").convert("L")), 40).tobytes(),
                *image.size,
            )
        assert [found[row["id"]]] == benchmarks.match([seen])
    assert len({match for match in found.values() if match}) == 2


def test_damaged_keypoints_are_computed_again(
    settings: Recipe, crawl: Path, tmp_path: Path, computed: list[int]
) -> None:
    run = tmp_path / "run"
    curate.run(settings, [crawl], run, scheduler="serial")
    whole = digests(run)
    computed.clear()
    for part in [*run.glob("keypoints/*"), *run.glob("matched/*")]:
        part.write_bytes(part.read_bytes()[:-20])
    curate.run(settings, [crawl], run, scheduler="serial")
    assert len(computed) == 8
    assert digests(run) == whole


def test_run_older_than_the_match_stage_resumes_without_measuring(
    settings: Recipe, crawl: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    curate.run(settings, [crawl], run, scheduler="serial", stages=STAGES[:4])
    for part in run.glob("measured/*.parquet"):  # as it was: keypoints among the measures
        table = pq.read_table(part)
        data = encode_table(table.append_column("keypoints", pa.array([b"old"] * len(table))))
        part.write_bytes(data)
        record = json.loads(part.with_suffix(".json").read_text())
        record["outputs"] = {f"measured/{part.name}": hashlib.sha256(data).hexdigest()}
        part.with_suffix(".json").write_text(json.dumps(record))
    with pytest.raises(
        RunError, match="has no matched stage for part-00000 yet: run that first, or `curate run`"
    ):
        curate.run(None, out=run, scheduler="serial", stages=["select"])
    outcome = curate.run(settings, [crawl], run, scheduler="serial")
    assert [stage.resumed == stage.shards for stage in outcome.stages[:3]] == [True] * 3
    rows = ledger(run)
    assert not any("keypoints" in row for row in rows.values())
    assert {row["contaminated_by"] for row in rows.values()} == {None, "Drawn/set/0", "Drawn/set/1"}


def test_list_that_changes_during_the_run_raises(lists: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.parquet"
    own.write_bytes(lists.read_bytes())
    function = MatchShard.against((str(own),))
    pq.write_table(pq.read_table(lists).slice(1), own)
    with pytest.raises(RecipeError, match="a list changed while the run was under way"):
        function(pa.table({"id": ["a"]}), None)  # type: ignore[arg-type]


def test_shard_without_rows_loads_no_lists() -> None:
    rows = pa.table({"id": pa.array([], pa.string())})
    found = MatchShard(("nowhere.parquet",), ("",))(
        rows, Shard("part-00000", RunFolder("memory://"))
    )
    assert found.column_names == ["id", "reason", "contaminated_by"]
    assert len(found) == 0


def test_missing_list_raises_before_the_fetch(
    settings: Recipe, crawl: Path, tmp_path: Path
) -> None:
    wrong = settings.override(["select.benchmarks=[manga109]"])
    with pytest.raises(RecipeError, match=r"select.benchmarks: can't read manga109"):
        curate.run(wrong, [crawl], tmp_path / "run", scheduler="serial")
    assert not (tmp_path / "run/candidates").exists()  # before anything is fetched


def test_semantic_dedup_joins_images_with_different_hashes(
    settings: Recipe, crawl: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    loose = settings.override(
        ["select.benchmarks=[]", "select.dedup={exact: false, perceptual: null, semantic: 0.01}"]
    )
    curate.run(loose, [crawl], run, scheduler="serial")
    parts = sorted((run / "embeddings").glob("*"))
    vectors = np.concatenate([cache.vectors(pq.read_table(p)["embedding"]) for p in parts])
    assert (vectors @ vectors.T >= 0.01).all()  # an untrained labeller finds everything alike
    assert len({row["dup_cluster"] for row in ledger(run).values()}) == 1
    for part in (run / "embeddings").glob("*"):
        part.unlink()
    with pytest.raises(RunError, match=r"select.dedup.semantic wants the embeddings.*--from label"):
        curate.run(
            loose.override(["select.train=3"]), [crawl], run, scheduler="serial", redo_from="select"
        )


def test_semantic_dedup_needs_cached_embeddings() -> None:
    with pytest.raises(RecipeError, match=r"semantic wants label.keep_embeddings"):
        Recipe.load("demo", ["select.dedup.semantic=0.9", "label.keep_embeddings=false"])


@pytest.mark.parametrize(
    ("name", "files", "message"),
    [
        ("a b", {"a.png": b""}, "won't do as a benchmark's name"),
        ("A", {"readme.txt": b"nothing"}, "holds no images"),
        ("A", {"cut.png": b"\x89PNG\r\n\x1a\n"}, "cut.png: decode_failed"),
    ],
)
def test_build_of_unusable_folder_raises(
    name: str, files: dict[str, bytes], message: str, tmp_path: Path
) -> None:
    (tmp_path / "images").mkdir()
    for file, data in files.items():
        (tmp_path / "images" / file).write_bytes(data)
    with pytest.raises(InputError, match=message):
        build_benchmark(name, str(tmp_path / "images"), str(tmp_path / "out.parquet"))
    assert not (tmp_path / "out.parquet").exists()


def test_build_returns_names_of_plain_images(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    Image.new("RGB", SIZE, "teal").save(tmp_path / "images/plain.png")
    drawn(0).save(tmp_path / "images/houses.png")
    assert build_benchmark("A", str(tmp_path / "images"), str(tmp_path / "out.parquet")) == (
        2,
        ["plain"],
    )
