"""Training as Lightning sees it: the step, the optimiser, the loaders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader

from curate.errors import RestoreError
from curate.restore.data.degradations import TASKS
from curate.restore.data.loader import Batch, Pace, PatchLoader
from curate.restore.data.patches import Group, PatchDataset, ValidationBatch, ValidationDataset
from curate.restore.data.pictures import Picture
from curate.restore.models import build_model, task_arguments
from curate.restore.recipe import TrainRecipe
from curate.restore.schedule import Schedule
from curate.restore.training.losses import RestorationLoss

__all__ = ["Patches", "RestorationTask"]


class RestorationTask(L.LightningModule):
    """One model, its losses and its schedule."""

    def __init__(self, recipe: TrainRecipe, schedule: Schedule) -> None:
        super().__init__()
        self.recipe, self.schedule = recipe, schedule
        torch.manual_seed(recipe.seed)
        self.model = build_model(recipe.model, **recipe.settings)
        if any(phase.aux_only for phase in recipe.phases) and not hasattr(self.model, "aux_loss"):
            raise RestoreError(
                f"a phase is aux_only, which is for airnet: {recipe.model} has no such loss by itself"
            )
        losses = recipe.losses
        weights = losses.model_dump(include={"l1", "l2", "ms_ssim", "fft", "vgg"})
        self.loss = RestorationLoss(weights, losses.vgg_weights, losses.fft_norm)
        self._measured: dict[str, Tensor] = {}

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW whose learning rate is the schedule's."""
        settings = self.recipe.optimiser
        parameters = self.model.parameters()
        optimiser = torch.optim.AdamW(
            parameters, lr=1.0, betas=settings.betas, weight_decay=settings.weight_decay
        )
        rate = torch.optim.lr_scheduler.LambdaLR(optimiser, self.schedule.learning_rate)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": rate, "interval": "step"}}

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Tie the routers' noise to the step, so that a resumed training draws what an undisturbed one would."""
        step = self.recipe.seed * 1_000_003 + self.global_step
        torch.manual_seed(step * self.trainer.world_size + self.trainer.global_rank)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The loss of a batch.

        Raises:
            RestoreError: if it is not finite.
        """
        degraded_B3HW, clean_B3HW, task_B = batch
        told = task_arguments(self.model, task_B)
        if degraded_B3HW.dim() == 5:  # two views, side by side
            degraded_B3HW, told["other_B3HW"] = degraded_B3HW.unbind(1)
        if self.schedule.phase_at(self.global_step).aux_only:
            aux: Tensor = self.model.aux_loss(degraded_B3HW, **told)  # type: ignore[operator]
            total, terms = aux.new_zeros(()), {}
        else:
            restored_B3HW, aux = self.model.forward_with_aux(degraded_B3HW, **told)  # type: ignore[operator]
            total, terms = self.loss(restored_B3HW, clean_B3HW)
        total = total + self.recipe.losses.aux * aux
        terms = {**terms, "aux": aux.detach()}
        if not torch.isfinite(total):
            self._explode(terms)
        self.log_dict({f"train/{name}": value for name, value in {**terms, "loss": total}.items()})
        self.log("train/lr", self.optimizers().param_groups[0]["lr"])  # type: ignore[union-attr]
        return total

    def _explode(self, terms: dict[str, Tensor]) -> None:
        values = ", ".join(f"{name} {value:.3g}" for name, value in terms.items())
        broken = [name for name, value in terms.items() if not torch.isfinite(value)]
        raise RestoreError(
            f"the loss is not finite at step {self.global_step}, by {' and '.join(broken) or 'its sum'} ({values}): "
            "lower the phase's lr, set optimiser.clip=1, or train with precision 32-true"
        )

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Log the norm of the gradient, before any clipping."""
        if (self.global_step + 1) % self.trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            squares = [
                p.grad.float().square().sum() for p in self.model.parameters() if p.grad is not None
            ]
            self.log("train/gradient", torch.stack(squares).sum().sqrt())

    def on_validation_epoch_start(self) -> None:
        """Begin to count."""
        names = self.trainer.datamodule.measured  # type: ignore[attr-defined]
        self._measured = {name: torch.zeros(3, dtype=torch.float64) for name in names}

    def validation_step(self, batch: ValidationBatch, batch_idx: int) -> Tensor:
        """PSNR of a picture, before and after, as 8-bit files would give it; returns the restored picture."""
        degraded_13HW, clean_13HW, (degradation,), (task,), (counts,) = batch
        restored_13HW: Tensor = self.model(
            degraded_13HW, **task_arguments(self.model, TASKS.index(task))
        )
        if counts:
            psnr = (_psnr(restored_13HW, clean_13HW), _psnr(degraded_13HW, clean_13HW), 1)
            self._measured[degradation] += torch.tensor(psnr, dtype=torch.float64)
        return restored_13HW

    def on_validation_epoch_end(self) -> None:
        """Means over the pictures of all processes, each counted once."""
        sums_N3 = torch.stack(list(self._measured.values())).float().to(self.device)
        sums_N3 = self.trainer.strategy.reduce(sums_N3, reduce_op="sum").cpu().double()
        after, before, count = sums_N3.sum(0)
        self.log_dict({"psnr": after / count, "psnr_before": before / count})
        self.log_dict(
            {
                f"psnr/{name}": s[0] / s[2]
                for name, s in zip(self._measured, sums_N3, strict=True)
                if s[2]
            }
        )


class Patches(L.LightningDataModule):
    """The loaders."""

    def __init__(
        self,
        recipe: TrainRecipe,
        schedule: Schedule,
        groups: Sequence[Group],
        validation: Sequence[Picture],
    ) -> None:
        super().__init__()
        self.recipe, self.schedule, self.groups, self.validation = (
            recipe,
            schedule,
            groups,
            validation,
        )
        self.loader: PatchLoader | None = None
        self.measured: Sequence[str] = ()
        """Names of the degradations that are measured in validation."""

    @property
    def pace(self) -> Pace:
        """How fast patches have come so far."""
        return self.loader.pace if self.loader else Pace()

    def train_dataloader(self) -> PatchLoader:
        """The same for all epochs: Lightning asks for it again to learn the length of the next one."""
        recipe, trainer = self.recipe, self.trainer
        assert trainer is not None
        if self.loader is None:
            patches = PatchDataset(
                self.groups,
                recipe.phases,
                seed=recipe.seed,
                crops_per_image=recipe.crops_per_image,
                cache_bytes=recipe.cache_mb * 2**20,
                views=getattr(trainer.lightning_module.model, "views", 1),
            )
            self.loader = PatchLoader(
                patches,
                self.schedule,
                lambda: trainer.global_step,
                workers=recipe.workers,
                rank=trainer.global_rank,
                world=trainer.world_size,
            )
        return self.loader

    def val_dataloader(self) -> Any:
        """This process's share of the pictures set aside, one by one; nothing in an epoch without validation."""
        recipe, trainer = self.recipe, self.trainer
        assert trainer is not None
        epoch = trainer.current_epoch + 1
        if epoch % recipe.validation.every and epoch != self.schedule.epochs:
            return []
        pictures = ValidationDataset(
            self.validation,
            recipe.validation.degradations,
            crop=recipe.validation.crop,
            seed=recipe.seed,
            rank=trainer.global_rank,
            world=trainer.world_size,
        )
        self.measured = pictures.names
        return DataLoader(pictures, batch_size=1)

    def teardown(self, stage: str) -> None:
        """End the workers."""
        if self.loader is not None:
            self.loader.close()


def _psnr(a_13HW: Tensor, b_13HW: Tensor) -> float:
    a, b = ((x.clamp(0, 1) * 255).round() for x in (a_13HW.float(), b_13HW.float()))
    error = F.mse_loss(a, b).clamp_min(
        1e-4
    )  # equal pictures count as 88 dB, so that a mean stays finite
    return float(10 * torch.log10(255**2 / error))
