"""What is said of a run when its stages are done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from curate.cli.options import new_console

if TYPE_CHECKING:
    from curate.pipeline.execute import RunOutcome

__all__ = [
    "print_advice",
    "print_outcome",
    "print_passed_over",
    "print_places",
    "print_reasons",
    "print_selection",
]


def print_outcome(outcome: RunOutcome) -> None:
    """All that is said of a run."""
    print_reasons(outcome)
    print_selection(outcome)
    print_places(outcome.places)
    print_advice(outcome)


def print_places(places: dict[str, str]) -> None:
    """Where results lie."""
    for name, path in places.items():
        print(f"{name:<12} {path}")


def print_passed_over(outcome: RunOutcome) -> None:
    """What of the input is no candidate of its own."""
    if passed_over := [f"{count} {kind}" for kind, count in outcome.passed_over.items() if count]:
        new_console().print(f"besides, of the input: {', '.join(passed_over)}")


def print_reasons(outcome: RunOutcome) -> None:
    """Candidates by reason."""
    from curate.cli.tables import reasons_table

    console = new_console()
    console.print(reasons_table(outcome.reasons))
    print_passed_over(outcome)


def print_selection(outcome: RunOutcome) -> None:
    """What the selection aimed at, and what it reached."""
    from curate.cli.tables import selection_tables

    if outcome.selection.get("pool"):
        for part in selection_tables(outcome.selection):
            new_console().print(part)


def print_advice(outcome: RunOutcome) -> None:
    """What to do next."""
    from curate.cli.next_steps import advise

    for sentence in advise(outcome):
        print(sentence)
