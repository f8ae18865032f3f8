"""Table 2 of the HQ-50K paper for whatever there is: folders of pictures, manifests, runs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from os import PathLike
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
from fsspec.implementations.local import LocalFileSystem

from curate.engine import Executor, open_executor
from curate.engine.executor import WorkerDied, map_files
from curate.errors import ImageError, InputError, Reason
from curate.images.file_format import HEAD, sniff
from curate.manifest import read_manifest
from curate.manifest.paper_statistics import PUBLISHED
from curate.manifest.statistics import Statistics, summarise
from curate.recipe import Label, Measure
from curate.stages.measure import measure_image
from curate.storage.atomic import list_files

__all__ = ["HEADINGS", "LEGEND", "TEXTS", "BadFile", "Survey", "cells", "rows", "stats"]

MAX_BYTES = 2**30
"""Larger files aren't read: no image of a size that is measured needs more."""

_MEASURES = ("pixels", "bpp", "hf_ratio", "hf_ratio_032")
_COLUMNS = {
    "dataset": ("dataset", "{}"),
    "number": ("images", "{:,}"),
    "pixels": ("pixels", "{:,.0f}"),
    "bpp": ("bpp", "{:.3f}"),
    "hf_ratio_032": ("ratio 0.32", "{:.4%}"),
    "hf_ratio": ("ratio 0.5", "{:.4%}"),
    "diversity": ("diversity", "{:.3f}"),
    "natural_diversity": ("entropy", "{:.3f}"),
    "bad_files": ("left out", "{:,}"),
}
"""Column -> its heading and the form of its values, for readers."""

HEADINGS = [heading for heading, _ in _COLUMNS.values()]
LEGEND = (
    "Means over images. ratio: power beyond 0.32 and 0.5 of the half-diagonal; diversity: over sub-categories, to base "
    "10; entropy: over broad classes, in nats."
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
    """Of a folder: what is not counted, and why."""


def stats(
    sources: str | PathLike[str] | Sequence[str | PathLike[str]],
    *,
    label: Label | None = None,
    scheduler: str = "local",
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Survey]:
    """The paper's five measures of datasets. Pictures of a folder are measured now; those of manifests and runs were.

    A file that is no image, or a damaged one, is left out and named. Memory: what one image takes for each worker, and
    a name and 32 bytes for each file.

    Args:
        sources: one or more folders of pictures at any depth, manifests (`.parquet`), or run folders, whose training
            and test split are one dataset here; paths or fsspec URLs.
        label: the labeller that gives folders their diversity, such as `Recipe.load("hq50k").label`; none by default.
        scheduler: what measures folders: `local` (Dask workers on this machine), `serial`, or the address of a Dask
            scheduler.
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
    names = [str(name) for name in ([sources] if isinstance(sources, str | PathLike) else sources)]
    known = {name: manifests for name in names if (manifests := _manifests(name))}
    files = {name: [path for path, _ in list_files(name)] for name in names if name not in known}
    if label is not None:
        _check_labels(label, files)
    total, done = sum(map(len, files.values())), 0

    def advance(count: int = 1) -> None:
        nonlocal done
        done += count
        if progress is not None:
            progress(done, total if label is None else 2 * total)

    surveys = {name: Survey(name, summarise(_read(manifests))) for name, manifests in known.items()}
    with open_executor(scheduler, workers) if total else nullcontext() as executor:
        for folder, paths in files.items():
            surveys[folder] = _survey(folder, paths, label, executor, advance)
    return [surveys[name] for name in names]


def _manifests(source: str) -> list[str]:
    """The manifests that a source stands for; none if it is a folder of pictures."""
    if source.endswith(".parquet"):
        return [source]
    try:
        fs, root = fsspec.core.url_to_fs(source)
    except (ImportError, ValueError) as error:
        raise InputError(f"can't read {source}: {error}") from error
    if fs.isfile(root):
        raise InputError(
            f"{source} is one file: name the folder that it is in, or a manifest (.parquet)"
        )
    if not fs.exists(f"{root}/recipe.yaml"):
        return []
    return [f"{source.rstrip('/')}/manifest/{split}.parquet" for split in ("train", "test")]


def _read(manifests: list[str]) -> pa.Table:
    """What statistics need of the manifests' columns."""
    wanted = (*_MEASURES, "category", "broad")
    tables = [read_manifest(path).table for path in manifests]
    return pa.concat_tables(
        [table.select([name for name in wanted if name in table.column_names]) for table in tables],
        promote_options="default",
    )


def _survey(
    folder: str,
    paths: list[str],
    label: Label | None,
    executor: Executor | None,
    advance: Callable[..., None],
) -> Survey:
    fs, root = fsspec.core.url_to_fs(folder)
    tasks = [(i, fs.unstrip_protocol(f"{root}/{path}")) for i, path in enumerate(paths)]
    measures = np.full((len(tasks), len(_MEASURES)), np.nan)
    bad: dict[int, BadFile] = {}
    for (i, _), result in map_files(executor, _measure_file, tasks) if executor is not None else ():
        if isinstance(result, WorkerDied):
            bad[i] = BadFile(paths[i], Reason.CRASHED, str(result))
        elif isinstance(result, ImageError):
            bad[i] = BadFile(paths[i], result.reason, str(result.args[1]))
        elif isinstance(result, Exception):
            raise result
        else:
            measures[i] = result
        advance()
    good = np.delete(measures, list(bad), axis=0)
    columns: dict[str, Any] = {name: good[:, column] for column, name in enumerate(_MEASURES)}
    if label is not None:
        columns |= _label(
            [f"{root}/{path}" for i, path in enumerate(paths) if i not in bad], label, advance
        )
        advance(len(bad))
    table = pa.table(columns)
    return Survey(folder, summarise(table), tuple(bad[i] for i in sorted(bad)))


def _check_labels(config: Label, folders: Iterable[str]) -> None:
    """Refuse what can't be labelled before hours of measuring."""
    from curate.stages.label.clip import label_images

    for folder in folders:
        if not isinstance(fsspec.core.url_to_fs(folder)[0], LocalFileSystem):
            raise InputError(
                f"{folder} is on no local disk, and labels are of local files: make a run of it instead"
            )
    label_images([], config)  # loads the labeller, which is kept


def _label(files: list[str], config: Label, advance: Callable[..., None]) -> dict[str, list[str]]:
    """Categories and broad classes of pictures; embeddings of no more than a thousand are in memory."""
    from curate.stages.label.clip import label_images  # torch: only where labels are made

    labels = []
    for start in range(0, len(files), 1000):
        labels += label_images(files[start : start + 1000], config)
        advance(len(labels) - start)
    return {
        "category": [found.category for found in labels],
        "broad": [found.broad for found in labels],
    }


def _measure_file(task: tuple[int, str], report: Callable[[int], None]) -> tuple[float, ...]:
    """Runs on a worker."""
    _, url = task
    try:
        with fsspec.open(url, "rb") as file:
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
    measures = measure_image(data, max_pixels=Measure().max_pixels)
    return tuple(float(getattr(measures, name)) for name in _MEASURES)


# --- as text


def rows(surveys: Sequence[Survey]) -> Iterator[dict[str, Any]]:
    """The surveys, then what the paper has, by column; None where there is nothing to say."""
    for survey in surveys:
        yield {
            "dataset": survey.source,
            **asdict(survey.statistics),
            "bad_files": len(survey.bad_files),
        }
    for name, statistics in PUBLISHED.items():
        yield {"dataset": f"{name} (paper)", **asdict(statistics), "bad_files": None}


def cells(row: Mapping[str, Any]) -> list[str]:
    """A row as one reads it."""
    return [
        "-" if row[name] is None else form.format(row[name]) for name, (_, form) in _COLUMNS.items()
    ]


def _csv(surveys: Sequence[Survey]) -> str:
    """A line each; empty where there is nothing to say."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(_COLUMNS), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows(surveys))
    return text.getvalue()


def _json(surveys: Sequence[Survey]) -> str:
    """Everything, each bad file with its reason."""
    found = [
        {"dataset": s.source, **asdict(s.statistics), "bad_files": [asdict(f) for f in s.bad_files]}
        for s in surveys
    ]
    published = [{"dataset": name, **asdict(statistics)} for name, statistics in PUBLISHED.items()]
    return json.dumps({"datasets": found, "published": published}, indent=2) + "\n"


def _markdown(surveys: Sequence[Survey]) -> str:
    """A table for a README."""
    lines = [HEADINGS, ["---", *["---:"] * (len(HEADINGS) - 1)], *map(cells, rows(surveys))]
    escaped = ([cell.replace("|", r"\|") for cell in line] for line in lines)
    return "".join(f"| {' | '.join(line)} |\n" for line in escaped)


TEXTS: dict[str, Callable[[Sequence[Survey]], str]] = {"csv": _csv, "json": _json, "md": _markdown}
"""Name of a format -> what writes surveys in it."""
