"""A dataset's folder -> its manifests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import PurePosixPath
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.compute as pc

from curate.datasets.layouts import SPLITS, Layout, Split, find_layout
from curate.datasets.pairing import match
from curate.datasets.rows import Job, Made, make_rows
from curate.engine import Executor, open_executor
from curate.engine.executor import WorkerDied, map_files
from curate.errors import InputError, ManifestError
from curate.manifest import MANIFEST, PAIRED, arrow_schema, encode_manifest
from curate.manifest.combine import way_to
from curate.manifest.export.output_folder import Folder, new_folder
from curate.storage.atomic import list_files

__all__ = ["Ingested", "ingest"]

_SHOWN = 3
"""Faults that an error names."""


@dataclass(frozen=True)
class Ingested:
    """What came of it."""

    dataset: str
    layout: Layout
    found: dict[Split, int]
    """Pairs, or clean images, of each split that has any; `layout.whole` says how many the complete dataset has."""
    rows: dict[Split, int]
    """Rows of each manifest; more than pairs where those were cut into parts."""
    left_out: tuple[str, ...]
    """What was wrong with images that were left out, having been told to."""
    others: tuple[str, ...]
    """Files that are none of the dataset's, below its folder."""


def ingest(
    name: str,
    folder: str | PathLike[str],
    out: str | PathLike[str],
    *,
    split: Split | None = None,
    skip_mispaired: bool = False,
    scheduler: str = "local",
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Ingested:
    """Write `manifest/train.parquet` and `manifest/test.parquet` of a dataset of the field, in a folder of their own.

    Images are paired by what their names say. They stay where they are, and the manifests point at them, with their
    hashes; only SIDD is cut, into tars beside the manifests. Clean images are measured as a run measures them.

    Args:
        name: of the dataset, in whatever case: one of `curate.datasets.LAYOUTS`.
        folder: where it lies, a path or fsspec URL.
        out: folder for the manifests; not there yet, or empty.
        split: what its images are for, instead of what the dataset or its folders say.
        skip_mispaired: leave out images without a partner of their size, instead of failing.
        scheduler: what reads and measures: `local` (Dask workers on this machine), `serial`, or the address of a Dask
            scheduler.
        workers: number of local workers, one per core by default.
        progress: called with the number of clean images done and of all.

    Raises:
        InputError: if the dataset isn't known or isn't there, images don't pair up, or one can't be read; names them.
        RunError: if `out` holds something or can't be written, or the scheduler can't be reached.
    """
    known, layout = find_layout(name)
    place, target = fspath(folder), fspath(out)
    fs, root = fsspec.core.url_to_fs(place)
    paths = [path for path, _ in list_files(place)]
    matched = match(known, layout, PurePosixPath(root).name, paths, split)
    _check(known, place, matched.faults, skip_mispaired)
    # pictures that are cut are written anew, the others are pointed at
    way = "" if layout.crop else _way(place, target)
    with new_folder(target) as staging, open_executor(scheduler, workers) as executor:
        jobs = [
            Job(number, group, fs.unstrip_protocol(root), way, staging.url, known, layout)
            for number, group in enumerate(matched.groups)
        ]
        made = _run(executor, jobs, progress)
        faults = tuple(fault for one in made for fault in one.faults)
        _check(known, place, faults, skip_mispaired)
        rows = _write(staging, known, layout, [row for one in made for row in one.rows])
    found: Counter[Split] = Counter()
    for job, one in zip(jobs, made, strict=True):
        found[job.group.split] += one.images
    return Ingested(known, layout, dict(found), rows, matched.faults + faults, matched.others)


def _check(name: str, folder: str, faults: Sequence[str], skip: bool) -> None:
    if faults and not skip:
        more = f"; and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        raise InputError(
            f"{name} in {folder} doesn't pair up: {'; '.join(faults[:_SHOWN])}{more}: "
            "mend the download, or leave such images out with --skip-mispaired"
        )


def _way(folder: str, out: str) -> str:
    """The dataset's folder as seen from that of the manifests."""
    try:
        return way_to(folder, f"{out}/manifest")
    except ManifestError as error:
        raise InputError(
            f"{folder} and {out} are on different storages: a manifest points at images on its own one"
        ) from error


def _run(
    executor: Executor, jobs: Sequence[Job], progress: Callable[[int, int], None] | None
) -> list[Made]:
    """What came of each job, in their order."""
    made: dict[int, Made] = {}
    for job, result in map_files(executor, make_rows, jobs):
        if isinstance(result, WorkerDied):
            raise InputError(
                f"{job.folder}/{job.group.clean}, or a partner of it, takes down who decodes it"
            )
        if isinstance(result, Exception):
            raise result
        made[job.number] = result
        if progress is not None:
            progress(len(made), len(jobs))
    return [made[job.number] for job in jobs]


def _write(
    staging: Folder, name: str, layout: Layout, rows: list[dict[str, Any]]
) -> dict[Split, int]:
    if not rows:
        raise InputError(f"nothing of {name} is left: no image has a partner of its size")
    table = pa.Table.from_pylist(rows, arrow_schema((*MANIFEST, *PAIRED)))
    crop = layout.crop
    cut = {"crops": f"{crop.size} pixels, {crop.overlap} of overlap"} if crop else {}
    counts: dict[Split, int] = {}
    for split in SPLITS:
        part = table.filter(pc.equal(table["split"], split))
        staging.write(f"manifest/{split}.parquet", encode_manifest(part, {"ingested": name, **cut}))
        counts[split] = len(part)
    return counts
