"""What commands share: options, and the terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from curate.cli.stage_tally import Listeners

__all__ = [
    "SHOWN",
    "LogJson",
    "Scheduler",
    "Settings",
    "Workers",
    "listening",
    "new_console",
    "parts_of",
]

SHOWN = 20
"""Faults that are printed one by one, at most."""

Settings = Annotated[
    list[str], typer.Option("--set", metavar="A.B=C", help="Override a setting; may be repeated.")
]
Scheduler = Annotated[
    str,
    typer.Option(
        help="local (Dask workers on this machine), serial, or a Dask scheduler such as tcp://host:8786."
    ),
]
LogJson = Annotated[
    str | None,
    typer.Option(
        "--log-json",
        metavar="PATH",
        help="Append events, one JSON object a line; - is standard error.",
    ),
]
Workers = Annotated[int | None, typer.Option(min=1, help="Local workers; one per core by default.")]


def parts_of(text: str) -> list[str]:
    """The words of an option that takes several, with commas between them."""
    return [word.strip() for word in text.split(",") if word.strip()]


def new_console(*, stderr: bool = False) -> Console:
    """Standard output, or standard error, as rich writes to it."""
    from rich.console import Console

    # a pipe has no width of its own; tables should not fold in a log
    width = None if (sys.stderr if stderr else sys.stdout).isatty() else 120
    return Console(stderr=stderr, highlight=False, width=width)


@contextmanager
def listening(log_json: str | None, *, quiet: bool = False) -> Iterator[Listeners]:
    """What is told how a run goes: the terminal, unless it is to be quiet, and the log of events, if one is wanted."""
    from curate.cli.live_view import run_progress
    from curate.cli.stage_tally import Listeners

    console = new_console()
    with ExitStack() as stack:
        listeners: list[Any] = [] if quiet else [stack.enter_context(run_progress(console))]
        if log_json is not None:
            from curate.cli.event_log import EventLog

            # told on standard output: standard error may be what can't be written
            log = EventLog(log_json, lambda text: console.print(text, style="yellow", markup=False))
            listeners.append(stack.enter_context(log))
        yield Listeners(*listeners)
