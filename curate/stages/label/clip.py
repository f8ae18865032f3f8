"""Zero-shot labels by a CLIP model: which category's prompts lie nearest to an image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import IO

import numpy as np
import open_clip
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.special import softmax
from torch.nn import functional as F

from curate.config import fingerprint
from curate.errors import ImageError, InputError, Reason
from curate.images.decode import decode_small, to_rgb
from curate.recipe import Label
from curate.stages.label.inference import exact, load_model, map_ahead
from curate.stages.label.taxonomy import Taxonomy, load_taxonomy
from curate.stages.label.weights import model_name, pick_device

__all__ = ["LabelResult", "Labeller", "label_images", "load_labeller"]

DIGITS = 4
"""Decimals of scores and margins: rounding errors of float32 arithmetic lie below."""

CPU_PASS = 4
"""Images of a forward pass on a CPU: more at once are no faster on one thread."""

VERSION = 1
"""Raised when pictures are made ready in another way than before: embeddings that were kept are void then."""

Embedding = NDArray[np.float32]
Picture = Image.Image | str | Path | IO[bytes]
"""A picture, or where its file is."""


@dataclass(frozen=True)
class LabelResult:
    """One image's label."""

    broad: str
    category: str
    score: float
    """Probability of the category."""
    margin: float
    """Probability of the likeliest category less that of the runner-up."""
    model: str


class Labeller:
    """A CLIP model with the class embeddings of a taxonomy. Build it with `load_labeller`, which keeps it."""

    def __init__(self, config: Label, taxonomy: Taxonomy) -> None:
        """Load the model and embed the prompts.

        Raises:
            LabelError: if weights are missing, out of reach, damaged, or of another model.
        """
        self.taxonomy = taxonomy
        self.name = model_name(config)
        self.device = torch.device(pick_device(config.device))
        self._others_margin = config.others_margin
        self._dtype = open_clip.get_input_dtype(config.precision) or torch.float32
        self._pass = CPU_PASS if self.device.type == "cpu" else config.batch_size
        self._model, self._prepare, tokenizer = load_model(config, self.device)
        visual = self._model.visual
        size = visual.image_size
        self.side: int = max(size) if isinstance(size, tuple) else size
        """Pixels of the shorter side of the pictures that the model looks at."""
        self.key = fingerprint([VERSION, self.name, visual.preprocess_cfg])
        """What an embedding depends on beside the image: the same key, the same embedding."""
        with exact():
            self._scale = float(self._model.logit_scale.exp())
            self._classes_KD = self._embed_classes(tokenizer)
        self.dim: int = self._classes_KD.shape[1]
        """Length of an embedding."""

    def embed(self, pictures: Iterable[Picture]) -> Iterator[Embedding | ImageError]:
        """Embed pictures in their order.

        A forward pass always has the same shape, filled up where pictures are missing. So what an image's embedding is,
        to the last bit, depends on no other image.

        Yields:
            The L2-normalised embedding, shape (dim,), or why the picture has none.
        """
        with map_ahead(
            self._ready, pictures, ahead=0 if self.device.type == "cpu" else 2 * self._pass
        ) as prepared:
            while batch := list(islice(prepared, self._pass)):
                embeddings = iter(
                    self._encode([ready for ready in batch if isinstance(ready, torch.Tensor)])
                )
                yield from (
                    next(embeddings) if isinstance(ready, torch.Tensor) else ready
                    for ready in batch
                )

    def classify(self, embeddings_ND: NDArray[np.float32]) -> list[LabelResult]:
        """Softmax over the classes at the temperature that the model was trained with."""
        logits_NK = self._scale * embeddings_ND.astype(np.float64) @ self._classes_KD.T
        return [self._result(shares_K) for shares_K in softmax(logits_NK, axis=1)]

    def _result(self, shares_K: NDArray[np.float64]) -> LabelResult:
        second, first = np.sort(shares_K)[-2:]
        margin = round(float(first - second), DIGITS)
        chosen = int(shares_K.argmax())
        if margin < self._others_margin:
            chosen = self.taxonomy.others_of(chosen)
        category = self.taxonomy.categories[chosen]
        return LabelResult(
            category.broad, category.name, round(float(shares_K[chosen]), DIGITS), margin, self.name
        )

    def _ready(self, picture: Picture) -> torch.Tensor | ImageError:
        """A picture as the model wants it, shape (3, side, side)."""
        try:
            ready: torch.Tensor = self._prepare(self._open(picture))
        except ImageError as error:
            return error
        return ready

    def _open(self, picture: Picture) -> Image.Image:
        if isinstance(picture, Image.Image):
            return to_rgb(picture)
        if not isinstance(picture, str | Path):
            return decode_small(picture, self.side)
        try:
            with Path(picture).open("rb") as file:
                return decode_small(file, self.side)
        except OSError as error:
            raise ImageError(Reason.UNREADABLE, error.strerror or str(error)) from error

    def _encode(self, images: list[torch.Tensor]) -> Embedding:
        """Embeddings of one pass at most, shape (len(images), dim)."""
        if not images:
            return np.empty((0, self.dim), np.float32)
        full_BCHW = torch.stack(images + images[:1] * (self._pass - len(images)))
        full_BCHW = full_BCHW.to(self.device, self._dtype, memory_format=torch.channels_last)
        with exact():
            embeddings_BD = F.normalize(self._model.encode_image(full_BCHW).float(), dim=-1)
        embeddings: Embedding = embeddings_BD[: len(images)].cpu().numpy()
        return embeddings

    def _embed_classes(self, tokenizer: open_clip.SimpleTokenizer) -> NDArray[np.float64]:
        """One unit vector for each category: the mean of its prompts' unit vectors, shape (K, D)."""
        means = []
        for category in self.taxonomy.categories:
            prompts_PD = self._model.encode_text(tokenizer(list(category.prompts)).to(self.device))
            means.append(F.normalize(prompts_PD.double(), dim=-1).mean(dim=0).cpu().numpy())
        classes_KD = np.stack(means)
        unit: NDArray[np.float64] = classes_KD / np.linalg.norm(classes_KD, axis=1, keepdims=True)
        return unit


def load_labeller(config: Label) -> Labeller:
    """The labeller of a recipe; one is kept per process.

    Raises:
        LabelError: if the taxonomy or the model can't be loaded.
    """
    return _load(config, load_taxonomy(config.taxonomy))


_load = lru_cache(maxsize=1)(Labeller)


def label_images(
    images: Iterable[Image.Image | str | Path],
    config: Label = Label(),  # noqa: B008 - frozen
) -> list[LabelResult]:
    """Label pictures that are in memory or in files, in their order.

    Raises:
        LabelError: if the labeller can't be loaded.
        InputError: if a file can't be read.
        ImageError: if it can't be decoded.
    """
    labeller = load_labeller(config)
    images = list(images)
    embeddings = []
    for image, found in zip(images, labeller.embed(images), strict=True):
        if isinstance(found, ImageError):
            if found.reason is Reason.UNREADABLE:
                raise InputError(f"can't read {image}: {found.args[1]}")
            raise ImageError(found.reason, f"{image}: {found.args[1]}")
        embeddings.append(found)
    return labeller.classify(np.array(embeddings, np.float32).reshape(-1, labeller.dim))
