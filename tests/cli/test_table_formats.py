"""The option --format of the four commands that show a table."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import curate.datasets.ablation
import curate.datasets.statistics
import curate.restore.model_figures
from curate.cli.app import app
from curate.datasets.ablation import Subset
from curate.datasets.statistics import BadFile, Survey
from curate.errors import Reason
from curate.manifest.paper_statistics import ABLATIONS, PUBLISHED
from curate.restore import Evaluation, ModelEntry, Part, Score
from curate.restore.metrics import METRICS

COMMANDS: dict[str, list[str]] = {
    "stats": ["stats", "photos"],
    "ablate": ["ablate", "run", "--out", "out"],
    "evaluate": ["evaluate", "mine=best.safetensors", "-b", "photos", "-d", "sr_x2"],
    "models": ["models"],
}


@pytest.fixture(autouse=True)
def canned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the work of the commands by its result."""
    bad = BadFile("cut.png", Reason.DECODE_FAILED, "cut short")
    surveys = [Survey("photos", PUBLISHED["DIV2K"], (bad,))]
    subsets = [Subset("full", "chosen", ABLATIONS["full"], 12.92)]
    labels: tuple[Any, ...] = ("photos", "sr_x2", "sr", "0.png", None, None, None, True)
    scores = []
    for model, psnr in {"input": 20.0, "mine": 30.25}.items():
        scores.append(Score(model, *labels, **dict.fromkeys(METRICS, psnr)))
    evaluation = Evaluation(("mine",), tuple(scores))
    monkeypatch.setattr(curate.datasets.statistics, "stats", lambda *_, **__: surveys)
    monkeypatch.setattr(curate.datasets.ablation, "ablate", lambda *_, **__: subsets)
    monkeypatch.setattr(curate.restore, "evaluate", lambda *_, **__: evaluation, raising=False)
    monkeypatch.setattr(curate.restore, "describe_model", describe, raising=False)
    monkeypatch.setattr(curate.restore.model_figures, "known_figures", lambda *_: {})


def describe(name: str, height: int, width: int) -> ModelEntry:
    macs = (10**9, 2 * 10**9)
    parts = {"head": Part(7, macs)}
    return ModelEntry(name, 7, 8, height, width, macs, {"paper": macs}, 9, "sRGB", "here", parts)


def call(command: str, *options: str) -> str:
    result = CliRunner().invoke(app, [*COMMANDS[command], *options], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


@pytest.mark.parametrize(
    ("command", "heading", "cell"),
    [
        ("stats", "ratio 0.32", "HQ-50K (paper)"),
        ("ablate", "as PNG", "low_diversity (paper)"),
        ("evaluate", "PSNR-Y", "30.25"),
        ("models", "parameters", "moe_ir_30g"),
    ],
)
def test_table_and_markdown_have_headings_and_cells(command: str, heading: str, cell: str) -> None:
    for options in ((), ("--format", "table"), ("-f", "md")):
        text = call(command, *options)
        assert heading in text
        assert cell in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) > 2
    assert len({row.count("|") for row in rows}) == 1


@pytest.mark.parametrize(
    ("command", "row"),
    [
        ("stats", {"dataset": "photos", "number": "800", "bad_files": "1"}),
        ("ablate", {"subset": "full", "made": "chosen", "lossless_bpp": "12.92"}),
        ("evaluate", {"row": "input", "metric": "psnr", "mean": "20.0", "images": "1"}),
        ("models", {"name": "moe_ir_30g", "parameters": "7", "macs_dearest": "2000000000"}),
    ],
)
def test_csv_has_a_line_of_plain_values_for_each_row(command: str, row: dict[str, str]) -> None:
    rows = list(csv.DictReader(io.StringIO(call(command, "--format", "csv"))))
    assert any(row.items() <= found.items() for found in rows)
    assert not any(None in found for found in rows), "a line has as many values as the first"


@pytest.mark.parametrize(
    ("command", "path", "value"),
    [
        ("stats", ("datasets", 0, "bad_files", 0, "path"), "cut.png"),
        ("ablate", ("subsets", 0, "statistics", "number"), ABLATIONS["full"].number),
        ("evaluate", ("tables", 0, "figures", 0, "mean"), 20.0),
        ("models", (0, "parts", "head", "macs", 1), 2 * 10**9),
    ],
)
def test_json_holds_everything(command: str, path: tuple[Any, ...], value: object) -> None:
    found = json.loads(call(command, "--format", "json"))
    for key in path:
        found = found[key]
    assert found == value


def test_json_option_of_models_is_an_alias() -> None:
    assert call("models", "--json") == call("models", "--format", "json")
    shown = json.loads(call("models", "show", "swinir", "--format", "json"))
    assert shown["name"] == "swinir"


@pytest.mark.parametrize("command", ["stats", "evaluate"])
@pytest.mark.parametrize("form", ["csv", "json", "md"])
def test_the_ending_of_the_file_decides_the_format(command: str, form: str, tmp_path: Path) -> None:
    path = tmp_path / f"table.{form}"
    assert call(command, "--out", str(path)).strip() == str(path)
    assert path.read_text() == call(command, "--format", form)


@pytest.mark.parametrize("command", COMMANDS)
def test_unknown_format_is_refused(command: str) -> None:
    result = CliRunner().invoke(app, [*COMMANDS[command], "--format", "xls"])
    assert result.exit_code == 1
    assert "--format takes " in str(result.exception)
    assert "not 'xls'" in str(result.exception)


@pytest.mark.parametrize("form", ["csv", "json", "md"])
def test_remarks_of_ablate_stay_out_of_other_formats(form: str) -> None:
    result = CliRunner().invoke(app, [*COMMANDS["ablate"], "--format", form])
    assert "manifests and summary.json" not in result.stdout
    assert "1 manifests and summary.json in out" in result.stderr
    assert "1 manifests and summary.json in out" in call("ablate")
