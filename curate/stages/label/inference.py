"""Inference of a CLIP model: loading, speeding up, reading ahead, and exact arithmetic."""

from __future__ import annotations

import os
import pickle
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import open_clip
import torch
from PIL import Image
from safetensors import SafetensorError
from timm.utils.model import reparameterize_model
from torch import nn
from torch.nn import functional as F

from curate.errors import LabelError
from curate.recipe import Label
from curate.stages.label.weights import LOCAL_DIR, find_weights

__all__ = ["exact", "load_model", "map_ahead"]

S = TypeVar("S")
T = TypeVar("T")

_UNUSABLE = (
    OSError, RuntimeError, ValueError, TypeError, KeyError, AttributeError, AssertionError,
    StopIteration, EOFError, pickle.UnpicklingError, SafetensorError,
)  # fmt: skip
"""Errors that open_clip raises for checkpoints that are damaged or belong to another model."""


def load_model(
    config: Label, device: torch.device
) -> tuple[Any, Callable[[Image.Image], torch.Tensor], Any]:
    """Return the model, sped up, the transform of pictures to its input, and its tokenizer.

    Raises:
        LabelError: if weights are missing, out of reach, damaged, or of another model.
    """
    weights = find_weights(config)
    # a model folder names its checkpoint itself
    checkpoint = None if weights.model.startswith(LOCAL_DIR) else str(weights.checkpoint)
    options = {"precision": config.precision, "device": device, **weights.options}
    try:
        model, _, transform = open_clip.create_model_and_transforms(
            weights.model, checkpoint, **options
        )
        tokenizer = open_clip.get_tokenizer(weights.model)
    except ImportError as error:
        raise LabelError(
            f"label.model {config.model!r} needs a package that isn't installed: {error}"
        ) from error
    except _UNUSABLE as error:
        cause = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise LabelError(
            f"can't load {weights.checkpoint} into {config.model!r}: "
            f"it is damaged or of another model ({cause})"
        ) from error
    _speed_up(model.eval().visual, config.precision, device)
    return model, transform, tokenizer


def _speed_up(tower: nn.Module, precision: str, device: torch.device) -> None:
    """Rewrite an image tower so that it computes the same, to the seventh digit, in less time."""
    # branches that are for training (MobileCLIP's) become one convolution each
    reparameterize_model(tower, inplace=True)
    # convolutions are faster where channels lie last
    tower.to(memory_format=torch.channels_last)
    if device.type == "cpu" and precision == "fp32" and torch.backends.mkldnn.is_available():
        for module in tower.modules():
            # a subclass may belong to a layer that multiplies by the weights itself
            if type(module) is nn.Linear:
                module.__class__ = _Linear


class _Linear(nn.Linear):
    """Linear layer by oneDNN: PyTorch's MKL uses half of a processor that isn't Intel's."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """See nn.Linear."""
        product: torch.Tensor = F.linear(x.to_mkldnn(), self.weight, self.bias)
        return product.to_dense()


@contextmanager
def map_ahead(function: Callable[[S], T], items: Iterable[S], ahead: int) -> Iterator[Iterator[T]]:
    """Map a function over items, `ahead` of them in advance, so that no GPU waits for a decoder.

    If `ahead` is 0 there are no threads: on CPUs, one worker process for each core is enough.
    """
    if not ahead:
        yield map(function, items)
        return
    # decoding silences warnings, but concurrent threads would restore each other's filters
    with warnings.catch_warnings(), ThreadPoolExecutor(os.cpu_count(), "decode") as threads:
        warnings.simplefilter("ignore")
        yield _in_order(function, items, ahead, threads)


def _in_order(
    function: Callable[[S], T], items: Iterable[S], ahead: int, threads: ThreadPoolExecutor
) -> Iterator[T]:
    waiting: deque[Future[T]] = deque()
    for item in items:
        waiting.append(threads.submit(function, item))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


@contextmanager
def exact() -> Iterator[None]:
    """Make inference reproducible: one CPU thread, and the precision of the configuration.

    More threads may split sums differently, and a run may not depend on its workers' threads. A GPU
    would round the inputs of float32 convolutions to 10 bits (TF32).
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with (
            torch.inference_mode(),
            torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False),
        ):
            yield
    finally:
        torch.set_num_threads(threads)
