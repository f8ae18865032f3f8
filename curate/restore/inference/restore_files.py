"""Restore files of pictures: any format in and out, with what they carry besides pixels."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from curate.errors import CurateError, ImageError, RestoreError
from curate.images.decode import installed, open_image, to_rgb, upright
from curate.restore.checkpoints.checkpoint import load_model
from curate.restore.data.degradations import Degradation, generator, parse_degradation
from curate.restore.data.pictures import SUFFIXES
from curate.restore.inference.before_after import before_and_after
from curate.restore.inference.restore_image import restore_array, tell
from curate.storage import atomic

__all__ = ["FindTask", "Restored", "restore_files"]

FindTask = Callable[[NDArray[np.uint8]], str]
"""Tells from a picture, (height, width, 3) RGB, what is to be done to it."""

_SUFFIXES = SUFFIXES | {".heic", ".heif", ".jfif", ".jp2"}
"""By which a folder's files count as pictures here; one that needs a plugin which isn't there is named."""

_ALPHA = {"PNG", "WEBP", "TIFF", "AVIF"}
_SAVE: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": "4:4:4"},
    "WEBP": {"quality": 95},
    "AVIF": {"quality": 90},
}
_GREY = ("1", "L", "LA", "La", "I", "F")
_PROFILES = {"RGB": b"RGB ", "RGBA": b"RGB ", "L": b"GRAY", "LA": b"GRAY"}
"""Mode -> the colour space that a profile must name, in its bytes 16 to 19, to fit."""


@dataclass(frozen=True)
class Restored:
    """What became of one file."""

    source: Path
    output: Path | None
    """Where the restored picture lies; None when it failed."""
    error: str = ""
    """Why it failed."""
    task: str | None = None
    """What was done, where the model was to be told."""


@dataclass(frozen=True)
class _Job:
    source: Path
    output: Path
    strip: Path | None
    """Where the picture of before and after goes."""


@dataclass(frozen=True)
class _Decoded:
    """A picture as the network takes it, and what else its file has."""

    image_HWC: NDArray[np.uint8]
    """RGB; grey in three equal channels."""
    grey: bool
    alpha: Image.Image | None
    profile: bytes
    exif: bytes


def restore_files(
    checkpoint: str | os.PathLike[str],
    inputs: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    format: str | None = None,
    degrade: str | None = None,
    task: str | FindTask | None = None,
    tile: int | None = None,
    bilateral: bool = False,
    compare: bool = False,
    overwrite: bool = False,
    progress: Callable[[int, int, Restored], None] | None = None,
) -> list[Restored]:
    """Restore files and whole folders; a broken file is reported and the others are restored.

    Pictures come out upright. EXIF data stay, colour profiles that fit too, transparency where the format can. Grey
    pictures come out grey; 16-bit samples come out as 8-bit ones; of an animation the first frame is taken.

    Args:
        checkpoint: a `model.safetensors` of `curate train`.
        inputs: picture files and folders of them.
        out: a folder; or, for one input file, a file whose ending gives the format.
        format: ending that all outputs get, such as png; that of the input by default, or png where that can't be
            written.
        degrade: name of a degradation to spoil the pictures with first.
        task: see `restore_image`; that of `degrade` by default; or what tells it from each picture.
        tile: see `restore_image`.
        bilateral: see `restore_image`.
        compare: whether to write a strip of before and after beside each output, as NAME.compare.png.
        overwrite: whether outputs that are there already may be replaced.
        progress: called after every file with the files done, the files in all, and what became of the last.

    Raises:
        RestoreError: if an input isn't there, two outputs would get one name, one is there already, the format can't be
            written, the checkpoint can't be loaded, or its model must be told a task.
    """
    degradation = parse_degradation(degrade) if degrade else None
    task = task if degrade is None or isinstance(task, str) else degrade
    jobs = list(_plan([Path(i) for i in inputs], Path(out), format, compare))
    if not overwrite:
        _refuse_existing(jobs)
    model = load_model(checkpoint)
    if not callable(task):
        tell(model, task)  # before anything is restored, if it isn't enough
    elif not hasattr(model, "tasks"):
        task = None
    results = []
    for job in jobs:
        try:
            done = _restore_file(model, job, degradation, task, tile, bilateral)
            results.append(
                Restored(job.source, job.output, task=done if hasattr(model, "tasks") else None)
            )
        except CurateError as error:
            results.append(Restored(job.source, None, str(error)))
        if progress:
            progress(len(results), len(jobs), results[-1])
    return results


def _plan(inputs: list[Path], out: Path, format_: str | None, compare: bool) -> Iterator[_Job]:
    """Which file becomes which."""
    installed()  # registers the plugins' formats too
    ending = None if format_ is None else f".{format_.lower().removeprefix('.')}"
    if ending and _format_of(Path("x" + ending)) is None:
        raise RestoreError(
            f"no format {format_!r} that can be written: say png, jpg, webp, tif, avif or the like"
        )
    taken: dict[Path, Path] = {}
    for source, output in _pairs(inputs, out):
        output = output.with_suffix(ending) if ending else output
        if _format_of(output) is None:
            output = output.with_suffix(".png")
        job = _Job(source, output, output.with_suffix(".compare.png") if compare else None)
        for written in filter(None, (job.output, job.strip)):
            if written in taken:
                raise RestoreError(
                    f"{taken[written]} and {source} would both become {written}: restore them into separate folders"
                )
            if written.resolve() == source.resolve():
                raise RestoreError(f"{source} would be overwritten: choose another output folder")
            taken[written] = source
        yield job


def _pairs(inputs: list[Path], out: Path) -> list[tuple[Path, Path]]:
    """Each picture, and what it becomes unless its format can't be written; what lies in `out` is none of them."""
    pairs: list[tuple[Path, Path]] = []
    within = out.resolve()
    for given in inputs:
        if given.is_dir():
            found = sorted(
                p for p in given.rglob("*") if p.suffix.lower() in _SUFFIXES and p.is_file()
            )
            inside = within != given.resolve()
            pairs += [
                (p, out / p.relative_to(given))
                for p in found
                if not (inside and p.resolve().is_relative_to(within))
            ]
        elif given.is_file():
            single = len(inputs) == 1 and out.suffix.lower() in _SUFFIXES and not out.is_dir()
            pairs.append((given, out if single else out / given.name))
        else:
            raise RestoreError(f"no picture or folder {given}")
    if not pairs:
        raise RestoreError(
            f"no pictures in {', '.join(map(str, inputs))}: files of {', '.join(sorted(_SUFFIXES))} are looked for"
        )
    return pairs


def _refuse_existing(jobs: Sequence[_Job]) -> None:
    there = [
        path
        for job in jobs
        for path in (job.output, job.strip)
        if path is not None and path.exists()
    ]
    if there:
        others = f" and {len(there) - 1} more are" if len(there) > 1 else " is"
        raise RestoreError(
            f"{there[0]}{others} there already: choose another output, or say --overwrite"
        )


def _restore_file(
    model: nn.Module,
    job: _Job,
    degradation: Degradation | None,
    task: str | FindTask | None,
    tile: int | None,
    bilateral: bool,
) -> str | None:
    """Restore one file; returns what was done."""
    picture = _read(job.source, keep_alpha=_format_of(job.output) in _ALPHA)
    clean_HWC = image_HWC = picture.image_HWC
    if degradation:
        clean_HWC, image_HWC = degradation.pair(
            clean_HWC, generator(0, degradation.name, job.source.name)
        )
    if callable(task):
        task = task(image_HWC)
    restored_HWC = restore_array(
        model, image_HWC, task=task, tile=tile, bilateral=bilateral, grey=picture.grey
    )
    atomic.write(job.output, _encode(restored_HWC, picture, job.output))
    if job.strip:
        shown_HWC = np.broadcast_to(restored_HWC, image_HWC.shape)
        before_and_after(image_HWC, shown_HWC, job.strip, clean=clean_HWC if degradation else None)
    return task


def _read(source: Path, *, keep_alpha: bool) -> _Decoded:
    try:
        with source.open("rb") as file, open_image(file) as image:
            grey = image.mode in _GREY or image.mode.startswith("I;16")
            alpha = None
            if keep_alpha and image.has_transparency_data:
                rgba = upright(image.convert("RGBA"), image)
                colours, alpha = rgba.convert("RGB"), rgba.getchannel("A")
            else:
                colours = to_rgb(image)
            profile = image.info.get("icc_profile") or b""
            return _Decoded(np.asarray(colours), grey, alpha, profile, _exif_of(image))
    except (OSError, ImageError) as error:
        raise RestoreError(f"can't be read: {error}") from error


def _exif_of(image: Image.Image) -> bytes:
    """EXIF data without the orientation, which pixels have now; none where they are too damaged to be written again."""
    with suppress(
        OSError,
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        IndexError,
        SyntaxError,
        struct.error,
    ):
        exif = image.getexif()
        exif.pop(0x0112, None)
        return exif.tobytes() if len(exif) else b""
    return b""


def _encode(restored_HWC: NDArray[np.uint8], picture: _Decoded, output: Path) -> bytes:
    restored = Image.fromarray(restored_HWC[..., 0] if picture.grey else restored_HWC)
    if picture.alpha:
        restored.putalpha(picture.alpha.crop((0, 0, *restored.size)))
    format_ = _format_of(output)
    assert format_
    keep: dict[str, Any] = {"exif": picture.exif} if picture.exif else {}
    if picture.profile[16:20] == _PROFILES[restored.mode]:
        keep["icc_profile"] = picture.profile
    buffer = io.BytesIO()
    try:
        restored.save(buffer, format_, **keep, **_SAVE.get(format_, {}))
    except (OSError, ValueError) as error:
        raise RestoreError(f"{output} can't be written as {format_}: {error}") from error
    return buffer.getvalue()


def _format_of(path: Path) -> str | None:
    """Pillow's name of the format that a file name's ending means; None when it can't be written."""
    format_ = Image.registered_extensions().get(path.suffix.lower())
    return format_ if format_ in Image.SAVE and format_ != "GIF" else None
