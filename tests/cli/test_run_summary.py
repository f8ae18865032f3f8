import itertools
from typing import Any

import pytest

from curate.cli.next_steps import next_command, troubles
from curate.cli.run_summary import summarise
from curate.engine import StageOutcome
from curate.errors import Reason
from curate.pipeline.execute import RunOutcome
from curate.recipe import Filters


def outcome(
    *stages: str, reasons: dict[str, int], selection: dict[str, Any] | None = None, **last: Any
) -> RunOutcome:
    """Build the outcome of a run whose last stage before the report ended so."""
    outcomes = [StageOutcome(stage, {} if stage == "report" else reasons, 4, 0) for stage in stages]
    if last:
        outcomes[-1] = StageOutcome(stages[-1], reasons, 4, 0, **last)
    return RunOutcome("runs/mine", tuple(outcomes), {}, selection or {})


ALL = ("candidates", "fetched", "measured", "labelled", "matched", "select", "report")
DONE = {
    "train": {"wanted": 50, "taken": 50},
    "test": {"wanted": 5, "taken": 5},
    "categories": ["Map", "Food", "People", "Nature"],
    "category_taken": [2, 1, 40, 7],
}
SHORT = DONE | {"train": {"wanted": 5000, "taken": 50}, "test": {"wanted": 1250, "taken": 5}}
FILTERS = Filters(min={"width": 1024})


def test_summary_of_run_is_few_lines_with_largest_losses_first() -> None:
    reasons = {"ok": 55, "too_small": 90, "http_404": 1400, "surplus": 300, "low_bpp": 7}
    assert summarise(outcome(*ALL, reasons=reasons, selection=SHORT), FILTERS, 80) == [
        "kept      55 of 1,852 candidates: 50 for training, 5 for test",
        "wanted    5,000 for training, 1,250 for test; the scarcest: Food 1, Map 2,",
        "          Nature 7",
        "lost most 1,400  http_404: gone: status 404 or 410",
        "                 the list is stale, so look for a newer one",
        f"            300  surplus: {Reason.SURPLUS.meaning}",
        "                 raise select.train, or add candidates for the scarcest",
        "                 categories",
        "             90  too_small: a side shorter than the recipe's minimum",
        "                 the list is of another kind than the recipe wants, or a bound",
        "                 is too tight (filters.min.width=1024)",
        "report    runs/mine/report/index.html",
        "next      curate export runs/mine --out dataset.parquet",
    ]


def test_summary_of_transient_loss_names_retry_in_one_line() -> None:
    lines = summarise(outcome("fetched", reasons={"ok": 1, "dns": 9}), FILTERS, 80)
    assert lines[0] == "still in  1 of 10 candidates"
    assert lines[-2].strip() == "curate fetch runs/mine --retry dns"


@pytest.mark.parametrize("width", [80, 120])
def test_summary_is_never_longer_than_fifteen_lines(width: int) -> None:
    for most in itertools.combinations(Reason, 3):
        reasons = {"ok": 55, **dict.fromkeys(most, 9)}
        run = outcome(*ALL, reasons=reasons, selection=SHORT)
        lines = summarise(run, Filters(min={"width": 9, "height": 9}), width)
        assert len(lines) <= 15
        assert all(len(line) <= width for line in lines)
        assert all(reason.value in "\n".join(lines) for reason in most)


def test_summary_without_kept_images_has_no_next_command() -> None:
    lines = summarise(outcome(*ALL, reasons={"http_404": 7}, selection=SHORT), FILTERS, 80)
    assert lines[0] == "kept      0 of 7 candidates: 50 for training, 5 for test"
    assert not any(line.startswith("next") for line in lines)


def test_summary_names_input_lines_that_are_no_candidates() -> None:
    run = RunOutcome(
        "run", (StageOutcome("candidates", {"ok": 1}, 1, 0),), {"blank": 2, "known": 0}
    )
    lines = summarise(run, FILTERS, 80)
    assert lines == [
        "still in  1 of 1 candidate",
        "skipped   2 blank",
        "next      curate fetch run",
    ]


@pytest.mark.parametrize(
    ("stage", "command"),
    [
        ("candidates", "fetch"),
        ("fetched", "measure"),
        ("measured", "label"),
        ("labelled", "match"),
        ("matched", "select"),
        ("select", "report"),
    ],
)
def test_next_command_after_stage_is_next_stage(stage: str, command: str) -> None:
    assert next_command(outcome(stage, reasons={"ok": 1})) == f"curate {command} runs/mine"


def test_troubles_name_quarantined_shards_and_excluded_images() -> None:
    names = tuple(f"part-{n:05d}" for n in range(7))
    found = troubles(
        outcome(
            "measured", reasons={"ok": 1, "quarantined": 7}, quarantined=names, excluded=("abc",)
        )
    )
    assert found[0] == "measure: 1 image killed a worker and was left out: abc"
    assert found[1].startswith("measure: gave up on part-00000, ")
    assert found[1].endswith("part-00004 and 2 more; the same command tries again")


def test_troubles_name_lost_pins() -> None:
    pins = {
        "named": 9,
        "kept": 5,
        "unknown": 1,
        "lost": {"low_bpp": 2, "duplicate": 1},
        "few": ["aa", "bb", "cc"],
    }
    assert troubles(outcome(*ALL, reasons={"ok": 55}, selection=DONE | {"pins": pins})) == [
        "3 pins of select.pins could not be kept (low_bpp 2, duplicate 1): aa, bb, cc",
        "1 pin of select.pins is of no candidate of this run",
    ]
