"""The names that the authors of published weights give to the parts of their networks, and ours."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from torch import Tensor, nn

from curate.restore.models.moce_ir import MoCEIR
from curate.restore.models.restormer import Restormer
from curate.restore.models.swinir import SwinIR

__all__ = ["PUBLISHED", "published_weights"]

Rule = tuple[str, str | Callable[[re.Match[str]], str] | None]
"""What to look for, and what to put in its place; None leaves the whole entry out."""

_SWINIR: Sequence[Rule] = (
    (r"relative_position_index$|attn_mask$", None),  # functions of the window and the image's size
    (r"^patch_embed\.norm\.", "norm_first."),
    (r"^layers\.", "groups."),
    (r"\.residual_group\.", "."),
    (r"\.attn\.relative_position_bias_table$", ".attention.bias"),
    (r"\.attn\.proj\.", ".attention.out."),
    (r"\.attn\.", ".attention."),
    (r"\.mlp\.fc1\.", ".feed_forward.expand."),
    (r"\.mlp\.fc2\.", ".feed_forward.out."),
    (r"^conv_after_body\.", "conv_body."),
    (r"^conv_before_upsample\.", "narrow."),
    (r"^upsample\.", "enlarge."),
    (r"^norm\.", "norm_last."),
)

_ATTENTION: Sequence[Rule] = (
    (r"\.(qkv|kv|q)\.(weight|bias)$", r".\1.0.\2"),
    (r"\.(qkv|kv|q)_dwconv\.", r".\1.1."),
)
_FEED_FORWARD: Sequence[Rule] = (
    (r"\.ffn\.project_in\.", ".feed_forward.expand.0."),
    (r"\.ffn\.dwconv\.", ".feed_forward.expand.1."),
    (r"\.ffn\.project_out\.", ".feed_forward.out."),
)

_RESTORMER: Sequence[Rule] = (
    (r"^patch_embed\.proj\.", "patch_embed."),
    (r"^(encoder|decoder)_level(\d)\.", lambda found: f"{found[1]}.{int(found[2]) - 1}."),
    (r"^down(\d)_\d\.body\.", lambda found: f"down.{int(found[1]) - 1}."),
    (r"^up\d_(\d)\.body\.", lambda found: f"up.{int(found[1]) - 1}."),
    (r"^reduce_chan_level(\d)\.", lambda found: f"fuse.{int(found[1]) - 1}."),
    (r"\.norm(\d)\.body\.", r".norm\1."),
    (r"\.attn\.project_out\.", ".attention.out."),
    (r"\.attn\.", ".attention."),
    *_ATTENTION,
    *_FEED_FORWARD,
)


def _moce_ir(model: MoCEIR) -> Sequence[Rule]:
    deepest = len(model.decoder) - 1  # where the authors begin to count the decoder's levels

    def level(found: re.Match[str]) -> str:
        name = {"0.body": "up", "1": "fuse", "2.layers": "decoder"}[found[2]]
        return f"{name}.{deepest - int(found[1])}."

    return (
        (r"\.routing\.complexity$", None),  # counted anew here
        (r"^patch_embed\.proj\.", "patch_embed."),
        (r"^freq_embed\.high_conv\.0\.conv\.weight$", "frequency.high_pass_C133"),
        (r"^freq_embed\.", "frequency."),
        (r"^enc\.(\d+)\.0\.layers\.", r"encoder.\1."),
        (r"^enc\.(\d+)\.1\.body\.", r"down.\1."),
        (r"^dec\.(\d+)\.(0\.body|1|2\.layers)\.", level),
        (r"^(latent|refinement)\.layers\.", r"\1."),
        (r"\.norms\.0\.body\.", ".norm1."),
        (r"\.norms\.1\.body\.", ".norm2."),
        (r"\.adapter\.experts\.(\d+)\.0\.proj\.0\.", r".routed.experts.\1.reduce."),
        (r"\.adapter\.experts\.(\d+)\.0\.proj\.1\.", r".routed.experts.\1.reduce_shared."),
        (r"\.adapter\.experts\.(\d+)\.0\.proj\.2\.", r".routed.experts.\1.widen."),
        (r"\.adapter\.experts\.(\d+)\.0\.body\.", r".routed.experts.\1.mix."),
        (r"\.mix\.norm\.body\.", ".mix.norm."),
        (r"\.mix\.proj_out\.", ".mix.out."),
        (r"\.adapter\.proj_out\.", ".routed.out."),
        (r"\.adapter\.routing\.gate\.2\.", ".routed.from_image."),
        (r"\.adapter\.routing\.freq_gate\.", ".routed.from_frequency."),
        (r"^(decoder.*)\.proj\.0\.", r"\1.to_shared."),
        (r"^(decoder.*)\.proj\.1\.", r"\1.to_routed."),
        (r"\.(shared|mixer)\.project_out\.", r".\1.out."),
        (r"^(decoder.*)\.mixer\.", r"\1.cross."),
        (r"\.mixer\.", ".attention."),
        *_ATTENTION,
        *_FEED_FORWARD,
    )


PUBLISHED: tuple[type[nn.Module], ...] = (MoCEIR, SwinIR, Restormer)
"""Networks whose authors published weights."""


def published_weights(
    model: nn.Module, state: Mapping[str, Tensor]
) -> dict[str, tuple[str, Tensor]]:
    """An authors' state dict under our names for the same parts: their name and tensor for each.

    Args:
        model: ours; one of `PUBLISHED`, exactly.
        state: theirs. What isn't known keeps its name.
    """
    kind = type(model)
    if isinstance(model, MoCEIR):
        rules = _moce_ir(model)
    else:
        rules = _RESTORMER if kind is Restormer else _SWINIR
    weights = {}
    for theirs, tensor in state.items():
        ours: str | None = theirs
        for pattern, replacement in rules:
            if ours is None:
                break
            if replacement is None:
                ours = None if re.search(pattern, ours) else ours
            else:
                ours = re.sub(pattern, replacement, ours)
        if ours is not None:
            weights[ours] = (theirs, tensor)
    return weights
