"""Subsets of a run: what they differ in, what they have in common, and what they never hold."""

import csv
import hashlib
import io
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from math import log10
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner

from curate.cli.app import app
from curate.datasets.ablation import Ablation, Subset, ablate
from curate.datasets.ablation.copies import CopyWorkers, StoredImage
from curate.errors import CurateError, ManifestError, RunError
from curate.manifest import find_faults, read_manifest
from curate.manifest.paper_statistics import ABLATIONS
from curate.stages.measure import measure_image
from tests.datasets.ablation.pictures import BLURRED, COLOURS, SMOOTH, ByColour

WANTED = Ablation(
    images=24, sizes=(6, 12, 30), targets={"frequency": 0.008, "bpp": 3.0}, tolerance=0.1
)
MEASURES = ["pixels", "hf_ratio_032", "bpp"]


@pytest.fixture(scope="module")
def out(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("subsets") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("curate.stages.label.clip.load_labeller", lambda config: ByColour())
        ablate(run, folder, WANTED, scheduler="serial")
    return folder


def frame(out: Path, name: str) -> pd.DataFrame:
    return read_manifest(out / f"{name}.parquet").table.to_pandas()


def ledger(run: Path) -> pd.DataFrame:
    return pa.concat_tables(
        pq.read_table(path) for path in sorted((run / "ledger").glob("*.parquet"))
    ).to_pandas()


def summary(out: Path) -> dict[str, dict[str, Any]]:
    return {
        subset["name"]: subset
        for subset in json.loads((out / "summary.json").read_text())["subsets"]
    }


def entropy(names: Iterable[str]) -> float:
    counts = np.array(list(Counter(names).values()))
    return float(-(counts / counts.sum() * np.log10(counts / counts.sum())).sum())


def tree(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def test_each_subset_is_a_manifest_with_images(out: Path) -> None:
    names = sorted(path.stem for path in out.glob("*.parquet"))
    assert names == sorted([*ABLATIONS, "size_6", "size_12", "size_30"])
    for name in names:
        manifest = read_manifest(out / f"{name}.parquet")
        assert list(find_faults(manifest, check_bytes=True)) == []
        assert len(manifest) == (int(name.removeprefix("size_")) if name.startswith("size") else 24)
        assert set(manifest.column("split")) == {"train"}
        assert manifest.metadata["recipe_name"] == "small"
        assert manifest.metadata["ablation"] == name


def test_each_subset_differs_in_one_aspect(out: Path) -> None:
    """Chosen subsets only: the effect of copies on the other measures is only reported."""
    full = frame(out, "full")
    for name in ("low_frequency", "low_diversity", "size_12", "size_30"):
        subset = frame(out, name)
        for measure in MEASURES:
            held = 1 - 0.1001 < subset[measure].mean() / full[measure].mean() < 1 + 0.1001
            assert held == ((name, measure) != ("low_frequency", "hf_ratio_032")), (name, measure)
        same = sorted(Counter(subset["category"]).values()) == sorted(
            Counter(full["category"]).values()
        )
        assert same == (name == "low_frequency") or name.startswith("size")
    assert Counter(full["category"]) == dict.fromkeys(("Animals", "Food", "Map", "Nature"), 6)
    assert abs(frame(out, "low_frequency")["hf_ratio_032"].mean() / 0.008 - 1) < 0.1001
    wanted = 1.001 / 1.143 * log10(4)
    assert wanted * 0.9 < entropy(frame(out, "low_diversity")["category"]) <= wanted
    for name in ("size_12", "size_30"):
        assert entropy(frame(out, name)["category"]) > log10(4) - 0.01


def test_reference_has_the_statistics_of_the_training_split(run: Path, out: Path) -> None:
    train, full = (
        read_manifest(run / "manifest/train.parquet").table.to_pandas(),
        frame(out, "full"),
    )
    assert set(full["id"]) < set(train["id"])
    for measure in MEASURES:
        assert abs(full[measure].mean() / train[measure].mean() - 1) < 0.1001


def test_smaller_sizes_lie_within_larger_ones(out: Path) -> None:
    ids = [set(frame(out, name)["id"]) for name in ("size_6", "size_12", "full", "size_30")]
    assert ids[0] < ids[1] < ids[2] < ids[3]


def test_subsets_hold_no_test_image_and_no_duplicate(run: Path, out: Path) -> None:
    seen = ledger(run).set_index("id")
    names = seen["url"].str.extract(r"(\d+)\.\w+$")[0].astype(int)
    rejected = seen[seen["reason"] == "low_texture"]
    assert len(rejected) == len(SMOOTH) + len(BLURRED)
    held: set[str] = set()
    for path in out.glob("*.parquet"):
        table = read_manifest(path).table
        ids = table["copy_of" if "copy_of" in table.column_names else "id"].to_pylist()
        assert len(set(ids)) == len(ids)
        assert not (seen.loc[ids, "split"] == "test").any()
        held |= set(ids)
    # blurred twins resemble training, surplus and test images; smooth pictures resemble nothing
    assert not set(names[list(held)]) & set(BLURRED)
    assert set(names[list(held)]) & set(SMOOTH)


def test_rejected_images_are_labelled(run: Path, out: Path) -> None:
    manifest, seen = read_manifest(out / "low_frequency.parquet"), ledger(run).set_index("id")
    rejected = [
        n for n, id_ in enumerate(manifest.column("id")) if seen.loc[id_, "reason"] == "low_texture"
    ]
    assert rejected
    for row in rejected:
        with Image.open(io.BytesIO(manifest.read_bytes(row))) as image:
            mean = np.asarray(image.convert("RGB")).mean(axis=(0, 1))
        away = {name: np.abs(mean - colour).sum() for name, colour in COLOURS.items()}
        assert manifest.column("category")[row] == min(away, key=lambda name: away[name])
        assert manifest.column("label_model")[row] == "by colour"


def test_copies_have_fewer_pixels(out: Path) -> None:
    full, copies = (read_manifest(out / f"{name}.parquet") for name in ("full", "low_resolution"))
    assert copies.column("copy_of") == full.column("id")
    assert copies.column("category") == full.column("category")
    for row in range(len(full)):
        with Image.open(io.BytesIO(full.read_bytes(row))) as image:
            third = image.convert("RGB").resize(
                (round(image.width / 3), round(image.height / 3)), Image.BICUBIC
            )
        data = copies.read_bytes(row)
        with Image.open(io.BytesIO(data)) as copy:
            assert copy.format == "PNG"
            assert np.array_equal(np.asarray(copy), np.asarray(third))
        measures = measure_image(data)
        assert copies.column("hf_ratio_032")[row] == measures.hf_ratio_032
        assert copies.column("phash")[row] == measures.phash


def test_copies_have_fewer_bits(out: Path) -> None:
    full, copies = (read_manifest(out / f"{name}.parquet") for name in ("full", "low_bpp"))
    assert copies.column("copy_of") == full.column("id")
    quality = int(copies.metadata["ablation_made"].removeprefix("jpeg="))

    def stored(row: int, quality: int) -> bytes:
        sink = io.BytesIO()
        with Image.open(io.BytesIO(full.read_bytes(row))) as image:
            image.convert("RGB").save(sink, "JPEG", quality=quality, subsampling="4:2:0")
        return sink.getvalue()

    def mean_bpp(quality: int) -> float:
        pixels = full.column("pixels")
        return float(
            np.mean([8 * len(stored(row, quality)) / pixels[row] for row in range(len(full))])
        )

    for row in range(len(full)):
        assert copies.read_bytes(row) == stored(row, quality)
    assert abs(mean_bpp(quality) - 3.0) == min(
        abs(mean_bpp(q) - 3.0) for q in range(quality - 2, quality + 3)
    )
    assert copies.table["bpp"].to_numpy().mean() == pytest.approx(mean_bpp(quality))


def test_summary_describes_the_subsets(out: Path) -> None:
    found = summary(out)
    assert list(found) == [*ABLATIONS, "size_6", "size_12", "size_30"]
    for name, subset in found.items():
        rows, statistics = frame(out, name), subset["statistics"]
        for measure in MEASURES:
            assert statistics[measure] == pytest.approx(rows[measure].mean())
        assert statistics["diversity"] == pytest.approx(entropy(rows["category"]))
        sizes = []
        manifest = read_manifest(out / f"{name}.parquet")
        for row in range(len(manifest)):
            sink = io.BytesIO()
            with Image.open(io.BytesIO(manifest.read_bytes(row))) as image:
                image.convert("RGB").save(sink, "PNG", compress_level=3)
            sizes.append(8 * sink.tell() / manifest.column("pixels")[row])
        assert subset["lossless_bpp"] == pytest.approx(np.mean(sizes))
        assert subset["reached"]
    assert "hf_ratio_032" in found["low_resolution"]["off"]
    with (out / "summary.csv").open(newline="") as file:
        rows_ = list(csv.DictReader(file))
    assert [row["subset"] for row in rows_] == [
        *found,
        *map("{} (paper)".format, ABLATIONS),
    ]
    assert (rows_[-3]["bpp"], rows_[-3]["lossless_bpp"], rows_[-2]["hf_ratio_032"]) == (
        "1.88",
        "",
        "0.0011",
    )


def test_same_settings_give_the_same_bytes_and_another_seed_other_images(
    run: Path, out: Path, tmp_path: Path
) -> None:
    ablate(run, out.parent / "again", WANTED, scheduler="serial")
    assert tree(out.parent / "again") == tree(out)
    ablate(run, tmp_path / "other", Ablation(**{**vars(WANTED), "seed": 1}), scheduler="serial")
    for name in ("full", "low_frequency", "low_diversity", "size_6"):
        assert set(frame(tmp_path / "other", name)["id"]) != set(frame(out, name)["id"])


class Backwards:
    """An executor whose last task is done first."""

    def map(
        self, function: Callable[..., Any], tasks: Iterable[Any], on_report: object
    ) -> Iterator[tuple[Any, Any]]:
        for task in reversed(list(tasks)):
            yield task, function(task, lambda report: None)


def test_results_of_workers_keep_the_order_of_the_images(run: Path, out: Path) -> None:
    rows = frame(out, "full").head(5)
    tars = [str((out / tar).resolve()) for tar in rows["tar"]]
    columns = (rows[name] for name in ("offset", "nbytes", "sha256", "pixels"))
    images = [StoredImage(*row) for row in zip(rows["id"], tars, *columns, strict=True)]
    workers = CopyWorkers(Backwards(), ())  # type: ignore[arg-type]
    alone = [next(workers.lossless([image])) for image in images]
    assert list(workers.lossless(images)) == alone


def test_target_out_of_reach_is_explained(run: Path, tmp_path: Path) -> None:
    wanted = Ablation(
        images=24,
        sizes=(),
        targets={"frequency": 1e-5, "resolution": 3000.0},
        chosen=("resolution",),
    )
    found = {
        subset.name: subset for subset in ablate(run, tmp_path / "out", wanted, scheduler="serial")
    }
    subset = found["low_frequency"]
    assert not subset.reached
    assert subset.lowest is not None
    assert subset.lowest <= subset.statistics.hf_ratio_032 <= subset.lowest * 1.05
    assert subset.freed
    assert all(value < subset.lowest for value in subset.freed.values())
    assert subset.lacking == dict.fromkeys(("Animals", "Food", "Map", "Nature"), 6)
    # no choice at all is lower than the smallest values
    seen = ledger(run)
    least = np.sort(seen[seen["split"] != "test"]["hf_ratio_032"])[:24].mean()
    assert min(subset.freed.values()) >= least * (1 - 1e-6)
    assert not found["low_resolution"].reached
    assert found["low_resolution"].made == "chosen"
    assert not (tmp_path / "out/images/low_resolution-00000.tar").exists()


def test_reachable_resolution_is_chosen(run: Path, tmp_path: Path) -> None:
    pixels = read_manifest(run / "manifest/train.parquet").table["pixels"].to_numpy().mean()
    wanted = Ablation(24, (), {"resolution": 0.8 * pixels}, ("resolution", "bpp"), 0.1)
    found = {
        subset.name: subset for subset in ablate(run, tmp_path / "out", wanted, scheduler="serial")
    }
    subset = found["low_resolution"]
    assert subset.reached
    assert subset.off == {}
    assert subset.statistics.pixels == pytest.approx(0.8 * pixels, rel=0.1)
    assert subset.statistics.bpp == pytest.approx(found["full"].statistics.bpp, rel=0.1001)
    assert not (tmp_path / "out/images").exists()


def test_trainer_reads_each_subset(out: Path, tmp_path: Path) -> None:
    from curate.restore import TrainRecipe, train
    from curate.restore.checkpoints.checkpoint import read_info

    smallest = {"num_blocks": [1] * 4, "num_dec_blocks": [1] * 3, "refinement_blocks": 1}
    recipe = {
        "name": "tiny",
        "settings": smallest,
        "degradations": {"sr_x2": 1},
        "samples_per_epoch": 2,
        "workers": 0,
    }
    recipe |= {
        "phases": [{"epochs": 1, "crop": 16, "batch": 2, "lr": 1e-3}],
        "validation": {"images": 1, "crop": 16},
    }
    paths = sorted(out.glob("*.parquet"))
    result = train(TrainRecipe.parse(recipe, where="test"), paths, tmp_path / "restorer")
    assert (result.steps, result.trained) == (1, 1)
    pictures = [source.pictures for source in read_info(result.checkpoint).manifests]
    assert pictures == [len(read_manifest(path)) for path in paths]


def test_one_category_has_no_subset_of_less_diversity(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    for path in (tmp_path / "run/ledger").glob("*.parquet"):
        table = pq.read_table(path)
        names = pa.array(
            ["Food" if name else None for name in table["category"].to_pylist()], pa.string()
        )
        table = table.set_column(table.column_names.index("category"), "category", names)
        pq.write_table(table, path, write_page_checksum=True)
    options = ("--images", 24, "--sizes", "6", "--scheduler", "serial")
    code, output, _ = command(tmp_path / "run", "--out", tmp_path / "out", *options)
    assert code == 0
    assert "low_diversity: left out, since the reference has nothing of that aspect" in output
    assert sorted(path.stem for path in (tmp_path / "out").glob("*.parquet")) == [
        "full", "low_bpp", "low_frequency", "low_resolution", "size_6"
    ]  # fmt: skip


def test_smallest_tolerance_is_met_where_possible(run: Path, tmp_path: Path) -> None:
    wanted = Ablation(24, (), {"frequency": 0.015}, tolerance=0.01)
    found = {
        subset.name: subset for subset in ablate(run, tmp_path / "out", wanted, scheduler="serial")
    }
    low, full = found["low_frequency"], found["full"]
    assert low.reached
    assert low.off == full.off == {}
    assert low.statistics.pixels == pytest.approx(full.statistics.pixels, rel=0.0101)


def test_a_damaged_image_is_named_and_nothing_is_left(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    for tar in (tmp_path / "run/images").glob("*.tar"):
        tar.write_bytes(bytes(tar.stat().st_size))
    with pytest.raises(RunError, match=r"is damaged at .* --verify"):
        ablate(tmp_path / "run", tmp_path / "out", Ablation(24), scheduler="serial")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"images": 0}, "1 image at least"),
        ({"sizes": (100, 0)}, "1 image at least"),
        (
            {"targets": {"colour": 1.0}},
            "--target takes resolution, bpp, frequency, diversity and a number over 0",
        ),
        ({"targets": {"bpp": float("nan")}}, "a number over 0, not bpp=nan"),
        ({"chosen": ("diversity",)}, "--choose takes resolution or bpp, not 'diversity'"),
        ({"tolerance": 1.0}, "a share from 0.01 to 1, such as 0.05, not 1"),
        ({"tolerance": 0.001}, "a share from 0.01 to 1, such as 0.05, not 0.001"),
        ({"images": 41}, "has 40 images, fewer than the 41 of a subset: take --images 40 or fewer"),
        ({"images": 24, "sizes": (73,)}, "there are 72 images, and a subset wants 73"),
        (
            {"images": 24, "targets": {"resolution": 1e9}},
            r"pixels is \d+.*, so 1e\+09 is not low: .*--target resolution=",
        ),
    ],
)
def test_impossible_settings_are_refused(
    run: Path, tmp_path: Path, wanted: dict[str, Any], message: str
) -> None:
    with pytest.raises(CurateError, match=message):
        ablate(run, tmp_path / "out", Ablation(**wanted), scheduler="serial")
    assert not list(tmp_path.iterdir())


def test_ablate_of_an_unfinished_run_is_refused(run: Path, out: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is no run folder"):
        ablate(tmp_path / "none", tmp_path / "out")
    shutil.copytree(
        run, tmp_path / "half", ignore=shutil.ignore_patterns("select", "ledger", "manifest")
    )
    with pytest.raises(RunError, match="has no dataset yet: run  curate run"):
        ablate(tmp_path / "half", tmp_path / "out")
    with pytest.raises(RunError, match="is there already"):
        ablate(run, out, WANTED, scheduler="serial")
    with pytest.raises(ManifestError, match="another storage"):
        ablate(run, "memory://ablation/out", Ablation(24), scheduler="serial")


def test_subset_without_target_is_reached() -> None:
    assert Subset("full", "chosen", ABLATIONS["full"], 12.92).reached


def command(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["ablate", *map(str, arguments)])
    return result.exit_code, result.output, str(result.exception or "")


def test_command_prints_subsets_beside_the_papers(run: Path, tmp_path: Path) -> None:
    options = (
        "--images",
        24,
        "--sizes",
        "6",
        "--target",
        "frequency=0.00001",
        "--scheduler",
        "serial",
    )
    code, output, _ = command(run, "--out", tmp_path / "out", *options)
    assert code == 0
    assert "low_diversity (paper)" in output
    assert "resize=0.333333" in output
    assert "low_frequency: 1e-05 is out of reach, " in output
    assert "images missing at 1e-05 or under: Animals 6, Food 6, Map 6, Nature 6" in output
    assert f"6 manifests and summary.json in {tmp_path / 'out'}" in output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--target", "bpp"), "--target takes an aspect and a number such as bpp=1.88, not 'bpp'"),
        (("--sizes", "many"), "--sizes takes numbers of images such as 100,200,400, not 'many'"),
    ],
)
def test_command_with_bad_options_names_valid_ones(
    run: Path, tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    code, _, output = command(run, "--out", tmp_path / "out", *options)
    assert (code, output) == (1, message)
