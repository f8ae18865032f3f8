"""`curate decontaminate`: lists of benchmarks, which datasets must not show a part of."""

from __future__ import annotations

from typing import Annotated

import typer

from curate.cli.options import new_console
from curate.humanize import counted

__all__ = ["decontaminate_app"]

decontaminate_app = typer.Typer(help="Keep benchmarks out of datasets.", no_args_is_help=True)


@decontaminate_app.callback()
def _group() -> None:  # with a callback, one command stays a command of the group
    """Keep benchmarks out of datasets."""


@decontaminate_app.command()
def build(
    name: Annotated[str, typer.Argument(help="Name of the benchmark, such as Manga109.")],
    folder: Annotated[str, typer.Argument(help="Folder of its images; subfolders are included.")],
    out: Annotated[
        str | None, typer.Option("--out", "-o", help="File to write; NAME.parquet by default.")
    ] = None,
) -> None:
    """Write a list that recognises a benchmark's images, for select.benchmarks of a recipe."""
    from curate.cli.step_bar import StepProgress
    from curate.stages.match.build_list import build_benchmark

    path = out or f"{name}.parquet"
    with StepProgress(new_console(stderr=True), "measure") as steps:
        images, plain = build_benchmark(name, folder, path, progress=steps)
    print(f"{counted(images, 'image')} in {path}")
    if plain:
        print(f"too plain to be recognised: {', '.join(plain)}")
