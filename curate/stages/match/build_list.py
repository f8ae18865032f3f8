"""Lists of benchmark images: where the blobs of each lie, and what is around them."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import PurePosixPath

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from curate.errors import ImageError, InputError, Reason
from curate.images.decode import decode_luma
from curate.stages.match.benchmarks import AGREEING, BENCHMARK
from curate.stages.match.keypoints import KEYPOINT, find_keypoints
from curate.storage import atomic
from curate.storage.atomic import list_files

KEYPOINTS = 128
"""Three times those of a candidate: a crop's most pronounced blobs are among these though the whole has others."""


__all__ = ["KEYPOINTS", "build_benchmark"]


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
        raise InputError(
            f"{name!r} won't do as a benchmark's name: take letters, digits, '_', '-' and '.'"
        )
    paths = [path for path, _ in list_files(folder)]
    rows = []
    for number, path in enumerate(paths, start=1):
        with fsspec.open(f"{folder.rstrip('/')}/{path}", "rb") as file:
            data = file.read()
        try:
            luma_HW = decode_luma(data)
        except ImageError as error:
            if error.reason is Reason.FORMAT_UNSUPPORTED:
                continue
            raise InputError(
                f"{folder}/{path}: {error}; a benchmark's list should have all of it"
            ) from error
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
