"""Ingestion of datasets, from their folders to manifests for a trainer."""

from __future__ import annotations

import hashlib
import io
import pickle
import re
from pathlib import Path

import fsspec
import numpy as np
import pytest
from PIL import Image

import curate
from curate.cli.app import app
from curate.datasets.ingestion import Ingested
from curate.engine import SerialExecutor
from curate.engine.executor import WorkerDied
from curate.errors import InputError, RunError
from curate.manifest import find_faults, read_manifest
from curate.restore.data.pictures import open_pictures
from curate.stages.measure import measure_image
from tests import TESTSETS
from tests.datasets.samples import Pack, picture
from tests.images.work import measure_or_do

GOPRO = [f"train/A/{kind}/{n:06}.png" for n in (1, 2) for kind in ("sharp", "blur")]
GOPRO += ["test/B/sharp/000001.png", "test/B/blur/000001.png"]


def ingest(folder: Path | str, name: str, out: Path | str, **options: object) -> Ingested:
    return curate.ingest(name, folder, out, scheduler="serial", **options)


def test_ingest_points_at_pairs_in_place(pack: Pack, tmp_path: Path) -> None:
    folder = pack("GOPRO_Large", GOPRO)
    steps: list[tuple[int, int]] = []
    out = tmp_path / "out/gopro"
    found = ingest(folder, "gopro", out, progress=lambda *counts: steps.append(counts))
    assert (found.dataset, found.found, found.rows, found.left_out, found.others) == (
        "GoPro", {"train": 2, "test": 1}, {"train": 2, "test": 1}, (), (),
    )  # fmt: skip
    assert steps == [(1, 3), (2, 3), (3, 3)]
    manifest = read_manifest(out / "manifest/train.parquet")
    assert manifest.is_paired
    assert list(find_faults(manifest, check_bytes=True)) == []
    assert manifest.metadata["ingested"] == "GoPro"
    assert {path.suffix for path in out.rglob("*")} <= {"", ".parquet"}
    assert manifest.read_bytes(1) == (folder / "train/A/sharp/000002.png").read_bytes()
    assert manifest.read_degraded_bytes(1) == (folder / "train/A/blur/000002.png").read_bytes()
    row = manifest.table.to_pylist()[0]
    assert row["url"] == "file:GoPro/train/A/sharp/000001.png"
    assert (row["degradation"], row["task"], row["dataset"], row["split"]) == (
        "motion_blur",
        "deblur",
        "GoPro",
        "train",
    )
    measures = measure_image(picture("train/A/sharp/000001.png"))
    for name in ("format", "width", "height", "pixels", "bpp", "bit_depth"):
        assert row[name] == getattr(measures, name)
    for name in ("hf_ratio_032", "phash", "pixel_sha256"):
        assert row[name] == getattr(measures, name)


def test_ingested_pairs_move_with_their_folder(pack: Pack, tmp_path: Path) -> None:
    folder = pack("here/PolyU", ["a_mean.png", "a_real.png"])
    ingest(folder, "PolyU", tmp_path / "here/pairs")
    (tmp_path / "here").rename(tmp_path / "there")
    (pair,) = open_pictures(str(tmp_path / "there/pairs/manifest/train.parquet"))
    for image, name in zip(pair.read_pair(), ("a_mean.png", "a_real.png"), strict=True):
        np.testing.assert_array_equal(image, np.asarray(Image.open(io.BytesIO(picture(name)))))


def test_ingest_of_nind_makes_a_pair_of_each_noisy_image(pack: Pack, tmp_path: Path) -> None:
    folder = pack("NIND", [f"a/NIND_a_ISO{iso}.png" for iso in (200, 800, "800-2", "H1")])
    found = ingest(folder, "NIND", tmp_path / "out")
    assert found.found == {"train": 3}
    manifest = read_manifest(tmp_path / "out/manifest/train.parquet")
    assert len(set(manifest.column("id"))) == 3
    assert len(set(manifest.column("sha256"))) == 1
    assert list(find_faults(manifest, check_bytes=True)) == []


def test_ingest_of_sidd_cuts_flush_lossless_parts(pack: Pack, tmp_path: Path) -> None:
    paths = [f"Data/0001_x/0001_{kind}_SRGB_010.PNG" for kind in ("GT", "NOISY")]
    folder = pack("SIDD", paths, size=(1000, 512))
    found = ingest(folder, "SIDD", tmp_path / "out")
    assert (found.found, found.rows) == ({"train": 1}, {"train": 3, "test": 0})
    manifest = read_manifest(tmp_path / "out/manifest/train.parquet")
    assert list(find_faults(manifest, check_bytes=True)) == []
    assert manifest.metadata["crops"] == "512 pixels, 128 of overlap"
    assert [url.partition("#xywh=")[2] for url in manifest.column("url")] == [
        "0,0,512,512", "384,0,512,512", "488,0,512,512",
    ]  # fmt: skip
    whole = [np.asarray(Image.open(io.BytesIO(picture(path, (1000, 512))))) for path in paths]
    for pair, x in zip(open_pictures(manifest), (0, 384, 488), strict=True):
        for part, image in zip(pair.read_pair(), whole, strict=True):
            np.testing.assert_array_equal(part, image[:, x : x + 512])
    assert set(manifest.column("format")) == {"PNG"}
    assert len(set(manifest.column("id"))) == 3


@pytest.mark.parametrize(
    ("width", "height", "parts"),
    [(4032, 3024, 88), (4048, 3044, 88), (4160, 3120, 88), (4512, 3464, 108), (5328, 3000, 112)],
)
def test_crops_of_sidd_cameras_have_the_published_number(
    width: int, height: int, parts: int
) -> None:
    from curate.datasets.layouts import LAYOUTS
    from curate.manifest.export.crops import positions

    crop = LAYOUTS["SIDD"].crop
    assert crop is not None
    across, down = (positions(side, crop.size, crop.overlap) for side in (width, height))
    assert len(across) * len(down) == parts


def test_ingest_of_clean_grey_set_has_no_pairs(pack: Pack, tmp_path: Path) -> None:
    folder = pack("classic5", ["lena.bmp", "boats.bmp"], mode="L")
    assert ingest(folder, "classic5", tmp_path / "out").found == {"test": 2}
    manifest = read_manifest(tmp_path / "out/manifest/test.parquet")
    assert not manifest.is_paired
    assert list(find_faults(manifest, check_bytes=True)) == []
    assert set(manifest.column("mode")) == {"L"}
    assert (manifest.column("dataset"), manifest.column("task")) == (["classic5"] * 2, [None] * 2)
    assert open_pictures(manifest)[0].read().shape == (16, 24, 3)
    assert len(read_manifest(tmp_path / "out/manifest/train.parquet")) == 0


def test_ingest_of_mispaired_images_names_them_and_leaves_nothing(
    pack: Pack, tmp_path: Path
) -> None:
    folder = pack("GOPRO_Large", GOPRO)
    for path in GOPRO[1::2]:
        (folder / path).unlink()
    with pytest.raises(
        InputError, match=r"GoPro in .* isn't whole: test/B/sharp/000001.png has no degraded"
    ):
        ingest(folder, "GoPro", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    pack("GOPRO_Large", GOPRO[1:2])
    found = ingest(folder, "GoPro", tmp_path / "out", skip_mispaired=True)
    assert (found.found, len(found.left_out)) == ({"train": 1}, 2)


def test_ingest_of_partner_of_another_size_is_refused(pack: Pack, tmp_path: Path) -> None:
    folder = pack("PolyU", ["a_mean.png", "a_real.png", "b_mean.png"])
    pack("PolyU", ["b_real.png"], size=(24, 17))
    with pytest.raises(
        InputError, match=r"isn't whole: b_real.png: it is 24x17, and b_mean.png 24x16: mend"
    ):
        ingest(folder, "PolyU", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    found = ingest(folder, "PolyU", tmp_path / "out", skip_mispaired=True)
    assert (found.found, found.rows) == ({"train": 1}, {"train": 1, "test": 0})
    (folder / "a_real.png").unlink()
    with pytest.raises(InputError, match="nothing of PolyU is left"):
        ingest(folder, "PolyU", tmp_path / "none", skip_mispaired=True)


@pytest.mark.parametrize("name", ["a_mean.png", "a_real.png"])
def test_ingest_of_damaged_image_names_it(pack: Pack, tmp_path: Path, name: str) -> None:
    folder = pack("PolyU", ["a_mean.png", "a_real.png"])
    (folder / name).write_bytes(picture(name)[:200])
    pack("PolyU", ["b_mean.png", "b_real.png"])
    with pytest.raises(InputError, match=rf"whole: {name[:2]}.*: decode_failed: .*: mend the down"):
        ingest(folder, "PolyU", tmp_path / "out")
    found = ingest(folder, "PolyU", tmp_path / "out", skip_mispaired=True)
    assert (found.found, len(found.left_out)) == ({"train": 1}, 1)


def test_ingest_with_unforeseen_error_names_the_image_and_takes_the_others(
    pack: Pack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = pack("Set5", ["baby.png", "bird.png"])
    with (folder / "baby.png").open("ab") as file:
        file.write(b"fail")
    monkeypatch.setattr("curate.datasets.rows.measure_image", measure_or_do)
    with pytest.raises(InputError, match=r"Set5 in .* isn't whole: baby\.png: internal_error: Key"):
        ingest(folder, "Set5", tmp_path / "out")
    found = ingest(folder, "Set5", tmp_path / "out", skip_mispaired=True)
    assert found.found == {"test": 1}
    fault = r"baby\.png: internal_error: KeyError: 'as a library may raise' \(.*work\.py:\d+\)"
    assert re.fullmatch(fault, *found.left_out)


def test_ingest_from_or_to_impossible_places_is_refused(pack: Pack, tmp_path: Path) -> None:
    folder = pack("Set5", ["baby.png"])
    with pytest.raises(InputError, match="no folder at"):
        ingest(tmp_path / "nowhere", "Set5", tmp_path / "out")
    with pytest.raises(InputError, match="are on different storages"):
        ingest(folder, "Set5", "memory://datasets/out")
    with pytest.raises(RunError, match="is there already"):
        ingest(folder, "Set5", folder)


def test_ingest_in_an_object_store_is_readable(tmp_path: Path) -> None:
    for name in ("a_mean.png", "a_real.png"):
        with fsspec.open(f"memory://datasets/PolyU/{name}", "wb") as file:
            file.write(picture(name))
    ingest("memory://datasets/PolyU", "PolyU", "memory://datasets/pairs")
    manifest = read_manifest("memory://datasets/pairs/manifest/train.parquet")
    assert list(find_faults(manifest, check_bytes=True)) == []


class Backwards(SerialExecutor):
    """Executor whose last task is done first, and that pickles everything as Dask would."""

    def map(self, function, tasks, report, resource=None):
        sent = [pickle.loads(pickle.dumps(task)) for task in tasks]
        yield from super().map(
            pickle.loads(pickle.dumps(function)), reversed(sent), report, resource
        )


def test_ingest_does_not_depend_on_the_order_of_workers(
    pack: Pack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = pack("GOPRO_Large", GOPRO)
    ingest(folder, "GoPro", tmp_path / "one")
    monkeypatch.setattr("curate.datasets.ingestion.open_executor", lambda *_: Backwards())
    ingest(folder, "GoPro", tmp_path / "two")
    for split in ("train", "test"):
        files = [
            (tmp_path / name / f"manifest/{split}.parquet").read_bytes() for name in ("one", "two")
        ]
        assert files[0] == files[1]


class Deadly(SerialExecutor):
    """Executor whose workers die."""

    def map(self, function, tasks, report, resource=None):
        for task in tasks:
            yield task, WorkerDied("its worker process died")


def test_ingest_of_image_that_kills_workers_names_it(
    pack: Pack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("curate.datasets.ingestion.open_executor", lambda *_: Deadly())
    with pytest.raises(
        InputError, match=r"Set5 .* baby\.png: it, or a partner of it, takes down who decodes it"
    ):
        ingest(pack("Set5", ["baby.png"]), "Set5", tmp_path / "out")


def test_ingest_command_prints_its_result(pack: Pack, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    folder = pack("PolyU", ["CroppedImages/a_mean.png", "CroppedImages/a_real.png", "readme.png"])
    out = tmp_path / "out"
    result = CliRunner().invoke(
        app, ["ingest", "polyu", str(folder), "-o", str(out), "--scheduler", "serial"]
    )
    assert result.exit_code == 0, result.output
    assert f"1 pair of the 100 that PolyU has, in {out}/manifest/train.parquet" in result.output
    assert "1 other file there is no part of it: readme.png" in result.output
    wrong = CliRunner().invoke(app, ["ingest", "polyu", str(folder), "-o", "x", "--split", "valid"])
    assert "--split takes train or test, not 'valid'" in str(wrong.exception)


@pytest.mark.skipif(not TESTSETS.exists(), reason="wants the test sets themselves")
@pytest.mark.parametrize(
    ("name", "folder", "found", "mode"),
    [
        ("PolyU", "PolyU", {"train": 100}, "RGB"),
        ("Set5", "Set5", {"test": 5}, "RGB"),
        ("Set14", "Set14", {"test": 14}, None),
        ("classic5", "classic5", {"test": 5}, "L"),
    ],
)
def test_ingest_of_the_real_sets_is_complete(
    name: str, folder: str, found: dict[str, int], mode: str | None, tmp_path: Path
) -> None:
    ingested = ingest(TESTSETS / folder, name, tmp_path / "out")
    assert ingested.found == found == ingested.layout.whole
    split = next(iter(found))
    manifest = read_manifest(tmp_path / f"out/manifest/{split}.parquet")
    assert list(find_faults(manifest)) == []
    assert mode is None or set(manifest.column("mode")) == {mode}
    data = manifest.read_bytes(0)
    assert hashlib.sha256(data).hexdigest() == manifest.column("sha256")[0]
    if manifest.is_paired:
        clean, noisy = (image.astype(float) for image in open_pictures(manifest)[0].read_pair())
        assert 20 < 10 * np.log10(255**2 / np.mean((clean - noisy) ** 2)) < 50
