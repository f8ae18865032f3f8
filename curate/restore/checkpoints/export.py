"""Export of restorers to other runtimes: ONNX, and PyTorch's exported programs."""

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
from curate.restore.checkpoints.exportable import Exportable
from curate.restore.data.degradations import TASKS, parse_task
from curate.restore.models import MoCEIR, task_arguments
from curate.runtime import log_levels
from curate.storage import atomic

__all__ = ["export_model"]

_NOISY_LOGGERS = ("torch.fx.experimental.symbolic_shapes", "torch.onnx", "onnxscript")


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

    It takes `image`, (1, 3, height, width) float32 on 0..1, and gives `restored`, of the same shape
    and not clipped.

    Args:
        checkpoint: a `model.safetensors` of `curate train` or `curate models convert`.
        out: file to write.
        to: `onnx`, or `pt2` for `torch.export.load`.
        height: of the images, in pixels. Without height and width an ONNX graph takes any size,
            from the model's own multiple (7 or 8) a side.
        width: as height.
        route: the expert that all decoder blocks of MoCE-IR take; for others None.
        task: DAMoE's task, or the name of a degradation; for others None.

    Raises:
        RestoreError: if the checkpoint can't be loaded, or its model can't be exported so.
        MissingExtra: if ONNX's libraries aren't installed.
        RunError: if the file can't be written.
    """
    if to not in ("onnx", "pt2"):
        raise RestoreError(f"models are exported to onnx or pt2, not {to!r}")
    info, model = read_info(checkpoint), load_model(checkpoint, device="cpu")
    exportable = Exportable(model, **_forward_kwargs(model, route, task))
    size = _fixed_size(exportable.multiple, to, height, width)
    metadata = json.dumps({"route": route, "task": task, **info.model_dump(mode="json")})
    with _quiet_exporters():
        program = _trace(exportable, size)
        data = _onnx(program, metadata) if to == "onnx" else _pt2(program, metadata)
    atomic.write(out, data)


def _forward_kwargs(model: nn.Module, route: int | None, task: str | None) -> dict[str, Any]:
    """Return the forward kwargs besides the image; a graph holds one route or task."""
    if isinstance(model, MoCEIR):
        # a graph can't branch on the experts that the routers pick
        if route is None or not 0 <= route < model.num_experts:
            raise RestoreError(
                "a graph holds one route through this model: name the expert of all blocks, "
                f"--route 0 (the cheapest) to {model.num_experts - 1}"
            )
        return {"route": route}
    if route is not None:
        raise RestoreError("this model routes nothing by image: leave --route out")
    kwargs = task_arguments(model, 0 if task is None else TASKS.index(parse_task(task)))
    if kwargs and task is None:
        raise RestoreError(
            f"a graph holds one task of this model: name it (--task), one of {', '.join(TASKS)}"
        )
    return kwargs


def _fixed_size(
    multiple: int, to: str, height: int | None, width: int | None
) -> tuple[int, int] | None:
    """Return the height and width that the graph is fixed to, or None for any size."""
    if height is None and width is None:
        if to == "pt2":
            raise RestoreError("a pt2 program holds for one size: give --height and --width")
        return None
    if height is None or width is None:
        raise RestoreError("give both --height and --width")
    if min(height, width) < multiple:
        raise RestoreError(f"a graph of this model takes images from {multiple} pixels a side")
    return height, width


def _trace(model: nn.Module, size: tuple[int, int] | None) -> torch.export.ExportedProgram:
    # An example image stands for all sizes. A side of 1 or of whole tiles in it would be taken as a
    # constant: hence sides that are no multiples, with several of the largest tiles at all levels.
    image_13HW = torch.zeros(1, 3, *(size or (301, 307)))
    any_size = ({2: torch.export.Dim.AUTO, 3: torch.export.Dim.AUTO},)
    # with gradients networks take pictures whole, not in strips whose number depends on the size
    with torch.enable_grad():
        shapes = None if size else any_size
        try:
            return torch.export.export(model, (image_13HW,), dynamic_shapes=shapes, strict=False)
        except Exception as error:  # from PyTorch, or from sympy below it
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            advice = "try another size" if size else "fix one with --height and --width"
            raise RestoreError(f"PyTorch can't trace this model ({reason}): {advice}") from error


def _onnx(program: torch.export.ExportedProgram, metadata: str) -> bytes:
    # before torch.onnx imports them, because its error doesn't name our extra
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtra("exporting to ONNX", "onnx") from error
    names: dict[str, Any] = {"input_names": ["image"], "output_names": ["restored"]}
    try:
        converted = torch.onnx.export(program, (), dynamo=True, verbose=False, **names)
    except torch.onnx.errors.OnnxExporterError as error:
        reason = str(error.__cause__ or error).strip().splitlines()[0]
        raise RestoreError(
            f"this model has operators that ONNX's exporter doesn't know ({reason}): try pt2"
        ) from error
    assert converted is not None
    converted.model.metadata_props["curate"] = metadata
    return converted.model_proto.SerializeToString()


def _pt2(program: torch.export.ExportedProgram, metadata: str) -> bytes:
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files={"curate": metadata})
    return buffer.getvalue()


@contextmanager
def _quiet_exporters() -> Iterator[None]:
    """Silence warnings and logs that the exporters write for their own developers."""
    levels = dict.fromkeys(_NOISY_LOGGERS, logging.CRITICAL)
    with log_levels(levels), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
