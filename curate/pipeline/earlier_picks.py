"""What a selection keeps of earlier ones: what the recipe pins, and what a run had picked before it was changed."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq

from curate import engine
from curate.engine import CommitRecord, RunFolder
from curate.errors import InputError, RunError
from curate.manifest import read_manifest
from curate.pipeline.tombstones import Tombstones
from curate.recipe import Recipe
from curate.stages.select import Pins, read_pins

__all__ = ["PICKS", "earlier_picks", "named_picks", "note_picks"]

PICKS = "picks.parquet"
"""Id and split of what was picked before the run was last changed; without it a selection is free."""


def named_picks(folder: RunFolder, recipe: Recipe) -> Pins:
    """The picks that the recipe pins.

    Raises:
        CurateError: if they can't be read, or are this run's own manifest, which is about to be written.
    """
    for path in recipe.select.pins:
        if RunFolder(path).url.startswith(f"{folder.url}/manifest/"):
            raise InputError(
                f"select.pins names {path}, which this run writes anew: copy it elsewhere and name the copy"
            )
    return read_pins(recipe.select.pins)


def earlier_picks(folder: RunFolder) -> Pins:
    """The run's own, less what was removed since.

    Raises:
        RunError: if they can't be read.
    """
    if not folder.exists(PICKS):
        return {}
    removed = Tombstones.read(folder).of("id")
    try:
        with folder.open(PICKS) as file:
            table = pq.read_table(file, page_checksum_verification=True)
        rows = zip(table["id"].to_pylist(), table["split"].to_pylist(), strict=True)
        return {id_: split for id_, split in rows if id_ not in removed}
    except (pa.ArrowException, OSError, KeyError) as error:
        raise RunError(
            f"{folder}/{PICKS} is damaged ({' '.join(str(error).split())}): put a copy in its place, or remove it to "
            "have images picked without regard to what was picked before"
        ) from error


def note_picks(folder: RunFolder) -> None:
    """Note what the run has picked, as what later selections are to keep; if its manifests are whole, or else nothing.

    To be called before a change, while they are what was published last.
    """
    record = CommitRecord.read(folder, "select", "whole")
    paths = [f"manifest/{split}.parquet" for split in ("train", "test")]
    if record is None or any(folder.sha256(path) != record.outputs.get(path, "") for path in paths):
        return
    tables = [read_manifest(f"{folder.url}/{path}").table.select(["id", "split"]) for path in paths]
    folder.write(PICKS, engine.encode_table(pa.concat_tables(tables).sort_by("id")))
