"""Restorers for other runtimes: ONNX, and PyTorch's exported programs."""

from __future__ import annotations

import io
import json
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from curate.errors import MissingExtra, RestoreError
from curate.restore.checkpoints.checkpoint import load_model, read_info
from curate.restore.checkpoints.exportable import Portable
from curate.restore.data.degradations import TASKS, parse_task
from curate.restore.models import MoCEIR, task_arguments
from curate.storage import atomic

__all__ = ["export_model"]

_LOUD = ("torch.fx.experimental.symbolic_shapes", "torch.onnx", "onnxscript")


def export_model(
    checkpoint: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    to: str = "onnx",
    height: int | None = None,
    width: int | None = None,
    route: int | None = None,
    task: str | None = None,
) -> None:
    """Write a trained restorer as a graph that needs nothing of this package.

    It takes `image`, (1, 3, height, width) float32 on 0..1, and gives `restored` of the same shape, not clipped.

    Args:
        checkpoint: a `model.safetensors` of `curate train` or `curate models convert`.
        out: file to write.
        to: `onnx`, or `pt2` for `torch.export.load`.
        height: of the images, in pixels. Without height and width an ONNX graph takes any size, from
            the model's own multiple (7 or 8) a side.
        width: as height.
        route: the expert that all decoder blocks of MoCE-IR take; for others None.
        task: what DAMoE does: one of its tasks, or the name of a degradation; for others None.

    Raises:
        RestoreError: if the checkpoint can't be loaded, or its model can't be exported so.
        MissingExtra: if ONNX's libraries aren't installed.
        RunError: if the file can't be written.
    """
    if to not in ("onnx", "pt2"):
        raise RestoreError(f"models are exported to onnx or pt2, not {to!r}")
    info, model = read_info(checkpoint), load_model(checkpoint, device="cpu")
    portable = Portable(model, **_told(model, route, task))
    told = json.dumps({"route": route, "task": task, **info.model_dump(mode="json")})
    with _quiet():
        program = _draw(portable, _size(portable, to, height, width))
        data = _onnx(program, told) if to == "onnx" else _pt2(program, told)
    atomic.write(out, data)


def _told(model: nn.Module, route: int | None, task: str | None) -> dict[str, Any]:
    """What the model is called with besides the image; a graph can hold one way only."""
    if isinstance(model, MoCEIR):
        if route is None or not 0 <= route < model.num_experts:
            raise RestoreError(
                "a graph holds one route through this model: name the expert of all blocks, --route 0 (the cheapest) "
                f"to {model.num_experts - 1}"
            )
        return {"route": route}
    if route is not None:
        raise RestoreError("this model routes nothing by image: leave --route out")
    told = task_arguments(model, 0 if task is None else TASKS.index(parse_task(task)))
    if told and task is None:
        raise RestoreError(
            f"a graph holds one task of this model: name it (--task), one of {', '.join(TASKS)}"
        )
    return told


def _size(
    portable: Portable, to: str, height: int | None, width: int | None
) -> tuple[int, int] | None:
    if height is None and width is None:
        if to == "pt2":
            raise RestoreError("a pt2 program holds for one size: give --height and --width")
        return None
    if height is None or width is None:
        raise RestoreError("give both --height and --width")
    if min(height, width) < portable.multiple:
        raise RestoreError(
            f"a graph of this model takes images from {portable.multiple} pixels a side"
        )
    return height, width


def _draw(portable: Portable, size: tuple[int, int] | None) -> torch.export.ExportedProgram:
    # an unknown size is drawn by example. Whatever is 1 or whole in the example would be taken for always so: hence
    # sides that are no multiples, and several of the largest tiles at the deepest level
    image_13HW = torch.zeros(1, 3, *(size or (301, 307)))
    unknown = {2: torch.export.Dim.AUTO, 3: torch.export.Dim.AUTO}
    # with gradients networks take pictures whole, not by strips whose number depends on the size
    with torch.enable_grad():
        shapes = None if size else (unknown,)
        return torch.export.export(portable, (image_13HW,), dynamic_shapes=shapes, strict=False)


def _onnx(program: torch.export.ExportedProgram, told: str) -> bytes:
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtra("exporting to ONNX", "onnx") from error
    try:
        converted = torch.onnx.export(
            program,
            (),
            dynamo=True,
            verbose=False,
            input_names=["image"],
            output_names=["restored"],
        )
    except torch.onnx.errors.OnnxExporterError as error:
        reason = str(error.__cause__ or error).strip().splitlines()[0]
        raise RestoreError(
            f"this model has operators that ONNX's exporter doesn't know ({reason}): try pt2"
        ) from error
    assert converted is not None
    converted.model.metadata_props["curate"] = told
    return converted.model_proto.SerializeToString()


def _pt2(program: torch.export.ExportedProgram, told: str) -> bytes:
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files={"curate": told})
    return buffer.getvalue()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporters tell their own developers."""
    loggers = [logging.getLogger(name) for name in _LOUD]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
