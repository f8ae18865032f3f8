"""Runs that choose tiles: promises of every run, and the tiles' own."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

import curate
from curate.errors import RunError
from curate.images.decode import decode_luma
from curate.manifest import find_faults, read_manifest
from curate.manifest.schema import candidate_id
from curate.stages.measure import high_frequency_ratios
from tests.contracts.contracts_run import fake_labeller
from tests.pipeline.digests import digests
from tests.pipeline.upkeep.dying import Killed, killed_after

SETTINGS: dict[str, Any] = {
    "name": "by-tile",
    "candidates": {"shard_size": 4},
    "tiles": {"size": 128, "per_image": 3, "prefer": "laplacian", "min": {"laplacian": 2}},
    "select": {
        "train": 14,
        "test": {"per_category": 2, "max_share": 0.5},
        "frequency": {"bins": 2},
        "benchmarks": [],
    },
}
SERIAL = {"scheduler": "serial"}


@pytest.fixture(scope="module", autouse=True)
def labeller() -> Iterator[None]:
    """Label by colours while these tests last."""
    with fake_labeller():
        yield


@pytest.fixture(scope="module")
def mosaics(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten pictures of six tiles, each sharper than the one before; two of them share a tile."""
    folder = tmp_path_factory.mktemp("mosaics")
    rng = np.random.default_rng(8)
    for number in range(9):
        picture = np.full((256, 384, 3), 90.0)
        picture[..., number % 3] += 60
        for place in range(6):
            top, left = divmod(place, 3)
            noise = rng.normal(0, 4 * place, (32, 32, 1)).repeat(4, axis=0).repeat(4, axis=1)
            noise += rng.normal(0, 2 * place, (128, 128, 1))
            picture[128 * top :, 128 * left :][:128, :128] += noise
        pixels = picture.clip(0, 255).round().astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    # the sharpest tile of picture 1 in place of one of picture 0's
    first, second = (np.array(Image.open(folder / f"{number}.png")) for number in (0, 1))
    first[128:, 256:] = second[128:, 256:]
    Image.fromarray(first).save(folder / "0.png")
    Image.fromarray(pixels[:100, :100]).save(folder / "small.png")
    Image.new("RGB", (384, 256), "teal").save(folder / "flat.png")
    return folder


@pytest.fixture(scope="module")
def tiled(tmp_path_factory: pytest.TempPathFactory, mosaics: Path) -> Path:
    """Read-only run over the mosaics."""
    out = tmp_path_factory.mktemp("tiled") / "run"
    curate.run(curate.Recipe(**SETTINGS), [mosaics], out, **SERIAL)
    return out


def rows_of(run: Path, folder: str) -> list[dict[str, Any]]:
    return [row for part in sorted(run.glob(folder)) for row in pq.read_table(part).to_pylist()]


def ledger(run: Path) -> dict[str, dict[str, Any]]:
    return {row["url"].split("/")[-1]: row for row in rows_of(run, "ledger/*.parquet")}


def manifest_rows(run: Path) -> list[dict[str, Any]]:
    return rows_of(run, "manifest/*.parquet")


def test_ledger_has_one_row_per_image_and_its_number_of_tiles(tiled: Path, mosaics: Path) -> None:
    rows, tiles = ledger(tiled), manifest_rows(tiled)
    assert set(rows) == {path.name for path in mosaics.iterdir()}
    for row in rows.values():
        chosen = [tile for tile in tiles if tile["tile_of"] == row["id"]]
        assert (row["status"] == "kept") == bool(chosen) == (row["reason"] is None)
        assert (row["tiles"] or 0) == len(chosen)
        assert {tile["split"] for tile in chosen} == ({row["split"]} if chosen else set())
    assert rows["small.png"]["reason"] == rows["flat.png"]["reason"] == "no_tile"


def test_tile_row_points_at_its_image_and_has_measures_of_its_own_pixels(tiled: Path) -> None:
    images = {row["id"]: row for row in ledger(tiled).values()}
    for split in ("train", "test"):
        manifest = read_manifest(tiled / f"manifest/{split}.parquet")
        assert list(find_faults(manifest, check_bytes=True)) == []
        for number, tile in enumerate(manifest.table.to_pylist()):
            image = images[tile["tile_of"]]
            x, y, side = tile["tile_x"], tile["tile_y"], tile["width"]
            assert tile["url"] == f"{image['url']}#xywh={x},{y},{side},{side}"
            assert tile["id"] == candidate_id(tile["url"])
            shared = ("sha256", "nbytes", "bpp", "tar", "offset", "format", "category")
            assert [tile[name] for name in shared] == [image[name] for name in shared]
            luma_HW = decode_luma(manifest.read_bytes(number))[y : y + side, x : x + side]
            ratios = high_frequency_ratios(np.ascontiguousarray(luma_HW), (0.5, 0.32))
            assert [tile["hf_ratio"], tile["hf_ratio_032"]] == pytest.approx(ratios, abs=1e-6)


def test_chosen_tiles_are_the_sharpest_of_their_image_and_apart(tiled: Path) -> None:
    """Places 3 to 5, from the left of the lower row, are the sharpest."""
    tiles = manifest_rows(tiled)
    assert {tile["tile_y"] for tile in tiles} == {128}
    boxes = [(tile["tile_of"], tile["tile_x"], tile["tile_y"]) for tile in tiles]
    assert len(set(boxes)) == len(boxes)


def test_splits_count_tiles_and_share_no_image(tiled: Path) -> None:
    tiles = manifest_rows(tiled)
    images = {
        split: {t["tile_of"] for t in tiles if t["split"] == split} for split in ("train", "test")
    }
    assert sum(tile["split"] == "train" for tile in tiles) == 14
    assert images["test"]
    assert images["train"].isdisjoint(images["test"])
    summary = json.loads((tiled / "select/summary.json").read_text())
    assert summary["tiles"] == {"pool": 9} | {split: len(ids) for split, ids in images.items()}


def test_tile_that_two_images_share_is_kept_once_and_ties_them_to_one_split(tiled: Path) -> None:
    rows, tiles = ledger(tiled), manifest_rows(tiled)
    pair = [rows["0.png"], rows["1.png"]]
    ids = {row["id"] for row in pair}
    every = [row for row in rows_of(tiled, "tiles/*.parquet") if row["tile_of"] in ids]
    twins = [row["id"] for row in every if (row["tile_x"], row["tile_y"]) == (256, 128)]
    assert len(twins) == 2
    assert sum(tile["id"] in twins for tile in tiles) <= 1
    assert len({row["split"] for row in pair} - {None}) <= 1


def test_run_by_tiles_has_same_bytes_on_two_workers(
    tiled: Path, mosaics: Path, tmp_path: Path, cluster: str
) -> None:
    """Labels aside, which the fake labeller gives in this process only."""
    for scheduler, name in (("serial", "one"), (cluster, "two")):
        stages = ["candidates", "fetch", "measure"]
        recipe = curate.Recipe(**SETTINGS)
        curate.run(recipe, [mosaics], tmp_path / name, scheduler=scheduler, stages=stages)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")
    run = shutil.copytree(tiled, tmp_path / "run")
    (run / "select/whole.json").unlink()
    curate.run(None, out=run, scheduler=cluster, stages=["select", "report"])
    assert digests(run) == digests(tiled)


@pytest.mark.parametrize("files", [9, 24])
def test_killed_run_by_tiles_resumes_to_same_bytes(
    tiled: Path, mosaics: Path, tmp_path: Path, files: int
) -> None:
    with pytest.raises(Killed), killed_after(files):
        curate.run(curate.Recipe(**SETTINGS), [mosaics], tmp_path / "run", **SERIAL)
    curate.run(curate.Recipe(**SETTINGS), [mosaics], tmp_path / "run", **SERIAL)
    assert digests(tmp_path / "run") == digests(tiled)


def test_lost_file_of_tiles_is_made_again(tiled: Path, tmp_path: Path) -> None:
    run = shutil.copytree(tiled, tmp_path / "run")
    (run / "tiles/part-00000.parquet").unlink()
    curate.run(None, out=run, **SERIAL)
    assert digests(run) == digests(tiled)


def test_removed_image_takes_its_tiles_along(tiled: Path, tmp_path: Path) -> None:
    run = shutil.copytree(tiled, tmp_path / "run")
    before = manifest_rows(run)
    gone = before[0]["tile_of"]
    (tmp_path / "ids.txt").write_text(f"{gone}\n")
    removal = curate.remove(run, ids=[tmp_path / "ids.txt"], **SERIAL)
    assert removal.picked == {before[0]["split"]: 1}
    assert gone not in {row["tile_of"] for row in rows_of(run, "tiles/*.parquet")}
    after = {row["id"]: row["split"] for row in manifest_rows(run)}
    others = {row["id"]: row["split"] for row in before if row["tile_of"] != gone}
    assert others.items() <= after.items()
    assert gone.encode() not in (run / "manifest/train.parquet").read_bytes()


def test_changed_bounds_of_tiles_need_no_decoding(tiled: Path, tmp_path: Path) -> None:
    run = shutil.copytree(tiled, tmp_path / "run")
    stricter = curate.Recipe(**SETTINGS).override(["tiles.min.laplacian=20"])
    with pytest.raises(RunError, match="add --from label"):
        curate.run(stricter, [], run, **SERIAL)
    measured = digests(run / "measured") | digests(run / "tiles")
    curate.run(stricter, [], run, redo_from="label", **SERIAL)
    assert digests(run / "measured") | digests(run / "tiles") == measured
    assert all(row["laplacian"] >= 20 for row in manifest_rows(run))


def test_grown_run_keeps_tiles_that_were_picked(tiled: Path, mosaics: Path, tmp_path: Path) -> None:
    run = shutil.copytree(tiled, tmp_path / "run")
    more = tmp_path / "more"
    more.mkdir()
    turned = Image.open(mosaics / "5.png").transpose(Image.Transpose.ROTATE_90)
    turned.resize((512, 768), Image.Resampling.NEAREST).save(more / "turned.png")
    before = {row["id"]: row["split"] for row in manifest_rows(run)}
    curate.grow(run, [more], **SERIAL)
    assert before.items() <= {row["id"]: row["split"] for row in manifest_rows(run)}.items()
