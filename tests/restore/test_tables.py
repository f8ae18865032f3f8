from __future__ import annotations

import csv
import io
import json
import math
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml

from curate.cli import app
from curate.errors import RestoreError
from curate.manifest import read_manifest, write_manifest
from curate.restore import (
    SCORE_TEXTS,
    Evaluation,
    Score,
    ScoreTable,
    degradations_for,
    evaluate,
    paper_tables,
    summary_table,
)
from curate.restore.data.degradations import parse_degradation
from curate.restore.evaluation import paper_tables as published_module
from curate.restore.evaluation.bootstrap import estimate
from curate.restore.evaluation.paper_tables import benchmark_sizes, published_tables
from curate.restore.metrics import METRICS
from tests import ROOT
from tests.restore.samples import draw, encode, make_manifest

NUMBERS = ("1", "3", "4", "5", "6", "7", "8", "10", "11", "12", "13")


def labelled(run: Path, count: int = 4) -> Path:
    """A manifest of pictures with labels and ratios."""
    path = make_manifest(
        run, {f"{n:016x}": encode(draw(n)) for n in range(count)}, ["test"] * count
    )
    table = read_manifest(path).table
    columns = {
        "category": (["Animals", "Food"] * count)[:count],
        "broad": (["Outdoor", "Indoor"] * count)[:count],
        "hf_ratio_032": [0.001 * 10**n for n in range(count)],
    }
    for name, values in columns.items():
        table = table.append_column(name, pa.array(values))
    write_manifest(path, table, {})
    return path


def evaluation_of(values: dict[str, list[float]], **fields: object) -> Evaluation:
    """Return an evaluation with a PSNR for each model and image."""
    base: dict[str, object] = {
        "benchmark": "Set14",
        "degradation": "sr_x2",
        "task": "sr",
        "category": None,
        "broad": None,
        "hf_ratio_032": None,
        "drawn": True,
    }
    scores = []
    for model, of_images in values.items():
        for i, value in enumerate(of_images):
            rest: dict[str, Any] = base | fields | dict.fromkeys(METRICS, value)
            scores.append(Score(model=model, image=f"{i}.png", **rest))
    return Evaluation(tuple(model for model in values if model != "input"), tuple(scores))


def values_of(table: ScoreTable, row: str) -> dict[tuple[str, str, str | None], float | None]:
    """(degradation, metric, group) -> the mean in a row."""
    (found,) = (r for r in table.rows if r.label == row)
    return {
        (c.degradation, c.metric, c.group): None if cell is None else cell.mean
        for c, cell in zip(table.columns, found.cells, strict=True)
    }


# --- intervals


def test_intervals_hold_the_true_mean_at_their_level() -> None:
    rng = np.random.default_rng(0)
    held = []
    for _ in range(400):
        found = estimate(rng.normal(30, 2, 60), 0.9, seed=0)
        held.append(found.low <= 30 <= found.high)
    assert np.mean(held) == pytest.approx(0.9, abs=0.04)


def test_intervals_are_those_of_the_normal_approximation() -> None:
    values = np.random.default_rng(1).normal(30, 2, 400)
    found = estimate(values, 0.95, seed=0)
    error = 1.96 * values.std() / 20
    assert (found.low, found.high) == pytest.approx(
        (found.mean - error, found.mean + error), abs=0.05
    )
    assert found == estimate(values, 0.95, seed=0)
    assert found != estimate(values, 0.95, seed=1)


def test_interval_of_a_paired_difference_is_narrower() -> None:
    rng = np.random.default_rng(2)
    one = rng.normal(30, 4, 40)
    table = summary_table(
        evaluation_of(
            {"input": list(one), "a": list(one), "b": list(one + rng.normal(0.3, 0.1, 40))}
        )
    )
    (difference,) = (row for row in table.rows if row.kind == "difference")
    cell, of_b = difference.cells[0], table.rows[2].cells[0]
    assert difference.label == "b - a"
    assert cell is not None and of_b is not None
    assert 0 < cell.low < 0.3 < cell.high < 0.4
    assert of_b.high - of_b.low > 1


@pytest.mark.filterwarnings("error")
def test_single_and_perfect_pictures_have_no_interval() -> None:
    assert estimate(np.array([30.0]), 0.95, 0).low is None
    assert estimate(np.array([30.0, math.inf]), 0.95, 0).low is None
    table = summary_table(
        evaluation_of({"input": [20.0, 21.0], "a": [math.inf] * 2, "b": [math.inf] * 2})
    )
    for write in SCORE_TEXTS.values():
        assert "nan" not in write(evaluation_of({"input": [20.0], "a": [20.0]}), [table]).lower()


# --- what the paper reports


@pytest.mark.parametrize("number", NUMBERS)
def test_every_figure_has_its_column(number: str) -> None:
    for part in published_tables(number):
        assert len(set(part.columns)) == len(part.columns)
        assert set(benchmark_sizes()) >= {column.benchmark for column in part.columns}
        for values in part.rows.values():
            assert len(values) == len(part.columns)
            for value, column in zip(values, part.columns, strict=True):
                assert value is None or (
                    0 < value < 1 if column.metric.startswith("ssim") else 20 < value < 45
                )


def test_published_figures_have_the_papers_columns() -> None:
    """Read off the paper, table by table: what a slip of a column or row would move."""
    expected = {
        ("3", "SwinIR, HQ-50K"): {
            ("Set14", "sr_x3", "ssim_y", None): 0.8542,
            ("Manga109", "sr_x4", "psnr_y", None): 32.36,
        },
        ("5", "SwinIR, HQ-50K"): {("Kodak24", "denoise_15", "psnr", None): 35.30},
        ("6", "SwinIR, BSDS400 + WED"): {("Classic5", "dejpeg_20", "psnr", None): 32.25},
        ("7", "SwinIR, HQ-50K"): {("Rain100H", "derain", "ssim_y", None): 0.9257},
        ("8", "DAMoE, HQ-50K"): {
            ("Rain100L", "derain", "psnr_y", None): 40.22,
            ("CBSD68", "denoise_50", "psnr", None): 28.28,
            ("Classic5", "dejpeg_10", "psnr", None): 29.80,
        },
        ("10", "alternated"): {("Rain100L", "derain", "ssim_y", None): 0.9861},
        ("11", "SwinIR, several levels"): {("CBSD68", "denoise_15", "psnr", None): 34.17},
        ("12", "SwinIR, DIV2K"): {
            ("HQ-50K", "sr_x3", "psnr_y", "Food"): 30.37,
            ("HQ-50K", "sr_x4", "ssim_y", "Text Scene"): 0.7406,
            ("HQ-50K", "sr_x2", "psnr_y", "Architecture"): 28.84,
        },
    }  # fmt: skip
    for (number, row), figures in expected.items():
        found = {
            (c.benchmark, c.degradation, c.metric, c.group): value
            for part in published_tables(number)
            for c, value in zip(part.columns, part.rows[row], strict=True)
        }
        assert found.items() >= figures.items()


def test_broad_classes_are_the_means_of_their_categories() -> None:
    """Table 12 against itself: sub-categories have the same size, but for half of it Text Scene."""
    for part in published_tables("12"):
        groups = list(dict.fromkeys(column.group for column in part.columns))
        weights = [0.5 if group == "Text Scene" else 1 for group in groups[:-1]]
        for values in part.rows.values():
            found = np.array(values, dtype=float).reshape(3, len(groups), 2)
            means = np.average(found[:, :-1], axis=1, weights=weights)
            assert found[:, -1, 0] == pytest.approx(means[:, 0], abs=0.25)
            assert found[:, -1, 1] == pytest.approx(means[:, 1], abs=0.005)


def test_degradations_for_lists_what_tables_need() -> None:
    assert degradations_for(["6"], ["classic5"]) == {
        "classic5": ("dejpeg_10", "dejpeg_20", "dejpeg_30", "dejpeg_40")
    }
    both = degradations_for(["3", "8"], ["Manga109", "CBSD68"])
    assert both == {
        "Manga109": ("sr_x2", "sr_x3", "sr_x4"),
        "CBSD68": ("denoise_15", "denoise_25", "denoise_50"),
    }
    with pytest.raises(
        RestoreError,
        match=r"table 6 is of Classic5 \(dejpeg_10, .*\), not of photos: say NAME=PLACE",
    ):
        degradations_for(["6"], ["photos"])
    with pytest.raises(
        RestoreError, match=r"no table '2' of the paper judges restorers: take one of 1, 3, 4, 5, 6"
    ):
        degradations_for(["2"], ["Set14"])


# --- tables


def test_means_of_a_row_are_of_its_group(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    found = evaluate(
        {"mine": checkpoints["one"]}, {"set": labelled(tmp_path)}, ["dejpeg_10", "dejpeg_40"]
    )
    mine = [s for s in found.scores if s.model == "mine"]

    def mean(**fields: object) -> float:
        matching = [score for score in mine if fields.items() <= vars(score).items()]
        return float(np.mean([score.psnr for score in matching]))

    assert values_of(summary_table(found), "mine")["dejpeg_10", "psnr", None] == pytest.approx(
        mean(degradation="dejpeg_10")
    )
    by_task = values_of(summary_table(found, by=["task"], metrics=["psnr"]), "mine")
    assert by_task == {("dejpeg", "psnr", None): pytest.approx(mean())}
    by_class = values_of(summary_table(found, by=["category", "broad"], metrics=["psnr"]), "mine")
    assert by_class["dejpeg_40", "psnr", "Food"] == pytest.approx(
        mean(degradation="dejpeg_40", category="Food")
    )
    assert by_class["dejpeg_40", "psnr", "Outdoor"] == pytest.approx(
        mean(degradation="dejpeg_40", broad="Outdoor")
    )
    by_texture = values_of(
        summary_table(found, by=["texture"], metrics=["psnr"], bands=[0.005, 0.05]), "mine"
    )
    assert [group for degradation, _, group in by_texture if degradation == "dejpeg_10"] == [
        "ratio under 0.5 %", "ratio 0.5 to 5 %", "ratio over 5 %",
    ]  # fmt: skip
    last = [s for s in mine if s.degradation == "dejpeg_10" and (s.hf_ratio_032 or 0) >= 0.05]
    assert by_texture["dejpeg_10", "psnr", "ratio over 5 %"] == pytest.approx(
        np.mean([s.psnr for s in last])
    )


def test_a_picture_counts_once_in_the_mean_of_a_task() -> None:
    """Levels counted as pictures would make the interval too narrow."""
    levels = [
        evaluation_of({"input": [20.0, 30.0], "a": [22.0, 34.0]}, degradation=d).scores
        for d in ("sr_x2", "sr_x4")
    ]
    table = summary_table(Evaluation(("a",), (*levels[0], *levels[1])), by=["task"])
    cell = table.rows[1].cells[0]
    assert cell is not None
    assert (cell.mean, cell.images, cell.low, cell.high) == (28, 2, 22, 34)


def test_unknown_groups_are_refused() -> None:
    evaluation = evaluation_of({"input": [20.0], "a": [21.0]})
    with pytest.raises(
        RestoreError, match="no 'colour' to tell scores apart by; known: level, task"
    ):
        summary_table(evaluation, by=["colour"])
    with pytest.raises(RestoreError, match="no 'lpips' to tell"):
        summary_table(evaluation, metrics=["lpips"])
    with pytest.raises(RestoreError, match="no picture's category is known"):
        summary_table(evaluation, by=["category"])


def test_the_papers_figures_stand_beside_ours_where_they_are_of_the_same_pictures() -> None:
    whole = evaluation_of(
        {"input": [20.0] * 5, "a": [30.0] * 5},
        benchmark="classic5",
        degradation="dejpeg_10",
        task="dejpeg",
    )
    (table,) = paper_tables(whole, "6")
    assert [(c.degradation, c.metric) for c in table.columns] == [("dejpeg_10", "psnr")], (
        "nothing else was judged"
    )
    assert [(r.label, r.kind) for r in table.rows] == [
        ("SwinIR, BSDS400 + WED", "paper"),
        ("SwinIR, HQ-50K", "paper"),
        ("input", "input"),
        ("a", "model"),
    ]
    means = [row.cells[0] and row.cells[0].mean for row in table.rows]
    assert means == [30.27, 30.34, 20, 30]
    assert "Classic5 was not judged under dejpeg_20" in table.notes
    part = evaluation_of(
        {"input": [20.0] * 4, "a": [30.0] * 4},
        benchmark="Classic5",
        degradation="dejpeg_10",
        task="dejpeg",
    )
    (table,) = paper_tables(part, "6")
    assert {row.kind for row in table.rows} == {"input", "model"}
    assert "Classic5: 4 pictures of 5, so not the paper's figure" in table.notes
    with pytest.raises(
        RestoreError, match=r"table 5 is of CBSD68, Kodak24: none of that was judged"
    ):
        paper_tables(part, "5")


def test_drawn_rain_is_not_compared_with_the_papers() -> None:
    values = {"input": [20.0] * 100, "a": [30.0] * 100}
    for drawn, kinds in ((True, {"input", "model"}), (False, {"input", "model", "paper"})):
        rain = evaluation_of(
            values, benchmark="Rain100L", degradation="rain", task="derain", drawn=drawn
        )
        assert {row.kind for row in paper_tables(rain, "7")[0].rows} == kinds


@pytest.mark.parametrize("number", NUMBERS)
def test_paper_table_of_every_number_has_rows_and_formats(number: str) -> None:
    scores: list[Score] = []
    names = {column.benchmark for part in published_tables(number) for column in part.columns}
    for benchmark, degradations in degradations_for([number], names).items():
        for degradation in degradations:
            task = parse_degradation(degradation).task
            for category, broad in (
                ("Animals", "Outdoor"),
                ("Food", "Indoor"),
                ("Map", "Artificial"),
            ):
                of = {
                    "benchmark": benchmark,
                    "degradation": degradation,
                    "task": task,
                    "hf_ratio_032": 0.01,
                }
                found = evaluation_of(
                    {"input": [20.0], "a": [30.0], "b": [31.0]},
                    category=category,
                    broad=broad,
                    **of,
                )
                scores += [replace(score, image=category) for score in found.scores]
    evaluation = Evaluation(("a", "b"), tuple(scores))
    tables = paper_tables(evaluation, number)
    assert len(tables) == (3 if number == "12" else 1)
    latex = SCORE_TEXTS["tex"](evaluation, tables)
    assert latex.count(r"\begin{tabular}") == latex.count(r"\end{tabular}") == len(tables)
    head = re.search(r"\\begin\{tabular\}\{(l+)(r+)\}", latex)
    assert head is not None
    columns = len(head[2])
    for line in latex.splitlines():
        if line.endswith(r"\\") and "multicolumn" not in line:
            assert line.count(" & ") >= columns
    markdown = SCORE_TEXTS["md"](evaluation, tables)
    for table in markdown.split("**Table")[1:]:
        rows = [line for line in table.splitlines() if line.startswith("|")]
        assert len({line.count("|") for line in rows}) == 1


# --- as text


def test_texts_of_all_formats_have_the_same_figures(tmp_path: Path) -> None:
    evaluation = evaluation_of({"input": [20.0, 22.0], "a_1": [30.25, 31.0]})
    table = summary_table(evaluation, metrics=["psnr", "ssim"])
    rows = list(csv.DictReader(io.StringIO(SCORE_TEXTS["csv"](evaluation, [table]))))
    assert {row["notes"] for row in rows} == {". ".join(table.notes)}
    assert [(r["row"], r["metric"], float(r["mean"]), r["images"]) for r in rows[:3]] == [
        ("input", "psnr", 21, "2"),
        ("input", "ssim", 21, "2"),
        ("a_1", "psnr", 30.625, "2"),
    ]
    content = json.loads(SCORE_TEXTS["json"](evaluation, [table]))
    assert content["tables"][0]["figures"][2]["mean"] == 30.625
    assert content["scores"][0]["image"] == "0.png"
    assert (
        "| Set14 | sr_x2 | a_1 | 30.62 (30.25 to 31.00) | 30.6250 (30.2500 to 31.0000) |"
        in SCORE_TEXTS["md"](evaluation, [table])
    )
    assert r"Set14 & sr\_x2 & a\_1 & 30.62 {\tiny 30.25--31.00}" in SCORE_TEXTS["tex"](
        evaluation, [table]
    )


# --- the command


def run(
    *arguments: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["curate", "evaluate", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        app.main()
    out, err = capsys.readouterr()
    return int(end.value.code or 0), out, err


def test_command_prints_a_table_of_the_paper(
    checkpoints: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    classic5 = tmp_path / "classic5"
    classic5.mkdir()
    for n in range(5):
        (classic5 / f"{n}.png").write_bytes(encode(draw(n, 24, 24)[..., 0]))
    arguments = (f"mine={checkpoints['one']}", checkpoints["two"], "-b", classic5, "--table", "6")
    code, out, err = run(
        *arguments,
        "-f",
        "md",
        "--scores",
        tmp_path / "scores.csv",
        monkeypatch=monkeypatch,
        capsys=capsys,
    )
    assert code == 0
    assert "**Table 6: JPEG artefacts**" in out
    assert "| SwinIR, HQ-50K (paper) | 30.34 | 32.44 | 33.72 | 34.56 |" in out
    assert "| mine |" in out
    assert f"| {checkpoints['two'].parent.name}/two - mine |" in out
    assert len((tmp_path / "scores.csv").read_text().splitlines()) == 1 + 5 * 4 * 3
    code, out, err = run(*arguments, monkeypatch=monkeypatch, capsys=capsys)
    assert code == 0 and "30.34" in out and ".." in out

    (classic5 / "5.png").write_bytes(b"no picture")
    out_file = tmp_path / "table.tex"
    code, out, err = run(
        *arguments, "--limit", 6, "--out", out_file, monkeypatch=monkeypatch, capsys=capsys
    )
    assert code == 1
    assert "classic5/5.png, dejpeg_10: " in err
    assert r"\toprule" in out_file.read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--table", "6", "-d", "sr_x2"], "leave out either --table or --degradation"),
        (
            ["-d", "sr_x2", "-f", "xlsx"],
            "--format takes csv, md, tex, json, or table without --out",
        ),
        (["-d", "sr_x2", "--bands", "0.02,0.005"], "--bands takes ascending ratios"),
        (
            ["-d", "sr_x2", "-b", "elsewhere/photos0"],
            "two are called photos0: say NAME=elsewhere/photos0",
        ),
        (["-d", "sr_x2", "--routing", "routes.pdf"], "name it .png, not routes.pdf"),
    ],
)
def test_command_with_bad_options_names_the_fault(
    checkpoints: dict[str, Path], photos: Path, arguments: list[str], said: str,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    named = f"photos0={photos}"
    code, _, err = run(
        checkpoints["one"],
        "-b",
        named,
        *arguments,
        "--limit",
        1,
        monkeypatch=monkeypatch,
        capsys=capsys,
    )
    assert code == 1
    assert said in " ".join(err.split())


def test_the_published_figures_are_a_file_of_the_package() -> None:
    path = Path(published_module.__file__).with_suffix(".yaml")
    assert {str(table["table"]) for table in yaml.safe_load(path.read_text())["tables"]} == set(
        NUMBERS
    )
    assert "restore/evaluation/*.yaml" in (ROOT / "setup.cfg").read_text()
