"""Builder of benchmark lists: the keypoints of each image."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.parquet as pq

from curate.errors import ImageError, InputError, Reason
from curate.images.decoder_process import run_in_decoder
from curate.stages.match.benchmarks import BENCHMARK, MIN_AGREEING
from curate.stages.match.keypoints import KEYPOINT, decode_keypoints
from curate.storage import atomic
from curate.storage.places import open_file

__all__ = ["KEYPOINTS", "build_benchmark"]

KEYPOINTS = 128
"""Three times as many as of a candidate, so that they include the best blobs of crops."""


def build_benchmark(
    name: str, folder: str, out: str, *, progress: Callable[[int, int], None] | None = None
) -> tuple[int, list[str]]:
    """Write the list of a benchmark: each image's keypoints, not the image.

    Args:
        name: of the benchmark, as `contaminated_by` will show it.
        folder: its images, at any depth; a path or fsspec URL. Other files are skipped.
        out: Parquet file to write.
        progress: called with the number of files done and of all.

    Returns:
        The number of images in the list, and the names of images that are too plain to match.

    Raises:
        InputError: if the name won't do, or the folder holds no image, or a damaged one.
    """
    if not re.fullmatch(r"[\w.-]+", name):
        raise InputError(
            f"{name!r} won't do as a benchmark's name: take letters, digits, '_', '-' and '.'"
        )
    paths = [path for path, _ in atomic.list_files(folder)]
    rows = []
    for number, path in enumerate(paths, start=1):
        try:
            with open_file(f"{folder.rstrip('/')}/{path}") as file:
                data = file.read()
        except OSError as error:
            fault = error.strerror or type(error).__name__
            raise InputError(f"{folder}/{path} can't be read: {fault}") from error
        try:
            size, keypoints = run_in_decoder(decode_keypoints, data, KEYPOINTS)
        except ImageError as error:
            if error.reason is Reason.FORMAT_UNSUPPORTED:
                continue
            raise InputError(
                f"{folder}/{path}: {error}; a benchmark's list should have all of it"
            ) from error
        image_name = PurePosixPath(path).with_suffix("").as_posix()
        rows.append((name, image_name, *size, keypoints.tobytes()))
        if progress is not None:
            progress(number, len(paths))
    if not rows:
        raise InputError(f"{folder} holds no images")
    # transpose the rows into columns
    sink = io.BytesIO()
    table = pa.table(list(map(list, zip(*rows, strict=True))), schema=BENCHMARK)
    pq.write_table(table, sink, compression="zstd")
    atomic.write(out, sink.getvalue())
    enough = MIN_AGREEING * KEYPOINT.itemsize
    return len(rows), [image for _, image, _, _, keypoints in rows if len(keypoints) < enough]
