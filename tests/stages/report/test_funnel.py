from curate.errors import Reason
from curate.stages.report import Loss, funnel
from curate.stages.report.funnel import STAGES
from curate.stages.report.page import _steps as steps


def test_funnel_has_every_reason() -> None:
    losses = funnel({reason.value: 1 for reason in Reason})
    assert {loss.reason for loss in losses} == {reason.value for reason in Reason}
    stages = [*dict.fromkeys(loss.stage for loss in losses)]
    assert stages == [stage for stage in STAGES if stage in stages]


def test_funnel_orders_losses_by_stage_and_size() -> None:
    counts = {"ok": 5, "surplus": 40, "timeout": 2, "http_404": 9, "tls": 0}
    assert [(loss.stage, loss.reason, loss.count) for loss in funnel(counts)] == [
        ("fetch", "http_404", 9),
        ("fetch", "timeout", 2),
        ("select", "surplus", 40),
    ]
    assert funnel({"surplus": 1}) == [Loss("surplus", "select", 1, Reason.SURPLUS.meaning)]


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
