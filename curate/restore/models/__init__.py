"""Restorers by name.

Every model maps images in 0..1, (B, 3, H, W) of any size, to restored images of the same shape.
`forward_with_aux` also returns the auxiliary loss of the routing, to add to the restoration loss.
Attributes of a model say more about it:

- `source`: its publication.
- `multiple`: both sides of an image are padded to multiples of it.
- `grid`: pieces of a picture begin at multiples of it (default `multiple`), so that the network's
  tiles fall as in the whole picture; `pixels_at_once` is the size limit of a piece.
- `tasks`: names of its tasks; `forward` takes each image's position among them as `task`.
- `views`: 2 if training needs second crops of the same images; `aux_loss` gives their loss alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from torch import Tensor, nn

from curate.errors import RestoreError
from curate.restore.data.degradations import TASKS
from curate.restore.models.airnet import AirNet
from curate.restore.models.blocks import count_parameters
from curate.restore.models.damoe import DAMoE
from curate.restore.models.moce_ir import MoCEIR
from curate.restore.models.restormer import Restormer
from curate.restore.models.swinir import SwinIR

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
    """Build a restorer with fresh weights from torch's global generator.

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
    """Return the forward kwargs that name the images' tasks; none for a model without tasks.

    Args:
        model: any of `MODELS`.
        task: position in `TASKS`: one for all images, or one for each.

    Raises:
        RestoreError: if `task` is a single number that the model doesn't know.
    """
    if not hasattr(model, "tasks"):
        return {}
    if isinstance(task, int):
        require_tasks(model, [TASKS[task]])
    return {"task": task}


def require_tasks(model: nn.Module, tasks: Iterable[str]) -> None:
    """Raise unless the model knows these tasks, or needs none.

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
