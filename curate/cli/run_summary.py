"""Summary of a run, printed after its last stage: at most fifteen lines."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import typer

from curate.cli.next_steps import next_command, troubles
from curate.cli.options import new_console
from curate.errors import Reason
from curate.humanize import counted
from curate.stages.names import StageName

if TYPE_CHECKING:
    from curate.pipeline.execute import RunOutcome
    from curate.recipe import Filters

__all__ = ["NOTHING_KEPT", "finish", "print_outcome", "print_places", "summarise"]

NOTHING_KEPT = 3
"""Exit status of a command that did its work, and has no candidate left."""

_LOSSES = 3
"""Reasons that are named, the largest first."""
_LABEL = 10
"""Width of the column of labels."""


def finish(outcome: RunOutcome) -> None:
    """Print the summary of a run; exit with NOTHING_KEPT where all candidates were rejected."""
    print_outcome(outcome)
    if outcome.reasons and not outcome.reasons.get("ok"):
        rejected = counted(sum(outcome.reasons.values()), "candidate")
        print(f"curate: no image is left of {rejected}", file=sys.stderr)
        raise typer.Exit(NOTHING_KEPT)


def print_outcome(outcome: RunOutcome) -> None:
    """Print the summary of a run."""
    from curate.pipeline.recipe_changes import open_run

    console = new_console()
    filters = open_run(outcome.folder)[1].filters
    for line in summarise(outcome, filters, console.width):
        console.print(line, markup=False, soft_wrap=True)


def print_places(places: dict[str, str]) -> None:
    """Print the paths of results."""
    for name, path in places.items():
        print(f"{name:<12} {path}")


def summarise(outcome: RunOutcome, filters: Filters, width: int) -> list[str]:
    """Return the lines of a run's summary; a pure function.

    Args:
        outcome: of the run.
        filters: of its recipe; the remedies name their bounds.
        width: of the terminal, in characters. Paths and commands may be longer.
    """
    lines = _labelled("kept" if outcome.selection else "still in", _kept(outcome), width)
    lines += _labelled("wanted", _wanted(outcome), width)
    skipped = [f"{count:,} {kind}" for kind, count in outcome.passed_over.items() if count]
    lines += _labelled("skipped", ", ".join(skipped), width)
    lines += _losses(outcome, filters, width)
    for trouble in troubles(outcome):
        lines += _labelled("trouble", trouble, width)
    results = {"report": outcome.places.get("report"), "next": next_command(outcome)}
    lines += [f"{label:<{_LABEL}}{text}" for label, text in results.items() if text]
    return lines


def _kept(outcome: RunOutcome) -> str:
    kept, total = outcome.reasons.get("ok", 0), sum(outcome.reasons.values())
    text = f"{kept:,} of {counted(total, 'candidate')}"
    if outcome.selection:
        unit = " tiles" if "tiles" in outcome.selection else ""
        splits = [f"{outcome.selection[split]['taken']:,}{unit} for {use}" for split, use in _USES]
        text += f": {', '.join(splits)}"
    return text


_USES = (("train", "training"), ("test", "test"))


def _wanted(outcome: RunOutcome) -> str:
    """Return the targets that weren't reached, and the categories with the fewest images."""
    selection = outcome.selection
    short = []
    for split, use in _USES if selection else ():
        if selection[split]["taken"] < selection[split]["wanted"]:
            short.append(f"{selection[split]['wanted']:,} for {use}")
    if not short:
        return ""
    taken = zip(selection["categories"], selection["category_taken"], strict=True)
    fewest = sorted(taken, key=lambda item: item[1])[:3]
    scarce = ", ".join(f"{name} {count:,}" for name, count in fewest)
    return f"{', '.join(short)}; the scarcest: {scarce}"


def _losses(outcome: RunOutcome, filters: Filters, width: int) -> Iterator[str]:
    """Yield the largest losses, whatever the stage: count, reason, meaning and remedy."""
    largest = _largest(outcome.reasons)
    digits = max((len(f"{outcome.reasons[reason]:,}") for reason in largest), default=0)
    indent = " " * (_LABEL + digits + 2)
    room = max(20, width - len(indent))
    for number, reason in enumerate(largest):
        label = "lost most" if number == 0 else ""
        lost = textwrap.shorten(f"{reason}: {reason.meaning}", room, placeholder=" ...")
        yield f"{label:<{_LABEL}}{outcome.reasons[reason]:>{digits},}  {lost}"
        for line in _remedy(reason, outcome, filters, room):
            yield f"{indent}{line}"


def _largest(counts: Mapping[str, int]) -> list[Reason]:
    found = [reason for reason in Reason if counts.get(reason)]
    return sorted(found, key=lambda reason: -counts[reason])[:_LOSSES]


def _remedy(reason: Reason, outcome: RunOutcome, filters: Filters, room: int) -> list[str]:
    """Return what helps against a loss, in two lines at most; a command stays in one."""
    from curate.pipeline.probe.remedies import advise

    only_listed = [stage.stage for stage in outcome.stages] == [StageName.CANDIDATES]
    if reason.transient and reason.stage == StageName.FETCH and not only_listed:
        again = f"curate fetch {outcome.folder} --retry {reason}"
        return ["it may pass; to ask again:", again]
    return textwrap.wrap(advise(reason, filters), room, max_lines=2, break_on_hyphens=False)


def _labelled(label: str, text: str, width: int) -> list[str]:
    """Return a text beside its label, in two lines at most; no line for an empty text."""
    wrapped = textwrap.wrap(text, max(20, width - _LABEL), max_lines=2, placeholder=" ...")
    starts = [f"{label:<{_LABEL}}", *[" " * _LABEL] * len(wrapped)]
    return [start + line for start, line in zip(starts, wrapped, strict=False)]
