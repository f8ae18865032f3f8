"""A CLIP model made ready to infer: loaded, rewritten to be fast, fed, and exact."""

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
from curate.stages.label.weights import find_weights

__all__ = ["exact", "load_model", "map_ahead"]

S = TypeVar("S")
T = TypeVar("T")

_UNUSABLE = (
    OSError, RuntimeError, ValueError, TypeError, KeyError, AttributeError, AssertionError, StopIteration, EOFError,
    pickle.UnpicklingError, SafetensorError,
)  # fmt: skip
"""What open_clip raises for checkpoints that are damaged or belong to another model."""


def load_model(
    config: Label, device: torch.device
) -> tuple[Any, Callable[[Image.Image], torch.Tensor], Any]:
    """The model as it infers fastest, what makes pictures ready for it, and its tokenizer.

    Raises:
        LabelError: if weights are missing, out of reach, damaged, or of another model.
    """
    weights = find_weights(config)
    try:
        model, _, prepare = open_clip.create_model_and_transforms(
            weights.model,
            str(weights.checkpoint) if not weights.model.startswith("local-dir:") else None,
            precision=config.precision,
            device=device,
            **weights.options,
        )
        tokenizer = open_clip.get_tokenizer(weights.model)
    except ImportError as error:
        raise LabelError(
            f"label.model {config.model!r} needs a package that isn't installed: {error}"
        ) from error
    except _UNUSABLE as error:
        cause = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise LabelError(
            f"can't load {weights.checkpoint} into {config.model!r}: it is damaged or of another model ({cause})"
        ) from error
    _speed_up(model.eval().visual, config.precision, device)
    return model, prepare, tokenizer


def _speed_up(tower: nn.Module, precision: str, device: torch.device) -> None:
    """Rewrite an image tower into one that computes the same, to the seventh digit, in less time."""
    reparameterize_model(
        tower, inplace=True
    )  # branches to train with (MobileCLIP's) become one convolution each
    tower.to(memory_format=torch.channels_last)  # convolutions are faster where channels lie last
    if device.type == "cpu" and precision == "fp32" and torch.backends.mkldnn.is_available():
        for module in tower.modules():
            if (
                type(module) is nn.Linear
            ):  # no subclass: those are for layers that multiply by their weights themselves
                module.__class__ = _Linear


class _Linear(nn.Linear):
    """A linear layer by oneDNN: PyTorch takes MKL, which leaves half of a processor unused that isn't Intel's."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """See nn.Linear."""
        product: torch.Tensor = F.linear(x.to_mkldnn(), self.weight, self.bias)
        return product.to_dense()


@contextmanager
def map_ahead(function: Callable[[S], T], items: Iterable[S], ahead: int) -> Iterator[Iterator[T]]:
    """`map`, so many items ahead in threads: a GPU would idle while it waits for one decoder at a time.

    None ahead, no threads: a CPU's cores are kept busy by one worker process for each.
    """
    if not ahead:
        yield map(function, items)
        return
    # decoding silences warnings; threads that do so at once would undo each other's silence
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
    """Inference that gives the same numbers again: on one CPU thread, and in the precision that was asked for.

    More threads may split sums differently, and a run may not depend on its workers' threads. A GPU would round the
    inputs of float32 convolutions to 10 bits (TF32).
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
