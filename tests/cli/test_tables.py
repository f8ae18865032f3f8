import io
import re

import pytest
from rich.console import Console

from curate.cli.step_bar import StepProgress
from curate.cli.tables import reasons_table, table
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


@pytest.mark.parametrize("width", [60, 80, 120])
def test_bar_of_narrow_terminal_shows_step_and_time_left(width: int) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=width, highlight=False)
    with StepProgress(console, "train") as steps:
        for step in (1, 2):
            steps(step, 115_173, dict.fromkeys(("loss", "lr", "l1", "fft", "aux"), 0.07815))
        drawn = Console(file=io.StringIO(), width=width, highlight=False)
        drawn.print(steps._bars)
    lines = drawn.file.getvalue().splitlines()
    assert len(lines) == 1
    assert "2/115173" in lines[0]
    assert re.search(r"\d (s|minutes|hours) left", lines[0])


def test_pieces_of_long_step_are_shown_every_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    console, text = plain()
    now = iter(range(0, 999, 6))
    monkeypatch.setattr("time.monotonic", lambda: float(next(now)))
    steps = StepProgress(console, "restore")
    for done in range(5):
        steps.piece(done, 20)
    assert text.getvalue().splitlines() == [
        "restore: piece 1 of 20, 1.9 minutes left",
        "restore: piece 3 of 20, 1.7 minutes left",
    ]


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
