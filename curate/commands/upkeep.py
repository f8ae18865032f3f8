"""Commands for a dataset that lives on after its run."""

from __future__ import annotations

from typing import Annotated

import typer

from curate.commands.terminal import LogJson, Scheduler, Settings, Workers, listening, new_console

__all__ = ["rebuild", "verify"]

Folders = Annotated[
    list[str],
    typer.Option(
        "--folder", metavar="[NAME=]PATH", help="Folder of images that rows file:NAME/... mean; may be repeated."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")]
OwnRecipe = Annotated[
    str | None, typer.Option(metavar="RECIPE", help="Recipe whose fetch and measure hold; its filters don't matter.")
]


def verify(
    source: Annotated[str, typer.Argument(help="Run folder, manifest, or list of URLs.")],
    sample: Annotated[str, typer.Option(metavar="N|P%|all", help="Images to ask for again.")] = "1000",
    seed: Annotated[int, typer.Option(help="Another one draws other images.")] = 0,
    out: Annotated[
        str | None, typer.Option("--out", "-o", help="Write a row for each image: .csv, .json or .parquet.")
    ] = None,
    folder: Folders = [],  # noqa: B006 - typer reads it, nobody changes it
    recipe: OwnRecipe = None,
    set_: Settings = [],  # noqa: B006
    scheduler: Annotated[str, typer.Option(help="local (workers on this machine) or serial.")] = "local",
    workers: Workers = None,
    json: Json = False,
) -> None:
    """Ask for a sample of a dataset's images again: the same, changed, or gone?

    Nothing of the dataset is changed, and nothing of the sample is kept. Exits with 1 when no image could be reached.
    """
    from curate.commands.rot import rot_tables
    from curate.upkeep import verify

    with listening(None, quiet=json) as progress:
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
        new_console().print(*rot_tables(found.rot), sep="\n")
    if not found.reached:
        raise typer.Exit(1)


def rebuild(
    source: Annotated[str, typer.Argument(metavar="LIST", help="Published manifest or list of URLs.")],
    out: Annotated[str, typer.Option("--out", "-o", help="Run folder to make: a path or any fsspec URL.")],
    accept: Annotated[
        str, typer.Option(help="What must be as published: bytes, or picture, for copies in other bytes too.")
    ] = "bytes",
    retry: Annotated[
        str,
        typer.Option(metavar="REASONS", help="Ask again for images of these reasons: transient, or dns,tls."),
    ] = "",
    folder: Folders = [],  # noqa: B006
    recipe: OwnRecipe = None,
    set_: Settings = [],  # noqa: B006
    scheduler: Scheduler = "local",
    workers: Workers = None,
    log_json: LogJson = None,
    json: Json = False,
) -> None:
    """Fetch a published dataset again, each image held against its hash. The same command goes on where it stopped."""
    from curate.commands.rot import rot_tables
    from curate.upkeep import rebuild

    with listening(log_json, quiet=json) as progress:
        rebuilt = rebuild(
            source,
            out,
            accept=accept,
            retry=[name.strip() for name in retry.split(",") if name.strip()],
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
    console.print(*rot_tables(rebuilt.rot), sep="\n")
    if passed_over := [f"{count:,} {kind}" for kind, count in rebuilt.passed_over.items() if count]:
        console.print(f"besides, of the list's lines: {', '.join(passed_over)}")
    for split, images in rebuilt.kept.items():
        print(f"{images:,} images in {out.rstrip('/')}/manifest/{split}.parquet")
    if any(share.state == "unreachable" for share in rebuilt.rot.states):
        print(f"To ask again for what was unreachable:  curate rebuild {source} --out {out} --retry transient")
