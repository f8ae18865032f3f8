"""What a forward pass takes, module by module: work, and memory for what lies between the layers.

Nothing is computed: the pass runs on tensors that have a shape and no values, so every kernel is asked for what the CPU
would be asked for, and a picture of any size costs a second.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torchvision  # noqa: F401 - it makes the operators of its own known
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from curate.restore.models.damoe import SoftMixture

__all__ = ["Cost", "forward_cost", "parts"]


@dataclass(frozen=True)
class Cost:
    """One image through one network."""

    macs: Mapping[str, int]
    """Multiply-accumulates of each of the network's parts; see `forward_cost`."""
    total_macs: int
    """Of the whole network."""
    activations: int
    """Bytes of the tensors that are there at once, at most: without the weights, the image, and what a kernel keeps
    for itself while it runs. For a picture that is taken whole; on a CPU some networks take strips, and less memory."""


def forward_cost(model: nn.Module, height: int, width: int, **told: Any) -> Cost:
    """Count the forward pass of an image in 32-bit floats.

    Multiply-accumulates are half of what PyTorch's `FlopCounterMode` counts: convolutions, linear layers and products
    of matrices, those of attention among them; nothing for biases, activations, norms, interpolation and FFTs.

    Args:
        model: on any device, the meta device too.
        height: of the image in pixels.
        width: as height.
        told: what the model is called with besides the image. Its answer must not depend on the image's values, so a
            MoCE-IR must be given a route. The patches of DAMoE's soft mixtures all take one expert: any costs the same.
    """
    model = model.eval()
    counter = FlopCounterMode(display=False, custom_mapping=_COUNTS)
    with FakeTensorMode(), torch.no_grad():
        tensors = {
            name: torch.empty(tensor.shape, dtype=tensor.dtype)
            for name, tensor in (*model.named_parameters(), *model.named_buffers())
        }
        image_13HW = torch.empty(1, 3, height, width)
        mixtures = [module for module in model.modules() if isinstance(module, SoftMixture)]
        for mixture in mixtures:
            mixture._count = partial(_all_in_the_first, len(mixture.experts))  # type: ignore[method-assign]
        memory = _Memory([*tensors.values(), image_13HW])
        try:
            # where gradients are wanted no picture is taken by strips, which overlap and are many
            with counter, memory, torch.enable_grad():
                torch.func.functional_call(model, tensors, (image_13HW,), told)
        finally:
            for mixture in mixtures:
                del mixture._count
    counts, root = counter.get_flop_counts(), type(model).__name__
    macs = {name: sum(counts.get(f"{root}.{name}", {}).values()) // 2 for name, _ in parts(model)}
    return Cost(macs, counter.get_total_flops() // 2, memory.peak)


def parts(model: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """A network's modules as its forward pass names them: children, and those of lists of modules one by one."""
    for name, child in model.named_children():
        if isinstance(child, nn.ModuleList):
            yield from parts(child, f"{prefix}{name}.")
        else:
            yield prefix + name, child


def _all_in_the_first(experts: int, expert_P: Tensor) -> list[int]:
    return [len(expert_P)] + [0] * (experts - 1)


def _deformable(
    x: torch.Size, weight: torch.Size, *_: Any, out_shape: torch.Size, **__: Any
) -> int:
    """Two for each multiply-accumulate of a deformable convolution, as for a plain one."""
    return 2 * math.prod(weight) * out_shape[0] * out_shape[2] * out_shape[3]


def _attention(q: torch.Size, k: torch.Size, v: torch.Size, *_: Any, **__: Any) -> int:
    return int(sdpa_flop_count(q, k, v))


_COUNTS = {
    torch.ops.torchvision.deform_conv2d: _deformable,
    # PyTorch 2.14 counts the fused attention of GPUs only
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
}


class _Memory(TorchDispatchMode):
    """Adds up the storages that operators make, until they are let go of.

    Args:
        given: tensors that were there before; operators that return views of them make nothing.
    """

    def __init__(self, given: Iterable[Tensor]) -> None:
        super().__init__()
        self.peak, self._now = 0, 0
        self._seen = {tensor.untyped_storage()._cdata for tensor in given}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                self._add(tensor.untyped_storage())
        return made

    def _add(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key not in self._seen:
            self._seen.add(key)
            self._now += size
            self.peak = max(self.peak, self._now)
            weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._seen.discard(key)
        self._now -= size
