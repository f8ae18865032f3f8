"""What commands share."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["SHOWN", "new_console"]

SHOWN = 20
"""Faults that are printed one by one, at most."""


def new_console(*, stderr: bool = False) -> Console:
    """Standard output, or standard error, as rich writes to it."""
    from rich.console import Console

    # a pipe has no width of its own; tables should not fold in a log
    width = None if (sys.stderr if stderr else sys.stdout).isatty() else 120
    return Console(stderr=stderr, highlight=False, width=width)
