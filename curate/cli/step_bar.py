"""Progress of one long job by its steps."""

from __future__ import annotations

import time
from collections.abc import Mapping

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
from rich.table import Column
from rich.text import Text

from curate.humanize import duration

__all__ = ["StepProgress"]


class StepProgress:
    """Steps of a long job, such as training: a bar on a terminal, else a line every ten seconds."""

    def __init__(self, console: Console, what: str) -> None:
        self._console, self._what = console, what
        self._started = self._printed = self._piece_started = time.monotonic()
        self._first: int | None = None
        self._bars = _bars(console)
        self._bar = self._bars.add_task(what, total=None, left="", note="")

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
        left = f"{duration((total - done) / rate)} left" if rate and done < total else ""
        texts = "  ".join(f"{name} {value:.4g}" for name, value in (values or {}).items())
        note = f"{rate:.1f}/s  {texts}"
        self._bars.update(self._bar, total=total, completed=done, left=left, note=note)
        if not self._console.is_terminal and (now - self._printed >= 10 or done == total):
            self._printed = now
            parts = [f"{self._what} {done:,} of {total:,}", f"{rate:.1f}/s", left]
            self._console.print(f"{', '.join(filter(None, parts))}  {texts}".rstrip())

    def piece(self, done: int, total: int) -> None:
        """Show that `done` of `total` pieces of the step under way are done."""
        now = time.monotonic()
        if done == 0:
            self._piece_started = now
        spent = now - self._piece_started
        left = f"{duration(spent / done * (total - done))} left" if 0 < done < total else ""
        pieces = f"piece {done:,} of {total:,}"
        self._bars.update(self._bar, left=left, note=pieces)
        if not self._console.is_terminal and now - self._printed >= 10 and done:
            self._printed = now
            self._console.print(", ".join(filter(None, [f"{self._what}: {pieces}", left])))

    def say(self, sentence: str) -> None:
        """Print a sentence above the bar."""
        self._console.print(sentence)


class _Line(ProgressColumn):
    """Column of one field in one line; what doesn't fit is cut off, and other columns stay."""

    def __init__(self, field: str, *, cut: bool = False) -> None:
        super().__init__(Column(no_wrap=True, overflow="ellipsis", ratio=1 if cut else None))
        self._field = field

    def render(self, task: Task) -> Text:
        return Text(task.fields[self._field])


def _bars(console: Console) -> Progress:
    """Create bars that vanish when done, and are drawn on terminals only.

    Step and time left stand before the values of a step, which a narrow terminal cuts off.
    """
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30 if console.width >= 100 else 10),
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        _Line("left"),
        _Line("note", cut=True),
        console=console,
        expand=True,
        transient=True,
        disable=not console.is_terminal,
    )
