"""Heads: linear layers from an image's embedding to a number, such as an aesthetic predictor."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from scipy.special import expit, ndtr

from curate.errors import LabelError
from curate.recipe import Head, Label
from curate.storage.places import open_file

__all__ = ["HeadFile", "HeadNetwork", "find_heads", "heads_settings"]

_ACTIVATIONS: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "none": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "gelu": lambda x: x * ndtr(x),
    "sigmoid": expit,
}


@dataclass(frozen=True)
class HeadFile:
    """File of a head whose layers fit together."""

    name: str
    path: str
    sha256: str
    layers: tuple[str, ...]
    """Beginnings of the names of each layer's weight and bias, in their order."""
    width: int
    """Length of the embeddings that it takes."""
    activation: str
    output: str


def find_heads(config: Label) -> tuple[HeadFile, ...]:
    """Return the files of a recipe's heads, by the shapes of their tensors alone.

    Raises:
        LabelError: if a file isn't there, is no safetensors file, or holds no linear layers that
            lead to one number.
    """
    return tuple(_find(name, head) for name, head in config.heads.items())


def heads_settings(heads: Iterable[HeadFile]) -> list[Any]:
    """Return all that scores of heads depend on beside the model, JSON-like; no path."""
    return [[head.name, head.sha256, head.activation, head.output] for head in heads]


class HeadNetwork:
    """Weights of a head."""

    def __init__(self, head: HeadFile, width: int, model: str) -> None:
        """Load the weights for embeddings of a length.

        Raises:
            LabelError: if the head takes embeddings of another length, or a weight isn't finite.
        """
        if head.width != width:
            raise LabelError(
                f"label.heads.{head.name}: {head.path} takes embeddings of {head.width}, and those "
                f"of {model} have {width}: choose the model that the head was trained on"
            )
        self.name = head.name
        self._activation, self._output = _ACTIVATIONS[head.activation], _ACTIVATIONS[head.output]
        self._layers = []
        with safe_open(head.path, "pt") as file:  # numpy has no bfloat16
            for layer in head.layers:
                weight_OI = file.get_tensor(f"{layer}weight").double().numpy()
                bias_O = np.zeros(len(weight_OI))
                if f"{layer}bias" in file.keys():  # noqa: SIM118 - no mapping
                    bias_O = file.get_tensor(f"{layer}bias").double().numpy()
                self._layers.append((weight_OI, bias_O))
        if not all(np.isfinite(weight).all() for layer in self._layers for weight in layer):
            raise LabelError(
                f"label.heads.{head.name}: {head.path} holds weights that aren't finite"
            )

    def __call__(self, embeddings_ND: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return a number for each embedding of unit length, shape (N,)."""
        values_NW = embeddings_ND.astype(np.float64)
        for number, (weight_OI, bias_O) in enumerate(self._layers):
            if number:
                values_NW = self._activation(values_NW)
            values_NW = values_NW @ weight_OI.T + bias_O
        return self._output(values_NW[:, 0])


def _find(name: str, head: Head) -> HeadFile:
    where = f"label.heads.{name}"
    try:
        with open_file(head.file) as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        with safe_open(head.file, "numpy") as file:
            names = file.keys()
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in names}
    except (OSError, ImportError, ValueError) as error:
        raise LabelError(f"{where}: can't read {head.file}: {error}") from error
    except SafetensorError as error:
        raise LabelError(
            f"{where}: {head.file} is no safetensors file ({error}): save the head's state_dict "
            "with safetensors.torch.save_file"
        ) from error
    layers, fault = _chain(shapes)
    if fault:
        raise LabelError(f"{where}: {head.file} {fault}; want linear layers that end in one number")
    width = shapes[f"{layers[0]}weight"][1]
    path = str(Path(head.file).absolute())
    return HeadFile(name, path, digest, layers, width, head.activation, head.output)


def _chain(shapes: Mapping[str, tuple[int, ...]]) -> tuple[tuple[str, ...], str]:
    """Return the layers in the order of their names, and what keeps them from being a head."""
    layers = sorted((key[:-6] for key in shapes if key.endswith("weight")), key=_natural)
    known = {f"{layer}{kind}" for layer in layers for kind in ("weight", "bias")}
    if others := sorted(shapes.keys() - known):
        return (), f"holds {others[0]}, which is no part of a linear layer"
    width = None
    for layer in layers:
        shape = shapes[f"{layer}weight"]
        if len(shape) != 2 or shapes.get(f"{layer}bias", shape[:1]) != shape[:1] or 0 in shape:
            return (), f"holds {layer}weight of shape {shape}, which is no linear layer's"
        if width not in (None, shape[1]):
            return (), f"holds {layer}weight for {shape[1]} values, after a layer of {width}"
        width = shape[0]
    if width != 1:
        return (), "holds no layers" if width is None else f"ends in {width} numbers"
    return tuple(layers), ""


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts layers.10 after layers.2."""
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]
