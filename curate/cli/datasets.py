"""`curate evaluate-labels` and `curate stats`: facts about pictures before there is a run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from curate.cli.options import SHOWN, Scheduler, Settings, Workers, format_of_file, new_console
from curate.errors import Reason

if TYPE_CHECKING:
    from curate.datasets.statistics import Survey

__all__ = ["evaluate_labels", "stats"]


def evaluate_labels(
    pictures: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER", help="Folder with a subfolder of pictures for each category."
        ),
    ],
    recipe: Annotated[str, typer.Option(help="Recipe whose labeller is evaluated.")] = "hq50k",
    set_: Settings = [],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder for the tables (JSON and CSV) and a figure."),
    ] = None,
) -> None:
    """Measure how well a labeller finds the known categories of pictures."""
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
        typer.Option(
            "--format", "-f", help="table, csv, json or md; by default from the ending of --out."
        ),
    ] = None,
    out: Annotated[
        str | None, typer.Option("--out", "-o", help="File to write instead of printing.")
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(
            metavar="RECIPE",
            help="Recipe whose labeller is used to compute the diversity of folders.",
        ),
    ] = None,
    scheduler: Scheduler = "local",
    workers: Workers = None,
) -> None:
    """Compare datasets with those of the paper by size, bits per pixel, frequency and diversity.

    Folders need no run. Files that are no images are listed and not counted.
    """
    from curate.cli.step_bar import StepProgress
    from curate.cli.tables import show
    from curate.datasets import statistics
    from curate.recipe import Recipe

    form = format_of_file(form, out)
    labeller = Recipe.load(label).label if label else None
    with StepProgress(new_console(stderr=True), "measure") as steps:
        surveys = statistics.stats(
            sources, label=labeller, scheduler=scheduler, workers=workers, progress=steps
        )
    for survey in surveys:
        _print_bad_files(survey)
    show(statistics.survey_table(surveys), form, out)


def _print_bad_files(survey: Survey) -> None:
    """Name the first few damaged files and count the others; JSON has them all."""
    damaged = [bad for bad in survey.bad_files if bad.reason is not Reason.NOT_IMAGE]
    lines = [f"{survey.source}/{bad.path}: {bad.reason}: {bad.detail}" for bad in damaged[:SHOWN]]
    if len(damaged) > SHOWN:
        more = len(damaged) - SHOWN
        lines.append(f"{survey.source}: {more} more; --format json names all")
    if others := len(survey.bad_files) - len(damaged):
        files = "files that are" if others > 1 else "file that is"
        lines.append(f"{survey.source}: {others} {files} no image")
    for line in lines:
        print(line, file=sys.stderr)
