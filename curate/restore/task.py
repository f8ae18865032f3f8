"""Training as Lightning sees it: the step, the optimiser, the patches of each epoch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader

from curate.errors import RestoreError
from curate.restore.data import PatchDataset, ValidationDataset
from curate.restore.degradations import TASKS, parse_degradation
from curate.restore.losses import RestorationLoss
from curate.restore.models import build_model, require_tasks, task_arguments
from curate.restore.pictures import Picture
from curate.restore.recipe import TrainRecipe

__all__ = ["Patches", "RestorationTask", "learning_rate"]

Batch = tuple[Tensor, Tensor, Tensor]


class RestorationTask(L.LightningModule):
    """One model, its losses and its schedule."""

    def __init__(self, recipe: TrainRecipe) -> None:
        super().__init__()
        self.recipe = recipe
        torch.manual_seed(recipe.seed)
        self.model = build_model(recipe.model, **recipe.settings)
        named = (*recipe.degradations, *recipe.validation.degradations)
        require_tasks(self.model, (parse_degradation(name).task for name in named))
        weights = recipe.losses.model_dump(include={"l1", "l2", "ms_ssim", "fft", "vgg"})
        self.loss = RestorationLoss(weights, recipe.losses.vgg_weights)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW whose learning rate is `learning_rate` of the step."""
        settings = self.recipe.optimiser
        parameters = self.model.parameters()
        optimiser = torch.optim.AdamW(parameters, lr=1.0, betas=settings.betas, weight_decay=settings.weight_decay)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: learning_rate(self.recipe, step))
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Tie the routers' noise to the step, so that a resumed training draws what an undisturbed one would."""
        torch.manual_seed(self.recipe.seed * 1_000_003 + self.global_step)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The loss of a batch.

        Raises:
            RestoreError: if it is not finite.
        """
        degraded_B3HW, clean_B3HW, task_B = batch
        told = task_arguments(self.model, task_B)
        restored_B3HW, aux = self.model.forward_with_aux(degraded_B3HW, **told)  # type: ignore[operator]
        total, terms = self.loss(restored_B3HW, clean_B3HW)
        total = total + self.recipe.losses.aux * aux
        if not torch.isfinite(total):
            values = ", ".join(f"{name} {value:.3g}" for name, value in {**terms, "aux": aux}.items())
            raise RestoreError(
                f"the loss is not finite at step {self.global_step} ({values}): "
                "lower the phase's lr, set optimiser.clip=1, or train with precision 32-true"
            )
        self.log_dict({f"train/{name}": value for name, value in {**terms, "aux": aux, "loss": total}.items()})
        self.log("train/lr", self.optimizers().param_groups[0]["lr"])  # type: ignore[union-attr]
        return total

    def validation_step(self, batch: tuple[Tensor, Tensor, list[str]], batch_idx: int) -> None:
        """PSNR of a picture, before and after, as 8-bit files would give it."""
        degraded_13HW, clean_13HW, (degradation,) = batch
        told = task_arguments(self.model, TASKS.index(parse_degradation(degradation).task))
        psnr = _psnr(self.model(degraded_13HW, **told), clean_13HW)
        self.log("psnr", psnr, batch_size=1)
        self.log("psnr_before", _psnr(degraded_13HW, clean_13HW), batch_size=1)
        self.log(f"psnr/{degradation}", psnr, batch_size=1)


class Patches(L.LightningDataModule):
    """The loaders of each epoch; Lightning asks for new ones as it begins."""

    def __init__(self, recipe: TrainRecipe, train: Sequence[Picture], validation: Sequence[Picture]) -> None:
        super().__init__()
        self.recipe, self.train, self.validation = recipe, train, validation

    def train_dataloader(self) -> DataLoader[Batch]:
        """Batches of the epoch's phase."""
        recipe, epoch = self.recipe, self._epoch
        phase = recipe.phase_of(epoch)
        patches = PatchDataset(
            self.train,
            recipe.degradations,
            crop=phase.crop,
            length=recipe.steps_in(phase) * phase.batch,
            seed=recipe.seed,
            epoch=epoch,
            crops_per_image=recipe.crops_per_image,
            cache_bytes=recipe.cache_mb * 2**20,
        )
        pin = torch.cuda.is_available()
        return DataLoader(patches, phase.batch, num_workers=recipe.workers, pin_memory=pin)

    def val_dataloader(self) -> Any:
        """The pictures set aside, one by one; nothing in an epoch without validation."""
        recipe = self.recipe
        if (self._epoch + 1) % recipe.validation.every and self._epoch + 1 != recipe.epochs:
            return []
        pictures = ValidationDataset(
            self.validation, recipe.validation.degradations, crop=recipe.validation.crop, seed=recipe.seed
        )
        return DataLoader(pictures, batch_size=1)

    @property
    def _epoch(self) -> int:
        assert self.trainer is not None
        return int(self.trainer.current_epoch)


def learning_rate(recipe: TrainRecipe, step: int) -> float:
    """Each phase warms up linearly and falls along a half cosine, from its `lr` to its `lr_end`."""
    for phase in recipe.phases:
        steps = phase.epochs * recipe.steps_in(phase)
        if step >= steps:
            step -= steps
        elif step < phase.warmup:
            return phase.lr * (step + 1) / phase.warmup
        else:
            progress = (step - phase.warmup) / max(steps - phase.warmup, 1)
            return phase.lr_end + (phase.lr - phase.lr_end) * 0.5 * (1 + math.cos(math.pi * progress))
    return recipe.phases[-1].lr_end


def _psnr(a_13HW: Tensor, b_13HW: Tensor) -> Tensor:
    a, b = ((x.clamp(0, 1) * 255).round() for x in (a_13HW.float(), b_13HW.float()))
    error = F.mse_loss(a, b).clamp_min(1e-4)  # equal pictures count as 88 dB, so that a mean stays finite
    return 10 * torch.log10(255**2 / error)
