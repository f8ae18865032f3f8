"""Troubles of a run in sentences, and the user's next command after it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from curate.humanize import counted
from curate.stages.names import StageName

if TYPE_CHECKING:
    from curate.engine import StageOutcome
    from curate.pipeline.execute import RunOutcome

__all__ = ["next_command", "troubles"]


def troubles(outcome: RunOutcome) -> list[str]:
    """Return a sentence for each fault that the counts of reasons don't show."""
    return [*_failed_shards(outcome), *_lost_pins(outcome), *_lost_verdicts(outcome)]


def next_command(outcome: RunOutcome) -> str | None:
    """Return the command that goes on from a run; None where it has no images left."""
    if not outcome.stages or (outcome.reasons and not outcome.reasons.get("ok")):
        return None
    last = _name(outcome.stages[-1])
    if last and last.following:
        return f"curate {last.following} {outcome.folder}"
    return f"curate export {outcome.folder} --out dataset.parquet" if outcome.reasons else None


def _failed_shards(outcome: RunOutcome) -> Iterator[str]:
    for stage in outcome.stages:
        if stage.excluded:
            yield (
                f"{_name(stage)}: {counted(len(stage.excluded), 'image')} killed a worker and "
                f"{'were' if len(stage.excluded) > 1 else 'was'} left out: {_few(stage.excluded)}"
            )
        if stage.quarantined:
            yield (
                f"{_name(stage)}: gave up on {_few(stage.quarantined)}; "
                "the same command tries again"
            )


def _lost_pins(outcome: RunOutcome) -> Iterator[str]:
    """Report earlier picks that could not be kept."""
    pins = outcome.selection.get("pins", {"lost": {}, "unknown": 0})
    if pins["lost"]:
        count = sum(pins["lost"].values())
        named = ", ".join(pins["few"]) + (" and more" if count > len(pins["few"]) else "")
        why = _listing(pins["lost"])
        yield f"{counted(count, 'pin')} of select.pins could not be kept ({why}): {named}"
    if pins["unknown"]:
        is_ = "is" if pins["unknown"] == 1 else "are"
        yield f"{counted(pins['unknown'], 'pin')} of select.pins {is_} of no candidate of this run"


def _lost_verdicts(outcome: RunOutcome) -> Iterator[str]:
    """Report verdicts on images that the run doesn't have."""
    trouble = outcome.selection.get("verdicts", {}).get("trouble")
    if trouble:
        yield trouble


def _name(outcome: StageOutcome) -> StageName | None:
    return StageName.of_folder(outcome.stage)


def _listing(counts: Mapping[str, int]) -> str:
    """List counts, largest first: dns 1,100, timeout 104."""
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {count:,}" for name, count in ordered)


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5:,} more" if len(names) > 5 else "")
