"""Conversion of weights that a network's authors published to a checkpoint."""

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
from torch import Tensor

from curate.errors import RestoreError
from curate.restore.checkpoints.authors_weights import PUBLISHED, published_weights
from curate.restore.checkpoints.checkpoint import CheckpointInfo, save_model
from curate.restore.models import MODELS, build_model

__all__ = ["convert_weights"]

_WRAPPERS = ("params_ema", "params", "state_dict")
"""Keys under which authors put the state dict: BasicSR's average and weights, Lightning's."""
_SHOWN = 5
_UNREADABLE = (OSError, RuntimeError, EOFError, ValueError, KeyError, safetensors.SafetensorError)


def convert_weights(
    source: str | os.PathLike[str], model: str, out: str | os.PathLike[str], **settings: Any
) -> CheckpointInfo:
    """Convert published weights of MoCE-IR, SwinIR or Restormer to a checkpoint for `load_model`.

    The file is read as tensors alone; nothing in it is executed.

    Args:
        source: the authors' .pth, .pt or .ckpt, or the same as .safetensors.
        model: the one of `MODELS` that it holds.
        out: file to write.
        settings: constructor arguments that differ from the named model's, such as
            `value_range=255` for the SwinIR that removes JPEG artefacts.

    Returns:
        The checkpoint's metadata.

    Raises:
        RestoreError: if the file can't be read, or names or shapes of its tensors aren't the
            model's; says which.
        RunError: if the checkpoint can't be written.
    """
    path = Path(source)
    # names and shapes alone: weights on the meta device have no values
    with torch.device("meta"):
        network = build_model(model, **settings)
    if type(network) not in PUBLISHED:
        classes = {name: getattr(build, "func", build) for name, build in MODELS.items()}
        known = ", ".join(name for name in MODELS if classes[name] in PUBLISHED)
        raise RestoreError(f"no published weights are known for {model}; they are for {known}")
    found, wanted = published_weights(network, _read(path)), network.state_dict()
    if faults := _faults(found, wanted):
        raise RestoreError(
            f"{path} doesn't fit model {model}: {'; '.join(faults)}. Is it another model, or one "
            "with other settings (--set)? `curate models` lists the models"
        )
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    info = CheckpointInfo(model=model, settings=settings, origin=f"{path.name}, SHA-256 {digest}")
    weights = {name: tensor.to(wanted[name].dtype) for name, (_, tensor) in found.items()}
    save_model(out, weights, info)
    return info


def _faults(found: Mapping[str, tuple[str, Tensor]], wanted: Mapping[str, Tensor]) -> list[str]:
    """Report tensors that are missing (our names), unexpected, or of the wrong shape (theirs)."""
    missing = [name for name in wanted if name not in found]
    faults: dict[str, list[str]] = {"missing": missing, "unexpected": [], "of another shape": []}
    for ours, (theirs, tensor) in found.items():
        if ours not in wanted:
            faults["unexpected"].append(theirs)
        elif tensor.shape != (shape := wanted[ours].shape):
            fault = f"{theirs} is {tuple(tensor.shape)} and should be {tuple(shape)}"
            faults["of another shape"].append(fault)
    reports = []
    for kind, names in faults.items():
        shown = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
        if names:
            reports.append(f"{len(names)} {kind} ({shown})")
    return reports


def _read(path: Path) -> dict[str, Tensor]:
    """Read a state dict, without the wrappers and name prefixes of training frameworks."""
    try:
        if path.suffix == ".safetensors":
            content: Any = safetensors.torch.load_file(path)
        else:
            # Lightning saves a script's arguments as a Namespace: it has values and runs nothing
            with torch.serialization.safe_globals([argparse.Namespace]):
                content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # PyTorch names the class that it refuses to load
        foreign = re.search(r"GLOBAL (\S+)", str(error))
        what = "it isn't one that PyTorch wrote"
        if foreign:
            what = f"it holds a {foreign[1]}, not tensors alone"
        raise RestoreError(
            f"can't read weights {path}: {what}; save the network's state dict by itself"
        ) from error
    except _UNREADABLE as error:
        raise RestoreError(f"can't read weights {path}: {' '.join(str(error).split())}") from error
    for wrapper in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    tensors = content if isinstance(content, dict) else {}
    if not tensors or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise RestoreError(
            f"{path} holds no state dict: give the weights of a network, names with tensors"
        )
    # names of the attributes under which a framework holds the network
    prefix = re.compile(r"^((module|net|model)\.)+")
    return {prefix.sub("", name): tensor for name, tensor in tensors.items()}
