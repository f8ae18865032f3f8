from typing import Any

import pytest

from curate.cli.next_steps import advise
from curate.engine import StageOutcome
from curate.errors import Reason
from curate.pipeline.execute import RunOutcome


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


def test_advice_after_success_names_export_and_training() -> None:
    assert advise(outcome(*ALL, reasons={"ok": 55, "too_small": 9}, selection=DONE)) == [
        "To publish it:  curate export runs/mine --out dataset.parquet",
        "To train on it:  "
        "curate train train/moe_ir_30g --manifest runs/mine/manifest/train.parquet",
    ]


def test_advice_after_transient_failures_names_retry() -> None:
    reasons = {"ok": 55, "timeout": 104, "dns": 1100, "http_404": 7, "tls": 3}
    (advice, _) = advise(outcome("fetched", reasons=reasons))
    assert advice == (
        "1,204 candidates failed for reasons that may pass (dns 1,100, timeout 104). "
        "To ask again:  curate fetch runs/mine --retry transient"
    )
    assert (
        advise(outcome(*ALL, reasons=reasons, selection=DONE))[0]
        == f"{advice}  and then the same command"
    )
    assert "ask again" not in " ".join(advise(outcome("measured", reasons=reasons)))
    assert "ask again" not in " ".join(advise(outcome("fetched", reasons={"ok": 1, "http_404": 7})))


def test_advice_names_quarantined_shards_and_excluded_images() -> None:
    names = tuple(f"part-{n:05d}" for n in range(7))
    advice = advise(
        outcome(
            "measured", reasons={"ok": 1, "quarantined": 7}, quarantined=names, excluded=("abc",)
        )
    )
    assert advice[0] == "measure: 1 image killed a worker and was left out: abc"
    assert advice[1].startswith("measure: gave up on part-00000, ")
    assert advice[1].endswith("part-00004 and 2 more; the same command tries again")


def test_advice_on_shortage_names_scarce_categories_and_reasons() -> None:
    reasons = {"ok": 55, "too_small": 900, "low_bpp": 50, "http_404": 7}
    advice = advise(outcome(*ALL, reasons=reasons, selection=SHORT))
    assert advice[:3] == [
        "train: 50 images of the 5,000 that select.train asks for. "
        "The scarcest: Food 1, Map 2, Nature 7.",
        "test: 5 images of the 1,250 that select.test asks for.",
        "The filters took too_small 900, low_bpp 50. More candidates help, or lower bounds. "
        "See runs/mine/report/index.html",
    ]


def test_advice_without_kept_images_names_main_reason() -> None:
    reasons = {"too_small": 900, "low_bpp": 50, "http_404": 7}
    (advice,) = advise(outcome(*ALL, reasons=reasons, selection=SHORT))
    assert advice == (
        "Nothing is left: too_small took 900 of 957 (a side shorter than the recipe's minimum; "
        "a filter of your recipe). See runs/mine/report/index.html"
    )


@pytest.mark.parametrize(
    ("stage", "command"),
    [
        ("candidates", "fetch"),
        ("fetched", "measure"),
        ("measured", "label"),
        ("labelled", "match"),
        ("matched", "select"),
    ],
)
def test_advice_after_stage_names_next_stage(stage: str, command: str) -> None:
    assert advise(outcome(stage, reasons={"ok": 1})) == [f"Next:  curate {command} runs/mine"]


@pytest.mark.parametrize("reason", list(Reason))
def test_advice_handles_any_single_reason(reason: Reason) -> None:
    for stages in (ALL, ("fetched",), ("select",)):
        advice = advise(outcome(*stages, reasons={reason.value: 3}, selection=SHORT))
        assert any(reason.value in line for line in advice)


def test_advice_names_lost_pins() -> None:
    pins = {
        "named": 9,
        "kept": 5,
        "unknown": 1,
        "lost": {"low_bpp": 2, "duplicate": 1},
        "few": ["aa", "bb", "cc"],
    }
    assert advise(outcome(*ALL, reasons={"ok": 55}, selection=DONE | {"pins": pins}))[:2] == [
        "3 pins of select.pins could not be kept (low_bpp 2, duplicate 1): aa, bb, cc",
        "1 pin of select.pins is of no candidate of this run",
    ]
