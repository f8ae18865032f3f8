"""Commands for the upkeep of datasets: verify, rebuild, grow and remove."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from curate.cli.options import (
    Inputs,
    LogJson,
    RunArgument,
    Scheduler,
    Settings,
    Workers,
    new_console,
    open_listeners,
    split_words,
)
from curate.cli.run_summary import NOTHING_KEPT, finish, print_outcome
from curate.errors import CurateError
from curate.humanize import counted

if TYPE_CHECKING:
    from curate.pipeline.removal import Removal

__all__ = ["grow", "rebuild", "remove", "verify"]

Lists = list[str]
_BY = {
    "id": "by URL or id",
    "host": "by host",
    "sha256": "by bytes",
    "pixel_sha256": "by pixels",
    "phash": "by likeness",
}
Folders = Annotated[
    list[str],
    typer.Option(
        "--folder",
        metavar="[NAME=]PATH",
        help="Folder of images that rows file:NAME/... mean; may be repeated.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")]
OwnRecipe = Annotated[
    str | None,
    typer.Option(
        metavar="RECIPE", help="Recipe whose fetch and measure hold; its filters don't matter."
    ),
]


def verify(
    source: Annotated[str, typer.Argument(help="Run folder, manifest, or list of URLs.")],
    sample: Annotated[
        str, typer.Option(metavar="N|P%|all", help="Images to ask for again.")
    ] = "1000",
    seed: Annotated[int, typer.Option(help="Another one draws other images.")] = 0,
    out: Annotated[
        str | None,
        typer.Option("--out", "-o", help="Write a row for each image: .csv, .json or .parquet."),
    ] = None,
    folder: Folders = [],
    recipe: OwnRecipe = None,
    set_: Settings = [],
    scheduler: Annotated[
        str, typer.Option(help="local (workers on this machine) or serial.")
    ] = "local",
    workers: Workers = None,
    json: Json = False,
) -> None:
    """Ask for a sample of a dataset's images again: the same, changed, or gone?

    The dataset is not changed, and the sample is deleted. Exits with 1 when no image could be
    reached.
    """
    from curate.cli.link_rot_tables import link_rot_tables
    from curate.pipeline import verify

    with open_listeners(None, quiet=json) as progress:
        found = verify(
            source,
            sample=sample,
            seed=seed,
            out=out,
            recipe=recipe,
            settings=set_,
            folders=folder,
            scheduler=scheduler,
            workers=workers,
            progress=progress,
        )
    if json:
        print(found.to_json())
    else:
        new_console().print(*link_rot_tables(found.rot), sep="\n")
    if not found.reached:
        raise typer.Exit(1)


def rebuild(
    source: Annotated[
        str, typer.Argument(metavar="LIST", help="Published manifest or list of URLs.")
    ],
    out: Annotated[
        str, typer.Option("--out", "-o", help="Run folder to make: a path or any fsspec URL.")
    ],
    accept: Annotated[
        str,
        typer.Option(
            help="What must be as published: bytes, or picture, for copies in other bytes too."
        ),
    ] = "bytes",
    retry: Annotated[
        str,
        typer.Option(
            metavar="REASONS", help="Ask again for images of these reasons: transient, or dns,tls."
        ),
    ] = "",
    folder: Folders = [],
    recipe: OwnRecipe = None,
    set_: Settings = [],
    scheduler: Scheduler = "local",
    workers: Workers = None,
    log_json: LogJson = None,
    json: Json = False,
) -> None:
    """Fetch a published dataset again, and compare each image with its published hash.

    The same command goes on where it stopped. Exits with 3 when no image is as published.
    """
    from curate.cli.link_rot_tables import link_rot_tables
    from curate.pipeline import rebuild

    with open_listeners(log_json, quiet=json) as progress:
        rebuilt = rebuild(
            source,
            out,
            accept=accept,
            retry=split_words(retry),
            recipe=recipe,
            settings=set_,
            folders=folder,
            scheduler=scheduler,
            workers=workers,
            progress=progress,
        )
    if json:
        print(rebuilt.to_json())
        return
    console = new_console()
    console.print(*link_rot_tables(rebuilt.rot), sep="\n")
    if passed_over := [f"{count:,} {kind}" for kind, count in rebuilt.passed_over.items() if count]:
        console.print(f"skipped, of the list's lines: {', '.join(passed_over)}")
    for split, images in rebuilt.kept.items():
        print(f"{counted(images, 'image')} in {out.rstrip('/')}/manifest/{split}.parquet")
    if any(share.state == "unreachable" for share in rebuilt.rot.states):
        again = f"curate rebuild {source} --out {out} --retry transient"
        print(f"To ask again for what was unreachable:  {again}")
    if not sum(rebuilt.kept.values()):
        raise typer.Exit(NOTHING_KEPT)


def grow(
    run: RunArgument,
    input: Inputs,
    set_: Settings = [],
    scheduler: Scheduler = "local",
    workers: Workers = None,
    log_json: LogJson = None,
) -> None:
    """Add candidates to a finished run: only new ones are fetched and measured, and picks stay."""
    from curate.pipeline import grow
    from curate.pipeline.recipe_changes import open_run

    recipe = open_run(run)[1].override(set_)
    with open_listeners(log_json, recipe=recipe) as progress:
        growth = grow(
            run, input, settings=set_, scheduler=scheduler, workers=workers, progress=progress
        )
    added, shards = counted(growth.added, "candidate"), counted(growth.shards, "new shard")
    print(f"grown by {added}, in {shards}")
    finish(growth.outcome)


def remove(
    source: Annotated[
        str, typer.Argument(metavar="RUN", help="Run folder, or one manifest (.parquet).")
    ],
    ids: Annotated[Lists, typer.Option(metavar="FILE", help="List of ids, one a line.")] = [],
    urls: Annotated[Lists, typer.Option(metavar="FILE", help="List of URLs.")] = [],
    hosts: Annotated[
        Lists, typer.Option(metavar="FILE", help="List of hosts; with their subdomains.")
    ] = [],
    hashes: Annotated[
        Lists, typer.Option(metavar="FILE", help="List of SHA-256 of image files.")
    ] = [],
    keep_copies: Annotated[
        bool,
        typer.Option(
            "--keep-copies", help="Keep the same pictures from elsewhere; by default they go, too."
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would go, and change nothing.")
    ] = False,
    scheduler: Scheduler = "local",
    workers: Workers = None,
    log_json: LogJson = None,
) -> None:
    """Take images out of a run: rows, bytes and cached results. They never come back into it."""
    from curate.pipeline import remove

    if not (ids or urls or hosts or hashes):
        raise CurateError(
            "say what to remove: --ids, --urls, --hosts or --hashes FILE, with one a line"
        )
    with open_listeners(log_json) as progress:
        removal = remove(
            source,
            ids=ids,
            urls=urls,
            hosts=hosts,
            hashes=hashes,
            keep_copies=keep_copies,
            dry_run=dry_run,
            scheduler=scheduler,
            workers=workers,
            progress=progress,
        )
    if removal.outcome is not None:
        print_outcome(removal.outcome)
    _print_removal(removal, dry_run)


def _print_removal(removal: Removal, dry_run: bool) -> None:
    """Print the candidates, files and copies that were removed, or would be."""
    by = ", ".join(f"{removal.by[kind]:,} {how}" for kind, how in _BY.items() if removal.by[kind])
    splits = [f"{count:,} of {split}" for split, count in sorted(removal.picked.items())]
    went = "would go" if dry_run else "removed"
    print(f"{went}: {counted(len(removal.ids), 'candidate')}{f' ({by})' if by else ''}")
    if removal.ids:
        picked, size = " and ".join(splits) or "none", f"{removal.nbytes / 1e6:,.1f} MB of images"
        again = f", {counted(removal.shards, 'shard')} made again" if removal.outcome else ""
        print(f"of the dataset: {picked}; {size}{again}")
    if removal.copies:
        copies = counted(removal.copies, "copy", "copies")
        print(f"{copies} among them that no list names (--keep-copies keeps such)")
    if removal.unknown:
        print(f"{counted(removal.unknown, 'line')} of what isn't here")
