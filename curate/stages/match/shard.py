"""Keeping benchmarks out: lists of their keypoints, and the stage that holds images against them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from curate.engine.cache import read_kept, write_kept
from curate.errors import ImageError, RecipeError
from curate.images.decode import decode_luma
from curate.stages.match.benchmarks import Benchmarks
from curate.stages.match.keypoints import VERSION, find_keypoints
from curate.storage.atomic import read_images

if TYPE_CHECKING:
    from curate.engine.stage import Shard

__all__ = [
    "SCHEMA",
    "MatchShard",
]

SCHEMA = pa.schema([("contaminated_by", pa.string())])
"""Columns that the match stage adds."""


@dataclass(frozen=True)
class MatchShard:
    """The shard function of the match stage: which of the images that passed show a part of a benchmark image.

    Their keypoints stay in `keypoints/<shard>.parquet`, so other lists cost no second look at the images. Nothing is
    rejected here: what becomes of the duplicates of a match is the selection's to decide.
    """

    benchmarks: tuple[str, ...]
    """As in `select.benchmarks`."""
    digests: tuple[str, ...]
    """Of the lists, see `Benchmarks.digests`."""

    @classmethod
    def against(cls, names: tuple[str, ...]) -> MatchShard:
        """Match the lists that these names stand for now.

        Raises:
            RecipeError: if one can't be read.
        """
        return cls(names, Benchmarks.load(names).digests)

    @property
    def settings(self) -> dict[str, Any]:
        """What matches depend on: what is in the lists, not where they lie."""
        return {"benchmarks": self.digests, "keypoints": VERSION}

    def __call__(self, rows: pa.Table, shard: Shard) -> pa.Table:
        """See curate.engine.ShardFunction; rows have width, height, sha256, tar, offset and nbytes.

        Raises:
            RecipeError: if a list can't be read here, or is another than `digests` says.
        """
        benchmarks = _load(self.benchmarks, self.digests)
        if not len(benchmarks.table):
            shard.advance(len(rows))
            return pa.table(
                {"id": rows["id"], "reason": _nulls(rows), "contaminated_by": _nulls(rows)}
            )
        known, reasons = _find(rows, shard)
        columns = (rows[name].to_pylist() for name in ("sha256", "width", "height"))
        images = [(known.get(digest, b""), *size) for digest, *size in zip(*columns, strict=True)]
        matches = pa.array(benchmarks.match(images), pa.string())
        return pa.table(
            {"id": rows["id"], "reason": pa.array(reasons, pa.string()), "contaminated_by": matches}
        )


def _find(rows: pa.Table, shard: Shard) -> tuple[dict[str, bytes], list[str | None]]:
    """Keypoints by the SHA-256 of the image, from what is kept or from its bytes, and why a row has none."""
    path, made_by = f"keypoints/{shard.name}.parquet", {b"keypoints": str(VERSION).encode()}
    kept = read_kept(shard, path, made_by)
    known = (
        {}
        if kept is None
        else dict(zip(*(kept[name].to_pylist() for name in kept.column_names), strict=True))
    )
    digests: list[str] = rows["sha256"].to_pylist()
    missing = [index for index, digest in enumerate(digests) if digest not in known]
    shard.advance(len(digests) - len(missing))
    reasons: list[str | None] = [None] * len(digests)
    for index, data in zip(
        missing, read_images(shard.open, rows.take(pa.array(missing, pa.int64()))), strict=True
    ):
        try:
            known[digests[index]] = find_keypoints(decode_luma(data)).tobytes()
        except ImageError as error:
            reasons[index] = error.reason.value
        shard.advance(1, reasons[index])
    found = {digest: known[digest] for digest in digests if digest in known}
    if missing or known.keys() != found.keys():
        keypoints = pa.array(list(found.values()), pa.binary())
        write_kept(
            shard,
            path,
            pa.table({"sha256": pa.array(list(found), pa.string()), "keypoints": keypoints}),
            made_by,
        )
    return found, reasons


def _nulls(rows: pa.Table) -> pa.Array:
    return pa.nulls(len(rows), pa.string())


@lru_cache(maxsize=1)
def _load(names: tuple[str, ...], digests: tuple[str, ...]) -> Benchmarks:
    """Lists, once in a process: their index is worth keeping."""
    benchmarks = Benchmarks.load(names)
    if benchmarks.digests != digests:
        raise RecipeError(
            "select.benchmarks: a list changed while the run was under way, or is another one where a worker looks for "
            "it: run the same command again, with lists that all workers see"
        )
    return benchmarks
