"""`curate export` and `curate manifest`: commands that show, check, compare and make manifests."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from curate.cli.options import SHOWN, new_console
from curate.errors import CurateError
from curate.humanize import counted

if TYPE_CHECKING:
    from curate.manifest import Manifest

__all__ = ["export", "manifest_app"]

manifest_app = typer.Typer(
    help="Show, check, compare, combine and query manifests.", no_args_is_help=True
)


def export(
    source: Annotated[str, typer.Argument(help="Run folder, or one manifest.")],
    out: Annotated[
        str,
        typer.Option(
            "--out", "-o", help="File for a list (manifest, csv, urls), or folder for other kinds."
        ),
    ],
    to: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            help="What to write: manifest, csv, urls, webdataset, hf, folder, fiftyone, lmdb or "
            "crops. By default from the ending of --out: .parquet, .csv, .txt or .tsv.",
        ),
    ] = None,
    per_file: Annotated[
        int,
        typer.Option(help="Number of images in each file of webdataset and hf, or tar of crops."),
    ] = 1000,
    crop: Annotated[int, typer.Option(help="Side of crops in pixels.")] = 768,
    overlap: Annotated[
        int, typer.Option(help="Smallest overlap of neighbouring crops in pixels.")
    ] = 192,
    crops_as: Annotated[
        str, typer.Option("--as", metavar="FORM", help="Form of crops: tar, files or lmdb.")
    ] = "tar",
    skip_damaged: Annotated[
        bool,
        typer.Option(
            "--skip-damaged",
            help="Skip images that can't be read, and count them, instead of stopping.",
        ),
    ] = False,
) -> None:
    """Export a dataset as a list, or its images as a folder, tars, Parquet files or LMDB."""
    from curate.cli.step_bar import StepProgress
    from curate.manifest import ExportOptions, export_manifest

    options = ExportOptions(per_file, crop, overlap, skip_damaged, crops_as)
    with StepProgress(new_console(stderr=True), "export") as steps:
        exported = export_manifest(source, out, to, options=options, progress=steps)
    for fault in exported.left_out[:SHOWN]:
        print(f"left out: {fault}", file=sys.stderr)
    left_out = f", {len(exported.left_out)} left out" if exported.left_out else ""
    print(f"{counted(exported.images, 'image')} in {out}{left_out}")


Source = Annotated[str, typer.Argument(metavar="SOURCE", help="Manifest or run folder.")]


@manifest_app.command()
def validate(
    path: Source,
    check_bytes: Annotated[
        bool, typer.Option("--bytes", help="Read every image, and check its hash.")
    ] = False,
) -> None:
    """Check a manifest against the schema, and list every error."""
    from curate.manifest import find_faults, open_manifests

    faults = 0
    for manifest in open_manifests(path):
        before = faults
        for fault in find_faults(manifest, check_bytes=check_bytes):
            print(f"{manifest.path}: {fault}")
            faults += 1
        if faults == before:
            print(f"{manifest.path}: {counted(len(manifest), 'row')}, all valid")
    if faults:
        raise CurateError(f"{path} breaks the schema in {counted(faults, 'place')}")


@manifest_app.command()
def show(
    path: Source,
    rows: Annotated[int, typer.Option("--rows", "-n", min=0, help="Number of rows to print.")] = 5,
) -> None:
    """Print statistics of a manifest, how it was made, and its first rows."""
    from curate.manifest import open_manifests

    for manifest in open_manifests(path):
        _show(manifest, rows)


def _show(manifest: Manifest, rows: int) -> None:
    from curate.cli.tables import statistics_table, table
    from curate.manifest.statistics import summarise

    console = new_console()
    console.print(statistics_table(manifest.path, summarise(manifest.table)))
    origin = {**manifest.metadata, "fingerprint": manifest.fingerprint}
    origin.pop("recipe", None)
    if manifest.is_tiled:
        images = len(set(manifest.column("tile_of")) - {None})
        origin["tiles"] = f"boxes inside {counted(images, 'image')}, whose bpp they have"
    console.print(table("how it was made", ("", ""), sorted(origin.items())))
    if rows:
        columns = ["id", "category", "width", "height", "bpp", "hf_ratio_032", "split", "url"]
        if manifest.is_tiled:
            columns[2:2] = ["tile_x", "tile_y"]
        columns = [c for c in columns if c in manifest.table.column_names]
        head = manifest.table.select(columns).slice(0, rows).to_pylist()
        title = f"first {len(head)} of {counted(len(manifest), 'row')}"
        console.print(table(title, columns, [row.values() for row in head]))


@manifest_app.command()
def diff(
    first: Source,
    second: Annotated[
        str, typer.Argument(metavar="OTHER", help="Manifest or run folder to compare it with.")
    ],
) -> None:
    """Compare two datasets row by row. The exit code is 1 if they differ."""
    from curate.manifest import compare, open_manifests

    difference = compare(open_manifests(first), open_manifests(second))
    for id_ in difference.removed:
        print(f"- {id_}")
    for id_ in difference.added:
        print(f"+ {id_}")
    for id_, columns in difference.changed.items():
        print(f"~ {id_} {', '.join(columns)}")
    for key, (old, new) in difference.metadata.items():
        print(f"~ made with another {key}" + ("" if key == "recipe" else f": {old} -> {new}"))
    print(
        f"{len(difference.added)} added, {len(difference.removed)} removed, "
        f"{len(difference.changed)} changed, {difference.same} the same"
    )
    if difference.added or difference.removed or difference.changed:
        raise typer.Exit(1)


@manifest_app.command()
def merge(
    sources: Annotated[
        list[str], typer.Argument(metavar="SOURCE...", help="Manifests and run folders.")
    ],
    out: Annotated[str, typer.Option("--out", "-o", help="Manifest to write.")],
) -> None:
    """Merge manifests into one. Repeated images are left out; test images of any stay test."""
    from curate.manifest import merge, open_manifests

    merged = merge([manifest for source in sources for manifest in open_manifests(source)], out)
    print(f"{counted(merged.images, 'image')} in {out}")
    if merged.repeated:
        rows = counted(merged.repeated, "repeated row")
        print(f"{rows} left out: an image of the same id or bytes is there already")
    if merged.to_test:
        moved = counted(merged.to_test, "training image")
        print(f"{moved} moved to test, as in another manifest")


@manifest_app.command()
def sample(
    source: Annotated[str, typer.Argument(help="Manifest or run folder.")],
    count: Annotated[int, typer.Argument(metavar="N", min=1, help="Number of rows to draw.")],
    out: Annotated[str, typer.Option("--out", "-o", help="Manifest to write.")],
    seed: Annotated[int, typer.Option(help="Random seed of the sample.")] = 0,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Draw equally many rows for each value of this column, such as category.",
        ),
    ] = None,
) -> None:
    """Draw a random sample of rows. With one seed, larger samples contain smaller ones."""
    from curate.cli.tables import table
    from curate.manifest import open_manifests, sample

    drawn = sample(open_manifests(source), count, out, seed=seed, by=by)
    if by is not None:
        new_console().print(table(f"drawn by {by}", (by, "rows"), sorted(drawn.items())))
    print(f"{counted(drawn.total(), 'image')} in {out}")


@manifest_app.command()
def query(
    sql: Annotated[
        str,
        typer.Argument(
            metavar="SQL", help="SELECT statement; tables are images, and ledger of a run."
        ),
    ],
    sources: Annotated[
        list[str], typer.Argument(metavar="SOURCE...", help="Manifests, or one run folder.")
    ],
    out: Annotated[
        str | None,
        typer.Option(
            "--out", "-o", help="File to write instead of printing: .csv, .json or .parquet."
        ),
    ] = None,
) -> None:
    """Query manifests with SQL. A .parquet result with all columns of a manifest is one, too."""
    from curate.cli.tables import table
    from curate.manifest import open_manifests
    from curate.manifest.query import query, save

    manifests = [manifest for source in sources for manifest in open_manifests(source)]
    is_run = len(sources) == 1 and not sources[0].endswith(".parquet")
    run = sources[0].rstrip("/") if is_run else None
    result = query(sql, manifests, run=run, out=out or "")
    if out is None:
        rows = [row.values() for row in result.to_pylist()]
        title = counted(len(rows), "row")
        new_console().print(table(title, result.column_names, rows))
    else:
        save(result, out, manifests)
        print(f"{counted(len(result), 'row')} in {out}")
