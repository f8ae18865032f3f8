"""Ingestion of a dataset: from its folder to its manifests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curate.datasets.layouts import SPLITS, Layout, Split, find_layout
from curate.datasets.pairing import pair_files
from curate.datasets.rows import GroupRows, GroupTask, make_rows
from curate.engine import Executor, open_executor
from curate.engine.executor import WorkerDied, map_files
from curate.errors import InputError, ManifestError, RunError
from curate.manifest import MANIFEST, PAIRED, arrow_schema, encode_manifest
from curate.manifest.combine import relative_folder
from curate.manifest.export.output_folder import Folder, new_folder
from curate.runtime import describe_failure
from curate.storage.atomic import list_files
from curate.storage.places import locate, remember

__all__ = ["Ingested", "ingest"]

_SHOWN = 3
"""Faults that an error names."""


@dataclass(frozen=True)
class Ingested:
    """Result of an ingestion."""

    dataset: str
    layout: Layout
    found: dict[Split, int]
    """Pairs, or clean images, of each split that has any; `layout.whole` has the full numbers."""
    rows: dict[Split, int]
    """Rows of each manifest; more than pairs where those were cut into parts."""
    left_out: tuple[str, ...]
    """The fault of each image that was left out on request."""
    others: tuple[str, ...]
    """Files below the dataset's folder that don't belong to it."""


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
    """Write `manifest/train.parquet` and `manifest/test.parquet` of a dataset into a new folder.

    Images are paired by their names. They stay where they are, and the manifests point at them,
    with their hashes; only SIDD is cut, into tars beside the manifests. Clean images are measured
    as a run measures them.

    Args:
        name: of the dataset, in any case: one of `curate.datasets.layouts.LAYOUTS`.
        folder: the dataset's, a path or fsspec URL.
        out: folder for the manifests; new or empty.
        split: split of all images, overriding the dataset's and that of folder names.
        skip_mispaired: leave out images that are damaged, or without a partner of their size,
            instead of failing.
        scheduler: who reads and measures: `local` (Dask workers on this machine), `serial`, or
            the address of a Dask scheduler.
        workers: number of local workers, one per core by default.
        progress: called with the number of clean images done and of all.

    Raises:
        InputError: if the dataset isn't known or isn't there, images don't pair up, or some can't
            be read; names them after all were tried.
        RunError: if `out` holds something or can't be written, or the scheduler can't be reached.
    """
    known, layout = find_layout(name)
    source, target = fspath(folder), fspath(out)
    paths = [path for path, _ in list_files(source)]
    place = locate(source)
    root = place.path
    pairing = pair_files(known, layout, PurePosixPath(root).name, paths, split)
    _check(known, source, pairing.faults, skip_mispaired)
    # pictures that are cut go into new tars, the others are pointed at
    relative = "" if layout.crop else _relative_folder(source, target)
    with new_folder(target) as staging, open_executor(scheduler, workers) as executor:
        tasks = [
            GroupTask(number, group, place.url, relative, staging.url, known, layout)
            for number, group in enumerate(pairing.groups)
        ]
        # collect the results in the order of the groups, whichever worker is done first
        rows: list[dict[str, Any]] = []
        faults: list[str] = []
        found: Counter[Split] = Counter()
        for task, result in zip(tasks, _run(executor, tasks, progress), strict=True):
            rows += result.rows
            faults += result.faults
            found[task.group.split] += result.images
        _check(known, source, faults, skip_mispaired)
        counts = _write(staging, known, layout, rows)
    left_out = (*pairing.faults, *faults)
    return Ingested(known, layout, dict(found), counts, left_out, pairing.others)


def _check(name: str, folder: str, faults: Sequence[str], skip: bool) -> None:
    if faults and not skip:
        more = f"; and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        shown = f"{name} in {folder} isn't whole: {'; '.join(faults[:_SHOWN])}{more}"
        advice = "mend the download, or leave such images out with --skip-mispaired"
        raise InputError(f"{shown}: {advice}")


def _relative_folder(folder: str, out: str) -> str:
    """Return the path of the dataset's folder relative to that of the manifests."""
    try:
        return relative_folder(folder, f"{out}/manifest")
    except ManifestError as error:
        fault = f"{folder} and {out} are on different storages"
        raise InputError(f"{fault}: a manifest points at images on its own one") from error


def _run(
    executor: Executor, tasks: Sequence[GroupTask], progress: Callable[[int, int], None] | None
) -> list[GroupRows]:
    """Return the result of each task, in their order."""
    results: dict[int, GroupRows] = {}
    for task, result in map_files(executor, make_rows, tasks):
        if isinstance(result, WorkerDied):
            fault = "it, or a partner of it, takes down who decodes it"
            result = GroupRows((), 0, (f"{task.group.clean}: {fault}",))
        elif isinstance(result, RunError):
            raise result
        elif isinstance(result, Exception):
            fault = f"{task.group.clean}: {describe_failure(result)}"
            result = GroupRows((), 0, (fault,))
        results[task.number] = result
        if progress is not None:
            progress(len(results), len(tasks))
    return [results[task.number] for task in tasks]


def _write(
    staging: Folder, name: str, layout: Layout, rows: list[dict[str, Any]]
) -> dict[Split, int]:
    """Write the manifests, and return the number of rows of each."""
    if not rows:
        raise InputError(f"nothing of {name} is left: no image has a partner of its size")
    table = pa.Table.from_pylist(rows, arrow_schema((*MANIFEST, *PAIRED)))
    metadata = {"ingested": name}
    if layout.crop:
        metadata["crops"] = f"{layout.crop.size} pixels, {layout.crop.overlap} of overlap"
    counts: dict[Split, int] = {}
    for split in SPLITS:
        part = table.filter(pc.equal(table["split"], split))
        sha256 = staging.write(f"manifest/{split}.parquet", encode_manifest(part, metadata))
        remember(sha256)  # it points at the user's folder, out of its own
        counts[split] = len(part)
    return counts
