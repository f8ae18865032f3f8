"""Typed recipe of a training: a class for each group of settings; needs no torch."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from curate.config import Config

__all__ = ["DataGroup", "Losses", "Optimiser", "Phase", "TrainRecipe", "Validation"]


class DataGroup(Config):
    """Pictures that share one name, as in `--manifest SIDD=sidd.parquet`."""

    repeat: PositiveInt = 1
    """Times that a pass draws each picture; pictures of a group with repeat 1 come once."""
    degradations: dict[str, PositiveFloat] | None = None
    """Degradation -> weight, for clean pictures; the recipe's when null. Pairs bring their own."""


class Phase(Config):
    """Part of the training with one crop size and one sweep of the learning rate."""

    epochs: PositiveInt
    """Epochs of `samples_per_epoch` samples."""
    crop: Annotated[int, Field(ge=8)]
    """Side of a training patch in pixels."""
    batch: PositiveInt
    """Patches per step, over all devices."""
    lr: PositiveFloat
    """Learning rate that the phase starts at, or warms up to."""
    lr_end: NonNegativeFloat = 0.0
    """Learning rate that its cosine ends at."""
    warmup: NonNegativeInt = 0
    """Steps of linear warm-up."""
    degradations: dict[str, NonNegativeFloat] = {}
    """Weights of degradations that this phase overrides; 0 leaves one out."""
    aux_only: bool = False
    """Train by the auxiliary loss alone, to warm up the encoder; only AirNet can."""


class Losses(Config):
    """Weights of the loss's terms; 0 switches one off."""

    l1: NonNegativeFloat = 1.0
    """Mean absolute difference."""
    l2: NonNegativeFloat = 0.0
    """Mean squared difference."""
    ms_ssim: NonNegativeFloat = 0.0
    """1 - MS-SSIM; needs crops over 96 pixels."""
    fft: NonNegativeFloat = 0.0
    """Mean absolute difference of DFTs."""
    fft_norm: Literal["backward", "ortho"] = "backward"
    """Scale of the DFTs: `backward` is MoCE-IR's, and grows with the crop; `ortho` doesn't."""
    vgg: NonNegativeFloat = 0.0
    """VGG-19 perceptual distance; needs ImageNet weights."""
    vgg_weights: str | None = None
    """File of torchvision's VGG-19 weights; without it torchvision fetches them once."""
    aux: NonNegativeFloat = 0.01
    """Balance loss of a mixture's routers, or contrastive loss of AirNet's encoder."""


class Optimiser(Config):
    """Settings of AdamW."""

    betas: tuple[float, float] = (0.9, 0.999)
    """Decay of the running mean and the running square of the gradient."""
    weight_decay: NonNegativeFloat = 0.01
    """Decoupled weight decay."""
    clip: NonNegativeFloat = 0.0
    """Largest norm of the gradient; 0 switches clipping off."""


class Validation(Config):
    """Measurements on pictures outside training: test rows, or train rows that are held out."""

    degradations: tuple[str, ...] = ("denoise_25",)
    """Degradations to measure, each by itself and with the same noise every time."""
    images: PositiveInt = 4
    """Pictures to measure on."""
    crop: Annotated[int, Field(ge=8)] = 512
    """Largest side of the central crop that is measured."""
    every: PositiveInt = 1
    """Epochs between validations; the last epoch is always validated."""


class TrainRecipe(Config):
    """Everything that a training needs except the pictures; nothing is hidden in code."""

    incidental = frozenset({"workers", "cache_mb", "devices", "save_every", "unreadable"})

    name: Annotated[str, Field(pattern=r"^[\w.-]+$")]
    """Name of the recipe, recorded in the checkpoint."""
    seed: int = 0
    """Seed of every random choice."""
    model: str = "moe_ir_30g"
    """Name of a model; see `curate.restore.models.MODELS`."""
    settings: dict[str, Any] = {}
    """Constructor arguments that differ from the named model's."""
    degradations: dict[str, PositiveFloat]
    """Degradation -> weight; each sample of a clean picture draws one."""
    data: dict[str, DataGroup] = {}
    """Name -> settings of its pictures. Pictures without a name come once in a pass."""
    samples_per_epoch: PositiveInt | Literal["auto"] = "auto"
    """Patches in an epoch; `auto` takes one of each picture, times its group's repeat."""
    crops_per_image: PositiveInt = 1
    """Patches cut from a picture each time it is decoded; they come in different batches."""
    phases: Annotated[tuple[Phase, ...], Field(min_length=1)]
    """Phases, one after the other, with one optimiser."""
    losses: Losses = Losses()
    optimiser: Optimiser = Optimiser()
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Decay of a moving average of the weights, which is validated and saved in their place."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    """Arithmetic, by Lightning's names."""
    workers: NonNegativeInt = 2
    """Processes that cut patches; 0 cuts them in the training process. Changes only the speed."""
    cache_mb: NonNegativeInt = 256
    """Cache of decoded pictures in each worker, in 2^20 bytes."""
    devices: PositiveInt = 1
    """GPUs (without any: processes) that share each step; `torchrun` brings its own number."""
    save_every: PositiveInt = 500
    """Steps between saved states to resume from; each epoch ends with one too."""
    unreadable: Annotated[float, Field(ge=0, le=1)] = 0.05
    """Share of the pictures, and over 0 at least one, that may turn out unreadable: each is named
    and left out; more stop the training."""
    validation: Validation = Validation()

    @pydantic.field_validator("degradations")
    @classmethod
    def _require_a_degradation(cls, degradations: dict[str, float]) -> dict[str, float]:
        if not degradations:
            raise ValueError("name at least one degradation")
        return degradations

    @pydantic.model_validator(mode="after")
    def _check_phases_and_losses(self) -> TrainRecipe:
        known = dict(self.degradations)
        for group in self.data.values():
            known |= group.degradations or {}
        losses = self.losses
        for phase in self.phases:
            if losses.ms_ssim and phase.crop <= 96:
                raise ValueError(f"losses.ms_ssim needs crops over 96 pixels, not {phase.crop}")
            if unknown := ", ".join(name for name in phase.degradations if name not in known):
                listed = ", ".join(known)
                raise ValueError(f"a phase weighs {unknown}, which nothing draws; known: {listed}")
            if phase.aux_only and not losses.aux:
                raise ValueError("a phase that is aux_only needs losses.aux over 0")
        if not (losses.l1 or losses.l2 or losses.ms_ssim or losses.fft or losses.vgg):
            names = "l1, l2, ms_ssim, fft and vgg"
            raise ValueError(f"at least one of the losses {names} needs a weight")
        return self
