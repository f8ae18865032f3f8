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
    from curate.restore.convert import convert_weights
    from curate.restore.degradations import known_degradations, parse_degradation
    from curate.restore.evaluation import Evaluation, Score, evaluate, name_of_checkpoint, name_of_source
    from curate.restore.export import export_model
    from curate.restore.infer import restore_image
    from curate.restore.intervals import Estimate
    from curate.restore.models import build_model
    from curate.restore.picture_files import Restored, restore_files
    from curate.restore.published import degradations_for
    from curate.restore.routing import save_routes
    from curate.restore.score_tables import ScoreRow, ScoreTable, paper_tables, summary_table
    from curate.restore.score_text import SCORE_TEXTS, scores_csv
    from curate.restore.training import TrainResult, train

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

_HOMES = {
    "SCORE_TEXTS": "score_text",
    "CheckpointInfo": "checkpoint",
    "Estimate": "intervals",
    "Evaluation": "evaluation",
    "ModelEntry": "catalogue",
    "Part": "catalogue",
    "Restored": "picture_files",
    "Score": "evaluation",
    "ScoreRow": "score_tables",
    "ScoreTable": "score_tables",
    "TrainResult": "training",
    "build_model": "models",
    "comparison": "compare",
    "convert_weights": "convert",
    "degradations_for": "published",
    "describe_model": "catalogue",
    "evaluate": "evaluation",
    "export_model": "export",
    "known_degradations": "degradations",
    "load_model": "checkpoint",
    "name_of_checkpoint": "evaluation",
    "name_of_source": "evaluation",
    "paper_tables": "score_tables",
    "parse_degradation": "degradations",
    "read_info": "checkpoint",
    "restore_files": "picture_files",
    "restore_image": "infer",
    "save_routes": "routing",
    "scores_csv": "score_text",
    "summary_table": "score_tables",
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
