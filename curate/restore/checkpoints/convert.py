"""Weights that a network's authors published, as a checkpoint of ours."""

from __future__ import annotations

import argparse
import hashlib
import os
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from curate.errors import RestoreError
from curate.restore.checkpoints.authors_weights import PUBLISHED, published_weights
from curate.restore.checkpoints.checkpoint import CheckpointInfo, save_model
from curate.restore.models import MODELS, build_model

__all__ = ["convert_weights"]

_WRAPPERS = ("params_ema", "params", "state_dict")
"""Keys under which authors put the state dict: BasicSR's average and weights, Lightning's."""
_SHOWN = 5


def convert_weights(
    source: str | os.PathLike[str], model: str, out: str | os.PathLike[str], **settings: Any
) -> CheckpointInfo:
    """Write a published weight file of MoCE-IR, SwinIR or Restormer as a checkpoint that `load_model` takes.

    Nothing in the file is executed: it is read as tensors alone.

    Args:
        source: the authors' .pth, .pt or .ckpt, or the same as .safetensors.
        model: which of `MODELS` it holds.
        out: file to write.
        settings: constructor arguments that differ from the named model's, such as `value_range=255` for the
            SwinIR that removes JPEG artefacts.

    Returns:
        What the checkpoint says of itself.

    Raises:
        RestoreError: if the file can't be read, or names or shapes of its tensors aren't the model's; says which.
        RunError: if the checkpoint can't be written.
    """
    path = Path(source)
    with torch.device("meta"):
        network = build_model(model, **settings)
    if type(network) not in PUBLISHED:
        known = [name for name in MODELS if _kind(name) in PUBLISHED]
        raise RestoreError(
            f"no published weights are known for {model}; they are for {', '.join(known)}"
        )
    found = published_weights(network, _read(path))
    wanted = network.state_dict()
    if faults := _faults(found, wanted):
        raise RestoreError(
            f"{path} doesn't fit model {model}: {'; '.join(faults)}. Is it another model, or one with other settings "
            "(--set)? `curate models` lists the models"
        )
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    info = CheckpointInfo(model=model, settings=settings, origin=f"{path.name}, SHA-256 {digest}")
    save_model(
        out, {name: tensor.to(wanted[name].dtype) for name, (_, tensor) in found.items()}, info
    )
    return info


def _kind(name: str) -> type[nn.Module]:
    with torch.device("meta"):
        return type(build_model(name))


def _faults(found: Mapping[str, tuple[str, Tensor]], wanted: Mapping[str, Tensor]) -> list[str]:
    """What doesn't fit: our names of what is missing, theirs of what is too much or of another shape."""
    shapes = [
        f"{theirs} is {tuple(tensor.shape)} and should be {tuple(wanted[ours].shape)}"
        for ours, (theirs, tensor) in found.items()
        if ours in wanted and tensor.shape != wanted[ours].shape
    ]
    lists = {
        "missing": [name for name in wanted if name not in found],
        "unexpected": [theirs for ours, (theirs, _) in found.items() if ours not in wanted],
        "of another shape": shapes,
    }
    return [
        f"{len(names)} {what} ({', '.join(names[:_SHOWN])}{', ...' if len(names) > _SHOWN else ''})"
        for what, names in lists.items()
        if names
    ]


def _read(path: Path) -> dict[str, Tensor]:
    """The state dict in a weight file, without what training frameworks wrap around it and put before its names."""
    try:
        if path.suffix == ".safetensors":
            content: Any = safetensors.torch.load_file(path)
        else:
            # what Lightning keeps of a script's arguments; it holds values and runs nothing
            with torch.serialization.safe_globals([argparse.Namespace]):
                content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        other = re.search(r"GLOBAL (\S+)", str(error))
        what = (
            f"it holds a {other[1]}, not tensors alone"
            if other
            else "it isn't one that PyTorch wrote"
        )
        raise RestoreError(
            f"can't read weights {path}: {what}; save the network's state dict by itself"
        ) from error
    except (
        OSError,
        RuntimeError,
        EOFError,
        ValueError,
        KeyError,
        safetensors.SafetensorError,
    ) as error:
        raise RestoreError(f"can't read weights {path}: {' '.join(str(error).split())}") from error
    for wrapper in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if (
        not isinstance(content, dict)
        or not content
        or not all(isinstance(t, Tensor) for t in content.values())
    ):
        raise RestoreError(
            f"{path} holds no state dict: give the weights of a network, names with tensors"
        )
    return {
        re.sub(r"^((module|net|model)\.)+", "", name): tensor for name, tensor in content.items()
    }
