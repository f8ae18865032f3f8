"""Checkpoints: a model's weights in safetensors, with their provenance in the file's metadata."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from pydantic import BaseModel
from torch import Tensor, nn

from curate._version import __version__
from curate.errors import RestoreError
from curate.restore.data.groups import TrainedOn
from curate.restore.models import build_model
from curate.runtime import pick_device
from curate.storage import atomic

__all__ = [
    "Change",
    "CheckpointInfo",
    "fingerprint_of",
    "load_model",
    "load_weights",
    "read_info",
    "save_model",
]

_KEY = "curate"


class Change(BaseModel, frozen=True):
    """Setting that was changed while a training went on."""

    step: int
    """Steps that were done before."""
    setting: str
    before: Any
    after: Any

    def __str__(self) -> str:
        if isinstance(self.after, list):  # of phases, say: too long for a line
            return f"other {self.setting}"
        return f"{self.setting}: {self.before} -> {self.after}"


class CheckpointInfo(BaseModel, frozen=True):
    """Metadata of a checkpoint: its model, and how the weights came about."""

    model: str
    """Name for `build_model`."""
    settings: dict[str, Any] = {}
    """Settings for `build_model`."""
    recipe: dict[str, Any] = {}
    """The training recipe, every default spelled out."""
    origin: str = ""
    """Name and SHA-256 of the published file that was converted; empty for trained weights."""
    initial: str = ""
    """SHA-256 of the weights that the training began with; empty for random ones."""
    manifests: Sequence[TrainedOn] = ()
    samples_per_epoch: int = 0
    """Samples of an epoch; 0 where an earlier version didn't record them."""
    changes: Sequence[Change] = ()
    """Settings that were changed at a resume, in that order."""
    epoch: int = 0
    """Epochs done."""
    step: int = 0
    """Steps done."""
    metrics: dict[str, float] = {}
    """Metrics of the last validation."""
    code: str = __version__
    """Version of curate that wrote it."""


def save_model(
    path: str | os.PathLike[str], weights: Mapping[str, Tensor], info: CheckpointInfo
) -> None:
    """Write a checkpoint; the file appears whole or not at all.

    Raises:
        RunError: if the place can't be written.
    """
    # safetensors takes contiguous tensors only
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    atomic.write(path, safetensors.torch.save(tensors, {_KEY: info.model_dump_json()}))


def read_info(path: str | os.PathLike[str]) -> CheckpointInfo:
    """Read a checkpoint's metadata, without its weights.

    Raises:
        RestoreError: if it can't be read or isn't one of ours.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(_KEY)
    except (OSError, safetensors.SafetensorError) as error:
        raise RestoreError(
            f"can't read checkpoint {path}: {error}; `curate train` writes model.safetensors"
        ) from error
    if text is None:
        raise RestoreError(
            f"{path} doesn't say which model it holds: it wasn't written by curate. "
            "`curate models convert` takes weights that their authors published"
        )
    try:
        return CheckpointInfo.model_validate(json.loads(text))
    except ValueError as error:
        raise RestoreError(
            f"{path} was written by another version of curate: {' '.join(str(error).split())}"
        ) from error


def fingerprint_of(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a checkpoint's file.

    Raises:
        RestoreError: if it can't be read or isn't one of ours.
    """
    read_info(path)
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def load_model(path: str | os.PathLike[str], device: str = "auto") -> nn.Module:
    """Load a checkpoint's model, in evaluation mode.

    Args:
        path: a `model.safetensors` of `curate train`.
        device: torch's name of one; `auto` takes a GPU when there is one.

    Raises:
        RestoreError: if the checkpoint can't be read, or its weights don't fit its model.
    """
    info = read_info(path)
    model = build_model(info.model, **info.settings)
    load_weights(model, path)
    return model.to(pick_device(device)).eval()


def load_weights(model: nn.Module, path: str | os.PathLike[str]) -> None:
    """Give a model the weights of a checkpoint.

    Raises:
        RestoreError: if the checkpoint can't be read, or is of another model.
    """
    info = read_info(path)
    try:
        model.load_state_dict(safetensors.torch.load_file(path))
    except (RuntimeError, safetensors.SafetensorError) as error:
        raise RestoreError(f"the weights in {path}, of {info.model}, don't fit: {error}") from error
