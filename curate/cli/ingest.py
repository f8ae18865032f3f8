"""`curate ingest`: datasets of the field, as they are downloaded."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from curate.cli.options import SHOWN, Scheduler, Workers, new_console
from curate.errors import CurateError

if TYPE_CHECKING:
    from curate.datasets import Ingested

__all__ = ["ingest"]


def ingest(
    name: Annotated[
        str,
        typer.Argument(
            help="SIDD, NIND, PolyU, GoPro, REDS_blur, REDS_blur_jpeg, Rain13K, Rain100L, Rain100H, BSD400, WED, "
            "DIV2K, Flickr2K, Set5, Set14, CBSD68, Kodak24, Urban100, Manga109 or classic5."
        ),
    ],
    folder: Annotated[str, typer.Argument(help="Where it lies, as it was unpacked.")],
    out: Annotated[
        str, typer.Option("--out", "-o", help="Folder for the manifests, of their own.")
    ],
    split: Annotated[
        str | None,
        typer.Option(metavar="train|test", help="What all of it is for, whatever its folders say."),
    ] = None,
    skip_mispaired: Annotated[
        bool,
        typer.Option("--skip-mispaired", help="Leave out images without a partner of their size."),
    ] = False,
    scheduler: Scheduler = "local",
    workers: Workers = None,
) -> None:
    """Make manifests of a dataset of the field; clean and degraded images are paired by their names.

    The images stay where they are. SIDD's are cut into parts of 512 pixels, in tars beside the manifests.
    """
    from curate.cli.step_bar import StepProgress
    from curate.datasets import ingest

    if split not in (None, "train", "test"):
        raise CurateError(f"--split takes train or test, not {split!r}")
    with StepProgress(new_console(stderr=True), "measure") as steps:
        made = ingest(
            name,
            folder,
            out,
            split=split,  # type: ignore[arg-type]
            skip_mispaired=skip_mispaired,
            scheduler=scheduler,
            workers=workers,
            progress=steps,
        )
    for fault in made.left_out[:SHOWN]:
        print(f"left out: {fault}", file=sys.stderr)
    if len(made.left_out) > SHOWN:
        print(f"left out: {len(made.left_out) - SHOWN} more", file=sys.stderr)
    _print(made, out)


def _print(made: Ingested, out: str) -> None:
    for split, found in made.found.items():
        images = ("pair" if made.layout.degradation else "image") + "s" * (found != 1)
        whole = made.layout.whole.get(split)
        of = f" of the {whole:,} that {made.dataset} has" if whole not in (None, found) else ""
        rows = f", cut into {made.rows[split]:,}" if made.rows[split] != found else ""
        print(f"{found:,} {images}{of}{rows}, in {out}/manifest/{split}.parquet")
    if made.others:
        what = (
            "file there is no part of it: "
            if len(made.others) == 1
            else "files there are no part of it, such as "
        )
        print(f"{len(made.others):,} other {what}{made.others[0]}")
