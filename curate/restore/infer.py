"""Apply a trained restorer to pictures and to files of pictures."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import nn

from curate import files
from curate.decode import open_image, to_rgb
from curate.errors import CurateError, ImageError, RestoreError
from curate.restore.checkpoint import load_model
from curate.restore.data import to_tensor
from curate.restore.degradations import TASKS, Degradation, generator, parse_degradation, parse_task
from curate.restore.models import task_arguments
from curate.restore.pictures import SUFFIXES

__all__ = ["Restored", "restore_array", "restore_files", "restore_image"]

WHOLE = 2**21
"""Pixels up to which a picture is restored in one piece: about 2 GB of memory for the smallest model; wider ones say in
`pixels_at_once` how many they take."""
TILE, HALO = 1024, 32

_ALPHA = {"PNG", "WEBP", "TIFF", "AVIF"}
_SAVE: dict[str, dict[str, Any]] = {"JPEG": {"quality": 95}, "WEBP": {"quality": 95}, "AVIF": {"quality": 90}}


@dataclass(frozen=True)
class Restored:
    """What became of one file."""

    source: Path
    output: Path | None
    """Where the restored picture lies; None when it failed."""
    error: str = ""
    """Why it failed."""


def restore_image(
    model: nn.Module | str | os.PathLike[str],
    image: Image.Image | NDArray[Any],
    *,
    task: str | None = None,
    tile: int | None = None,
) -> Image.Image:
    """Restore a picture of any mode and size.

    Args:
        model: a model in evaluation mode, or a checkpoint's path.
        image: a Pillow image, or an array of uint8 (height, width, 3) RGB.
        task: what DAMoE is to do: sr, derain, denoise, dejpeg, or the name of a degradation. Other models need none.
        tile: side of the pieces to restore at a time, each routed by itself; None takes pictures of up to 2^21 pixels
            whole, and larger ones in pieces of 1024; models that need more memory 2^18 and 448.

    Returns:
        An RGB image of the same size, upright.
    """
    if not isinstance(model, nn.Module):
        model = load_model(model)
    array = np.asarray(to_rgb(image)) if isinstance(image, Image.Image) else image
    return Image.fromarray(restore_array(model, array, task=task, tile=tile))


def restore_array(
    model: nn.Module, image_HWC: NDArray[Any], *, task: str | None = None, tile: int | None = None
) -> NDArray[np.uint8]:
    """Restore (height, width, 3) RGB on 0..255; see `restore_image`.

    Raises:
        RestoreError: if the array has another shape, the model must be told a task, or the GPU's memory is too small.
    """
    told = _told(model, task)
    if image_HWC.ndim != 3 or image_HWC.shape[2] != 3 or not image_HWC.size:
        raise RestoreError(f"want an array of shape (height, width, 3), not {image_HWC.shape}; or give a Pillow image")
    height, width = image_HWC.shape[:2]
    if tile is None:
        whole = getattr(model, "pixels_at_once", WHOLE)
        tile = max(height, width) if height * width <= whole else min(TILE, math.isqrt(whole) - 2 * HALO)
    device = next(model.parameters()).device
    restored_HWC = np.empty(image_HWC.shape, np.uint8)
    for top in range(0, height, tile):
        for left in range(0, width, tile):
            # each piece sees a margin of its neighbours, which is cut off again
            y, x = max(top - HALO, 0), max(left - HALO, 0)
            piece_HWC = image_HWC[y : top + tile + HALO, x : left + tile + HALO]
            try:
                with torch.inference_mode():
                    out_3HW = model(to_tensor(piece_HWC)[None].to(device), **told)[0]
            except torch.cuda.OutOfMemoryError as error:
                raise RestoreError(f"the GPU's memory is too small for pieces of {tile} pixels: lower tile") from error
            out_HWC = (out_3HW.float().clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
            restored_HWC[top : top + tile, left : left + tile] = out_HWC[top - y :, left - x :][:tile, :tile]
    return restored_HWC


def restore_files(
    checkpoint: str | os.PathLike[str],
    inputs: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    degrade: str | None = None,
    task: str | None = None,
    tile: int | None = None,
    progress: Callable[[int, int, Restored], None] | None = None,
) -> list[Restored]:
    """Restore files and whole folders; a broken file is reported and the others are restored.

    Keeps EXIF data, RGB colour profiles and, where the format can, transparency.

    Args:
        checkpoint: a `model.safetensors` of `curate train`.
        inputs: picture files and folders of them.
        out: a folder; or, for one input file, a file whose ending gives the format.
        degrade: name of a degradation to spoil the pictures with first.
        task: see `restore_image`; that of `degrade` by default.
        tile: see `restore_image`.
        progress: called after every file with the files done, the files in all, and what became of the last.

    Raises:
        RestoreError: if an input isn't there, two would get one name, the checkpoint can't be loaded, or its model
            must be told a task.
    """
    degradation = parse_degradation(degrade) if degrade else None
    task = task or degrade
    model = load_model(checkpoint)
    _told(model, task)  # before anything is restored, if it isn't enough
    jobs = list(_plan([Path(i) for i in inputs], Path(out)))
    results = []
    for source, output in jobs:
        try:
            _restore_file(model, source, output, degradation, task, tile)
            results.append(Restored(source, output))
        except CurateError as error:
            results.append(Restored(source, None, str(error)))
        if progress:
            progress(len(results), len(jobs), results[-1])
    return results


def _told(model: nn.Module, task: str | None) -> dict[str, Any]:
    """What the model is called with besides the image."""
    number = TASKS.index(parse_task(task)) if task else None
    told = task_arguments(model, 0 if number is None else number)
    if told and number is None:
        known = ", ".join(model.tasks)  # type: ignore[arg-type]
        raise RestoreError(f"this model must be told what to do: name a task (--task), one of {known}")
    return told


def _plan(inputs: list[Path], out: Path) -> Iterator[tuple[Path, Path]]:
    """Which file becomes which."""
    pairs: list[tuple[Path, Path]] = []
    for given in inputs:
        if given.is_dir():
            found = sorted(p for p in given.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
            pairs += [(path, out / path.relative_to(given)) for path in found]
        elif given.is_file():
            single = len(inputs) == 1 and out.suffix.lower() in SUFFIXES and not out.is_dir()
            pairs.append((given, out if single else out / given.name))
        else:
            raise RestoreError(f"no picture or folder {given}")
    if not pairs:
        raise RestoreError(
            f"no pictures in {', '.join(map(str, inputs))}: files of {', '.join(sorted(SUFFIXES))} are looked for"
        )
    taken: dict[Path, Path] = {}
    for source, output in pairs:
        if _format(output) is None:
            output = output.with_suffix(".png")
        if output in taken:
            raise RestoreError(
                f"{taken[output]} and {source} would both become {output}: restore them into separate folders"
            )
        if output.resolve() == source.resolve():
            raise RestoreError(f"{source} would be overwritten: choose another output folder")
        taken[output] = source
        yield source, output


def _restore_file(
    model: nn.Module, source: Path, output: Path, degradation: Degradation | None, task: str | None, tile: int | None
) -> None:
    try:
        with source.open("rb") as file, open_image(file) as image:
            upright = ImageOps.exif_transpose(image)
    except (OSError, ImageError) as error:
        raise RestoreError(f"{source} can't be read: {error}") from error
    format_ = _format(output)
    assert format_
    alpha = None
    if upright.has_transparency_data and format_ in _ALPHA:
        rgba = upright.convert("RGBA")
        array, alpha = np.asarray(rgba)[..., :3], rgba.getchannel("A")
    else:
        array = np.asarray(to_rgb(upright))
    if degradation:
        array = degradation.pair(array, generator(0, degradation.name, source.name))[1]
    restored = Image.fromarray(restore_array(model, array, task=task, tile=tile))
    if alpha:
        restored.putalpha(alpha.crop((0, 0, *restored.size)))
    profile = upright.info.get("icc_profile") or b""
    buffer = io.BytesIO()
    # bytes 16 to 19 of a profile name its colour space: that of a CMYK or grey original doesn't fit RGB
    keep = {"icc_profile": profile} if profile[16:20] == b"RGB " else {}
    if exif := upright.getexif().tobytes():
        keep["exif"] = exif
    try:
        restored.save(buffer, format_, **keep, **_SAVE.get(format_, {}))
    except (OSError, ValueError) as error:
        raise RestoreError(f"{output} can't be written as {format_}: {error}") from error
    files.write(output, buffer.getvalue())


def _format(path: Path) -> str | None:
    """Pillow's name of the format that a file name's ending means; None when it can't be written."""
    format_ = Image.registered_extensions().get(path.suffix.lower())
    return format_ if format_ in Image.SAVE and format_ != "GIF" else None
