"""What commands share: options, and the terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["SHOWN", "Scheduler", "Settings", "Workers", "new_console"]

SHOWN = 20
"""Faults that are printed one by one, at most."""

Settings = Annotated[list[str], typer.Option("--set", metavar="A.B=C", help="Override a setting; may be repeated.")]
Scheduler = Annotated[
    str, typer.Option(help="local (Dask workers on this machine), serial, or a Dask scheduler such as tcp://host:8786.")
]
Workers = Annotated[int | None, typer.Option(min=1, help="Local workers; one per core by default.")]


def new_console(*, stderr: bool = False) -> Console:
    """Standard output, or standard error, as rich writes to it."""
    from rich.console import Console

    # a pipe has no width of its own; tables should not fold in a log
    width = None if (sys.stderr if stderr else sys.stdout).isatty() else 120
    return Console(stderr=stderr, highlight=False, width=width)
