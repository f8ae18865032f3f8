"""Copies of images with less of one aspect: fewer pixels, or fewer bits for each."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, Protocol

import fsspec
from PIL import Image

from curate.engine import Executor
from curate.engine.executor import WorkerDied
from curate.errors import ImageError, RunError
from curate.images.decode import open_image, to_rgb
from curate.manifest.export.images import to_png
from curate.recipe import Fact
from curate.stages.measure import Measures, measure_image

__all__ = ["Change", "Compress", "Copy", "Place", "Resize", "Workshop"]

_HIGHEST = 95
"""The highest quality that is tried: above it JPEG only grows."""


@dataclass(frozen=True)
class Place:
    """Where an image's bytes lie, and how many pixels it has."""

    id: str
    url: str
    """Of the tar."""
    offset: int
    nbytes: int
    sha256: str
    pixels: int

    def decode(self) -> Image.Image:
        """Its pixels: upright 8-bit RGB.

        Raises:
            RunError: if the bytes aren't there, aren't those that were fetched, or can't be decoded.
        """
        try:
            fs, path = fsspec.core.url_to_fs(self.url)
            data = fs.cat_file(path, start=self.offset, end=self.offset + self.nbytes)
        except OSError as error:
            raise RunError(f"can't read {self.url}: {error}") from error
        if hashlib.sha256(data).hexdigest() != self.sha256:
            raise RunError(
                f"{self.url} is damaged at {self.id}: curate run with --verify mends what can be mended"
            )
        try:
            with open_image(io.BytesIO(data)) as image:
                return to_rgb(image)
        except ImageError as error:
            raise RunError(f"{self.url}: {self.id} can't be decoded: {error}") from error


class Change(Protocol):
    """Makes the file of a copy of an image."""

    @property
    def told(self) -> str:
        """What it does, as the copy's URL and the summary say it."""
        ...

    def __call__(self, image: Image.Image) -> bytes:
        """The file."""
        ...


@dataclass(frozen=True)
class Resize:
    """Both sides times a factor under 1, by the bicubic filter widened to the factor (as MATLAB's imresize); as PNG."""

    factor: float

    @property
    def told(self) -> str:
        """See Change."""
        return f"resize={self.factor:.6f}"

    def __call__(self, image: Image.Image) -> bytes:
        """See Change."""
        width, height = (max(round(side * self.factor), 1) for side in image.size)
        return to_png(image.resize((width, height), Image.Resampling.BICUBIC))


@dataclass(frozen=True)
class Compress:
    """Stored as JPEG with chroma at half the resolution (4:2:0)."""

    quality: int

    @property
    def told(self) -> str:
        """See Change."""
        return f"jpeg={self.quality}"

    def __call__(self, image: Image.Image) -> bytes:
        """See Change."""
        sink = io.BytesIO()
        image.save(sink, "JPEG", quality=self.quality, subsampling="4:2:0")
        return sink.getvalue()


@dataclass(frozen=True)
class Copy:
    """A copy, measured."""

    data: bytes
    facts: dict[str, Any]
    """Columns of a manifest."""
    lossless: int
    """Bytes of its pixels as PNG."""


class Workshop:
    """Decodes, copies and measures images on workers.

    Args:
        executor: runs the work.
        facts: the further facts that copies are measured for.
        progress: called with the images done, each as often as it is decoded, and all that are known of.
    """

    def __init__(
        self,
        executor: Executor,
        facts: Collection[Fact],
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self._executor = executor
        self._facts = tuple(facts)
        self._progress = progress
        self._done = self._known = 0

    def lossless(self, places: Sequence[Place]) -> list[int]:
        """Bytes of each image's pixels as PNG."""
        return list(self._map(_lossless, [(place, None) for place in places]))

    def copies(self, places: Sequence[Place], change: Change) -> Iterator[Copy]:
        """Copies of images, in their order."""
        return self._map(_copy, [(place, (change, self._facts)) for place in places])

    def quality_for(self, places: Sequence[Place], bpp: float) -> int:
        """The JPEG quality, one for all images, whose mean bits per pixel are nearest to a number. By halving."""

        @cache
        def mean(quality: int) -> float:
            sizes = self._map(_size, [(place, Compress(quality)) for place in places])
            return sum(
                8 * size / place.pixels for size, place in zip(sizes, places, strict=True)
            ) / len(places)

        low, high = 1, _HIGHEST
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if mean(middle) <= bpp else (low, middle - 1)
        return min((low, min(low + 1, _HIGHEST)), key=lambda quality: abs(mean(quality) - bpp))

    def _map(self, work: Callable[..., Any], tasks: Sequence[tuple[Place, Any]]) -> Iterator[Any]:
        """Results in the order of the tasks."""
        waiting: dict[int, Any] = {}
        following = 0
        self._known += len(tasks)
        for (number, (place, _)), result in self._executor.map(
            work, list(enumerate(tasks)), lambda task, report: None
        ):
            if isinstance(result, WorkerDied):
                raise RunError(f"{place.id} kills the worker that copies it: {result}")
            if isinstance(result, Exception):
                raise result
            waiting[number] = result
            self._done += 1
            if self._progress is not None:
                self._progress(self._done, self._known)
            while following in waiting:
                yield waiting.pop(following)
                following += 1


def _lossless(task: tuple[int, tuple[Place, None]], report: Callable[[Any], None]) -> int:
    """Runs on a worker, as the next two do."""
    _, (place, _) = task
    return len(to_png(place.decode()))


def _size(task: tuple[int, tuple[Place, Change]], report: Callable[[Any], None]) -> int:
    _, (place, change) = task
    return len(change(place.decode()))


def _copy(
    task: tuple[int, tuple[Place, tuple[Change, tuple[Fact, ...]]]], report: Callable[[Any], None]
) -> Copy:
    _, (place, (change, facts)) = task
    data = change(place.decode())
    try:
        measures = measure_image(data, facts=facts)
        with open_image(io.BytesIO(data)) as image:
            lossless = len(data) if image.format == "PNG" else len(to_png(to_rgb(image)))
    except ImageError as error:  # of a picture of one pixel, say
        raise RunError(
            f"a copy of {place.id} by {change.told} can't be measured: {error}"
        ) from error
    return Copy(data, _columns(measures), lossless)


def _columns(measures: Measures) -> dict[str, Any]:
    named = {field.name: getattr(measures, field.name) for field in fields(measures)}
    return {
        name: value
        for name, value in named.items()
        if name not in ("keypoints", "cutoffs", "facts")
    } | dict(measures.facts)
