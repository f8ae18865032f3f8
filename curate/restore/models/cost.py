"""Cost of a forward pass: multiply-accumulates of each module, and memory of intermediate results.

Nothing is computed: the pass runs on fake tensors, which have a shape and no values. PyTorch picks
the kernels of a CPU, and a picture of any size takes about a second.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torchvision  # noqa: F401 - registers its operators
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from curate.restore.models.damoe import SoftMixture

__all__ = ["Cost", "forward_cost", "named_parts"]


@dataclass(frozen=True)
class Cost:
    """Cost of one image through one network."""

    macs: Mapping[str, int]
    """Multiply-accumulates of each part of the network; see `forward_cost`."""
    total_macs: int
    """Multiply-accumulates of the whole network."""
    activations: int
    """Peak bytes of live tensors, without the weights, the image, and a kernel's own workspace.

    It is for a picture taken whole; on a CPU some networks take strips, and less memory."""


def forward_cost(model: nn.Module, height: int, width: int, **forward_kwargs: Any) -> Cost:
    """Count the forward pass of an image in 32-bit floats.

    Multiply-accumulates are half of what PyTorch's `FlopCounterMode` counts: convolutions, linear
    layers and products of matrices, those of attention among them; nothing for biases,
    activations, norms, interpolation and FFTs.

    Args:
        model: on any device, the meta device too.
        height: of the image in pixels.
        width: as height.
        forward_kwargs: arguments of the forward pass besides the image. They must make it
            independent of the image's values, so a MoCE-IR needs a route. In DAMoE's soft mixtures
            all patches go to one expert, because all experts cost the same.
    """
    model = model.eval()
    counter = FlopCounterMode(display=False, custom_mapping=_COUNTS)
    mixtures = [module for module in model.modules() if isinstance(module, SoftMixture)]
    with FakeTensorMode(), torch.no_grad():
        tensors: dict[str, Tensor] = {}
        for name, tensor in (*model.named_parameters(), *model.named_buffers()):
            tensors[name] = torch.empty(tensor.shape, dtype=tensor.dtype)
        image_13HW = torch.empty(1, 3, height, width)
        for mixture in mixtures:
            count = partial(_all_to_first, len(mixture.experts))
            mixture._count_patches = count  # type: ignore[method-assign]
        # only what the forward pass itself allocates counts
        memory = _PeakMemory([*tensors.values(), image_13HW])
        try:
            # with gradients no picture is taken in strips, which overlap and are many
            with counter, memory, torch.enable_grad():
                torch.func.functional_call(model, tensors, (image_13HW,), forward_kwargs)
        finally:
            for mixture in mixtures:
                del mixture._count_patches
    counts, root = counter.get_flop_counts(), type(model).__name__
    macs: dict[str, int] = {}
    for name, _ in named_parts(model):
        macs[name] = sum(counts.get(f"{root}.{name}", {}).values()) // 2
    return Cost(macs, counter.get_total_flops() // 2, memory.peak)


def named_parts(model: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Yield a network's children with their names; of a `ModuleList`, its members one by one."""
    for name, child in model.named_children():
        if isinstance(child, nn.ModuleList):
            yield from named_parts(child, f"{prefix}{name}.")
        else:
            yield prefix + name, child


def _all_to_first(experts: int, expert_P: Tensor) -> list[int]:
    return [len(expert_P)] + [0] * (experts - 1)


def _deformable_flops(x: Any, weight: torch.Size, *_: Any, out_shape: Any, **__: Any) -> int:
    """Return 2 for each multiply-accumulate of a deformable convolution, as for a plain one."""
    return 2 * math.prod(weight) * out_shape[0] * out_shape[2] * out_shape[3]


def _attention_flops(q: torch.Size, k: torch.Size, v: torch.Size, *_: Any, **__: Any) -> int:
    return int(sdpa_flop_count(q, k, v))


_COUNTS = {
    torch.ops.torchvision.deform_conv2d: _deformable_flops,
    # PyTorch 2.14 counts the fused attention of GPUs only
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops,
}


class _PeakMemory(TorchDispatchMode):
    """Peak bytes of the storages that operators allocate, until nothing refers to them.

    Args:
        existing: tensors from before; views of them allocate nothing.
    """

    def __init__(self, existing: Iterable[Tensor]) -> None:
        super().__init__()
        self.peak, self._now = 0, 0
        self._seen = {tensor.untyped_storage()._cdata for tensor in existing}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self._add(tensor.untyped_storage())
        return result

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
