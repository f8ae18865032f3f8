"""What was made of images at length, and stays in the run folder by the SHA-256 of their bytes.

In no commit record, since it is worth most when a stage is made anew (docs/decisions/0008). Whatever doesn't fit is as
good as not there.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from curate.errors import RunError
from curate.storage.parquet import DamagedTable, encode_table, read_run_table, read_table

if TYPE_CHECKING:
    from curate.engine import RunFolder
    from curate.engine.stage import Shard

__all__ = ["forget_kept", "read_kept", "write_kept"]


def read_kept(shard: Shard, path: str, made_by: Mapping[bytes, bytes]) -> pa.Table | None:
    """What is kept in a file of the run folder; None if nothing is, or it is damaged, or was made by something else.

    Args:
        shard: opens the run's files.
        path: of the file.
        made_by: metadata that it must have.
    """
    try:
        with shard.open(path) as file:
            table = read_table(file)
    except (RunError, OSError):
        return None
    return table if made_by.items() <= (table.schema.metadata or {}).items() else None


def forget_kept(folder: RunFolder, path: str, digests: Collection[str]) -> None:
    """Remove some images, by the SHA-256 of their bytes, from what is kept in a file; a damaged one goes whole."""
    if not folder.exists(path):
        return
    try:
        table = read_run_table(folder, path)
        others = table.filter(
            pc.invert(pc.is_in(table["sha256"], pa.array(sorted(digests), pa.string())))
        )
    except (DamagedTable, pa.ArrowException, OSError, KeyError):
        folder.remove(path)
        return
    if len(others) < len(table):
        folder.write(path, _encode(others))


def write_kept(shard: Shard, path: str, table: pa.Table, made_by: Mapping[bytes, bytes]) -> None:
    """Keep a table, one row for each image."""
    # volatile: a record would take it along when its stage is made anew
    with shard.create(path, volatile=True) as file:
        file.write(_encode(table.replace_schema_metadata(dict(made_by))))


def _encode(table: pa.Table) -> bytes:
    return encode_table(table, dictionary=False)  # embeddings don't repeat
