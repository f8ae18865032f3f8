"""Options that several commands share, and the console that they print to."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curate.errors import CurateError
from curate.storage.text_table import FORMATS

if TYPE_CHECKING:
    from rich.console import Console

    from curate.cli.stage_tally import Listeners
    from curate.recipe import Recipe
    from curate.stages.names import StageName

__all__ = [
    "SHOWN",
    "Format",
    "Inputs",
    "Json",
    "LogJson",
    "Out",
    "RecipeName",
    "Retry",
    "RunArgument",
    "Scheduler",
    "Settings",
    "Workers",
    "check_format",
    "format_of_file",
    "new_console",
    "open_listeners",
    "split_words",
]

SHOWN = 20
"""Faults that are printed one by one, at most."""

RecipeName = Annotated[
    str, typer.Argument(help="Recipe: a YAML file, or a shipped one's name such as hq50k.")
]
RunArgument = Annotated[
    str, typer.Argument(metavar="RUN", help="Run folder: a path or any fsspec URL.")
]
Inputs = Annotated[
    list[str],
    typer.Option(
        "--input",
        "-i",
        help="List of URLs (txt, csv, tsv, jsonl, parquet), folder of images, or output of "
        "img2dataset; may be repeated.",
    ),
]
Out = Annotated[str, typer.Option("--out", "-o", help="Run folder: a path or any fsspec URL.")]
Settings = Annotated[
    list[str],
    typer.Option(
        "--set", metavar="A.B=C", help="Override a setting of the recipe; may be repeated."
    ),
]
Scheduler = Annotated[
    str,
    typer.Option(
        help="Where to compute: local (workers on this machine), serial (this process), or the "
        "address of a Dask scheduler such as tcp://host:8786."
    ),
]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Number of local workers; one per core by default.")
]
Retry = Annotated[
    str,
    typer.Option(
        metavar="REASONS",
        help="Request candidates again that were rejected for these reasons, such as dns,tls, or "
        "transient for all temporary ones.",
    ),
]
LogJson = Annotated[
    str | None,
    typer.Option(
        "--log-json",
        metavar="PATH",
        help="File to append events to, one JSON object a line; - for standard error.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]
Format = Annotated[
    str, typer.Option("--format", "-f", help="Format of the output: table, csv, json or md.")
]


def split_words(text: str) -> list[str]:
    """Return the words of an option that takes several, separated by commas."""
    return [word.strip() for word in text.split(",") if word.strip()]


def check_format(form: str) -> str:
    """Return the format that a command prints its table in; refuse one that isn't known."""
    if form not in ("table", *FORMATS):
        raise CurateError(f"--format takes table, {', '.join(FORMATS)}, not {form!r}")
    return form


def format_of_file(form: str | None, out: str | None, formats: Collection[str] = FORMATS) -> str:
    """Return the format of a command's table: `form`, or else the ending of `out`, or a table."""
    form = form or (Path(out).suffix[1:] if out else "table")
    if form not in formats and (form != "table" or out):
        raise CurateError(
            f"--format takes {', '.join(formats)}, or table without --out, not {form!r}"
        )
    return form


def new_console(*, stderr: bool = False) -> Console:
    """Return rich's console for standard output, or standard error."""
    from rich.console import Console

    # a pipe has no width of its own; tables should not fold in a log
    width = None if (sys.stderr if stderr else sys.stdout).isatty() else 120
    return Console(stderr=stderr, highlight=False, width=width)


@contextmanager
def open_listeners(
    log_json: str | None,
    *,
    quiet: bool = False,
    recipe: Recipe | None = None,
    after: tuple[StageName, str] | None = None,
) -> Iterator[Listeners]:
    """Open the listeners of a run: the terminal unless quiet, and the event log if any.

    Args:
        log_json: path of the event log, if there is to be one.
        quiet: print nothing on the terminal.
        recipe: of the run; what it changes in the run's own is said.
        after: a stage that was done before, and the run folder, for the time left of the next one.
    """
    from curate.cli.live_view import RecipeNotice, run_progress
    from curate.cli.stage_tally import Listeners

    console = new_console()
    with ExitStack() as stack:
        listeners: list[Any] = [] if quiet else [stack.enter_context(run_progress(console))]
        if log_json is not None:
            from curate.cli.event_log import EventLog

            # complaints go to standard output: standard error may be what can't be written
            log = EventLog(log_json, lambda text: console.print(text, style="yellow", markup=False))
            listeners.append(stack.enter_context(log))
        if after is not None:
            rejected = _rejected_after(*after)
            for listener in listeners:
                listener.remember(after[0], rejected)
        if recipe is not None:
            listeners.append(RecipeNotice(console, recipe))
        yield Listeners(*listeners)


def _rejected_after(stage: StageName, run: str) -> dict[str, int]:
    """Return how many rows of each shard of a run were rejected by a stage or before it."""
    from curate.engine import RunFolder, read_index, read_records

    folder = RunFolder(run)
    index = read_index(folder)
    if index is None:
        return {}
    counts = {}
    for record in read_records(folder, stage.folder, index.shards):
        counts[record.shard] = record.rows_in - record.rows_out.get("ok", 0)
    return counts
