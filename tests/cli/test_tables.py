import io

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
