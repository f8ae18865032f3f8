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
        help="Folder on this machine that holds the images of file:NAME/... rows; may be repeated.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]
OwnRecipe = Annotated[
    str | None,
    typer.Option(
        metavar="RECIPE", help="Recipe with the settings of fetch and measure; filters are ignored."
    ),
]


def verify(
    source: Annotated[str, typer.Argument(help="Run folder, manifest, or list of URLs.")],
    sample: Annotated[
        str, typer.Option(metavar="N|P%|all", help="How many images to request.")
    ] = "1000",
    seed: Annotated[int, typer.Option(help="Random seed of the sample.")] = 0,
    out: Annotated[
        str | None,
        typer.Option(
            "--out", "-o", help="File to write with a row for each image: .csv, .json or .parquet."
        ),
    ] = None,
    folder: Folders = [],
    recipe: OwnRecipe = None,
    set_: Settings = [],
    scheduler: Annotated[
        str,
        typer.Option(
            help="Where to compute: local (workers on this machine) or serial (this process)."
        ),
    ] = "local",
    workers: Workers = None,
    json: Json = False,
) -> None:
    """Request a sample of a dataset's images again, and report which are gone or have changed.

    The dataset is not changed, and the sample is deleted. The exit code is 1 if no image could be
    downloaded.
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
        str,
        typer.Option(
            "--out", "-o", help="Run folder to create or continue: a path or any fsspec URL."
        ),
    ],
    accept: Annotated[
        str,
        typer.Option(
            help="Which images to accept: bytes (identical files only), or picture (re-encoded and "
            "resized copies too)."
        ),
    ] = "bytes",
    retry: Annotated[
        str,
        typer.Option(
            metavar="REASONS",
            help="Request images again that failed for these reasons, such as dns,tls; transient "
            "means all temporary ones.",
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
    """Download the images of a published dataset, and check each against its published hash.

    Run the same command again to continue after a stop. The exit code is 3 if no image could be
    accepted.
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
    """Add candidates to a finished run, and keep the images that it has selected."""
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
    ids: Annotated[
        Lists, typer.Option(metavar="FILE", help="File with ids to remove, one a line.")
    ] = [],
    urls: Annotated[
        Lists, typer.Option(metavar="FILE", help="File with URLs to remove, one a line.")
    ] = [],
    hosts: Annotated[
        Lists,
        typer.Option(
            metavar="FILE", help="File with hosts to remove; their subdomains are included."
        ),
    ] = [],
    hashes: Annotated[
        Lists,
        typer.Option(
            metavar="FILE", help="File with SHA-256 digests of images to remove, one a line."
        ),
    ] = [],
    keep_copies: Annotated[
        bool,
        typer.Option(
            "--keep-copies", help="Keep copies of the removed images that have other URLs."
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be removed, and stop.")
    ] = False,
    scheduler: Scheduler = "local",
    workers: Workers = None,
    log_json: LogJson = None,
) -> None:
    """Remove images from a run for good: their rows, files and cached results."""
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
