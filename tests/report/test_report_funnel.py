from curate.errors import Reason
from curate.report import Loss, funnel
from curate.report.funnel import STAGES


def test_every_reason_has_its_stage_in_the_funnel() -> None:
    losses = funnel({reason.value: 1 for reason in Reason})
    assert {loss.reason for loss in losses} == {reason.value for reason in Reason}
    stages = [*dict.fromkeys(loss.stage for loss in losses)]
    assert stages == [stage for stage in STAGES if stage in stages]


def test_losses_stand_in_the_order_of_stages_the_largest_first() -> None:
    counts = {"ok": 5, "surplus": 40, "timeout": 2, "http_404": 9, "tls": 0}
    assert [(loss.stage, loss.reason, loss.count) for loss in funnel(counts)] == [
        ("fetch", "http_404", 9),
        ("fetch", "timeout", 2),
        ("select", "surplus", 40),
    ]
    assert funnel({"surplus": 1}) == [Loss("surplus", "select", 1, Reason.SURPLUS.meaning)]
