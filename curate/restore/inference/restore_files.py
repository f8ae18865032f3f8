"""Restoration of picture files: any format in and out, with their metadata and transparency."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import distance_transform_edt

from curate.errors import ImageError, RestoreError
from curate.images.decode import open_image, to_rgb, upright
from curate.images.encode import encode_picture, holds_alpha, writable_format
from curate.images.picture_facts import PictureFacts, read_facts
from curate.restore.checkpoints.checkpoint import load_model
from curate.restore.data.degradations import (
    Degradation,
    degrade_picture,
    generator,
    is_grey,
    parse_degradation,
)
from curate.restore.data.pictures import SUFFIXES
from curate.restore.inference.before_after import before_and_after
from curate.restore.inference.restore_image import model_arguments, restore_array
from curate.restore.inference.restore_log import RestoreLog
from curate.runtime import isolated

__all__ = ["FindTask", "Restored", "restore_files"]

FindTask = Callable[[NDArray[np.uint8]], str]
"""Function from a picture, (height, width, 3) RGB, to the task that it needs."""

_SUFFIXES = SUFFIXES | {".heic", ".heif", ".jfif", ".jp2"}
"""Endings of the files that are restored; a missing plugin for one is reported as an error."""
_GREY = ("1", "L", "LA", "La", "I", "F")


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
    kept: bool = False
    """Whether an earlier call with the same settings had restored it."""


@dataclass(frozen=True)
class _Decoded:
    """A picture as the network takes it, and the rest of its file."""

    image_HWC: NDArray[np.uint8]
    """RGB; grey in three equal channels."""
    one_channel: bool
    """Whether the file holds grey as one channel."""
    alpha: Image.Image | None
    facts: PictureFacts


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

    Pictures come out upright, with the facts of `curate.images.picture_facts` and transparency
    where the format has them. Grey pictures come out grey, 16-bit samples as 8-bit ones, and of an
    animation the first frame. Outputs of an earlier call with the same settings stay.

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
        overwrite: whether to restore everything again and replace outputs that exist.
        progress: called after every file with the number of files done, that of all files, and the
            last outcome.

    Raises:
        RestoreError: if an input doesn't exist, two outputs have one name, an output exists that
            isn't of such a call, the format can't be written, the checkpoint can't be loaded, or
            its model needs a task.
    """
    degradation = parse_degradation(degrade) if degrade else None
    task = task if degrade is None or isinstance(task, str) else degrade
    jobs = _plan([Path(i) for i in inputs], Path(out), format, compare)
    model = load_model(checkpoint)
    settings = {"degrade": degrade, "tile": tile, "bilateral": bilateral}
    settings |= {"task": task if isinstance(task, str) else None}
    log = RestoreLog(Path(out), checkpoint, settings)
    finished = set() if overwrite else log.finished(jobs)
    if not callable(task):
        model_arguments(model, task)  # refuses a wrong task before anything is restored
    if not hasattr(model, "tasks"):
        task = None
    restore = partial(restore_array, model, tile=tile, bilateral=bilateral)
    results = []
    for source, files in jobs:
        failures: list[str] = []
        with isolated(failures.append):
            if files[0] in finished:
                results.append(Restored(source, files[0], kept=True))
            else:
                done = _restore_file(restore, source, files, degradation, task, log)
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
    ending = None if format_ is None else f".{format_.lower().removeprefix('.')}"
    if ending and writable_format(Path("x" + ending)) is None:
        raise RestoreError(
            f"no format {format_!r} that can be written: say png, jpg, webp, tif, avif or the like"
        )
    jobs, sources = [], dict[Path, Path]()
    for source, output in _distinct(_converted(_pairs(inputs, out), ending)):
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


def _converted(pairs: list[tuple[Path, Path]], ending: str | None) -> Iterator[tuple[Path, Path]]:
    """Yield each picture with its output, whose ending is of a format that can be written."""
    for source, output in pairs:
        output = output.with_suffix(ending) if ending else output
        yield source, output if writable_format(output) else output.with_suffix(".png")


def _distinct(pairs: Iterable[tuple[Path, Path]]) -> Iterator[tuple[Path, Path]]:
    """Yield the pairs; where a.png and a.bmp would both become a.png, the other is a.bmp.png."""
    pairs = list(pairs)
    counts = Counter(output for _, output in pairs)
    for source, output in pairs:
        if counts[output] > 1 and source.suffix.lower() != output.suffix.lower():
            output = output.with_name(source.name + output.suffix)
        yield source, output


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
            known = out.suffix.lower() in _SUFFIXES or writable_format(out)
            single = len(inputs) == 1 and known and not out.is_dir()
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
    log: RestoreLog,
) -> str | None:
    """Restore one file and return the task."""
    output, *strips = files
    format_ = writable_format(output)
    assert format_
    picture = _read(source, keep_alpha=holds_alpha(format_))
    clean_HWC = image_HWC = picture.image_HWC
    if degradation:
        rng = generator(0, degradation.name, source.name)
        clean_HWC, image_HWC = degrade_picture(clean_HWC, degradation, rng, clip_noise=True)
    if callable(task):
        task = task(image_HWC)
    restored_HWC = restore(image_HWC, task=task, grey=is_grey(image_HWC))
    shown_HWC = np.broadcast_to(restored_HWC, image_HWC.shape)
    data = _encode(shown_HWC, picture, format_)
    for strip in strips:
        before_and_after(image_HWC, shown_HWC, strip, clean=clean_HWC if degradation else None)
    # last, since a picture that is there counts as done
    log.write(output, data)
    return task


def _read(source: Path, *, keep_alpha: bool) -> _Decoded:
    try:
        with source.open("rb") as file, open_image(file) as image:
            facts = read_facts(image)
            one_channel = image.mode in _GREY or image.mode.startswith("I;16")
            if keep_alpha and image.has_transparency_data:
                colours_HWC, alpha = _visible_colours(image)
                return _Decoded(colours_HWC, one_channel, alpha, facts)
            return _Decoded(np.asarray(to_rgb(image)), one_channel, None, facts)
    except (OSError, ImageError) as error:
        raise RestoreError(f"can't be read: {error}") from error


def _visible_colours(image: Image.Image) -> tuple[NDArray[np.uint8], Image.Image]:
    """Return upright colours and transparency.

    Pixels that can't be seen get the colour of the nearest that can: a network mixes neighbours.
    """
    if image.mode.startswith("I"):  # grey of 16 bits, one value of which is transparent
        shown_HW = np.asarray(image) != image.info["transparency"]
        alpha = upright(Image.fromarray(shown_HW.astype(np.uint8) * 255), image)
        colours_HWC = np.asarray(to_rgb(image))
    else:
        rgba = upright(image.convert("RGBA"), image)
        alpha = rgba.getchannel("A")
        colours_HWC = np.asarray(rgba)[..., :3]
    hidden_HW = np.asarray(alpha) == 0
    if hidden_HW.all():
        return np.full_like(colours_HWC, 255), alpha
    if hidden_HW.any():
        nearest = distance_transform_edt(hidden_HW, return_distances=False, return_indices=True)
        colours_HWC = colours_HWC[tuple(nearest)]
    return np.ascontiguousarray(colours_HWC), alpha


def _encode(restored_HWC: NDArray[np.uint8], picture: _Decoded, format_: str) -> bytes:
    one_channel = picture.one_channel and is_grey(restored_HWC)
    restored = Image.fromarray(np.ascontiguousarray(restored_HWC))
    if one_channel:
        restored = restored.getchannel(0)
    if picture.alpha:
        restored.putalpha(picture.alpha.crop((0, 0, *restored.size)))
    return encode_picture(restored, format_, picture.facts)
