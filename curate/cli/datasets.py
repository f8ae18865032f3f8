"""`curate evaluate-labels` and `curate stats`: what can be said of pictures before there is a run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from curate.cli.options import SHOWN, Scheduler, Settings, Workers, new_console
from curate.errors import CurateError, Reason

if TYPE_CHECKING:
    from curate.datasets.statistics import Survey

__all__ = ["evaluate_labels", "stats"]


def evaluate_labels(
    pictures: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Holds a folder of pictures for each category.")
    ],
    recipe: Annotated[str, typer.Option(help="Recipe whose labeller is judged.")] = "hq50k",
    set_: Settings = [],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="Folder for the tables as JSON and CSV, and for a figure."
        ),
    ] = None,
) -> None:
    """Judge a labeller and its prompts on pictures whose categories you know, before it labels a dataset."""
    from curate.cli.step_bar import StepProgress
    from curate.cli.tables import evaluation_tables
    from curate.recipe import Recipe
    from curate.stages.label.evaluation import evaluate_labels

    console = new_console()
    with StepProgress(console, "label") as steps:
        evaluation = evaluate_labels(pictures, Recipe.load(recipe, set_).label, steps)
    console.print(*evaluation_tables(evaluation), sep="\n")
    for name, failure in evaluation.failures.items():
        print(f"{pictures / name}: {failure}")
    for path in evaluation.save(out) if out else ():
        print(path)


def stats(
    sources: Annotated[
        list[str],
        typer.Argument(metavar="PATH...", help="Folders of pictures, manifests and run folders."),
    ],
    form: Annotated[
        str | None,
        typer.Option("--format", "-f", help="table, csv, json or md; as --out ends, if not given."),
    ] = None,
    out: Annotated[
        str | None, typer.Option("--out", "-o", help="File to write instead of printing.")
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(metavar="RECIPE", help="Recipe whose labeller gives folders their diversity."),
    ] = None,
    scheduler: Scheduler = "local",
    workers: Workers = None,
) -> None:
    """Hold datasets against those of the paper: number, pixels, bpp, high-frequency ratio, diversity.

    Folders are measured as they are, without a run; what is no image is named and not counted.
    """
    from curate.cli.step_bar import StepProgress
    from curate.cli.tables import surveys_table
    from curate.datasets import statistics
    from curate.recipe import Recipe
    from curate.storage import atomic

    form = form or (Path(out).suffix[1:] if out else "table")
    if form not in statistics.TEXTS and (form != "table" or out):
        raise CurateError(
            f"--format takes {', '.join(statistics.TEXTS)}, or table without --out, not {form!r}"
        )
    labeller = Recipe.load(label).label if label else None
    with StepProgress(new_console(stderr=True), "measure") as steps:
        surveys = statistics.stats(
            sources, label=labeller, scheduler=scheduler, workers=workers, progress=steps
        )
    for found in surveys:
        _print_bad_files(found)
    if form == "table":
        new_console().print(
            surveys_table(
                statistics.HEADINGS,
                map(statistics.cells, statistics.rows(surveys)),
                statistics.LEGEND,
            )
        )
    elif out is None:
        print(statistics.TEXTS[form](surveys), end="")
    else:
        atomic.write(out, statistics.TEXTS[form](surveys).encode())
        print(out)


def _print_bad_files(survey: Survey) -> None:
    """The damaged ones, the first few by name; JSON has them all."""
    damaged = [bad for bad in survey.bad_files if bad.reason is not Reason.NOT_IMAGE]
    for bad in damaged[:SHOWN]:
        print(f"{survey.source}/{bad.path}: {bad.reason}: {bad.detail}", file=sys.stderr)
    if len(damaged) > SHOWN:
        print(
            f"{survey.source}: {len(damaged) - SHOWN} more; --format json names all",
            file=sys.stderr,
        )
    if others := len(survey.bad_files) - len(damaged):
        print(
            f"{survey.source}: {others} file{'s that are' if others > 1 else ' that is'} no image",
            file=sys.stderr,
        )
