"""Progress of a run for people: a live view on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from curate.cli.stage_tally import StageTally, TalliedProgress
from curate.engine import Progress
from curate.errors import Reason
from curate.humanize import counted, duration

if TYPE_CHECKING:
    from curate.recipe import Recipe

__all__ = ["LiveProgress", "PlainProgress", "RecipeNotice", "run_progress"]

_MEANINGS = {reason.value: reason.meaning for reason in Reason} | {"ok": "still in"}


def run_progress(console: Console) -> LiveProgress | PlainProgress:
    """Return a live view for a terminal, plain lines for anything else."""
    return LiveProgress(console) if console.is_terminal else PlainProgress(console)


class RecipeNotice(Progress):
    """Progress that says how a run changes the recipe in its folder, before it does."""

    def __init__(self, console: Console, recipe: Recipe) -> None:
        self._console, self._recipe = console, recipe

    def run_started(self, folder: str, recipe: str, fingerprint: str) -> None:
        """See engine.Progress."""
        from curate.pipeline.recipe_changes import RECIPE, changed_settings

        if changes := changed_settings(folder, self._recipe):
            line = f"{'recipe':<10} {'; '.join(changes)} (now in {folder}/{RECIPE})"
            self._console.print(line, style="yellow", markup=False, soft_wrap=True)


class PlainProgress(TalliedProgress):
    """Progress as lines: one at the end of a stage, and one every ten seconds before."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(clock)
        self._console = console

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Print the finished shards, if a stage was broken off."""
        with self._lock:
            tally, self._tally = self._tally, None
        if tally is not None and tally.shards_done:
            of_all = f" of {tally.shards:,}" if tally.shards else ""
            are = "is" if max(tally.shards, tally.shards_done) == 1 else "are"
            shards = "shard" if are == "is" else "shards"
            done = f"{tally.shards_done:,}{of_all} {shards} {are} done, and stay"
            # after Ctrl-C the app itself says how to resume
            if kind is not KeyboardInterrupt:
                done += "; once that is mended, the same command goes on from there"
            self._print(f"{tally.stage:<10} broken off; {done}")

    def shard_failed(self, stage: str, shard: str, error: str) -> None:
        """See engine.Progress."""
        super().shard_failed(stage, shard, error)
        if self._tally is not None:
            self._print(
                f"{self._tally.stage}: {shard} failed ({error}); it will be tried again",
                style="yellow",
            )

    def _interim(self, tally: StageTally, now: float) -> None:
        parts = [_position(tally), f"{tally.rate(now):,.1f} rows/s"]
        if (left := tally.seconds_left(now)) is not None:
            parts.append(f"{duration(left)} left")
        if out := [f"{reason} {count:,}" for reason, count in tally.reasons[:3]]:
            parts.append(f"out: {' '.join(out)}")
        if waits := tally.slowest:
            parts.append(f"open for {duration(waits[0][1])}: {waits[0][0]}")
        self._print(f"{tally.stage:<10} {', '.join(parts)}")

    def _finished(self, tally: StageTally, seconds: float) -> None:
        done, fresh = tally.done, tally.work_done - tally.resumed
        if not done:
            self._print(f"{tally.stage:<10} done")
        elif tally.is_idle:
            self._print(f"{tally.stage:<10} skipped: no row is left")
        elif not fresh:
            self._print(f"{tally.stage:<10} {counted(done, 'row')}, there already")
        else:
            ok = tally.rows_out["ok"]
            rate = f"{fresh / seconds:,.1f} rows/s" if seconds > 0.05 else "at once"
            took = duration(seconds) if seconds >= 90 else f"{seconds:.1f} s"
            self._print(
                f"{tally.stage:<10} {counted(done, 'row')}: {ok:,} in, {done - ok:,} out   "
                f"{took}, {rate}"
            )

    def _print(self, line: str, style: str | None = None) -> None:
        self._console.print(line, style=style, markup=False, soft_wrap=True)


class LiveProgress(PlainProgress):
    """Live view: bar, reasons and longest waits of the running stage; a line per finished stage."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(console, clock)
        self._live: Live | None = None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove the live view from the terminal."""
        self._stop()
        super().__exit__(kind, error, trace)

    def stage_started(self, stage: str, shards: int, rows: int) -> None:
        """See engine.Progress."""
        super().stage_started(stage, shards, rows)
        self._live = Live(
            console=self._console, get_renderable=self._draw, transient=True, refresh_per_second=4
        )
        self._live.start()

    def stage_finished(self, stage: str) -> None:
        """See engine.Progress."""
        self._stop()
        super().stage_finished(stage)

    def _stop(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _interim(self, tally: StageTally, now: float) -> None:
        pass  # the live view shows it all the time

    def _draw(self) -> RenderableType:
        with self._lock:
            if self._tally is None:
                return ""
            return Group(
                *_view(self._tally, self._clock(), self._console.width, self._console.height)
            )


def _view(tally: StageTally, now: float, width: int, height: int) -> Iterator[RenderableType]:
    """Yield the parts of the view of a running stage, as far as they fit."""
    parts = [_position(tally), f"{tally.rate(now):,.0f} rows/s"]
    if (left := tally.seconds_left(now)) is not None:
        parts.append(f"{duration(left)} left")
    facts = "  ".join(parts)
    head = Table.grid(padding=(0, 1))
    bar = ProgressBar(
        total=tally.work or None, completed=tally.work_done, width=min(40, width - len(facts) - 13)
    )
    if bar.width is not None and bar.width >= 8:
        head.add_row(Text(f"{tally.stage:<10}"), bar, Text(facts, no_wrap=True))
    else:
        head.add_row(Text(f"{tally.stage} {facts}", no_wrap=True, overflow="ellipsis"))
    yield head
    room = height - 3
    waits = tally.slowest[: max(0, min(5, room // 3))]
    yield _reasons(tally, room - len(waits), width)
    for what, seconds in waits:
        line = Text(
            f"  open for {seconds:4.0f} s  ", no_wrap=True, overflow="ellipsis", style="yellow"
        )
        yield line.append(what, style="default")


def _reasons(tally: StageTally, most: int, width: int) -> Table:
    """Tabulate rows still in, then the most frequent reasons of rejected rows."""
    out = Table.grid(padding=(0, 1))
    out.add_column(no_wrap=True, min_width=20)
    out.add_column(justify="right", no_wrap=True, min_width=10)
    out.add_column(justify="right", no_wrap=True)
    if width >= 72:
        out.add_column(no_wrap=True, overflow="ellipsis", style="dim")
    done, reasons = max(tally.done, 1), tally.reasons
    shown = max(0, min(10, most - 2))
    rest = sum(count for _, count in reasons[shown:])
    rows = [("ok", tally.rows_out["ok"]), *reasons[:shown], *([("others", rest)] if rest else [])]
    for reason, count in rows[: max(1, most)]:
        cells = [f"  {'in' if reason == 'ok' else reason}", f"{count:,}", f"{count / done:.1%}"]
        if width >= 72:
            cells.append(_MEANINGS.get(reason, ""))
        out.add_row(*map(Text, cells), style="green" if reason == "ok" else None)
    return out


def _position(tally: StageTally) -> str:
    # the length of a list is known at its end only
    if not tally.rows:
        return counted(tally.done, "row")
    return f"{tally.work_done:,} of {counted(tally.work, 'row')}"
