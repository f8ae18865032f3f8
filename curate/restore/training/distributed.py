"""How many processes share a training: the recipe's number, or that of the `torchrun` which started them."""

from __future__ import annotations

import os
from typing import Any

import torch
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from curate.errors import RestoreError
from curate.restore.recipe import TrainRecipe

__all__ = ["leads", "share_out"]


def leads() -> bool:
    """Whether this is the one of several processes that writes and talks."""
    return bool(rank_zero_only.rank == 0)  # type: ignore[attr-defined]


def share_out(recipe: TrainRecipe) -> dict[str, Any]:
    """Lightning's settings for the processes that share each step: gradients are averaged over them.

    Raises:
        RestoreError: if there aren't so many GPUs, or a batch can't be shared equally.
    """
    here, machines = recipe.devices, 1
    if torch.distributed.is_torchelastic_launched():
        here = int(os.environ["LOCAL_WORLD_SIZE"])
        machines = int(os.environ["WORLD_SIZE"]) // here
    if torch.cuda.is_available() and here > torch.cuda.device_count():
        raise RestoreError(
            f"{here} devices are asked for, and {torch.cuda.device_count()} are here: lower devices"
        )
    world = here * machines
    for phase in recipe.phases:
        if phase.batch % world:
            raise RestoreError(
                f"a batch of {phase.batch} can't be shared equally by {world} processes: make it a multiple of {world}"
            )
    # a step leaves experts out, each process others
    strategy = DDPStrategy(find_unused_parameters=True) if world > 1 else "auto"
    # the loaders know each process's share themselves
    return {
        "devices": here,
        "num_nodes": machines,
        "strategy": strategy,
        "use_distributed_sampler": False,
    }
