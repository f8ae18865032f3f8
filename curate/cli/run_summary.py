"""Summary of a run, printed after its last stage."""

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
    """Print the whole summary of a run."""
    print_reasons(outcome)
    print_selection(outcome)
    print_places(outcome.places)
    print_advice(outcome)


def print_places(places: dict[str, str]) -> None:
    """Print the paths of results."""
    for name, path in places.items():
        print(f"{name:<12} {path}")


def print_passed_over(outcome: RunOutcome) -> None:
    """Print how many lines of the input add no candidate, by kind."""
    if passed_over := [f"{count} {kind}" for kind, count in outcome.passed_over.items() if count]:
        new_console().print(f"besides, of the input: {', '.join(passed_over)}")


def print_reasons(outcome: RunOutcome) -> None:
    """Print the candidates by reason."""
    from curate.cli.tables import reasons_table

    console = new_console()
    console.print(reasons_table(outcome.reasons))
    print_passed_over(outcome)


def print_selection(outcome: RunOutcome) -> None:
    """Print the targets of the selection, and how far it reached them."""
    from curate.cli.tables import selection_tables

    if outcome.selection.get("pool"):
        for part in selection_tables(outcome.selection):
            new_console().print(part)


def print_advice(outcome: RunOutcome) -> None:
    """Print the next steps."""
    from curate.cli.next_steps import advise

    for sentence in advise(outcome):
        print(sentence)
