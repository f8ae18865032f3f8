"""DAMoE: a SwinIR with mixtures of experts, so that one network restores many degradations.

Yang et al., "HQ-50K: A Large-scale, High-quality Dataset for Image Restoration", 2023, section 4
and appendix B. The network gets the task of each image (super-resolution, deraining, denoising or
JPEG artefacts, not the level) and adds a learnt embedding of it to the shallow features.
Feed-forwards are hard and soft mixtures in turn; the first block's is hard.

Code and weights were never published. Where the paper is open, this reading gives all four rows of
its table 10 to the printed digit (docs/decisions/0014).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from curate.restore.data.degradations import TASKS
from curate.restore.models.blocks import squared_variation, to_windows
from curate.restore.models.swinir import FeedForward, MixtureContext, SwinIR

__all__ = ["DAMoE", "HardMixture", "SoftMixture", "Task"]

Task = int | Sequence[int] | Tensor
"""Position in `DAMoE.tasks`: one for all images, or one for each."""


class DAMoE(SwinIR):
    """The whole network.

    Args:
        mixtures: kinds of feed-forwards: hard and soft ones in turn, or one kind throughout.
        experts: experts of each soft mixture, 2 or more.
        tasks: number of `TASKS` that it is for, from the first: the paper's four, or more.
        settings: see `SwinIR`.
    """

    source = "Yang et al. 2023, arXiv 2306.05390"

    def __init__(
        self,
        mixtures: Literal["alternated", "hard", "soft"] = "alternated",
        experts: int = 16,
        tasks: int = 4,
        **settings: Any,
    ) -> None:
        if mixtures not in ("alternated", "hard", "soft"):
            raise ValueError(f"mixtures is alternated, hard or soft, not {mixtures!r}")
        if experts < 2:
            raise ValueError(f"a mixture has 2 experts or more, not {experts}")
        if not 1 <= tasks <= len(TASKS):
            raise ValueError(
                f"tasks is 1 to {len(TASKS)}, how many of {', '.join(TASKS)}, not {tasks}"
            )
        self.tasks = TASKS[:tasks]
        self._mixtures, self._experts, self._patch = mixtures, experts, settings.get("window", 7)
        super().__init__(**settings)
        self.task_embedding = nn.Parameter(torch.empty(tasks, self.conv_first.out_channels))
        nn.init.trunc_normal_(self.task_embedding, std=0.02)

    def _feed_forward(self, index: int, dim: int, hidden: int) -> nn.Module:
        if self._mixtures == "hard" or (self._mixtures == "alternated" and index % 2 == 0):
            return HardMixture(dim, hidden, len(self.tasks))
        return SoftMixture(dim, hidden, self._experts, self._patch)

    def forward(self, image_B3HW: Tensor, task: Task) -> Tensor:  # type: ignore[override]
        """Restore images in 0..1 of any size and task; same shape, not clipped."""
        return self.forward_with_aux(image_B3HW, task)[0]

    def forward_with_aux(  # type: ignore[override]
        self, image_B3HW: Tensor, task: Task
    ) -> tuple[Tensor, Tensor]:
        """Return the restored images and the mean balance loss of soft mixtures (0 in evaluation).

        Raises:
            ValueError: if a task isn't one of `tasks`.
        """
        # one task for all: nothing to sort, and nothing that an exported graph couldn't hold
        if isinstance(task, int):
            return self._restore_sorted(image_B3HW, [task] * len(image_B3HW), [task])
        task_B = torch.as_tensor(task, device=image_B3HW.device).expand(len(image_B3HW))
        # sorted once here, so that each hard mixture finds the images of an expert side by side
        task_B, order_B = task_B.sort(stable=True)
        restored_B3HW, aux = self._restore_sorted(image_B3HW[order_B], task_B.tolist(), task_B)
        return restored_B3HW[order_B.argsort()], aux

    def _restore_sorted(
        self, image_B3HW: Tensor, tasks: list[int], embeddings: list[int] | Tensor
    ) -> tuple[Tensor, Tensor]:
        """Restore images sorted by task; `embeddings` has one position for all, or one for each."""
        # numbers of images by task; fewer in all than images if a task is unknown
        context = MixtureContext([tasks.count(i) for i in range(len(self.tasks))])
        if sum(context.images_per_task) < len(tasks):
            raise ValueError(
                f"tasks are numbers from 0 to {len(self.tasks) - 1}, not {sorted(set(tasks))}"
            )
        embedding_BC11 = self.task_embedding[embeddings][..., None, None]
        restored_B3HW = self._restore(image_B3HW, context, embedding_BC11)
        if not context.balance_losses:
            return restored_B3HW, image_B3HW.new_zeros(())
        return restored_B3HW, torch.stack(context.balance_losses).mean()


class HardMixture(nn.Module):
    """One expert for each task: H-MoE."""

    def __init__(self, dim: int, hidden: int, tasks: int) -> None:
        super().__init__()
        self.experts = nn.ModuleList(FeedForward(dim, hidden) for _ in range(tasks))

    def forward(self, x_BHWC: Tensor, context: MixtureContext) -> Tensor:
        parts = zip(self.experts, x_BHWC.split(list(context.images_per_task)), strict=True)
        done = [expert(part_BHWC) for expert, part_BHWC in parts if len(part_BHWC)]
        return done[0] if len(done) == 1 else torch.cat(done)


class SoftMixture(nn.Module):
    """One of many experts for each patch, picked by a gate: S-MoE with k = 1, eqs. (7) to (11).

    A convolution turns each patch into one token for the gate; the expert then works on the patch's
    pixels one by one. The gate's probability multiplies the expert's output, so that the gate
    learns from the restoration loss.
    """

    def __init__(self, dim: int, hidden: int, experts: int, patch: int) -> None:
        super().__init__()
        self.patch = patch
        self.token = nn.Conv2d(dim, dim, patch, stride=patch)
        self.norm = nn.LayerNorm(dim)
        self.gate = nn.Linear(dim, experts, bias=False)
        self.experts = nn.ModuleList(FeedForward(dim, hidden) for _ in range(experts))

    def forward(self, x_BHWC: Tensor, context: MixtureContext) -> Tensor:
        share_Pe = self.gate(self.tokens(x_BHWC)).float().softmax(1)
        weight_P, expert_P = share_Pe.max(1)
        if self.training:
            context.balance_losses.append(squared_variation(share_Pe.mean(0)))

        # sort the P = B n m patches by expert: each expert runs once, on its patches side by side
        expert_P, order_P = expert_P.sort(stable=True)
        counts = self._count_patches(expert_P)
        patches_BnmppC = to_windows(x_BHWC, self.patch)
        place = torch.unravel_index(order_P, patches_BnmppC.shape[:3])
        sorted_PppC, weight_P111 = patches_BnmppC[place], weight_P[order_P, None, None, None]
        parts = zip(self.experts, sorted_PppC.split(counts), weight_P111.split(counts), strict=True)
        done = [weight.to(x.dtype) * expert(x) for expert, x, weight in parts if len(x)]
        done_PppC = torch.cat(done)
        # write the results through a view of the output cut into patches
        y_BHWC = torch.empty_like(x_BHWC, dtype=done_PppC.dtype)
        to_windows(y_BHWC, self.patch)[place] = done_PppC
        return y_BHWC

    def tokens(self, x_BHWC: Tensor) -> Tensor:
        """Return the gate's input, one token for each patch: (B, H, W, C) -> (P, C)."""
        return self.norm(self.token(x_BHWC.permute(0, 3, 1, 2)).permute(0, 2, 3, 1).flatten(0, 2))

    def _count_patches(self, expert_P: Tensor) -> list[int]:
        """Return the number of patches of each expert."""
        return torch.bincount(expert_P, minlength=len(self.experts)).tolist()
