"""Restorers: training, evaluation and use.

Importing this package imports no torch: its names load their modules when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from curate.errors import MissingExtra
from curate.restore.recipe import TrainRecipe

if TYPE_CHECKING:
    from curate.restore.checkpoints.checkpoint import CheckpointInfo, load_model, read_info
    from curate.restore.checkpoints.convert import convert_weights
    from curate.restore.checkpoints.export import export_model
    from curate.restore.data.degradations import known_degradations, parse_degradation
    from curate.restore.evaluation.bootstrap import Estimate
    from curate.restore.evaluation.expert_usage import save_routes
    from curate.restore.evaluation.formats import SCORE_TEXTS, scores_csv
    from curate.restore.evaluation.paper_tables import degradations_for
    from curate.restore.evaluation.scoring import (
        Evaluation,
        Score,
        evaluate,
        name_of_checkpoint,
        name_of_source,
    )
    from curate.restore.evaluation.tables import ScoreRow, ScoreTable, paper_tables, summary_table
    from curate.restore.inference.before_after import comparison
    from curate.restore.inference.restore_files import Restored, restore_files
    from curate.restore.inference.restore_image import restore_image
    from curate.restore.models import build_model
    from curate.restore.models.catalogue import ModelEntry, Part, describe_model
    from curate.restore.training.trainer import TrainResult, train

__all__ = [
    "SCORE_TEXTS",
    "CheckpointInfo",
    "Estimate",
    "Evaluation",
    "ModelEntry",
    "Part",
    "Restored",
    "Score",
    "ScoreRow",
    "ScoreTable",
    "TrainRecipe",
    "TrainResult",
    "build_model",
    "comparison",
    "convert_weights",
    "degradations_for",
    "describe_model",
    "evaluate",
    "export_model",
    "known_degradations",
    "load_model",
    "name_of_checkpoint",
    "name_of_source",
    "paper_tables",
    "parse_degradation",
    "read_info",
    "restore_files",
    "restore_image",
    "save_routes",
    "scores_csv",
    "summary_table",
    "train",
]

_NAMES = {
    "checkpoints.checkpoint": ("CheckpointInfo", "load_model", "read_info"),
    "checkpoints.convert": ("convert_weights",),
    "checkpoints.export": ("export_model",),
    "data.degradations": ("known_degradations", "parse_degradation"),
    "evaluation.bootstrap": ("Estimate",),
    "evaluation.expert_usage": ("save_routes",),
    "evaluation.formats": ("SCORE_TEXTS", "scores_csv"),
    "evaluation.paper_tables": ("degradations_for",),
    "evaluation.scoring": (
        "Evaluation",
        "Score",
        "evaluate",
        "name_of_checkpoint",
        "name_of_source",
    ),
    "evaluation.tables": ("ScoreRow", "ScoreTable", "paper_tables", "summary_table"),
    "inference.before_after": ("comparison",),
    "inference.restore_files": ("Restored", "restore_files"),
    "inference.restore_image": ("restore_image",),
    "models": ("build_model",),
    "models.catalogue": ("ModelEntry", "Part", "describe_model"),
    "training.trainer": ("TrainResult", "train"),
}
"""Module -> names that come from it."""


def __getattr__(name: str) -> Any:
    home = next((module for module, names in _NAMES.items() if name in names), None)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = importlib.import_module(f"{__name__}.{home}")
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("curate"):
            raise
        raise MissingExtra("training and applying restorers", "train") from error
    return getattr(module, name)
