"""Copies of images with less of one aspect: fewer pixels, or fewer bits for each."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cache, partial
from typing import Any

from PIL import Image

from curate.engine import Executor
from curate.engine.executor import WorkerDied
from curate.errors import ImageError, RunError
from curate.images.decode import open_image, to_rgb
from curate.images.encode import encode_picture
from curate.images.picture_facts import PictureFacts
from curate.manifest.export.images import to_png
from curate.recipe import Fact
from curate.stages.measure import measure_image
from curate.storage.places import locate

__all__ = ["Change", "Copy", "CopyWorkers", "StoredImage", "compress", "resize"]

_HIGHEST = 95
"""The highest quality that is tried: above it JPEG only grows."""


@dataclass(frozen=True)
class StoredImage:
    """Location of an image's bytes, and its number of pixels."""

    id: str
    url: str
    """URL of the tar."""
    offset: int
    nbytes: int
    sha256: str
    pixels: int

    def decode(self) -> Image.Image:
        """Return its pixels: upright 8-bit RGB.

        Raises:
            RunError: if the bytes aren't there, were changed since the fetch, or can't be decoded.
        """
        try:
            data = locate(self.url).read(self.offset, self.nbytes)
        except OSError as error:
            raise RunError(f"can't read {self.url}: {error}") from error
        if hashlib.sha256(data).hexdigest() != self.sha256:
            raise RunError(
                f"{self.url} is damaged at {self.id}: curate run with --verify mends what can be "
                "mended"
            )
        try:
            with open_image(io.BytesIO(data)) as image:
                return to_rgb(image)
        except ImageError as error:
            raise RunError(f"{self.url}: {self.id} can't be decoded: {error}") from error


@dataclass(frozen=True)
class Change:
    """Change of an image that makes a copy of it."""

    label: str
    """Name and setting, for the copy's URL and the summary."""
    encode: Callable[[Image.Image], bytes]
    """Function from the image to the copy's file; picklable."""


def resize(factor: float) -> Change:
    """Multiply both sides by a factor under 1, and store as PNG.

    The bicubic filter is widened to the factor, as in MATLAB's imresize.
    """
    return Change(f"resize={factor:.6f}", partial(_resize, factor))


def _resize(factor: float, image: Image.Image) -> bytes:
    width, height = (max(round(side * factor), 1) for side in image.size)
    return to_png(image.resize((width, height), Image.Resampling.BICUBIC))


def compress(quality: int) -> Change:
    """Store as JPEG with chroma at half the resolution (4:2:0)."""
    return Change(f"jpeg={quality}", partial(_compress, quality))


def _compress(quality: int, image: Image.Image) -> bytes:
    facts = PictureFacts(profile=image.info.get("icc_profile") or b"")
    return encode_picture(image, "JPEG", facts, quality=quality, subsampling="4:2:0")


@dataclass(frozen=True)
class Copy:
    """A measured copy."""

    data: bytes
    facts: dict[str, Any]
    """Columns of a manifest."""
    lossless: int
    """Bytes of its pixels as PNG."""


class CopyWorkers:
    """Workers that decode, copy and measure images.

    Args:
        executor: runs the work.
        facts: further facts that copies are measured for.
        progress: called with the images done, each as often as it is decoded, and all known so far.
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

    def lossless(self, images: Sequence[StoredImage]) -> Iterator[int]:
        """Yield the bytes of each image's pixels as PNG."""
        return self._map(_lossless, images)

    def copies(self, images: Sequence[StoredImage], change: Change) -> Iterator[Copy]:
        """Yield copies of images, in their order."""
        return self._map(partial(_copy, change, self._facts), images)

    def quality_for(self, images: Sequence[StoredImage], bpp: float) -> int:
        """Return the JPEG quality, one for all images, whose mean bits per pixel are nearest.

        Found by halving.
        """

        @cache
        def mean(quality: int) -> float:
            sizes = self._map(partial(_size, compress(quality)), images)
            bpp_n = [8 * size / image.pixels for size, image in zip(sizes, images, strict=True)]
            return sum(bpp_n) / len(images)

        # the highest quality that stays at or under the target, or the next if that is nearer
        low, high = 1, _HIGHEST
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if mean(middle) <= bpp else (low, middle - 1)
        return min((low, min(low + 1, _HIGHEST)), key=lambda quality: abs(mean(quality) - bpp))

    def _map(
        self, work: Callable[[StoredImage], Any], images: Sequence[StoredImage]
    ) -> Iterator[Any]:
        """Yield results in the order of the images."""
        waiting: dict[int, Any] = {}
        following = 0
        self._known += len(images)
        results = self._executor.map(
            partial(_run, work), list(enumerate(images)), lambda task, report: None
        )
        for (number, image), result in results:
            if isinstance(result, WorkerDied):
                raise RunError(f"{image.id} kills the worker that copies it: {result}")
            if isinstance(result, Exception):
                raise result
            waiting[number] = result
            self._done += 1
            if self._progress is not None:
                self._progress(self._done, self._known)
            # results come in any order: yield those whose predecessors have come
            while following in waiting:
                yield waiting.pop(following)
                following += 1


def _run(
    work: Callable[[StoredImage], Any],
    task: tuple[int, StoredImage],
    report: Callable[[Any], None],
) -> Any:
    """Run a task on a worker."""
    return work(task[1])


def _lossless(stored: StoredImage) -> int:
    return len(to_png(stored.decode()))


def _size(change: Change, stored: StoredImage) -> int:
    return len(change.encode(stored.decode()))


def _copy(change: Change, facts: tuple[Fact, ...], stored: StoredImage) -> Copy:
    data = change.encode(stored.decode())
    try:
        measures = measure_image(data, facts=facts)
        with open_image(io.BytesIO(data)) as image:
            lossless = len(data) if image.format == "PNG" else len(to_png(to_rgb(image)))
    except ImageError as error:  # of a picture of one pixel, say
        raise RunError(
            f"a copy of {stored.id} by {change.label} can't be measured: {error}"
        ) from error
    columns = {field.name: getattr(measures, field.name) for field in fields(measures)}
    del columns["cutoffs"], columns["facts"]
    return Copy(data, columns | dict(measures.facts), lossless)
