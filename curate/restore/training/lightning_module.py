"""Lightning's two modules of a training: the model with its optimiser, and the loaders."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.utils.data import DataLoader

from curate.errors import RestoreError
from curate.restore.data.degradations import TASKS
from curate.restore.data.loader import Batch, Pace, PatchLoader, Unreadable
from curate.restore.data.patches import PatchDataset, ValidationBatch, ValidationDataset
from curate.restore.metrics import psnr
from curate.restore.models import build_model, task_arguments
from curate.restore.recipe import TrainRecipe
from curate.restore.schedule import Schedule
from curate.restore.training.losses import RestorationLoss

__all__ = ["Patches", "RestorationTask"]

_HIGHEST_PSNR = 10 * math.log10(255**2 / 1e-4)
"""dB that equal pictures count as, so that a mean stays finite."""


class RestorationTask(L.LightningModule):
    """One model, its losses and its schedule; `measured` names the validation's degradations."""

    def __init__(self, recipe: TrainRecipe, schedule: Schedule, measured: Sequence[str]) -> None:
        super().__init__()
        self.recipe, self.schedule, self.measured = recipe, schedule, measured
        torch.manual_seed(recipe.seed)
        self.model = build_model(recipe.model, **recipe.settings)
        if any(phase.aux_only for phase in recipe.phases) and not hasattr(self.model, "aux_loss"):
            reason = f"which is for airnet: {recipe.model} has no such loss by itself"
            raise RestoreError(f"a phase is aux_only, {reason}")
        losses = recipe.losses
        weights = losses.model_dump(include={"l1", "l2", "ms_ssim", "fft", "vgg"})
        self.loss = RestorationLoss(weights, losses.vgg_weights, losses.fft_norm)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return AdamW with the learning rate of the schedule."""
        settings = self.recipe.optimiser.model_dump(include={"betas", "weight_decay"})
        # the schedule multiplies the rate of 1
        optimiser = torch.optim.AdamW(self.model.parameters(), lr=1.0, **settings)
        rate = torch.optim.lr_scheduler.LambdaLR(optimiser, self.schedule.learning_rate)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": rate, "interval": "step"}}

    def on_train_start(self) -> None:
        """Set the learning rate, which a resume may have changed since the state was written."""
        for group in self.optimizers().optimizer.param_groups:  # type: ignore[union-attr]
            group["lr"] = self.schedule.learning_rate(self.global_step)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Seed the draws of a step by its number: alike after a resume, and in all processes."""
        torch.manual_seed(self.recipe.seed * 1_000_003 + self.global_step)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of a batch, and log its terms and the learning rate.

        Raises:
            RestoreError: if the loss is not finite.
        """
        degraded_B3HW, clean_B3HW, task_B = batch
        kwargs = task_arguments(self.model, task_B)
        if degraded_B3HW.dim() == 5:  # two views, side by side
            degraded_B3HW, kwargs["other_B3HW"] = degraded_B3HW.unbind(1)
        aux: Tensor
        if self.schedule.phase_at(self.global_step).aux_only:
            aux = self.model.aux_loss(degraded_B3HW, **kwargs)  # type: ignore[operator]
            total, terms = aux.new_zeros(()), {}
        else:
            forward = self.model.forward_with_aux
            restored_B3HW, aux = forward(degraded_B3HW, **kwargs)  # type: ignore[operator]
            total, terms = self.loss(restored_B3HW, clean_B3HW)
        total = total + self.recipe.losses.aux * aux
        terms["aux"] = aux.detach()
        if not torch.isfinite(total):
            self._raise_not_finite(terms)
        self.log_dict({f"train/{name}": value for name, value in {**terms, "loss": total}.items()})
        self.log("train/lr", self.optimizers().param_groups[0]["lr"])  # type: ignore[union-attr]
        return total

    def _raise_not_finite(self, terms: dict[str, Tensor]) -> None:
        values = ", ".join(f"{name} {value:.3g}" for name, value in terms.items())
        broken = [name for name, value in terms.items() if not torch.isfinite(value)]
        raise RestoreError(
            f"the loss is not finite at step {self.global_step}, "
            f"by {' and '.join(broken) or 'its sum'} ({values}): "
            "lower the phase's lr, set optimiser.clip=1, or train with precision 32-true; the "
            "training then goes on from its last state"
        )

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Log the norm of the gradient, before any clipping."""
        every: int = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
        if (self.global_step + 1) % every == 0:
            gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
            squares = [gradient.float().square().sum() for gradient in gradients]
            self.log("train/gradient", torch.stack(squares).sum().sqrt())

    def on_validation_epoch_start(self) -> None:
        """Reset, for each degradation, the sums of PSNR after and before, and of pictures."""
        self._sums_N3 = torch.zeros(len(self.measured), 3, dtype=torch.float64)

    def validation_step(self, batch: ValidationBatch, batch_idx: int) -> Tensor:
        """Add up the PSNR of a picture, before and after; return the restored picture."""
        degraded_13HW, clean_13HW, (degradation,), (task,), (counts,) = batch
        kwargs = task_arguments(self.model, TASKS.index(task))
        restored_13HW: Tensor = self.model(degraded_13HW, **kwargs)
        if counts:
            # as files hold it after, and as it was given before
            after = _psnr((restored_13HW.float().clamp(0, 1) * 255).round(), clean_13HW)
            before = _psnr(degraded_13HW.float() * 255, clean_13HW)
            sums_3 = torch.tensor([after, before, 1], dtype=torch.float64)
            self._sums_N3[self.measured.index(degradation)] += sums_3
        return restored_13HW

    def on_validation_epoch_end(self) -> None:
        """Log means over the pictures of all processes, each counted once."""
        sums_N3 = self._sums_N3.float().to(self.device)
        sums_N3 = self.trainer.strategy.reduce(sums_N3, reduce_op="sum").cpu().double()
        after, before, count = sums_N3.sum(0)
        self.log_dict({"psnr": after / count, "psnr_before": before / count})
        for name, (after, _, count) in zip(self.measured, sums_N3, strict=True):
            if count:
                self.log(f"psnr/{name}", after / count)


class Patches(L.LightningDataModule):
    """Loaders of the patches to train on and of the pictures to validate on.

    Args:
        recipe: recipe of the training.
        schedule: samples of each step.
        patches: samples of the whole training.
        validation: pictures of the validation, of all processes together.
        unreadable: pictures that the training does without.
    """

    def __init__(
        self,
        recipe: TrainRecipe,
        schedule: Schedule,
        patches: PatchDataset,
        validation: ValidationDataset,
        unreadable: Unreadable,
    ) -> None:
        super().__init__()
        self.recipe, self.schedule, self.unreadable = recipe, schedule, unreadable
        self.patches, self.validation = patches, validation
        self.loader: PatchLoader | None = None

    @property
    def pace(self) -> Pace:
        """Speed of the training's loader so far."""
        return self.loader.pace if self.loader else Pace()

    def train_dataloader(self) -> PatchLoader:
        """Return the loader of all epochs; Lightning asks every epoch, to learn its length."""
        trainer, workers = self.trainer, self.recipe.workers
        assert trainer is not None
        if self.loader is None:
            self.loader = PatchLoader(
                self.patches,
                self.schedule,
                lambda: trainer.global_step,
                workers=workers,
                rank=trainer.global_rank,
                world=trainer.world_size,
                unreadable=self.unreadable,
            )
        return self.loader

    def val_dataloader(self) -> Any:
        """Return a loader of this process's share; nothing in an epoch without validation."""
        trainer = self.trainer
        assert trainer is not None
        epoch = trainer.current_epoch + 1
        if epoch % self.recipe.validation.every and epoch != self.schedule.epochs:
            return []
        share = replace(self.validation, rank=trainer.global_rank, world=trainer.world_size)
        return DataLoader(share, batch_size=1)

    def teardown(self, stage: str) -> None:
        """End the workers."""
        if self.loader is not None:
            self.loader.close()


def _psnr(image_13HW: Tensor, clean_13HW: Tensor) -> float:
    """Return the PSNR in dB of an image on 0..255 against a clean one on 0..1."""
    pair_2HW3 = torch.cat([image_13HW, (clean_13HW * 255).round()]).permute(0, 2, 3, 1)
    image_HW3, clean_HW3 = pair_2HW3.cpu().numpy()
    return min(psnr(image_HW3, clean_HW3), _HIGHEST_PSNR)
