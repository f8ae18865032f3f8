"""Match stage: which images show a part of a benchmark image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from curate.engine.cache import ImageCache
from curate.engine.error_log import write_error_log
from curate.errors import ImageError, RecipeError
from curate.images.decoder_process import run_in_decoder
from curate.stages.match.benchmarks import Benchmarks
from curate.stages.match.keypoints import VERSION, decode_keypoints
from curate.stages.names import StageName

if TYPE_CHECKING:
    from curate.engine.stage import Shard

__all__ = ["SCHEMA", "MatchShard"]

SCHEMA = pa.schema({"contaminated_by": pa.string()})
"""Columns that the match stage adds."""


@dataclass(frozen=True)
class MatchShard:
    """Shard function of the match stage.

    It caches keypoints in `keypoints/<shard>.parquet`, so other lists cost no second pass through
    the images. It rejects nothing: the selection decides about a match's duplicates, too.
    """

    benchmarks: tuple[str, ...]
    """As in `select.benchmarks`."""
    digests: tuple[str, ...]
    """SHA-256 of each list, see `Benchmarks.digests`."""

    @classmethod
    def against(cls, names: tuple[str, ...]) -> MatchShard:
        """Return the function that matches the present lists of these names.

        Raises:
            RecipeError: if one can't be read.
        """
        return cls(names, Benchmarks.load(names).digests)

    @property
    def settings(self) -> dict[str, Any]:
        """Contents of the lists, not their places: all that matches depend on."""
        return {"benchmarks": self.digests, "keypoints": VERSION}

    def __call__(self, rows: pa.Table, shard: Shard) -> pa.Table:
        """Match every row that can be decoded; the others get a reason.

        Args:
            rows: with columns id, width, height, sha256, tar, offset and nbytes.
            shard: see curate.engine.ShardFunction.

        Raises:
            RecipeError: if a list can't be read here, or differs from `digests`.
        """
        # lists take long to load
        benchmarks = _load(self.benchmarks, self.digests) if len(rows) else Benchmarks.load(())
        if not len(benchmarks.table):
            shard.advance(len(rows))
            nulls = pa.nulls(len(rows), pa.string())
            return pa.table([rows["id"], nulls, nulls], ["id", "reason", "contaminated_by"])
        path = f"{StageName.MATCH.cache}/{shard.name}.parquet"
        cache = ImageCache(shard, path, "keypoints", {b"keypoints": str(VERSION).encode()})
        # find keypoints that are not cached, then match all images
        found, errors = cache.get_or_compute(rows, _keypoints, pa.binary())
        write_error_log(shard, StageName.MATCH, errors)
        reasons_of = {id_: error.reason.value for id_, error in errors.items()}
        reasons = [reasons_of.get(id_) for id_ in rows["id"].to_pylist()]
        names = ("sha256", "width", "height")
        images = zip(*(rows[name].to_pylist() for name in names), strict=True)
        matches = benchmarks.match([(found.get(digest, b""), *size) for digest, *size in images])
        columns = [rows["id"], pa.array(reasons, pa.string()), pa.array(matches, pa.string())]
        return pa.table(columns, ["id", "reason", "contaminated_by"])


def _keypoints(images: Iterator[bytes]) -> Iterator[bytes | ImageError]:
    """Yield each image's keypoints as bytes, or why it has none."""
    for data in images:
        try:
            _, keypoints = run_in_decoder(decode_keypoints, data)
            yield keypoints.tobytes()
        except ImageError as error:
            yield error


@lru_cache(maxsize=1)
def _load(names: tuple[str, ...], digests: tuple[str, ...]) -> Benchmarks:
    """Load lists once a process, since building their index takes long."""
    benchmarks = Benchmarks.load(names)
    if benchmarks.digests != digests:
        raise RecipeError(
            "select.benchmarks: a list changed while the run was under way, or is another one "
            "where a worker looks for it: run the same command again, with lists that all workers "
            "see"
        )
    return benchmarks
