"""Picks that a selection keeps: pins of the recipe, and the run's own picks before a change."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from curate import engine
from curate.engine import CommitRecord, RunFolder
from curate.errors import InputError, RunError
from curate.manifest import read_manifest
from curate.pipeline.tombstones import Tombstones
from curate.recipe import Recipe
from curate.stages.names import StageName
from curate.stages.select import Pins, read_pins
from curate.storage.parquet import DamagedTable, read_table

__all__ = ["PICKS", "earlier_picks", "named_picks", "note_picks"]

PICKS = "picks.parquet"
"""Id and split of the images picked before the run was last changed; a new run has none.

Tiles also have the id of their image."""


def named_picks(folder: RunFolder, recipe: Recipe) -> Pins:
    """Return the picks that the recipe pins.

    Raises:
        CurateError: if they can't be read, or are this run's own manifest.
    """
    for path in recipe.select.pins:
        if RunFolder(path).url.startswith(f"{folder.url}/manifest/"):
            raise InputError(
                f"select.pins names {path}, which this run writes anew: copy it elsewhere and name "
                "the copy"
            )
    return read_pins(recipe.select.pins)


def earlier_picks(folder: RunFolder) -> Pins:
    """Return the run's own earlier picks, less images that were removed since.

    Raises:
        RunError: if they can't be read.
    """
    if not folder.exists(PICKS):
        return {}
    removed = Tombstones.read(folder).of("id")
    try:
        with folder.open(PICKS) as file:
            table = read_table(file)
        images = table["tile_of" if "tile_of" in table.column_names else "id"]
        table = table.filter(pc.invert(pc.is_in(images, pa.array(sorted(removed), pa.string()))))
        return dict(zip(table["id"].to_pylist(), table["split"].to_pylist(), strict=True))
    except (DamagedTable, OSError, KeyError) as error:
        raise RunError(
            f"{folder}/{PICKS} is damaged ({' '.join(str(error).split())}): put a copy in its "
            "place, or remove it to have images picked without regard to what was picked before"
        ) from error


def note_picks(folder: RunFolder) -> None:
    """Write down the run's picks, for later selections to keep, if its manifests are whole.

    Called before a change, while the manifests are the last published ones.
    """
    record = CommitRecord.read(folder, StageName.SELECT.folder, "whole")
    paths = [f"manifest/{split}.parquet" for split in ("train", "test")]
    if record is None or any(folder.sha256(path) != record.outputs.get(path, "") for path in paths):
        return
    manifests = [read_manifest(f"{folder.url}/{path}").table for path in paths]
    names = ["id", "split"]
    if any("tile_of" in t.column_names and t["tile_of"].null_count < len(t) for t in manifests):
        names.append("tile_of")
    picks = pa.concat_tables([table.select(names) for table in manifests])
    folder.write(PICKS, engine.encode_table(picks.sort_by("id")))
