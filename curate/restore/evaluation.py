"""Judge a restorer: PSNR and SSIM before and after, on pictures degraded the same way for everyone."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np

from curate.errors import RestoreError
from curate.manifest import Manifest
from curate.restore.checkpoint import load_model
from curate.restore.degradations import generator, parse_degradation
from curate.restore.infer import restore_array
from curate.restore.metrics import psnr, psnr_y, ssim
from curate.restore.pictures import open_pictures

__all__ = ["MEAN", "Row", "evaluate"]

MEAN = "mean"
"""`Row.image` of the rows that average a degradation's."""


@dataclass(frozen=True)
class Row:
    """One picture under one degradation, or the mean of a degradation's rows."""

    degradation: str
    image: str
    psnr_before: float
    """dB, all channels; see `curate.restore.metrics` for the definitions."""
    psnr: float
    psnr_y_before: float
    psnr_y: float
    ssim_before: float
    ssim: float


def evaluate(
    checkpoint: str | os.PathLike[str],
    where: str | os.PathLike[str] | Manifest,
    degradations: Sequence[str],
    *,
    limit: int | None = None,
    tile: int | None = None,
    seed: int = 0,
    progress: Callable[[int, int, Row], None] | None = None,
) -> list[Row]:
    """Restore every picture from every degradation, as 8-bit images, and compare with the clean one.

    Super-resolution leaves the outermost `scale` pixels out of the comparison, as is usual.

    Args:
        checkpoint: a `model.safetensors` of `curate train`.
        where: a manifest, or a folder of clean pictures.
        degradations: names, such as `denoise_25`.
        limit: pictures to take, from the first; all by default.
        tile: see `restore_image`.
        seed: of the noise; the same seed, picture and degradation give the same noise everywhere.
        progress: called after every picture with the pictures done, those in all, and the row.

    Returns:
        The rows of each degradation in turn, each group followed by its mean.

    Raises:
        RestoreError: if there are no pictures, a degradation isn't known, or the checkpoint can't be loaded.
    """
    if not degradations:
        raise RestoreError("name at least one degradation to evaluate, such as denoise_25")
    chosen = [parse_degradation(name) for name in degradations]
    pictures = open_pictures(where)[:limit]
    model = load_model(checkpoint)
    rows: list[Row] = []
    done = 0
    for degradation in chosen:
        border = degradation.multiple if degradation.multiple > 1 else 0
        group: list[Row] = []
        for picture in pictures:
            clean, degraded = degradation.pair(picture.read(), generator(seed, degradation.name, picture.id))
            restored = restore_array(model, degraded, task=degradation.task, tile=tile)
            if min(clean.shape[:2]) > 2 * border:
                inner = slice(border, clean.shape[0] - border), slice(border, clean.shape[1] - border)
                clean, degraded, restored = clean[inner], degraded[inner], restored[inner]
            values = [f(image, clean) for f in (psnr, psnr_y, ssim) for image in (degraded, restored)]
            group.append(Row(degradation.name, picture.id, *values))
            done += 1
            if progress:
                progress(done, len(chosen) * len(pictures), group[-1])
        rows += [*group, _mean(group)]
    return rows


def _mean(rows: Sequence[Row]) -> Row:
    numbers = [field.name for field in fields(Row)][2:]
    return Row(rows[0].degradation, MEAN, *(float(np.mean([getattr(row, name) for row in rows])) for name in numbers))
