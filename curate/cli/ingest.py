"""`curate ingest`: manifests of the field's datasets, as they are downloaded."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from curate.cli.options import SHOWN, Scheduler, Workers, new_console
from curate.datasets.layouts import LAYOUTS
from curate.errors import CurateError

if TYPE_CHECKING:
    from curate.datasets.ingestion import Ingested

__all__ = ["ingest"]

*_NAMES, _LAST_NAME = LAYOUTS


def ingest(
    name: Annotated[str, typer.Argument(help=f"Dataset: {', '.join(_NAMES)} or {_LAST_NAME}.")],
    folder: Annotated[str, typer.Argument(help="Folder of the unpacked dataset.")],
    out: Annotated[str, typer.Option("--out", "-o", help="New folder for the manifests.")],
    split: Annotated[
        str | None,
        typer.Option(
            metavar="train|test",
            help="Put all images into this split, whatever their folders are called.",
        ),
    ] = None,
    skip_mispaired: Annotated[
        bool,
        typer.Option("--skip-mispaired", help="Skip images without a partner of the same size."),
    ] = False,
    scheduler: Scheduler = "local",
    workers: Workers = None,
) -> None:
    """Write manifests for a well-known dataset, and pair its clean and degraded images.

    The images are not copied, except for SIDD: its images are cut into parts of 512 pixels.
    """
    from curate.cli.step_bar import StepProgress
    from curate.datasets.ingestion import ingest

    if split not in (None, "train", "test"):
        raise CurateError(f"--split takes train or test, not {split!r}")
    with StepProgress(new_console(stderr=True), "measure") as steps:
        result = ingest(
            name,
            folder,
            out,
            split=split,  # type: ignore[arg-type]
            skip_mispaired=skip_mispaired,
            scheduler=scheduler,
            workers=workers,
            progress=steps,
        )
    for fault in result.left_out[:SHOWN]:
        print(f"left out: {fault}", file=sys.stderr)
    if len(result.left_out) > SHOWN:
        print(f"left out: {len(result.left_out) - SHOWN} more", file=sys.stderr)
    _print(result, out)


def _print(result: Ingested, out: str) -> None:
    for split, found in result.found.items():
        images = ("pair" if result.layout.degradation else "image") + "s" * (found != 1)
        whole = result.layout.whole.get(split)
        of = f" of the {whole:,} that {result.dataset} has" if whole not in (None, found) else ""
        rows = f", cut into {result.rows[split]:,}" if result.rows[split] != found else ""
        print(f"{found:,} {images}{of}{rows}, in {out}/manifest/{split}.parquet")
    if (count := len(result.others)) == 1:
        print(f"1 other file there is no part of it: {result.others[0]}")
    elif count:
        print(f"{count:,} other files there are no part of it, such as {result.others[0]}")
