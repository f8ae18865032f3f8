"""Table 2 of the HQ-50K paper for folders of pictures, manifests and runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from itertools import islice
from os import PathLike
from typing import Any

import numpy as np
import pyarrow as pa

from curate.engine import Executor, open_executor
from curate.engine.executor import WorkerDied, map_files
from curate.errors import ImageError, InputError, Reason
from curate.images.decoder_process import run_in_decoder
from curate.images.file_format import HEAD, sniff
from curate.manifest import read_manifest
from curate.manifest.paper_statistics import PUBLISHED
from curate.manifest.statistics import Statistics, summarise
from curate.recipe import Label, Measure
from curate.runtime import describe_failure
from curate.stages.measure import measure_image
from curate.storage.atomic import list_files
from curate.storage.places import locate, open_file
from curate.storage.text_table import TextColumn, TextTable

__all__ = ["BadFile", "Survey", "stats", "survey_table"]

MAX_BYTES = 2**30
"""Larger files aren't read: no image of a size that is measured needs more."""

_MEASURES = ("pixels", "bpp", "hf_ratio", "hf_ratio_032")
_COLUMNS = (
    TextColumn("dataset", ("dataset",), left=True),
    TextColumn("images", ("number",), "{:,}".format),
    TextColumn("pixels", ("pixels",), "{:,.0f}".format),
    TextColumn("bpp", ("bpp",), "{:.3f}".format),
    TextColumn("ratio 0.32", ("hf_ratio_032",), "{:.4%}".format),
    TextColumn("ratio 0.5", ("hf_ratio",), "{:.4%}".format),
    TextColumn("diversity", ("diversity",), "{:.3f}".format),
    TextColumn("entropy", ("natural_diversity",), "{:.3f}".format),
    TextColumn("left out", ("bad_files",), "{:,}".format),
)
_LEGEND = (
    "Means over images. ratio: power beyond 0.32 and 0.5 of the half-diagonal; diversity: over "
    "sub-categories, to base 10; entropy: over broad classes, in nats."
)


@dataclass(frozen=True)
class BadFile:
    """A file of a folder that could not be measured."""

    path: str
    reason: Reason
    detail: str


@dataclass(frozen=True)
class Survey:
    """A dataset's row of Table 2."""

    source: str
    """The folder, manifest or run."""
    statistics: Statistics
    bad_files: tuple[BadFile, ...] = ()
    """Files of a folder that are not counted, and why."""


def stats(
    sources: str | PathLike[str] | Sequence[str | PathLike[str]],
    *,
    label: Label | None = None,
    scheduler: str = "local",
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Survey]:
    """Return the paper's five measures of datasets.

    Pictures of a folder are measured now; for manifests and runs the measures are those on record.
    A file that is no image, or a damaged one, is left out and named. Memory: one image for each
    worker, and a name and 32 bytes for each file.

    Args:
        sources: one or more folders of pictures at any depth, manifests (`.parquet`), or run
            folders, whose training and test split are one dataset here; paths or fsspec URLs.
        label: the labeller that gives folders their diversity, such as
            `Recipe.load("hq50k").label`; none by default.
        scheduler: executor that measures folders: `local` (Dask workers on this machine), `serial`,
            or the address of a Dask scheduler.
        workers: number of local workers, one per core by default.
        progress: called with the number of files done and of all.

    Returns:
        One survey per source, in their order.

    Raises:
        InputError: if a source is none of these, or a folder to be labelled isn't on a local disk.
        LabelError: if the labeller can't be loaded.
        RunError: if the scheduler can't be reached.
        ManifestError: if a manifest can't be read.
    """
    names = list(map(str, [sources] if isinstance(sources, str | PathLike) else sources))
    surveys, files = {}, {}
    for name in names:
        if manifests := _manifests(name):
            surveys[name] = Survey(name, summarise(_read(manifests)))
        else:
            files[name] = [path for path, _ in list_files(name)]
    if label is not None:
        _check_labels(label, files)
    total, done = sum(map(len, files.values())), 0

    def advance(count: int = 1) -> None:
        nonlocal done
        done += count
        if progress is not None:
            progress(done, total if label is None else 2 * total)

    with open_executor(scheduler, workers) if total else nullcontext() as executor:
        for folder, paths in files.items():
            surveys[folder] = _survey(folder, paths, label, executor, advance)
    return [surveys[name] for name in names]


def _manifests(source: str) -> list[str]:
    """Return the manifests that a source stands for; none if it is a folder of pictures."""
    if source.endswith(".parquet"):
        return [source]
    try:
        place = locate(source)
    except (ImportError, ValueError) as error:
        raise InputError(f"can't read {source}: {error}") from error
    if place.fs.isfile(place.path):
        raise InputError(
            f"{source} is one file: name the folder that it is in, or a manifest (.parquet)"
        )
    if not place.fs.exists(f"{place.path}/recipe.yaml"):
        return []
    return [f"{source.rstrip('/')}/manifest/{split}.parquet" for split in ("train", "test")]


def _read(manifests: list[str]) -> pa.Table:
    """Read the columns of manifests that statistics need."""
    needed = {*_MEASURES, "category", "broad"}
    tables = []
    for path in manifests:
        table = read_manifest(path).table
        tables.append(table.select([name for name in table.column_names if name in needed]))
    return pa.concat_tables(tables, promote_options="default")


def _survey(
    folder: str,
    paths: list[str],
    label: Label | None,
    executor: Executor | None,
    advance: Callable[..., None],
) -> Survey:
    place = locate(folder)
    tasks = [(i, f"{place.url.rstrip('/')}/{path}") for i, path in enumerate(paths)]
    # a row for each file, in the order of their names, whatever the order of results
    measures = np.full((len(tasks), len(_MEASURES)), np.nan)
    bad: dict[int, BadFile] = {}
    for (i, _), result in map_files(executor, _measure_file, tasks) if executor is not None else ():
        if isinstance(result, WorkerDied):
            bad[i] = BadFile(paths[i], Reason.CRASHED, str(result))
        elif isinstance(result, ImageError):
            bad[i] = BadFile(paths[i], result.reason, str(result.args[1]))
        elif isinstance(result, Exception):
            bad[i] = BadFile(paths[i], Reason.UNREADABLE, describe_failure(result))
        else:
            measures[i] = result
        advance()
    labels: dict[str, list[str]] = {}
    if label is not None:
        advance(len(bad))
        files = {i: f"{place.path}/{path}" for i, path in enumerate(paths) if i not in bad}
        labels, errors = _label(files, label, advance)
        for i, error in errors.items():
            bad[i] = BadFile(paths[i], error.reason, str(error.args[1]))
    good = np.delete(measures, list(bad), axis=0)
    columns: dict[str, Any] = {name: good[:, column] for column, name in enumerate(_MEASURES)}
    columns |= labels
    bad_files = tuple(bad[i] for i in sorted(bad))
    return Survey(folder, summarise(pa.table(columns)), bad_files)


def _check_labels(config: Label, folders: Iterable[str]) -> None:
    """Refuse folders and labellers that can't be used before hours of measuring."""
    from curate.stages.label.clip import label_images

    for folder in folders:
        if not locate(folder).is_local:
            raise InputError(
                f"{folder} is on no local disk, and labels are of local files: "
                "make a run of it instead"
            )
    label_images([], config)  # loads the labeller, which is cached


def _label(
    files: dict[int, str], config: Label, advance: Callable[..., None]
) -> tuple[dict[str, list[str]], dict[int, ImageError]]:
    """Return columns of files that could be labelled, and number -> error of the others.

    At most a thousand embeddings are in memory.
    """
    from curate.stages.label.clip import attempt_labels  # torch: only where pictures are labelled

    columns: dict[str, list[str]] = {"category": [], "broad": []}
    errors: dict[int, ImageError] = {}
    for start in range(0, len(files), 1000):
        part = dict(islice(files.items(), start, start + 1000))
        for i, found in zip(part, attempt_labels(part.values(), config), strict=True):
            if isinstance(found, ImageError):
                errors[i] = found
            else:
                columns["category"].append(found.category)
                columns["broad"].append(found.broad)
        advance(len(part))
    return columns, errors


def _measure_file(task: tuple[int, str], report: Callable[[int], None]) -> tuple[float, ...]:
    """Measure one file, on a worker."""
    _, url = task
    try:
        with open_file(url) as file:
            head = file.read(HEAD)
            if not head:
                raise ImageError(Reason.EMPTY, "no bytes")
            if sniff(head) is None:
                raise ImageError(Reason.NOT_IMAGE, "it begins like no image")
            data = head + file.read(MAX_BYTES - len(head) + 1)
    except OSError as error:
        raise ImageError(Reason.UNREADABLE, error.strerror or type(error).__name__) from error
    if len(data) > MAX_BYTES:
        raise ImageError(Reason.TOO_LARGE, f"over {MAX_BYTES} bytes")
    measures = run_in_decoder(measure_image, data, max_pixels=Measure().max_pixels)
    return tuple(float(getattr(measures, name)) for name in _MEASURES)


def survey_table(surveys: Sequence[Survey]) -> TextTable:
    """Return the surveys, then the paper's datasets; JSON also has each bad file."""
    rows, content = [], []
    for survey in surveys:
        row = {"dataset": survey.source, **asdict(survey.statistics)}
        rows.append(row | {"bad_files": len(survey.bad_files)})
        content.append(row | {"bad_files": list(map(asdict, survey.bad_files))})
    published = [{"dataset": name, **asdict(found)} for name, found in PUBLISHED.items()]
    for row in published:
        rows.append(row | {"dataset": f"{row['dataset']} (paper)", "bad_files": None})
    both = {"datasets": content, "published": published}
    return TextTable(_COLUMNS, rows, legend=_LEGEND, content=both)
