"""Log of the images of a shard for which a stage has no result, and why, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pyarrow as pa

from curate.errors import ImageError
from curate.storage.parquet import encode_table

if TYPE_CHECKING:
    from curate.engine.stage import Shard

__all__ = ["write_error_log"]

_SCHEMA = pa.schema([("id", pa.string()), ("reason", pa.string()), ("detail", pa.string())])


def write_error_log(shard: Shard, stage: str, errors: Mapping[str, ImageError]) -> None:
    """Write `log/<stage>-<number>.parquet`, with columns as in the fetch stage's log.

    Args:
        shard: where it goes; nowhere, if the shard is rehearsed.
        stage: name of the stage.
        errors: id -> error of the image; without any there is no file.
    """
    if shard.discard:
        return
    path = f"log/{stage}-{shard.name.removeprefix('part-')}.parquet"
    if not errors:
        shard.folder.remove(path)
        return
    rows = []
    for id_, error in errors.items():
        detail = str(error.args[1]).encode("utf-8", "replace").decode()
        rows.append({"id": id_, "reason": error.reason.value, "detail": detail})
    with shard.create(path, volatile=True) as sink:
        sink.write(encode_table(pa.Table.from_pylist(rows, _SCHEMA)))
