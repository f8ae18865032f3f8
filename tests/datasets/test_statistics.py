import csv
import io
import json
import os
import re
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from PIL import Image

import curate
from curate.cli import app
from curate.datasets import statistics
from curate.engine.executor import SerialExecutor, WorkerDied
from curate.errors import InputError, LabelError, ManifestError, Reason
from curate.images.decode import installed
from curate.manifest import read_manifest
from curate.manifest.paper_statistics import PUBLISHED
from curate.manifest.statistics import diversity, natural_diversity, summarise
from curate.recipe import Label
from tests.images.work import measure_or_do, small_pixels_or_fail


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, recipe: Path, pictures: Path) -> Path:
    out = tmp_path_factory.mktemp("surveyed") / "run"
    curate.run(recipe, [pictures], out, scheduler="serial")
    return out


@pytest.fixture
def by_hand(tmp_path: Path) -> Path:
    """A checkerboard, with half its power at zero and half at the highest frequency, and grey."""
    folder = tmp_path / "by hand"
    (folder / "deeper").mkdir(parents=True)
    board = np.indices((32, 32)).sum(axis=0) % 2 * 255
    Image.fromarray(board.astype(np.uint8)).save(folder / "board.png")
    Image.new("L", (64, 48), 128).save(folder / "deeper" / "grey.png")
    (folder / ".hidden.png").write_bytes(b"of no account")
    return folder


def test_means_over_the_pictures_of_a_folder(by_hand: Path) -> None:
    (found,) = curate.stats(by_hand, scheduler="serial")
    nbytes = [(by_hand / name).stat().st_size for name in ("board.png", "deeper/grey.png")]
    assert found.source == str(by_hand)
    assert found.bad_files == ()
    assert found.statistics.number == 2
    assert found.statistics.pixels == (32 * 32 + 64 * 48) / 2
    assert found.statistics.bpp == pytest.approx((8 * nbytes[0] / 1024 + 8 * nbytes[1] / 3072) / 2)
    assert found.statistics.hf_ratio == pytest.approx(0.25)
    assert found.statistics.hf_ratio_032 == pytest.approx(0.25)
    assert found.statistics.diversity is None


def test_statistics_of_a_folder_equal_those_of_its_run(
    pictures: Path, finished: Path, tmp_path: Path
) -> None:
    ledger = pa.concat_tables(
        [pq.read_table(path) for path in sorted((finished / "ledger").glob("*.parquet"))]
    )
    measured = ledger.filter(pc.is_valid(ledger["hf_ratio"]))
    # its header rejects small.png, so a run doesn't measure it
    without = shutil.ignore_patterns("small.png")
    folder = shutil.copytree(pictures, tmp_path / "pictures", ignore=without)
    (found,) = curate.stats(folder, scheduler="serial")
    assert found.statistics.number == measured.num_rows == 22
    for name in ("pixels", "bpp", "hf_ratio", "hf_ratio_032"):
        assert getattr(found.statistics, name) == pytest.approx(
            getattr(summarise(measured), name), rel=1e-12
        )


def test_bad_files_are_named_with_their_reasons(pictures: Path) -> None:
    (found,) = curate.stats([pictures], scheduler="serial")
    assert {bad.path: bad.reason for bad in found.bad_files} == {
        "cut.jpg": Reason.DECODE_FAILED,
        "empty.png": Reason.EMPTY,
        "page.jpg": Reason.NOT_IMAGE,
    }


def test_workers_give_the_same_as_one_process(
    pictures: Path, by_hand: Path, tmp_path: Path
) -> None:
    plugins = tmp_path / "plugins"  # which each worker registers for itself
    plugins.mkdir()
    for format_ in {"HEIF", "JXL"} & installed():
        Image.new("RGB", (64, 64), "teal").save(plugins / format_, format_)
    sources, counted = [pictures, by_hand, plugins], []
    serial = curate.stats(
        sources, scheduler="serial", progress=lambda done, of: counted.append((done, of))
    )
    total = sum(found.statistics.number + len(found.bad_files) for found in serial)
    assert counted == [(i + 1, total) for i in range(total)]
    assert serial[2].bad_files == ()
    assert curate.stats(sources, scheduler="local", workers=2) == serial


def test_a_file_that_kills_workers_is_left_out(
    by_hand: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Dies(SerialExecutor):
        """A worker dies of the grey picture, and takes the board with it if it was given both."""

        def map(
            self, function: Any, tasks: Iterable[Any], advanced: Callable[..., None]
        ) -> Iterator[tuple[Any, Any]]:
            tasks = list(tasks)
            for task, result in super().map(function, tasks, advanced):
                yield (
                    task,
                    WorkerDied("it died")
                    if len(tasks) > 1 or task[1].endswith("grey.png")
                    else result,
                )

    monkeypatch.setattr(statistics, "open_executor", lambda *_: Dies())
    (found,) = curate.stats(by_hand)
    assert found.statistics.number == 1
    assert found.statistics.hf_ratio == pytest.approx(0.5)
    assert [(bad.path, bad.reason) for bad in found.bad_files] == [
        ("deeper/grey.png", Reason.CRASHED)
    ]


def test_a_file_of_too_many_bytes_is_not_read_whole(
    by_hand: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        statistics, "MAX_BYTES", (by_hand / "deeper" / "grey.png").stat().st_size - 1
    )
    (found,) = curate.stats(by_hand, scheduler="serial")
    assert ("deeper/grey.png", Reason.TOO_LARGE) in [
        (bad.path, bad.reason) for bad in found.bad_files
    ]


def test_statistics_of_a_run_cover_both_manifests(finished: Path) -> None:
    train, test = (finished / "manifest" / f"{split}.parquet" for split in ("train", "test"))
    of_run, of_train, again = curate.stats([finished, train, finished])
    assert of_run == again
    assert of_train.statistics == summarise(read_manifest(train).table)
    assert of_run.statistics.number == of_train.statistics.number + len(read_manifest(test))
    assert of_run.statistics.diversity is not None


def test_stats_with_a_picture_that_gets_no_label_leaves_it_out(
    pictures: Path, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = sorted(pictures.glob("*.png"))[:2]
    shutil.copy(first, tmp_path / "0.png")
    shutil.copy(second, tmp_path / "1.png")
    with (tmp_path / "1.png").open("ab") as file:
        file.write(b"fail")
    monkeypatch.setattr("curate.stages.label.clip.decode_small_pixels", small_pixels_or_fail)
    (found,) = curate.stats(tmp_path, label=curate.Recipe.load(recipe).label, scheduler="serial")
    assert found.statistics.number == 1
    assert [(bad.path, bad.reason) for bad in found.bad_files] == [("1.png", Reason.INTERNAL_ERROR)]


def test_a_labeller_gives_a_folder_its_diversity(pictures: Path, recipe: Path) -> None:
    labeller, counted = curate.Recipe.load(recipe).label, []
    (found,) = curate.stats(
        pictures,
        label=labeller,
        scheduler="serial",
        progress=lambda done, of: counted.append((done, of)),
    )
    bad = [file.path for file in found.bad_files]
    good = sorted(path.name for path in pictures.iterdir() if path.name not in bad)
    labels = curate.label_images([pictures / name for name in good], labeller)
    assert found.statistics.diversity == diversity(
        Counter(label.category for label in labels).values()
    )
    assert found.statistics.natural_diversity == natural_diversity(
        Counter(label.broad for label in labels).values()
    )
    assert counted[-1] == (52, 52)


def test_labels_of_remote_files_are_refused(recipe: Path) -> None:
    with fsspec.open("memory://surveyed/a.png", "wb") as file:
        Image.new("L", (8, 8), 9).save(file, "PNG")
    assert curate.stats("memory://surveyed", scheduler="serial")[0].statistics.number == 1
    with pytest.raises(InputError, match="on no local disk"):
        curate.stats(
            "memory://surveyed", label=curate.Recipe.load(recipe).label, scheduler="serial"
        )


def test_broken_labeller_is_refused_before_anything_is_measured(
    pictures: Path, tmp_path: Path
) -> None:
    labeller, counted = Label(model=f"local-dir:{tmp_path}", pretrained=None), []
    with pytest.raises(LabelError):
        curate.stats(
            pictures,
            label=labeller,
            scheduler="serial",
            progress=lambda done, of: counted.append(done),
        )
    assert not counted


def test_stats_of_no_dataset_is_refused(by_hand: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder at"):
        curate.stats(tmp_path / "nowhere")
    with pytest.raises(InputError, match="is one file"):
        curate.stats(by_hand / "board.png")
    with pytest.raises(ManifestError, match="no manifest at"):
        curate.stats(tmp_path / "no.parquet")
    (by_hand / "recipe.yaml").touch()
    with pytest.raises(ManifestError, match=r"no manifest at .*train.parquet"):
        curate.stats(by_hand)
    (by_hand / "empty").mkdir()
    (found,) = curate.stats(by_hand / "empty")
    assert found.statistics.number == 0


def test_published_rows_equal_the_papers() -> None:
    # Table 2: "BSDS400 Denoising 400 154,401 3.77 0.8863% 1.092"
    bsds = PUBLISHED["BSDS400"]
    assert (bsds.number, bsds.pixels, bsds.bpp, bsds.hf_ratio_032, bsds.diversity) == (
        400, 154_401, 3.77, 0.008863, 1.092,
    )  # fmt: skip
    assert len(PUBLISHED) == 8 + 1  # Table 2, and Urban100 of Table 1
    assert PUBLISHED["Urban100"].hf_ratio_032 == 0.01514


@pytest.fixture
def stats(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[str, str]]:
    def command(*arguments: object) -> tuple[str, str]:
        monkeypatch.setattr(
            sys, "argv", ["curate", "stats", *map(str, arguments), "--scheduler", "serial"]
        )
        try:
            app.main()
        except SystemExit as end:
            if end.code:
                return "", capsys.readouterr().err
        return capsys.readouterr()

    return command


def test_command_prints_a_table_and_names_bad_files(
    stats: Callable[..., tuple[str, str]], pictures: Path, finished: Path
) -> None:
    out, err = stats(pictures, finished)
    assert "Laion-HR (paper)" in out
    assert "0.1918%" in out
    assert str(finished)[:20] in out
    assert f"{pictures}/cut.jpg: decode_failed: " in err
    assert f"{pictures}: 1 file that is no image" in err


def test_csv_json_and_markdown_have_the_same_statistics(
    stats: Callable[..., tuple[str, str]], pictures: Path, tmp_path: Path
) -> None:
    (found,) = curate.stats(pictures, scheduler="serial")
    out, _ = stats(pictures, "--format", "csv")
    first, *published = csv.DictReader(io.StringIO(out))
    assert float(first["hf_ratio"]) == found.statistics.hf_ratio
    assert (first["number"], first["diversity"], first["bad_files"]) == ("23", "", "3")
    assert published[-2]["dataset"] == "HQ-50K (paper)"
    assert float(published[-2]["pixels"]) == 2_509_509

    out, _ = stats(pictures, "--out", tmp_path / "stats.json")
    assert out == f"{tmp_path}/stats.json\n"
    content = json.loads((tmp_path / "stats.json").read_text())
    assert content["datasets"][0]["hf_ratio_032"] == found.statistics.hf_ratio_032
    assert {bad["path"]: bad["reason"] for bad in content["datasets"][0]["bad_files"]}[
        "cut.jpg"
    ] == "decode_failed"
    assert content["published"][0] | {"number": 800, "bpp": 12.69} == content["published"][0]

    out, _ = stats(pictures, "--format", "md")
    header, line, first, *_ = out.splitlines()
    assert header.count("|") == line.count("|") == first.count("|") == 10
    assert f"| {pictures} | 23 | {found.statistics.pixels:,.0f} |" in first


def test_an_unknown_format_is_refused_before_anything_is_measured(
    stats: Callable[..., tuple[str, str]], tmp_path: Path
) -> None:
    for arguments in (
        ("--format", "xls"),
        ("--out", tmp_path / "stats.xls"),
        ("--out", "x", "--format", "table"),
    ):
        _, err = stats(tmp_path / "nowhere", *arguments)
        assert "--format takes csv, json, md" in err


def test_folder_with_a_fifo_is_measured_without_it(tmp_path: Path) -> None:
    Image.new("L", (8, 8), 9).save(tmp_path / "a::b.png", "PNG")
    os.mkfifo(tmp_path / "pipe.png")
    (survey,) = curate.stats(tmp_path, scheduler="serial")
    assert survey.statistics.number == 1
    assert [(bad.path, bad.reason) for bad in survey.bad_files] == [("pipe.png", Reason.UNREADABLE)]


def test_stats_with_unforeseen_error_names_the_file_and_counts_the_others(
    by_hand: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (by_hand / "board.png").open("ab") as file:
        file.write(b"fail")
    monkeypatch.setattr(statistics, "measure_image", measure_or_do)
    (found,) = curate.stats(by_hand, scheduler="serial")
    assert found.statistics.number == 1
    (bad,) = found.bad_files
    assert (bad.path, bad.reason) == ("board.png", Reason.INTERNAL_ERROR)
    assert re.fullmatch(r"KeyError: 'as a library may raise' \(.*images/work.py:\d+\)", bad.detail)
