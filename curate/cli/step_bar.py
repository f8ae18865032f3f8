"""Progress of one long job by its steps."""

from __future__ import annotations

import time
from collections.abc import Mapping

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

__all__ = ["StepProgress"]


class StepProgress:
    """Steps of a long job, such as training: a bar on a terminal, else a line every ten seconds."""

    def __init__(self, console: Console, what: str) -> None:
        self._console, self._what = console, what
        self._started = self._printed = time.monotonic()
        self._first: int | None = None
        self._bars = _bars(console)
        self._bar = self._bars.add_task(what, total=None, note="")

    def __enter__(self) -> StepProgress:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def __call__(self, done: int, total: int, values: Mapping[str, float] | None = None) -> None:
        """Show that `done` of `total` steps are done."""
        now = time.monotonic()
        self._first = done - 1 if self._first is None else self._first
        rate = (done - self._first) / max(now - self._started, 1e-9)
        note = "  ".join(f"{name} {value:.4g}" for name, value in (values or {}).items())
        self._bars.update(self._bar, total=total, completed=done, note=f"{rate:.1f}/s  {note}")
        if not self._console.is_terminal and (now - self._printed >= 10 or done == total):
            self._printed = now
            left = f", {(total - done) / rate:.0f} s left" if rate and done < total else ""
            self._console.print(f"{self._what} {done} of {total}, {rate:.1f}/s{left}  {note}")

    def say(self, sentence: str) -> None:
        """Print a sentence above the bar."""
        self._console.print(sentence)


def _bars(console: Console) -> Progress:
    """Create bars that vanish when done, and are drawn on terminals only."""
    return Progress(
        TextColumn("{task.description:<10}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
