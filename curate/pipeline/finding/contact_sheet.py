"""Contact sheet of found images: one self-contained HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from curate.engine import RunFolder, Shard
from curate.stages.report.album import Album
from curate.stages.report.template import render
from curate.storage import atomic

if TYPE_CHECKING:
    from curate.pipeline.finding.matches import Found

__all__ = ["write_contact_sheet"]


def write_contact_sheet(
    folder: RunFolder,
    recipe: str,
    found: Found,
    rows: Sequence[dict[str, Any]],
    path: str | PathLike[str],
) -> None:
    """Write a page with a thumbnail, the similarity and the source of each image.

    Args:
        folder: the run folder, which holds the images.
        recipe: name of the run's recipe.
        found: result of the search.
        rows: the run's rows of its matches.
        path: file to write.
    """
    table = pa.Table.from_pylist(list(rows)) if rows else None
    pictures = Album(Shard("whole", folder)).pictures(table)
    picture_of = {picture.row["id"]: picture for picture in pictures}
    cards = [(match, picture_of.get(match.id)) for match in found.matches]
    content = {"recipe": recipe, "found": found, "cards": cards}
    page = render("contact_sheet.html", content, package="curate.pipeline.finding")
    atomic.write(path, page.encode())
