"""Restorers by name.

Every model maps images in 0..1 of shape (B, 3, H, W), of any size, to restored images of the same shape; its
`forward_with_aux` also gives the loss that its routing wants to be added to the restoration loss. A model with an
attribute `tasks` wants to be told each image's task, as its position there. Pieces of a picture begin at multiples of
an attribute `grid`, or of `multiple` where there is none, so that the network parts them as it would the whole;
`pixels_at_once` says how large they may be. One whose attribute `views` is 2 wants second crops
of the same images in training, and can give the loss of these by itself (`aux_loss`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from torch import Tensor, nn

from curate.errors import RestoreError
from curate.restore.data.degradations import TASKS
from curate.restore.models.airnet import AirNet
from curate.restore.models.damoe import DAMoE
from curate.restore.models.moce_ir import MoCEIR
from curate.restore.models.restormer import Restormer
from curate.restore.models.swinir import SwinIR

__all__ = [
    "MODELS",
    "AirNet",
    "DAMoE",
    "MoCEIR",
    "Restormer",
    "SwinIR",
    "build_model",
    "count_parameters",
    "require_tasks",
    "task_arguments",
]

MODELS: dict[str, Callable[..., nn.Module]] = {
    "moe_ir_30g": partial(
        MoCEIR, dim=8, num_blocks=(2, 2, 4, 4), num_dec_blocks=(1, 2, 4), refinement_blocks=2
    ),
    "moce_ir_s": partial(MoCEIR, dim=32),
    "moce_ir": MoCEIR,
    "swinir": SwinIR,
    "swinir_denoise": partial(SwinIR, window=8),
    "damoe": DAMoE,
    "damoe_hard": partial(DAMoE, mixtures="hard"),
    "damoe_soft": partial(DAMoE, mixtures="soft"),
    "restormer": Restormer,
    "airnet": AirNet,
}
"""Constructors by name; settings given to `build_model` override theirs."""


def build_model(name: str, **settings: Any) -> nn.Module:
    """A fresh restorer, initialised from torch's global generator.

    Args:
        name: one of `MODELS`.
        settings: constructor arguments that differ from the named model's.

    Raises:
        RestoreError: if there is no such model, or it takes no such settings.
    """
    if name not in MODELS:
        raise RestoreError(f"no model {name!r}; known: {', '.join(MODELS)}")
    try:
        return MODELS[name](**settings)
    except (TypeError, ValueError) as error:
        raise RestoreError(f"model {name} can't be built with {settings}: {error}") from error


def task_arguments(model: nn.Module, task: Tensor | int) -> dict[str, Any]:
    """What a model is called with besides the images, to be told their tasks; nothing if it doesn't ask.

    Args:
        model: any of `MODELS`.
        task: position in `TASKS`: one for all images, or one for each.

    Raises:
        RestoreError: if it is one number, and not for this model.
    """
    if not hasattr(model, "tasks"):
        return {}
    if isinstance(task, int):
        require_tasks(model, [TASKS[task]])
    return {"task": task}


def require_tasks(model: nn.Module, tasks: Iterable[str]) -> None:
    """Refuse a model that is told tasks, but not these.

    Raises:
        RestoreError: says how many tasks it would have to be built for.
    """
    known = getattr(model, "tasks", TASKS)
    if others := set(tasks).difference(known):
        needed = 1 + max(map(TASKS.index, others))
        raise RestoreError(
            f"the model is for {', '.join(known)}, not for {', '.join(sorted(others))}: "
            f"train one with settings={{tasks: {needed}}}"
        )


def count_parameters(model: nn.Module) -> int:
    """Parameters as papers count them: trained or averaged, and the fixed filters of convolutions among the buffers."""
    fixed = (
        tensor
        for name, tensor in model.named_buffers()
        if name in model.state_dict() and tensor.dim() == 4
    )
    return sum(tensor.numel() for tensor in (*model.parameters(), *fixed))
