"""Training, judging and applying restorers.

Importing this package imports no torch: its names load theirs when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from curate.errors import MissingExtra
from curate.restore.recipe import TrainRecipe

if TYPE_CHECKING:
    from curate.restore.catalogue import ModelEntry, Part, describe_model
    from curate.restore.checkpoint import CheckpointInfo, load_model, read_info
    from curate.restore.compare import comparison
    from curate.restore.degradations import known_degradations, parse_degradation
    from curate.restore.evaluation import Row, evaluate
    from curate.restore.infer import Restored, restore_files, restore_image
    from curate.restore.models import build_model
    from curate.restore.training import TrainResult, train

__all__ = [
    "CheckpointInfo",
    "ModelEntry",
    "Part",
    "Restored",
    "Row",
    "TrainRecipe",
    "TrainResult",
    "build_model",
    "comparison",
    "describe_model",
    "evaluate",
    "known_degradations",
    "load_model",
    "parse_degradation",
    "read_info",
    "restore_files",
    "restore_image",
    "train",
]

_HOMES = {
    "CheckpointInfo": "checkpoint",
    "ModelEntry": "catalogue",
    "Part": "catalogue",
    "Restored": "infer",
    "Row": "evaluation",
    "TrainResult": "training",
    "build_model": "models",
    "comparison": "compare",
    "describe_model": "catalogue",
    "evaluate": "evaluation",
    "known_degradations": "degradations",
    "load_model": "checkpoint",
    "parse_degradation": "degradations",
    "read_info": "checkpoint",
    "restore_files": "infer",
    "restore_image": "infer",
    "train": "training",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = importlib.import_module(f"{__name__}.{_HOMES[name]}")
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("curate"):
            raise
        raise MissingExtra("training and applying restorers", "train") from error
    return getattr(module, name)
