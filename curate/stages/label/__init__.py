"""Label: which of the taxonomy's categories an image belongs to, by a CLIP model."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from curate.stages.label.clip import LabelResult, label_images
    from curate.stages.label.evaluation import LabelEvaluation, evaluate_labels

__all__ = ["LabelEvaluation", "LabelResult", "evaluate_labels", "label_images"]


_HOMES = {
    "LabelEvaluation": "evaluation",
    "LabelResult": "clip",
    "evaluate_labels": "evaluation",
    "label_images": "clip",
}


def __getattr__(name: str) -> Any:
    # PyTorch takes seconds to import, and the stage's settings are asked for by runs that label nothing
    if name not in _HOMES:
        raise AttributeError(f"module 'curate.stages.label' has no attribute {name!r}")
    return getattr(importlib.import_module(f"curate.stages.label.{_HOMES[name]}"), name)
