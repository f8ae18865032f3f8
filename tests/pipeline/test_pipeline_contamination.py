"""Copies and parts of benchmark images in a crawl: out, with the name of what they show."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from pipeline_digests import digests
from typer.testing import CliRunner

import curate
from curate import Recipe
from curate.cli import app
from curate.decontamination import build_benchmark
from curate.demo.draw import animals, architecture
from curate.errors import InputError, RecipeError, RunError

SIZE = (300, 220)


def drawn(number: int) -> Image.Image:
    draw = (architecture.houses, animals.herd)[number % 2]
    return draw(np.random.default_rng(number), SIZE)


@pytest.fixture(scope="module")
def lists(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A benchmark of two drawings, as a user makes it."""
    folder = tmp_path_factory.mktemp("benchmark")
    (folder / "images/set").mkdir(parents=True)
    for number in range(2):
        drawn(number).save(folder / f"images/set/{number}.png")
    (folder / "images/readme.txt").write_text("two drawings")
    result = CliRunner().invoke(
        app, ["decontaminate", "build", "Drawn", str(folder / "images"), "--out", str(folder / "drawn.parquet")]
    )
    assert result.exit_code == 0, result.output
    assert f"2 images in {folder / 'drawn.parquet'}" in result.output
    return folder / "drawn.parquet"


@pytest.fixture(scope="module")
def crawl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six drawings, two of them parts of the benchmark; of one of these and of another drawing there is a copy, too."""
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
    rows = [row for part in sorted(run.glob("ledger/*.parquet")) for row in pq.read_table(part).to_pylist()]
    return {row["url"].rpartition("/")[2]: row for row in rows}


def test_what_shows_a_benchmark_is_out_and_of_copies_the_best_stays(
    settings: Recipe, crawl: Path, tmp_path: Path
) -> None:
    curate.run(settings, [crawl], tmp_path / "run", scheduler="serial")
    rows = ledger(tmp_path / "run")
    assert {name: row["contaminated_by"] for name, row in rows.items() if row["reason"] == "contaminated"} == {
        "0.png": "Drawn/set/0",
        "0 grey.jpg": "Drawn/set/0",
        "1.png": "Drawn/set/1",
    }
    assert {rows[name]["dup_cluster"] for name in ("0.png", "0 grey.jpg")} == {rows["0 grey.jpg"]["id"]}
    twins = [rows["2.png"], rows["2 again.webp"]]
    best = max(twins, key=lambda row: row["bpp"])
    assert {row["dup_cluster"] for row in twins} == {best["id"]}
    assert [row["reason"] for row in twins if row is not best] == ["duplicate"]
    assert all(row["status"] == "kept" for name, row in rows.items() if name in ("3.png", "4.png", "5.png"))
    assert "keypoints" not in rows["0.png"]


def test_a_changed_list_is_looked_at_again(settings: Recipe, crawl: Path, lists: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.parquet"
    own.write_bytes(lists.read_bytes())
    settings = settings.override([f"select.benchmarks=[{own}]"])
    run = tmp_path / "run"
    curate.run(settings, [crawl], run, scheduler="serial")
    before = digests(run)
    curate.run(settings, [crawl], run, scheduler="serial")
    assert digests(run) == before
    pq.write_table(pq.read_table(lists).slice(1), own)
    curate.run(settings, [crawl], run, scheduler="serial")
    found = {row["contaminated_by"] for row in ledger(run).values()}
    assert found == {None, "Drawn/set/1"}


def test_a_list_that_is_not_there_is_told(settings: Recipe, crawl: Path, tmp_path: Path) -> None:
    wrong = settings.override(["select.benchmarks=[manga109]"])
    with pytest.raises(RecipeError, match=r"select.benchmarks: can't read manga109"):
        curate.run(wrong, [crawl], tmp_path / "run", scheduler="serial")
    assert not (tmp_path / "run/candidates").exists()  # before anything is fetched


def test_embeddings_join_what_hashes_do_not(settings: Recipe, crawl: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    loose = settings.override(["select.benchmarks=[]", "select.dedup={exact: false, perceptual: null, semantic: 0.01}"])
    curate.run(loose, [crawl], run, scheduler="serial")
    vectors = np.concatenate(
        [
            pq.read_table(part)["embedding"].combine_chunks().flatten().to_numpy().reshape(-1, 16)
            for part in sorted((run / "embeddings").glob("*"))
        ]
    )
    assert (vectors @ vectors.T >= 0.01).all()  # an untrained labeller finds everything alike
    assert len({row["dup_cluster"] for row in ledger(run).values()}) == 1
    for part in (run / "embeddings").glob("*"):
        part.unlink()
    with pytest.raises(RunError, match=r"select.dedup.semantic wants the embeddings.*--from label"):
        curate.run(loose.override(["select.train=3"]), [crawl], run, scheduler="serial", redo_from="select")


def test_embeddings_must_be_kept_to_be_compared() -> None:
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
def test_a_folder_that_makes_no_list_is_told(name: str, files: dict[str, bytes], message: str, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for file, data in files.items():
        (tmp_path / "images" / file).write_bytes(data)
    with pytest.raises(InputError, match=message):
        build_benchmark(name, str(tmp_path / "images"), str(tmp_path / "out.parquet"))
    assert not (tmp_path / "out.parquet").exists()


def test_plain_images_are_named(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    Image.new("RGB", SIZE, "teal").save(tmp_path / "images/plain.png")
    drawn(0).save(tmp_path / "images/houses.png")
    assert build_benchmark("A", str(tmp_path / "images"), str(tmp_path / "out.parquet")) == (2, ["plain"])
