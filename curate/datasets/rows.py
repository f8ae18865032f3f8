"""Rows of one clean image and its degraded ones, measured in place or cut; made on workers."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from PIL import Image

from curate.datasets.layouts import Crop, Layout
from curate.datasets.pairing import Group
from curate.errors import ImageError, InputError
from curate.images.decode import decode_size, open_image, to_rgb
from curate.images.decoder_process import run_in_decoder
from curate.manifest import MANIFEST, PAIRED, arrow_schema
from curate.manifest.export.crops import boxes
from curate.manifest.export.images import to_png
from curate.manifest.schema import candidate_id
from curate.manifest.tiles import fragment
from curate.runtime import isolated
from curate.stages.measure import measure_image
from curate.storage import atomic
from curate.storage.places import open_file
from curate.storage.tar import TarWriter

__all__ = ["GroupRows", "GroupTask", "make_rows"]

Row = dict[str, Any]

_COLUMNS = set(arrow_schema((*MANIFEST, *PAIRED)).names)


@dataclass(frozen=True)
class GroupTask:
    """A group of images for a worker."""

    number: int
    group: Group
    folder: str
    """URL of the dataset's folder."""
    relative_folder: str
    """Path of the dataset's folder relative to the manifest's root."""
    out: str
    """URL of the manifest's root."""
    name: str
    """Name of the dataset."""
    layout: Layout


@dataclass(frozen=True)
class GroupRows:
    """Result of a GroupTask."""

    rows: tuple[Row, ...]
    images: int
    """Pairs, or clean images."""
    faults: tuple[str, ...] = ()
    """Faults of degraded images that are damaged, or no partners after all."""


@dataclass(frozen=True)
class _File:
    """An image file that was read and decoded once."""

    url: str
    """URL of its row: the same wherever the dataset lies."""
    path: str
    data: bytes
    size: tuple[int, int]
    """Width and height in pixels."""


def make_rows(task: GroupTask, report: Any = None) -> GroupRows:
    """Read, measure and pair a group of images.

    Raises:
        InputError: if the clean one can't be read, or is damaged.
    """
    clean = _read(task, task.group.clean)
    crop = task.layout.crop
    measures = {} if crop and task.group.degraded else _measures(clean.data)
    if not task.group.degraded:
        return GroupRows((_row(task, clean, None, measures),), 1)
    rows: list[Row] = []
    faults: list[str] = []
    for path in task.group.degraded:
        failures: list[str] = []
        with isolated(failures.append):
            degraded = _read(task, path)
            if degraded.size != clean.size:
                sizes = "{}x{}".format(*degraded.size), "{}x{}".format(*clean.size)
                raise InputError(f"it is {sizes[0]}, and {clean.path} {sizes[1]}")
            if crop:
                rows += list(_write_crops(task, crop, clean, degraded))
            else:
                rows.append(_row(task, clean, degraded, measures))
        faults += [f"{path}: {failure}" for failure in failures]
    return GroupRows(tuple(rows), len(task.group.degraded) - len(faults), tuple(faults))


def _read(task: GroupTask, path: str) -> _File:
    try:
        with open_file(f"{task.folder}/{path}") as file:
            data = file.read()
    except OSError as error:
        raise InputError(f"it can't be read: {error.strerror or error}") from error
    try:
        size = run_in_decoder(decode_size, data)  # decodes all of it, so that damage shows now
    except ImageError as error:
        raise InputError(str(error)) from error
    return _File(f"file:{task.name}/{path}", path, data, size)


def _row(task: GroupTask, clean: _File, degraded: _File | None, measures: Row) -> Row:
    """Return a row that points at files where they lie."""
    row = measures | _identity(task, clean.url, degraded.url if degraded else None)
    for prefix, file in (("", clean), ("degraded_", degraded)):
        if file is not None:
            row |= _place(prefix, f"{task.relative_folder}/{file.path}", 0, file.data)
    return row


def _write_crops(task: GroupTask, crop: Crop, clean: _File, degraded: _File) -> Iterator[Row]:
    """Cut a pair into a tar of its own, and yield a row for each part.

    A part is lossless: `<id>.clean.png` and `<id>.degraded.png`.
    """
    images = [_decode(clean.data), _decode(degraded.data)]
    name = f"images/{task.number:05}-{candidate_id(degraded.url)}.tar"
    with atomic.create(f"{task.out}/{name}") as sink:
        tar = TarWriter(sink)
        for box in boxes(clean.size, crop.size, crop.overlap):
            parts = [to_png(image.crop(box)) for image in images]
            place = fragment(box)
            names = _identity(task, f"{clean.url}#{place}", f"{degraded.url}#{place}")
            row = _measures(parts[0]) | names
            for kind, part in zip(("clean", "degraded"), parts, strict=True):
                offset = tar.add_bytes(f"{row['id']}.{kind}.png", part)
                row |= _place("" if kind == "clean" else "degraded_", name, offset, part)
            yield row
        tar.close()


def _decode(data: bytes) -> Image.Image:
    with open_image(io.BytesIO(data)) as image:
        return to_rgb(image)


def _measures(data: bytes) -> Row:
    try:
        measures = asdict(run_in_decoder(measure_image, data))
    except ImageError as error:
        raise InputError(str(error)) from error
    return {name: value for name, value in measures.items() if name in _COLUMNS}


def _identity(task: GroupTask, url: str, degraded_url: str | None) -> Row:
    """Return the columns that name an image.

    A pair has its id from the degraded image, since the clean one may be in several pairs.
    """
    return {
        "id": candidate_id(degraded_url or url),
        "url": url,
        "source": task.name,
        "split": task.group.split,
        "dataset": task.group.dataset,
        "degradation": task.layout.degradation,
        "task": task.layout.task,
    }


def _place(prefix: str, tar: str, offset: int, data: bytes) -> Row:
    sha256 = hashlib.sha256(data).hexdigest()
    place = {"tar": tar, "offset": offset, "nbytes": len(data), "sha256": sha256}
    return {f"{prefix}{name}": value for name, value in place.items()}
