"""Next steps for the user after a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from curate.errors import Reason
from curate.humanize import counted
from curate.stages.names import StageName

if TYPE_CHECKING:
    from curate.engine import StageOutcome
    from curate.pipeline.execute import RunOutcome

__all__ = ["advise"]

_PLACES = {"filter": "a filter of your recipe", "fetch": "while fetching"}


def advise(outcome: RunOutcome) -> list[str]:
    """Return sentences about troubles of a run, and the next command; a pure function."""
    return [*_troubles(outcome), *_pins(outcome), *_shortage(outcome), *_next(outcome)]


def _troubles(outcome: RunOutcome) -> Iterator[str]:
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
    transient = [r for r in Reason if r.transient and r.stage == "fetch" and outcome.reasons.get(r)]
    if transient and any(_name(s) in ("fetch", "select") for s in outcome.stages):
        counts = {reason.value: outcome.reasons[reason] for reason in transient}
        then = "  and then the same command" if len(outcome.stages) > 1 else ""
        yield (
            f"{counted(sum(counts.values()), 'candidate')} failed for reasons that may pass "
            f"({_listing(counts)}). To ask again:  "
            f"curate fetch {outcome.folder} --retry transient{then}"
        )


def _pins(outcome: RunOutcome) -> Iterator[str]:
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


def _shortage(outcome: RunOutcome) -> Iterator[str]:
    """Report why fewer images were selected than the recipe wants, and where to look."""
    total, ok = sum(outcome.reasons.values()), outcome.reasons.get("ok", 0)
    if total and not ok and not any(s.quarantined for s in outcome.stages):
        reason = max(Reason, key=lambda reason: outcome.reasons.get(reason, 0))
        count, where = outcome.reasons[reason], _PLACES.get(reason.stage, reason.stage)
        yield (
            f"Nothing is left: {reason} took {count:,} of {total:,} ({reason.meaning}; {where}). "
            f"{_see(outcome)}"
        )
    elif outcome.selection:
        for split in ("train", "test"):
            wanted, taken = outcome.selection[split]["wanted"], outcome.selection[split]["taken"]
            if taken < wanted:
                scarcest = _scarcest(outcome) if split == "train" else ""
                yield (
                    f"{split}: {taken:,} images of the {wanted:,} that select.{split} asks for."
                    f"{scarcest}"
                )
        if outcome.selection["train"]["taken"] < outcome.selection["train"]["wanted"]:
            reasons = [r for r in Reason if r.stage == "filter" and outcome.reasons.get(r)]
            filters = {reason.value: outcome.reasons[reason] for reason in reasons}
            most = f"The filters took {_listing(filters, 3)}. " if filters else ""
            yield f"{most}More candidates help, or lower bounds. {_see(outcome)}"


def _scarcest(outcome: RunOutcome) -> str:
    """Name the three categories with the fewest training images."""
    selection = outcome.selection
    taken = zip(selection["categories"], selection["category_taken"], strict=True)
    scarcest = sorted(taken, key=lambda item: item[1])[:3]
    return f" The scarcest: {', '.join(f'{name} {count:,}' for name, count in scarcest)}."


def _see(outcome: RunOutcome) -> str:
    if any(stage.stage == "report" for stage in outcome.stages):
        return f"See {outcome.folder}/report/index.html"
    return "docs/how-to/when-something-fails.md says what each reason means"


def _next(outcome: RunOutcome) -> Iterator[str]:
    """Give the next command, if images are left."""
    if (not outcome.reasons.get("ok") and outcome.reasons) or not outcome.stages:
        return
    last = _name(outcome.stages[-1])
    if last and last.following:
        yield f"Next:  curate {last.following} {outcome.folder}"
    elif outcome.reasons:
        yield f"To publish it:  curate export {outcome.folder} --out dataset.parquet"
        if outcome.selection and outcome.selection["train"]["taken"]:
            manifest = f"{outcome.folder}/manifest/train.parquet"
            yield f"To train on it:  curate train train/moe_ir_30g --manifest {manifest}"


def _name(outcome: StageOutcome) -> StageName | None:
    return StageName.of_folder(outcome.stage)


def _listing(counts: Mapping[str, int], most: int = 5) -> str:
    """List counts, largest first: dns 1,100, timeout 104."""
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    named = [f"{name} {count:,}" for name, count in ordered[:most]]
    rest = sum(count for _, count in ordered[most:])
    return ", ".join([*named, *([f"others {rest:,}"] if rest else [])])


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5:,} more" if len(names) > 5 else "")
