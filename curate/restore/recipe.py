"""The typed recipe of a training: one class per group, one line per setting. Doesn't import torch."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from curate.config import Config

__all__ = ["DataGroup", "Losses", "Optimiser", "Phase", "TrainRecipe", "Validation"]


class DataGroup(Config):
    """Pictures that are given under one name, as in `--manifest SIDD=sidd.parquet`."""

    repeat: PositiveInt = 1
    """How often each picture comes while the others, of repeat 1, come once."""
    degradations: dict[str, PositiveFloat] | None = None
    """Degradation -> weight, for clean pictures; those of the recipe when null. Pairs bring their own."""


class Phase(Config):
    """A part of the training with one crop size and one sweep of the learning rate."""

    epochs: PositiveInt
    """Epochs of `samples_per_epoch` samples."""
    crop: Annotated[int, Field(ge=8)]
    """Side of a training patch in pixels."""
    batch: PositiveInt
    """Patches per step, of all devices together."""
    lr: PositiveFloat
    """Learning rate that the phase starts from, or warms up to."""
    lr_end: NonNegativeFloat = 0.0
    """Learning rate that its cosine ends at."""
    warmup: NonNegativeInt = 0
    """Steps of linear warm-up."""
    degradations: dict[str, NonNegativeFloat] = {}
    """Weights that differ in this phase, of the recipe's or a group's degradations; 0 leaves one out."""
    aux_only: bool = False
    """Train by the auxiliary loss alone; it warms up AirNet's encoder, and is for models that can do it."""


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
    """The balance loss of a mixture's routers, or the contrast of AirNet's encoder."""


class Optimiser(Config):
    """AdamW."""

    betas: tuple[float, float] = (0.9, 0.999)
    """Decay of the running mean and the running square of the gradient."""
    weight_decay: NonNegativeFloat = 0.01
    """Decoupled weight decay."""
    clip: NonNegativeFloat = 0.0
    """Largest norm of the gradient; 0 doesn't clip."""


class Validation(Config):
    """What is measured on pictures that aren't trained on: the manifests' test rows, or held-out train rows."""

    degradations: tuple[str, ...] = ("denoise_25",)
    """Each is measured by itself, on the same noise every time."""
    images: PositiveInt = 4
    """Pictures to measure on."""
    crop: Annotated[int, Field(ge=8)] = 512
    """Largest side of the central part that is measured."""
    every: PositiveInt = 1
    """Epochs between validations; the last epoch is always validated."""


class TrainRecipe(Config):
    """Everything that a training needs, with nothing hidden in code, save the pictures."""

    incidental: ClassVar[frozenset[str]] = frozenset(
        {"workers", "cache_mb", "devices", "save_every"}
    )

    name: Annotated[str, Field(pattern=r"^[\w.-]+$")]
    """Name of the recipe, kept in the checkpoint."""
    seed: int = 0
    """Seed of every random choice."""
    model: str = "moe_ir_30g"
    """Name of a model; see `curate.restore.models.MODELS`."""
    settings: dict[str, Any] = {}
    """Constructor arguments that differ from the named model's."""
    degradations: dict[str, PositiveFloat]
    """Degradation -> weight; each sample draws one."""
    data: dict[str, DataGroup] = {}
    """Name -> how the pictures of that name are used. Pictures given without a name come once in a pass."""
    samples_per_epoch: PositiveInt | Literal["auto"] = "auto"
    """Patches in an epoch; `auto` takes as many as there are pictures, each counted as often as it is repeated."""
    crops_per_image: PositiveInt = 1
    """Patches cut from a picture each time it is decoded."""
    phases: Annotated[tuple[Phase, ...], Field(min_length=1)]
    """One after the other, with one optimiser."""
    losses: Losses = Losses()
    optimiser: Optimiser = Optimiser()
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Decay of an exponential moving average of the weights, which then is what is validated and kept."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    """Arithmetic, in Lightning's words."""
    workers: NonNegativeInt = 2
    """Processes that cut patches; 0 cuts them in the training process. Changes nothing but the speed."""
    cache_mb: NonNegativeInt = 256
    """Decoded pictures that each worker keeps, in 2^20 bytes."""
    devices: PositiveInt = 1
    """GPUs, or processes where there are none, that share each step's patches; `torchrun` brings its own number."""
    save_every: PositiveInt = 500
    """Steps between the states to resume from, besides that at the end of each epoch."""
    validation: Validation = Validation()

    @field_validator("degradations")
    @classmethod
    def _at_least_one(cls, degradations: dict[str, float]) -> dict[str, float]:
        if not degradations:
            raise ValueError("name at least one degradation")
        return degradations

    @model_validator(mode="after")
    def _fits(self) -> TrainRecipe:
        drawn = [self.degradations, *(group.degradations or {} for group in self.data.values())]
        known = list(dict.fromkeys(name for weights in drawn for name in weights))
        for phase in self.phases:
            if self.losses.ms_ssim and phase.crop <= 96:
                raise ValueError(f"losses.ms_ssim needs crops over 96 pixels, not {phase.crop}")
            if unknown := [name for name in phase.degradations if name not in known]:
                raise ValueError(
                    f"a phase weighs {', '.join(unknown)}, which nothing draws; known: {', '.join(known)}"
                )
        if not self.losses.aux and any(phase.aux_only for phase in self.phases):
            raise ValueError("a phase that is aux_only needs losses.aux over 0")
        terms = (
            self.losses.l1,
            self.losses.l2,
            self.losses.ms_ssim,
            self.losses.fft,
            self.losses.vgg,
        )
        if not any(terms):
            raise ValueError(
                "at least one of the losses l1, l2, ms_ssim, fft and vgg needs a weight"
            )
        return self
