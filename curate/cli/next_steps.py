"""What to do next, in words, from what a run did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from curate.errors import Reason
from curate.stages.names import StageName

if TYPE_CHECKING:
    from curate.engine import StageOutcome
    from curate.pipeline.execute import RunOutcome

__all__ = ["advise"]


def advise(outcome: RunOutcome) -> list[str]:
    """What stands in the way, and the next command: a sentence or two each, only what applies. A pure function."""
    return [*_troubles(outcome), *_pins(outcome), *_shortage(outcome), *_next(outcome)]


def _troubles(outcome: RunOutcome) -> Iterator[str]:
    for stage in outcome.stages:
        if stage.excluded:
            yield (
                f"{_name(stage)}: {_count(len(stage.excluded), 'image')} killed a worker and "
                f"{'were' if len(stage.excluded) > 1 else 'was'} left out: {_few(stage.excluded)}"
            )
        if stage.quarantined:
            yield f"{_name(stage)}: gave up on {_few(stage.quarantined)}; the same command tries again"
    transient = [r for r in Reason if r.transient and r.stage == "fetch" and outcome.reasons.get(r)]
    if transient and any(_name(s) in ("fetch", "select") for s in outcome.stages):
        counts = {reason.value: outcome.reasons[reason] for reason in transient}
        then = "  and then the same command" if len(outcome.stages) > 1 else ""
        yield (
            f"{_count(sum(counts.values()), 'candidate')} failed for reasons that may pass ({_listing(counts)}). "
            f"To ask again:  curate fetch {outcome.folder} --retry transient{then}"
        )


def _pins(outcome: RunOutcome) -> Iterator[str]:
    """Earlier picks that could not be kept."""
    pins = outcome.selection.get("pins", {"lost": {}, "unknown": 0})
    if pins["lost"]:
        count = sum(pins["lost"].values())
        named = ", ".join(pins["few"]) + (" and more" if count > len(pins["few"]) else "")
        yield f"{_count(count, 'pin')} of select.pins could not be kept ({_listing(pins['lost'])}): {named}"
    if pins["unknown"]:
        is_ = "is" if pins["unknown"] == 1 else "are"
        yield f"{_count(pins['unknown'], 'pin')} of select.pins {is_} of no candidate of this run"


def _shortage(outcome: RunOutcome) -> Iterator[str]:
    """Why there is less than was wanted, and where to look."""
    total, ok = sum(outcome.reasons.values()), outcome.reasons.get("ok", 0)
    if total and not ok and not any(s.quarantined for s in outcome.stages):
        reason = max(
            (r for r in Reason if outcome.reasons.get(r)), key=lambda r: outcome.reasons[r]
        )
        count = outcome.reasons[reason]
        where = {"filter": "a filter of your recipe", "fetch": "while fetching"}.get(
            reason.stage, reason.stage
        )
        yield f"Nothing is left: {reason} took {count:,} of {total:,} ({reason.meaning}; {where}). {_look(outcome)}"
    elif outcome.selection:
        for split, asked in (("train", "select.train"), ("test", "select.test")):
            wanted, taken = outcome.selection[split]["wanted"], outcome.selection[split]["taken"]
            if taken < wanted:
                yield f"{split}: {taken:,} images of the {wanted:,} that {asked} asks for.{_scarcest(outcome, split)}"
        if outcome.selection["train"]["taken"] < outcome.selection["train"]["wanted"]:
            filters = {
                r.value: outcome.reasons[r]
                for r in Reason
                if r.stage == "filter" and outcome.reasons.get(r)
            }
            most = f"The filters took {_listing(filters, 3)}. " if filters else ""
            yield f"{most}More candidates help, or lower bounds. {_look(outcome)}"


def _scarcest(outcome: RunOutcome, split: str) -> str:
    if split != "train":
        return ""
    taken = dict(
        zip(outcome.selection["categories"], outcome.selection["category_taken"], strict=True)
    )
    scarcest = sorted(taken.items(), key=lambda item: item[1])[:3]
    return f" The scarcest: {', '.join(f'{name} {count:,}' for name, count in scarcest)}."


def _look(outcome: RunOutcome) -> str:
    if any(stage.stage == "report" for stage in outcome.stages):
        return f"See {outcome.folder}/report/index.html"
    return "docs/how-to/when-something-fails.md says what each reason means"


def _next(outcome: RunOutcome) -> Iterator[str]:
    """The next command, if there is something to go on with."""
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


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _listing(counts: Mapping[str, int], most: int = 5) -> str:
    """The largest first: dns 1,100, timeout 104."""
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    named = [f"{name} {count:,}" for name, count in ordered[:most]]
    rest = sum(count for _, count in ordered[most:])
    return ", ".join([*named, *([f"others {rest:,}"] if rest else [])])


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5:,} more" if len(names) > 5 else "")
