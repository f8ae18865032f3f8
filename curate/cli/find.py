"""`curate find`: images of a run that are like a text or another image."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from curate.cli.options import Format, RunArgument, check_format
from curate.humanize import counted

if TYPE_CHECKING:
    from curate.pipeline.finding import Found
    from curate.storage.text_table import TextTable

__all__ = ["find"]


def find(
    run: RunArgument,
    text: Annotated[
        str | None, typer.Argument(metavar="TEXT", help='Description, such as "a red house".')
    ] = None,
    like: Annotated[
        str | None,
        typer.Option(metavar="IMAGE", help="File, or the id or URL of an image of the run."),
    ] = None,
    count: Annotated[int, typer.Option("--count", "-n", help="Images to find, up to 500.")] = 24,
    page: Annotated[
        str | None, typer.Option(metavar="FILE", help="Page of the images to write, as .html.")
    ] = None,
    form: Format = "table",
) -> None:
    """Find the images of a run that are like a text, or like another image.

    They are found by the embeddings that labelling keeps, whether they were selected or not.
    """
    from curate.cli.tables import show
    from curate.pipeline import finding

    check_format(form)
    found = finding.find(run, text, like=like, count=count, page=page)
    show(_table(found), form)
    if found.missing:
        lacking = counted(found.missing, "shard")
        print(
            f"{lacking} of labelled images had no embeddings to search: --from label with "
            "label.keep_embeddings=true makes them",
            file=sys.stderr,
        )
    if page is not None:
        print(page, file=sys.stderr)


def _table(found: Found) -> TextTable:
    from curate.storage.text_table import TextColumn, TextTable

    columns = [
        TextColumn("similarity", ("similarity",), lambda value: f"{value:.4f}"),
        TextColumn("id", ("id",), left=True),
        TextColumn("size", ("width", "height"), lambda width, height: f"{width}x{height}"),
        TextColumn("category", ("category",), left=True),
        TextColumn("split", ("split",), left=True),
        TextColumn("rejected", ("reason",), left=True),
        TextColumn("url", ("url",), left=True),
    ]
    legend = f"The nearest of {counted(found.images, 'image')} to: {found.query}"
    return TextTable(columns, [asdict(match) for match in found.matches], legend=legend)
