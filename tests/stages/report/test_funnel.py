import pytest

from curate.errors import Reason
from curate.stages.report import Loss, funnel
from curate.stages.report.funnel import STAGES, rejecting_stage
from curate.stages.report.page import _steps as steps


def test_funnel_has_every_reason() -> None:
    losses = funnel({(reason.stage, reason.value): 1 for reason in Reason})
    assert {loss.reason for loss in losses} == {reason.value for reason in Reason}
    stages = [*dict.fromkeys(loss.stage for loss in losses)]
    assert stages == [stage for stage in STAGES if stage in stages]


def test_funnel_orders_losses_by_stage_and_size() -> None:
    counts = {
        ("select", "surplus"): 40,
        ("fetch", "timeout"): 2,
        ("filter", "too_small"): 5,
        ("fetch", "too_small"): 9,
        ("fetch", "tls"): 0,
    }
    assert [(loss.stage, loss.reason, loss.count) for loss in funnel(counts)] == [
        ("fetch", "too_small", 9),
        ("fetch", "timeout", 2),
        ("filter", "too_small", 5),
        ("select", "surplus", 40),
    ]
    loss = Loss("surplus", "select", 1, Reason.SURPLUS.meaning)
    assert funnel({("select", "surplus"): 1}) == [loss]


@pytest.mark.parametrize(
    ("reason", "fetched", "measured", "stage"),
    [
        (Reason.TOO_SMALL, False, False, "fetch"),
        (Reason.TOO_SMALL, True, True, "filter"),
        (Reason.BAD_URL, False, False, "candidates"),
        (Reason.REMOVED, False, False, "candidates"),
        (Reason.HTTP_404, False, False, "fetch"),
        (Reason.DECODE_FAILED, True, False, "measure"),
        (Reason.QUARANTINED, False, False, "fetch"),
        (Reason.QUARANTINED, True, False, "measure"),
        (Reason.QUARANTINED, True, True, "engine"),
        (Reason.SURPLUS, True, True, "select"),
    ],
)
def test_rejecting_stage_is_where_row_ended(
    reason: Reason, fetched: bool, measured: bool, stage: str
) -> None:
    assert rejecting_stage(reason, fetched, measured) == stage


def test_funnel_shows_rare_stages_only_with_losses() -> None:
    assert [step.stage for step in steps(10, [])] == [
        "candidates",
        "fetch",
        "measure",
        "filter",
        "label",
        "select",
    ]
    changed = [Loss("changed", "rebuild", 3, Reason.CHANGED.meaning)]
    assert [(step.stage, step.left) for step in steps(10, changed)][-2:] == [
        ("select", 10),
        ("rebuild", 7),
    ]
