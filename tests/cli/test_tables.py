import io
from typing import Any

from rich.console import Console

from curate.cli.step_bar import StepProgress
from curate.cli.tables import reasons_table, selection_tables, table
from curate.errors import Reason


def plain() -> tuple[Console, io.StringIO]:
    text = io.StringIO()
    return Console(file=text, width=120, highlight=False), text


def test_steps_end_with_their_last_values() -> None:
    console, text = plain()
    with StepProgress(console, "train") as steps:
        for step in range(1, 4):
            steps(step, 3, {"loss": 0.5 / step})
    assert text.getvalue().startswith("train 3 of 3, ")
    assert text.getvalue().rstrip().endswith("loss 0.1667")


def test_every_reason_has_its_line_in_the_table() -> None:
    console, text = plain()
    console.print(reasons_table({"ok": 5} | {reason.value: 1 for reason in Reason}))
    output = text.getvalue()
    assert all(reason.value in output for reason in Reason)
    assert f" {5 + len(Reason)} " in output


def test_table_aligns_numbers_right() -> None:
    console, text = plain()
    console.print(table("title", ("name", "value"), [("a", 1.23456), ("b", 100.0)]))
    assert " 1.235 │" in text.getvalue()
    assert "   100 │" in text.getvalue()


def test_selection_tables_list_lacking_images_with_the_candidates_needed() -> None:
    row = {
        "category": "Map",
        "train": 3200,
        "test": 2,
        "bands": [[None, 0.01, 8], [0.01, 0.02, 3000], [0.03, None, 192]],
    }
    row |= {
        "candidates_searched": 46700,
        "unknown_searched": False,
        "candidates_as_before": 0,
        "unknown_as_before": True,
    }
    moments = dict.fromkeys(("mean", "std", "skewness", "kurtosis"), 0.1234)
    selection: dict[str, Any] = {
        "categories": ["Map"] * 16,
        "frequency_column": "hf_ratio_032",
        "shape": {
            "pool": moments,
            "train": moments | {"ks": None, "wasserstein": 0.5},
            "target": moments,
        },
        "diversity": {"pool": 0.5, "train": 1.1},
        "objective": {"value": 6, "bound": 6, "gap": 0},
        "shopping": {"categories": [row]},
    }
    console, text = plain()
    for part in selection_tables(selection):
        console.print(part)
    output = text.getvalue()
    assert "│ diversity                   │ 0.500 │ 1.100 │  1.204 │" in output
    assert "6 images, proven to be the least" in output
    assert "0.01 to 0.02: 3,000, over 0.03: 192 │          46,700 │      none seen │" in output
