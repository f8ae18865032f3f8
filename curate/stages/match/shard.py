"""Keeping benchmarks out: lists of their keypoints, and the stage that holds images against them."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from curate.engine.cache import read_kept, write_kept
from curate.errors import ImageError, InputError, Reason, RecipeError
from curate.images.decode import open_image, to_luma
from curate.manifest.schema import KEYPOINT
from curate.stages.candidates.folders import list_files
from curate.stages.match.benchmarks import AGREEING, BENCHMARK, Benchmarks
from curate.stages.match.keypoints import VERSION
from curate.stages.measure import find_keypoints
from curate.storage import atomic
from curate.storage.atomic import read_images

if TYPE_CHECKING:
    from curate.engine.stage import Shard

__all__ = ["KEYPOINTS", "SCHEMA", "MatchShard", "build_benchmark"]

SCHEMA = pa.schema([("contaminated_by", pa.string())])
"""Columns that the match stage adds."""

KEYPOINTS = 128
"""Three times those of a candidate: a crop's most pronounced blobs are among these though the whole has others."""


def build_benchmark(
    name: str, folder: str, out: str, *, progress: Callable[[int, int], None] | None = None
) -> tuple[int, list[str]]:
    """Write the list of a benchmark: for each image where its blobs lie and what is around them, not the image.

    Args:
        name: of the benchmark, as `contaminated_by` is to tell it.
        folder: its images, at any depth; a path or fsspec URL. What is no image is passed over.
        out: Parquet file to write.
        progress: called with the number of files done and of all.

    Returns:
        How many images it lists, and which of them are too plain to be recognised.

    Raises:
        InputError: if the name won't do, or the folder holds no image, or a damaged one.
    """
    if not re.fullmatch(r"[\w.-]+", name):
        raise InputError(f"{name!r} won't do as a benchmark's name: take letters, digits, '_', '-' and '.'")
    paths = [path for path, _ in list_files(folder)]
    rows = []
    for number, path in enumerate(paths, start=1):
        with fsspec.open(f"{folder.rstrip('/')}/{path}", "rb") as file:
            data = file.read()
        try:
            luma_HW = _luma(data)
        except ImageError as error:
            if error.reason is Reason.FORMAT_UNSUPPORTED:
                continue
            raise InputError(f"{folder}/{path}: {error}; a benchmark's list should have all of it") from error
        height, width = luma_HW.shape
        image_name = PurePosixPath(path).with_suffix("").as_posix()
        rows.append((name, image_name, width, height, find_keypoints(luma_HW, KEYPOINTS).tobytes()))
        if progress is not None:
            progress(number, len(paths))
    if not rows:
        raise InputError(f"{folder} holds no images")
    table = pa.table([list(column) for column in zip(*rows, strict=True)], schema=BENCHMARK)
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    atomic.write(out, sink.getvalue())
    enough = AGREEING * KEYPOINT.itemsize
    return len(rows), [image for _, image, _, _, keypoints in rows if len(keypoints) < enough]


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
            return pa.table({"id": rows["id"], "reason": _nulls(rows), "contaminated_by": _nulls(rows)})
        known, reasons = _find(rows, shard)
        columns = (rows[name].to_pylist() for name in ("sha256", "width", "height"))
        images = [(known.get(digest, b""), *size) for digest, *size in zip(*columns, strict=True)]
        matches = pa.array(benchmarks.match(images), pa.string())
        return pa.table({"id": rows["id"], "reason": pa.array(reasons, pa.string()), "contaminated_by": matches})


def _find(rows: pa.Table, shard: Shard) -> tuple[dict[str, bytes], list[str | None]]:
    """Keypoints by the SHA-256 of the image, from what is kept or from its bytes, and why a row has none."""
    path, made_by = f"keypoints/{shard.name}.parquet", {b"keypoints": str(VERSION).encode()}
    kept = read_kept(shard, path, made_by)
    known = {} if kept is None else dict(zip(*(kept[name].to_pylist() for name in kept.column_names), strict=True))
    digests: list[str] = rows["sha256"].to_pylist()
    missing = [index for index, digest in enumerate(digests) if digest not in known]
    shard.advance(len(digests) - len(missing))
    reasons: list[str | None] = [None] * len(digests)
    for index, data in zip(missing, read_images(shard.open, rows.take(pa.array(missing, pa.int64()))), strict=True):
        try:
            known[digests[index]] = find_keypoints(_luma(data)).tobytes()
        except ImageError as error:
            reasons[index] = error.reason.value
        shard.advance(1, reasons[index])
    found = {digest: known[digest] for digest in digests if digest in known}
    if missing or known.keys() != found.keys():
        keypoints = pa.array(list(found.values()), pa.binary())
        write_kept(
            shard, path, pa.table({"sha256": pa.array(list(found), pa.string()), "keypoints": keypoints}), made_by
        )
    return found, reasons


def _luma(data: bytes) -> NDArray[np.uint8]:
    with open_image(io.BytesIO(data)) as image:
        return to_luma(image)


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
