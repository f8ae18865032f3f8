"""Processes that share a training: as many as the recipe or `torchrun` says."""

from __future__ import annotations

import os
from typing import Any

import torch
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from curate.errors import RestoreError
from curate.restore.recipe import TrainRecipe

__all__ = ["leads", "process_settings"]


def leads() -> bool:
    """Return whether this process, of those that share the training, writes files and reports."""
    return bool(rank_zero_only.rank == 0)  # type: ignore[attr-defined]


def process_settings(recipe: TrainRecipe) -> dict[str, Any]:
    """Return Lightning's settings for processes that share each step and average their gradients.

    Raises:
        RestoreError: if there are fewer GPUs, or a batch can't be shared equally.
    """
    here, machines = recipe.devices, 1
    if torch.distributed.is_torchelastic_launched():
        here = int(os.environ["LOCAL_WORLD_SIZE"])
        machines = int(os.environ["WORLD_SIZE"]) // here
    if torch.cuda.is_available() and here > (found := torch.cuda.device_count()):
        raise RestoreError(f"{here} devices are asked for, and {found} are here: lower devices")
    world = here * machines
    for phase in recipe.phases:
        if phase.batch % world:
            raise RestoreError(
                f"a batch of {phase.batch} can't be shared equally by {world} processes: "
                f"make it a multiple of {world}"
            )
    return {
        "devices": here,
        "num_nodes": machines,
        # a step leaves experts out, and each process leaves out others
        "strategy": DDPStrategy(find_unused_parameters=True) if world > 1 else "auto",
        # the loaders take each process's share themselves
        "use_distributed_sampler": False,
    }
