"""Label: which of the taxonomy's categories an image belongs to, by a CLIP model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from curate.label.clip import LabelResult, label_images

__all__ = ["LabelResult", "label_images"]


def __getattr__(name: str) -> Any:
    # PyTorch takes seconds to import, and the stage's settings are asked for by runs that label nothing
    if name not in __all__:
        raise AttributeError(f"module 'curate.label' has no attribute {name!r}")
    from curate.label import clip

    return getattr(clip, name)
