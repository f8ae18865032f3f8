"""DAMoE: a SwinIR whose feed-forwards are mixtures of experts, so that one network restores from many degradations.

Yang et al., "HQ-50K: A Large-scale, High-quality Dataset for Image Restoration", 2023, section 4 and appendix B. The
network is told the task of each image (super-resolution, deraining, denoising or JPEG artefacts, not the level) and
adds a learnt embedding of it to the shallow features. Hard and soft mixtures take turns: the first block's is hard.

Code and weights were never published. What the paper leaves open is read so that all four rows of its table 10 come out
to the printed digit; docs/decisions tells what was taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from curate.restore.data.degradations import TASKS
from curate.restore.models.swinir import FeedForward, Routing, SwinIR

__all__ = ["DAMoE", "HardMixture", "SoftMixture", "Task"]

Task = int | Sequence[int] | Tensor
"""Position in `DAMoE.tasks`: one for all images, or one for each."""


class DAMoE(SwinIR):
    """The whole network.

    Args:
        mixtures: which feed-forwards it has: hard and soft ones in turn, or one kind throughout.
        experts: experts of each soft mixture, 2 or more.
        tasks: how many of `TASKS` it is for, from the first: the paper's four, or more.
        settings: see `SwinIR`.
    """

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
        self.task_embedding = nn.Parameter(
            torch.empty(len(self.tasks), self.conv_first.out_channels)
        )
        nn.init.trunc_normal_(self.task_embedding, std=0.02)

    def _feed_forward(self, index: int, dim: int, hidden: int) -> nn.Module:
        if self._mixtures == "hard" or (self._mixtures == "alternated" and index % 2 == 0):
            return HardMixture(dim, hidden, len(self.tasks))
        return SoftMixture(dim, hidden, self._experts, self._patch)

    def forward(self, image_B3HW: Tensor, task: Task) -> Tensor:  # type: ignore[override]
        """Restore images in 0..1 of any size and task; the result has the same shape and isn't clipped."""
        return self.forward_with_aux(image_B3HW, task)[0]

    def forward_with_aux(self, image_B3HW: Tensor, task: Task) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """The restored images, and the mean balance loss of the soft mixtures (0 in evaluation).

        Raises:
            ValueError: if a task isn't one of `tasks`.
        """
        if isinstance(
            task, int
        ):  # nothing to sort, and nothing that an exported graph couldn't hold
            return self._restore_sorted(image_B3HW, [task] * len(image_B3HW), [task])
        task_B = torch.as_tensor(task, device=image_B3HW.device).expand(len(image_B3HW))
        # sorted once here, so that each hard mixture finds the images of an expert side by side
        task_B, order_B = task_B.sort(stable=True)
        restored_B3HW, aux = self._restore_sorted(image_B3HW[order_B], task_B.tolist(), task_B)
        return restored_B3HW[order_B.argsort()], aux

    def _restore_sorted(
        self, image_B3HW: Tensor, tasks: list[int], which: list[int] | Tensor
    ) -> tuple[Tensor, Tensor]:
        """Restore images that are sorted by task; `which` embeddings they get, one for all or one for each."""
        routing = Routing([tasks.count(i) for i in range(len(self.tasks))])
        if sum(routing.images_per_task) < len(tasks):
            raise ValueError(
                f"tasks are numbers from 0 to {len(self.tasks) - 1}, not {sorted(set(tasks))}"
            )
        restored_B3HW = self._restore(
            image_B3HW, routing, self.task_embedding[which][..., None, None]
        )
        return restored_B3HW, torch.stack(
            routing.balance
        ).mean() if routing.balance else image_B3HW.new_zeros(())


class HardMixture(nn.Module):
    """One expert for each task: H-MoE."""

    def __init__(self, dim: int, hidden: int, tasks: int) -> None:
        super().__init__()
        self.experts = nn.ModuleList(FeedForward(dim, hidden) for _ in range(tasks))

    def forward(self, x_BHWC: Tensor, routing: Routing) -> Tensor:
        parts = zip(self.experts, x_BHWC.split(list(routing.images_per_task)), strict=True)
        done = [expert(part_BHWC) for expert, part_BHWC in parts if len(part_BHWC)]
        return done[0] if len(done) == 1 else torch.cat(done)


class SoftMixture(nn.Module):
    """One of many experts for each patch, picked by a gate that sees all of it: S-MoE with k = 1, eqs. (7) to (11).

    A convolution turns each patch into one token for the gate; the expert then works on the patch's pixels one by one.
    The gate's probability multiplies what the expert says, so that the gate learns from the restoration loss.
    """

    def __init__(self, dim: int, hidden: int, experts: int, patch: int) -> None:
        super().__init__()
        self.patch = patch
        self.token = nn.Conv2d(dim, dim, patch, stride=patch)
        self.norm = nn.LayerNorm(dim)
        self.gate = nn.Linear(dim, experts, bias=False)
        self.experts = nn.ModuleList(FeedForward(dim, hidden) for _ in range(experts))

    def forward(self, x_BHWC: Tensor, routing: Routing) -> Tensor:
        p = self.patch
        token_PC = self.norm(
            self.token(x_BHWC.permute(0, 3, 1, 2)).permute(0, 2, 3, 1).flatten(0, 2)
        )
        share_Pe = self.gate(token_PC).float().softmax(1)
        weight_P, expert_P = share_Pe.max(1)
        if self.training:
            routing.balance.append(_squared_variation(share_Pe.mean(0)))

        # patches sorted by expert: each expert runs once, on its patches side by side
        expert_P, order_P = expert_P.sort(stable=True)
        counts = self._count(expert_P)
        patches_BnmppC = x_BHWC.unflatten(2, (-1, p)).unflatten(1, (-1, p)).transpose(2, 3)
        grid = patches_BnmppC.shape[:3]
        place = torch.unravel_index(order_P, grid)
        sorted_PppC, weight_P111 = patches_BnmppC[place], weight_P[order_P, None, None, None]
        parts = zip(self.experts, sorted_PppC.split(counts), weight_P111.split(counts), strict=True)
        done_PppC = torch.cat(
            [weight.to(part.dtype) * expert(part) for expert, part, weight in parts if len(part)]
        )
        y_BHWC = torch.empty_like(x_BHWC, dtype=done_PppC.dtype)
        y_BHWC.unflatten(2, (-1, p)).unflatten(1, (-1, p)).transpose(2, 3)[place] = done_PppC
        return y_BHWC

    def _count(self, expert_P: Tensor) -> list[int]:
        """Patches of each expert."""
        return torch.bincount(expert_P, minlength=len(self.experts)).tolist()


def _squared_variation(x_n: Tensor) -> Tensor:
    """(std / mean)^2: V-MoE's measure of how unevenly the experts are used."""
    return (x_n.std() / (x_n.mean() + 1e-8)) ** 2
