"""Restoration of picture files: any format in and out, with their metadata and transparency."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from curate.batch import isolated
from curate.errors import ImageError, RestoreError
from curate.images.decode import installed, open_image, to_rgb, upright
from curate.restore.checkpoints.checkpoint import load_model
from curate.restore.data.degradations import Degradation, generator, parse_degradation
from curate.restore.data.pictures import SUFFIXES
from curate.restore.inference.before_after import before_and_after
from curate.restore.inference.restore_image import model_arguments, restore_array
from curate.storage import atomic

__all__ = ["FindTask", "Restored", "restore_files"]

FindTask = Callable[[NDArray[np.uint8]], str]
"""Function from a picture, (height, width, 3) RGB, to the task that it needs."""

_SUFFIXES = SUFFIXES | {".heic", ".heif", ".jfif", ".jp2"}
"""Endings of the files that are restored; a missing plugin for one is reported as an error."""
_ALPHA = {"PNG", "WEBP", "TIFF", "AVIF"}
_OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": "4:4:4"},
    "WEBP": {"quality": 95},
    "AVIF": {"quality": 90},
}
_GREY = ("1", "L", "LA", "La", "I", "F")
_PROFILES = {"RGB": b"RGB ", "RGBA": b"RGB ", "L": b"GRAY", "LA": b"GRAY"}
"""Mode -> colour space of the profiles that fit it, which is in their bytes 16 to 19."""


@dataclass(frozen=True)
class Restored:
    """Outcome of one file."""

    source: Path
    output: Path | None
    """Path of the restored picture; None if it failed."""
    error: str = ""
    """Reason of a failure."""
    task: str | None = None
    """Task that was done, for a model that needs one."""


@dataclass(frozen=True)
class _Decoded:
    """A picture as the network takes it, and the rest of its file."""

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
    """Restore files and whole folders; a broken file is reported, and the others are restored.

    Pictures come out upright, with their EXIF data, a colour profile that fits, and transparency
    where the format has it. Grey pictures come out grey, 16-bit samples as 8-bit ones, and of an
    animation the first frame.

    Args:
        checkpoint: a `model.safetensors` of `curate train`.
        inputs: picture files and folders of them.
        out: a folder; or, for one input file, a file whose ending gives the format.
        format: ending of all outputs, such as png; by default that of the input, or png where that
            can't be written.
        degrade: name of a degradation to apply to the pictures first.
        task: see `restore_image`; or a function that finds it for each picture; by default that of
            `degrade`.
        tile: see `restore_image`.
        bilateral: see `restore_image`.
        compare: whether to write a strip of before and after beside each output, as
            NAME.compare.png.
        overwrite: whether to replace outputs that exist.
        progress: called after every file with the number of files done, that of all files, and the
            last outcome.

    Raises:
        RestoreError: if an input doesn't exist, two outputs have one name, an output exists, the
            format can't be written, the checkpoint can't be loaded, or its model needs a task.
    """
    degradation = parse_degradation(degrade) if degrade else None
    task = task if degrade is None or isinstance(task, str) else degrade
    jobs = _plan([Path(i) for i in inputs], Path(out), format, compare)
    existing = [path for _, files in jobs for path in files if path.exists()]
    if existing and not overwrite:
        others = f" and {len(existing) - 1} more are" if len(existing) > 1 else " is"
        raise RestoreError(
            f"{existing[0]}{others} there already: choose another output, or say --overwrite"
        )
    model = load_model(checkpoint)
    if not callable(task):
        model_arguments(model, task)  # refuses a wrong task before anything is restored
    if not hasattr(model, "tasks"):
        task = None
    restore = partial(restore_array, model, tile=tile, bilateral=bilateral)
    results = []
    for source, files in jobs:
        failures: list[str] = []
        with isolated(failures.append):
            done = _restore_file(restore, source, files, degradation, task)
            results.append(Restored(source, files[0], task=done))
        results += [Restored(source, None, failure) for failure in failures]
        if progress:
            progress(len(results), len(jobs), results[-1])
    return results


def _plan(
    inputs: list[Path], out: Path, format_: str | None, compare: bool
) -> list[tuple[Path, list[Path]]]:
    """Return each source with its output and, to compare, the path of its strip.

    Jobs that would overwrite an input, or each other's files, are refused.
    """
    installed()  # registers the plugins' formats too
    ending = None if format_ is None else f".{format_.lower().removeprefix('.')}"
    if ending and _format_of(Path("x" + ending)) is None:
        raise RestoreError(
            f"no format {format_!r} that can be written: say png, jpg, webp, tif, avif or the like"
        )
    jobs, sources = [], dict[Path, Path]()
    for source, output in _pairs(inputs, out):
        output = output.with_suffix(ending) if ending else output
        if _format_of(output) is None:
            output = output.with_suffix(".png")
        files = [output, output.with_suffix(".compare.png")] if compare else [output]
        for path in files:
            if path in sources:
                raise RestoreError(
                    f"{sources[path]} and {source} would both become {path}: "
                    "restore them into separate folders"
                )
            if path.resolve() == source.resolve():
                raise RestoreError(f"{source} would be overwritten: choose another output folder")
            sources[path] = source
        jobs.append((source, files))
    return jobs


def _pairs(inputs: list[Path], out: Path) -> list[tuple[Path, Path]]:
    """Return each picture with its output; pictures within `out`, from earlier, are left out."""
    pairs: list[tuple[Path, Path]] = []
    for given in inputs:
        if given.is_dir():
            inner = out.resolve() if out.resolve() != given.resolve() else None
            for path in sorted(given.rglob("*")):
                if path.suffix.lower() not in _SUFFIXES or not path.is_file():
                    continue
                if inner is None or not path.resolve().is_relative_to(inner):
                    pairs.append((path, out / path.relative_to(given)))
        elif given.is_file():
            single = len(inputs) == 1 and out.suffix.lower() in _SUFFIXES and not out.is_dir()
            pairs.append((given, out if single else out / given.name))
        else:
            raise RestoreError(f"no picture or folder {given}")
    if not pairs:
        raise RestoreError(
            f"no pictures in {', '.join(map(str, inputs))}: "
            f"files of {', '.join(sorted(_SUFFIXES))} are looked for"
        )
    return pairs


def _restore_file(
    restore: Callable[..., NDArray[np.uint8]],
    source: Path,
    files: list[Path],
    degradation: Degradation | None,
    task: str | FindTask | None,
) -> str | None:
    """Restore one file and return the task."""
    output, *strips = files
    picture = _read(source, keep_alpha=_format_of(output) in _ALPHA)
    clean_HWC = image_HWC = picture.image_HWC
    if degradation:
        rng = generator(0, degradation.name, source.name)
        clean_HWC, image_HWC = degradation.pair(clean_HWC, rng)
    if callable(task):
        task = task(image_HWC)
    restored_HWC = restore(image_HWC, task=task, grey=picture.grey)
    atomic.write(output, _encode(restored_HWC, picture, output))
    for strip in strips:
        shown_HWC = np.broadcast_to(restored_HWC, image_HWC.shape)
        before_and_after(image_HWC, shown_HWC, strip, clean=clean_HWC if degradation else None)
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
    """Return EXIF data without the orientation, which was applied; none if they are damaged."""
    pillow = (OSError, ValueError, TypeError, LookupError, AttributeError, SyntaxError)
    with suppress(*pillow, struct.error):
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
    options = dict(_OPTIONS.get(format_, {}))
    if picture.exif:
        options["exif"] = picture.exif
    if picture.profile[16:20] == _PROFILES[restored.mode]:
        options["icc_profile"] = picture.profile
    buffer = io.BytesIO()
    try:
        restored.save(buffer, format_, **options)
    except (OSError, ValueError) as error:
        raise RestoreError(f"{output} can't be written as {format_}: {error}") from error
    return buffer.getvalue()


def _format_of(path: Path) -> str | None:
    """Return Pillow's name of the format that a file's ending stands for; None if not writable."""
    format_ = Image.registered_extensions().get(path.suffix.lower())
    return format_ if format_ in Image.SAVE and format_ != "GIF" else None
