import io

from rich.console import Console

from curate.console import LiveProgress, PlainProgress, StepProgress, reasons_table, run_progress, table
from curate.errors import Reason


def plain() -> tuple[Console, io.StringIO]:
    text = io.StringIO()
    return Console(file=text, width=120, highlight=False), text


def test_a_log_gets_lines_and_a_terminal_bars() -> None:
    console, _ = plain()
    assert type(run_progress(console)) is PlainProgress
    terminal = Console(file=io.StringIO(), force_terminal=True, width=120)
    assert type(run_progress(terminal)) is LiveProgress


def test_a_stage_ends_with_what_became_of_its_rows() -> None:
    console, text = plain()
    with run_progress(console) as progress:
        progress.stage_started("fetched", 2, 20)
        progress.advanced("fetched", "part-00000", 4)
        progress.shard_done("fetched", "part-00000", {"ok": 7, "dns": 3}, False)
        progress.shard_failed("fetched", "part-00001", "OSError('the network blinked')")
        progress.shard_done("fetched", "part-00001", {"ok": 10}, False)
        progress.stage_finished("fetched")
        progress.stage_started("measured", 2, 20)
        progress.shard_done("measured", "part-00000", {"ok": 20}, True)
        progress.stage_finished("measured")
    lines = text.getvalue().splitlines()
    assert "part-00001 failed (OSError('the network blinked')); it will be tried again" in lines[0]
    assert lines[1].startswith("fetch      20 rows: 17 in, 3 out")
    assert lines[2] == "measure    20 rows, there already"


def test_bars_are_drawn_and_go_away() -> None:
    text = io.StringIO()
    console = Console(file=text, force_terminal=True, width=120, highlight=False)
    with run_progress(console) as progress:
        progress.stage_started("labelled", 1, 10)
        progress.advanced("labelled", "part-00000", 5)
        progress.shard_done("labelled", "part-00000", {"ok": 9, "low_bpp": 1}, False)
        progress.stage_finished("labelled")
    assert "10 rows: 9 in, 1 out" in text.getvalue()


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
    told = text.getvalue()
    assert all(reason.value in told for reason in Reason)
    assert f" {5 + len(Reason)} " in told


def test_numbers_stand_to_the_right() -> None:
    console, text = plain()
    console.print(table("title", ("name", "value"), [("a", 1.23456), ("b", 100.0)]))
    assert " 1.235 │" in text.getvalue()
    assert "   100 │" in text.getvalue()
