"""Names of parameters in the weights that authors published, and our names for them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from torch import Tensor, nn

from curate.restore.models.moce_ir import MoCEIR
from curate.restore.models.restormer import Restormer
from curate.restore.models.swinir import SwinIR

__all__ = ["PUBLISHED", "published_weights"]

Rule = tuple[str, str | Callable[[re.Match[str]], str] | None]
"""Regular expression and replacement; None drops the whole entry."""

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

_ATTENTION_AND_FEED_FORWARD: Sequence[Rule] = (
    (r"\.(qkv|kv|q)\.(weight|bias)$", r".\1.0.\2"),
    (r"\.(qkv|kv|q)_dwconv\.", r".\1.1."),
    (r"\.ffn\.project_in\.", ".feed_forward.expand.0."),
    (r"\.ffn\.dwconv\.", ".feed_forward.expand.1."),
    (r"\.ffn\.project_out\.", ".feed_forward.out."),
)

_RESTORMER: Sequence[Rule] = (
    (r"^patch_embed\.proj\.", "patch_embed."),
    (r"^(encoder|decoder)_level(\d)\.", lambda match: f"{match[1]}.{int(match[2]) - 1}."),
    (r"^down(\d)_\d\.body\.", lambda match: f"down.{int(match[1]) - 1}."),
    (r"^up\d_(\d)\.body\.", lambda match: f"up.{int(match[1]) - 1}."),
    (r"^reduce_chan_level(\d)\.", lambda match: f"fuse.{int(match[1]) - 1}."),
    (r"\.norm(\d)\.body\.", r".norm\1."),
    (r"\.attn\.project_out\.", ".attention.out."),
    (r"\.attn\.", ".attention."),
    *_ATTENTION_AND_FEED_FORWARD,
)


def _moce_ir(model: MoCEIR) -> Sequence[Rule]:
    deepest = len(model.decoder) - 1  # the authors count the decoder's levels from here

    def level(match: re.Match[str]) -> str:
        name = {"0.body": "up", "1": "fuse", "2.layers": "decoder"}[match[2]]
        return f"{name}.{deepest - int(match[1])}."

    return (
        (r"\.routing\.complexity$", None),  # computed from the experts here
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
        *_ATTENTION_AND_FEED_FORWARD,
    )


PUBLISHED: tuple[type[nn.Module], ...] = (MoCEIR, SwinIR, Restormer)
"""Networks whose authors published weights."""


def published_weights(
    model: nn.Module, state: Mapping[str, Tensor]
) -> dict[str, tuple[str, Tensor]]:
    """Return an authors' state dict under our names: our name -> their name and tensor.

    Args:
        model: ours; exactly one of `PUBLISHED`.
        state: theirs. Names that no rule matches stay.
    """
    rules = _RESTORMER if type(model) is Restormer else _SWINIR
    if isinstance(model, MoCEIR):
        rules = _moce_ir(model)
    weights: dict[str, tuple[str, Tensor]] = {}
    for theirs, tensor in state.items():
        ours = theirs
        for pattern, replacement in rules:
            if replacement is not None:
                ours = re.sub(pattern, replacement, ours)
            elif re.search(pattern, ours):
                break
        else:
            weights[ours] = (theirs, tensor)
    return weights
