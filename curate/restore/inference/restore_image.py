"""Application of a trained restorer to a picture, whole or in pieces."""

from __future__ import annotations

import math
import os
from itertools import product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from curate.errors import RestoreError
from curate.images.decode import to_rgb
from curate.restore.checkpoints.checkpoint import load_model
from curate.restore.data.degradations import TASKS, is_grey, parse_task
from curate.restore.data.patches import to_tensor
from curate.restore.inference.bilateral import bilateral_filter
from curate.restore.inference.tiles import cover, report_piece, sample_sheet
from curate.restore.models import task_arguments
from curate.runtime import is_out_of_memory

__all__ = ["model_arguments", "restore_array", "restore_image"]

WHOLE = 2**21
"""Pixels up to which a picture is restored in one piece: about 2 GB for the smallest model.

Models that need more memory have a limit of their own, `pixels_at_once`.
"""
TILE = 1024


def restore_image(
    model: nn.Module | str | os.PathLike[str],
    image: Image.Image | NDArray[Any],
    *,
    task: str | None = None,
    tile: int | None = None,
    bilateral: bool = False,
) -> Image.Image:
    """Restore a picture of any mode and size.

    Args:
        model: a model in evaluation mode, or a checkpoint's path.
        image: a Pillow image, or an array of uint8 (height, width, 3) RGB.
        task: what DAMoE is to do: sr, derain, denoise, dejpeg, or the name of a degradation. Other
            models need none.
        tile: side of the pieces to restore at a time. Pieces overlap, and all use the experts that
            are picked once for the picture. By default pictures of up to 2^21 pixels are restored
            whole and larger ones in pieces of 1024; 2^18 and 512 for models that need more memory.
        bilateral: whether to apply the filter of MOE-IR_30G's document (section 5.2) at the end.

    Returns:
        An RGB image of the same size, upright; grey if the picture is.
    """
    if not isinstance(model, nn.Module):
        model = load_model(model)
    array = np.asarray(to_rgb(image)) if isinstance(image, Image.Image) else image
    restored_HWC = restore_array(
        model, array, task=task, tile=tile, bilateral=bilateral, grey=is_grey(array)
    )
    return Image.fromarray(np.ascontiguousarray(np.broadcast_to(restored_HWC, array.shape)))


def restore_array(
    model: nn.Module,
    image_HWC: NDArray[Any],
    *,
    task: str | None = None,
    tile: int | None = None,
    bilateral: bool = False,
    grey: bool = False,
    quantise: bool = True,
) -> NDArray[Any]:
    """Restore (height, width, 3) RGB on 0..255, of bytes or floats.

    `model`, `task`, `tile` and `bilateral` are those of `restore_image`.

    Args:
        grey: whether to return the mean of the channels, (height, width, 1): for a grey image that
            is given in three channels.
        quantise: whether to return bytes; float32 on 0..255 otherwise.

    Raises:
        RestoreError: if the array has another shape, the model needs a task or isn't for this one,
            the tile is too small, or the memory is.
    """
    arguments = model_arguments(model, task)
    if image_HWC.ndim != 3 or image_HWC.shape[2] != 3 or not image_HWC.size:
        raise RestoreError(
            f"want an array of shape (height, width, 3), not {image_HWC.shape}; "
            "or give a Pillow image"
        )
    height, width = image_HWC.shape[:2]
    if tile is None:
        whole = getattr(model, "pixels_at_once", WHOLE)
        tile = max(height, width) if height * width <= whole else min(TILE, math.isqrt(whole))
    grid = getattr(model, "grid", getattr(model, "multiple", 1))
    rows, columns = cover(height, tile, grid), cover(width, tile, grid)
    if len(rows) * len(columns) > 1:
        arguments |= _pick_route(model, sample_sheet(image_HWC, tile))
    # sum of the pieces, weighted so that the weights of all pieces at a pixel sum to 1
    restored_HWC = np.zeros(image_HWC.shape, np.float32)
    pieces = len(rows) * len(columns)
    report_piece(0, pieces)
    for number, ((row, weight_h), (column, weight_w)) in enumerate(product(rows, columns), 1):
        piece_HWC = _restore_piece(model, image_HWC[row, column], arguments)
        restored_HWC[row, column] += piece_HWC * (weight_h[:, None] * weight_w)[..., None]
        report_piece(number, pieces)
    result_HWC: NDArray[Any] = restored_HWC.clip(0, 255)
    if grey:
        result_HWC = result_HWC.mean(axis=2, keepdims=True)
    if quantise:
        result_HWC = np.rint(result_HWC).astype(np.uint8)
    return bilateral_filter(result_HWC) if bilateral else result_HWC


def _restore_piece(
    model: nn.Module, piece_HWC: NDArray[Any], arguments: dict[str, Any]
) -> NDArray[np.float32]:
    device = next(model.parameters()).device
    try:
        with torch.inference_mode():
            out_3HW = model(to_tensor(piece_HWC)[None].to(device), **arguments)[0]
            out_HWC: NDArray[np.float32] = (out_3HW.float() * 255).permute(1, 2, 0).cpu().numpy()
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        sides = "x".join(map(str, piece_HWC.shape[1::-1]))
        raise RestoreError(
            f"the memory of {device} is too small for pieces of {sides} pixels: lower tile"
        ) from error
    return out_HWC


def _pick_route(model: nn.Module, sheet_HWC: NDArray[Any]) -> dict[str, Any]:
    """Return the experts that routers pick for an image as a whole, for all of its pieces."""
    if not hasattr(model, "forward_with_choices"):
        return {}
    sheet_13HW = to_tensor(sheet_HWC)[None].to(next(model.parameters()).device)
    with torch.inference_mode():
        return {"route": model.forward_with_choices(sheet_13HW)[1]}  # type: ignore[operator]


def model_arguments(model: nn.Module, task: str | None) -> dict[str, Any]:
    """Return the arguments that a model takes besides the image.

    Raises:
        RestoreError: if it needs a task, or isn't for this one.
    """
    number = TASKS.index(parse_task(task)) if task else None
    arguments = task_arguments(model, number or 0)
    if arguments and number is None:
        known = ", ".join(model.tasks)  # type: ignore[arg-type]
        raise RestoreError(
            f"this model must be told what to do: name a task (--task), one of {known}"
        )
    return arguments
