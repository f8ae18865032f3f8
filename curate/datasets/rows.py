"""The rows of one clean image and its degraded ones: measured where they lie, or cut into parts. Runs on workers."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import fsspec
import numpy as np
from PIL import Image

from curate.datasets.layouts import Crop, Layout
from curate.datasets.pairing import Group
from curate.errors import ImageError, InputError
from curate.images.decode import open_image, to_luma, to_rgb
from curate.manifest import MANIFEST, PAIRED
from curate.manifest.export.crops import positions
from curate.manifest.export.images import to_png
from curate.manifest.schema import candidate_id
from curate.stages.measure import measure_image
from curate.storage import atomic
from curate.storage.tar import TarWriter

__all__ = ["Job", "Made", "make_rows"]

Row = dict[str, Any]

_COLUMNS = frozenset(column.name for column in (*MANIFEST, *PAIRED))


@dataclass(frozen=True)
class Job:
    """What a worker is given."""

    number: int
    group: Group
    folder: str
    """URL of the dataset."""
    way: str
    """The same as seen from the manifest's root."""
    out: str
    """URL of the manifest's root."""
    name: str
    """Of the dataset."""
    layout: Layout


@dataclass(frozen=True)
class Made:
    """What it gives back."""

    rows: tuple[Row, ...]
    images: int
    """Pairs, or clean images."""
    faults: tuple[str, ...] = ()
    """Degraded images that are no partners after all."""


@dataclass(frozen=True)
class _File:
    """An image that was read."""

    url: str
    """Its own, and its row's: the same wherever the dataset lies."""
    path: str
    data: bytes
    size: tuple[int, int]


def make_rows(job: Job, report: Any = None) -> Made:
    """Read, measure and pair a group of images.

    Raises:
        InputError: if one can't be read, or is damaged.
    """
    clean = _read(job, job.group.clean)
    if not job.group.degraded:
        return Made((_row(job, clean, None, _measures(clean.data, clean.path)),), 1)
    crop = job.layout.crop
    measures = {} if crop else _measures(clean.data, clean.path)
    rows: list[Row] = []
    faults: list[str] = []
    for path in job.group.degraded:
        degraded = _read(job, path)
        if degraded.size != clean.size:
            sizes = [f"{width}x{height}" for width, height in (degraded.size, clean.size)]
            faults.append(f"{path} is {sizes[0]}, and {clean.path} {sizes[1]}")
        elif crop:
            rows += _write_crops(job, crop, clean, degraded)
        else:
            rows.append(_row(job, clean, degraded, measures))
    return Made(tuple(rows), len(job.group.degraded) - len(faults), tuple(faults))


def _read(job: Job, path: str) -> _File:
    try:
        with fsspec.open(f"{job.folder}/{path}", "rb") as file:
            data = file.read()
    except OSError as error:
        raise InputError(f"{job.folder}/{path} can't be read: {error}") from error
    try:
        with open_image(io.BytesIO(data)) as image:
            height, width = to_luma(image).shape  # decodes all of it, so that damage shows now
    except ImageError as error:
        raise InputError(f"{job.folder}/{path}: {error}; mend the download") from error
    return _File(f"file:{job.name}/{path}", path, data, (width, height))


def _row(job: Job, clean: _File, degraded: _File | None, measures: Row) -> Row:
    """A row that points at files where they lie."""
    row = measures | _names(job, clean.url, degraded.url if degraded else None)
    row |= _place("", f"{job.way}/{clean.path}", 0, clean.data)
    return (
        row | _place("degraded_", f"{job.way}/{degraded.path}", 0, degraded.data)
        if degraded
        else row
    )


def _write_crops(job: Job, crop: Crop, clean: _File, degraded: _File) -> Iterator[Row]:
    """Cut a pair into a tar of its own: `<id>.clean.png` and `<id>.degraded.png` of each part, lossless."""
    images = [_pixels(file.data) for file in (clean, degraded)]
    width, height = clean.size
    name = f"images/{job.number:05}-{candidate_id(degraded.url)}.tar"
    with atomic.create(f"{job.out}/{name}") as sink:
        tar = TarWriter(sink)
        for y in positions(height, crop.size, crop.overlap):
            for x in positions(width, crop.size, crop.overlap):
                box = (x, y, min(x + crop.size, width), min(y + crop.size, height))
                parts = [
                    to_png(Image.fromarray(image[box[1] : box[3], box[0] : box[2]]))
                    for image in images
                ]
                place = f"#xywh={x},{y},{box[2] - x},{box[3] - y}"
                row = _measures(parts[0], clean.path) | _names(
                    job, clean.url + place, degraded.url + place
                )
                for of, part in zip(("clean", "degraded"), parts, strict=True):
                    offset = tar.add_bytes(f"{row['id']}.{of}.png", part)
                    row |= _place("" if of == "clean" else "degraded_", name, offset, part)
                yield row
        tar.close()


def _pixels(data: bytes) -> np.ndarray[Any, np.dtype[np.uint8]]:
    with open_image(io.BytesIO(data)) as image:
        return np.asarray(to_rgb(image))


def _measures(data: bytes, path: str) -> Row:
    try:
        measures = asdict(measure_image(data))
    except ImageError as error:
        raise InputError(f"{path}: {error}") from error
    return {name: value for name, value in measures.items() if name in _COLUMNS}


def _names(job: Job, url: str, degraded_url: str | None) -> Row:
    """Whose image it is. A pair has its id from the degraded image: the clean one may be in several pairs."""
    return {
        "id": candidate_id(degraded_url or url),
        "url": url,
        "source": job.name,
        "split": job.group.split,
        "dataset": job.group.dataset,
        "degradation": job.layout.degradation,
        "task": job.layout.task,
    }


def _place(of: str, tar: str, offset: int, data: bytes) -> Row:
    digest = hashlib.sha256(data).hexdigest()
    return {f"{of}tar": tar, f"{of}offset": offset, f"{of}nbytes": len(data), f"{of}sha256": digest}
