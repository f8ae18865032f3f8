"""Zero-shot labels by a CLIP model: the category whose prompts lie nearest to an image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
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
from scipy.special import expit, softmax
from torch.nn import functional as F

from curate.config import fingerprint
from curate.errors import ImageError, InputError, LabelError, Reason
from curate.images.decode import decode_small_pixels, to_rgb
from curate.images.decoder_process import run_in_decoder
from curate.recipe import Label, score_column
from curate.runtime import contain_errors, pick_device
from curate.stages.label.heads import HeadFile, HeadNetwork, find_heads
from curate.stages.label.inference import exact, load_model, map_ahead
from curate.stages.label.scores import PromptPair, load_pairs
from curate.stages.label.taxonomy import Taxonomy, load_taxonomy
from curate.stages.label.weights import model_name

__all__ = ["LabelResult", "Labeller", "attempt_labels", "label_images", "load_labeller"]

DIGITS = 4
"""Decimals of scores and margins: rounding errors of float32 arithmetic lie below."""

CPU_BATCH = 4
"""Images of a forward pass on a CPU: more at once are no faster on one thread."""

VERSION = 1
"""Raised when the preprocessing of pictures changes, which voids cached embeddings."""

Embedding = NDArray[np.float32]
Picture = Image.Image | str | Path | IO[bytes]
"""A picture, its path, or its open file."""


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
    """CLIP model with the class embeddings of a taxonomy; `load_labeller` builds and caches it."""

    def __init__(
        self,
        config: Label,
        taxonomy: Taxonomy,
        pairs: Sequence[PromptPair] = (),
        heads: Sequence[HeadFile] = (),
    ) -> None:
        """Load the model and the heads, and embed the prompts.

        Raises:
            LabelError: if weights are missing, out of reach, damaged, or of another model.
        """
        self.taxonomy = taxonomy
        self.name = model_name(config)
        self.device = pick_device(config.device, setting="label.device", error=LabelError)
        self._others_margin = config.others_margin
        self._dtype = open_clip.get_input_dtype(config.precision) or torch.float32
        self._batch = CPU_BATCH if self.device.type == "cpu" else config.batch_size
        self._model, self._transform, self._tokenizer = load_model(config, self.device)
        # shape of the input, and whatever embeddings depend on
        visual = self._model.visual
        self.side = int(np.max(visual.image_size))
        """Pixels of the shorter side of the model's input."""
        self.key = fingerprint([VERSION, self.name, visual.preprocess_cfg])
        """Fingerprint of all that an embedding depends on beside the image."""
        with exact():
            self._scale = float(self._model.logit_scale.exp())
        self._classes_KD = np.stack([self.embed_text(c.prompts) for c in taxonomy.categories])
        self.dim: int = self._classes_KD.shape[1]
        """Length of an embedding."""
        self._pairs = {}
        for pair in pairs:
            difference_D = self.embed_text(pair.positive) - self.embed_text(pair.negative)
            self._pairs[score_column(pair.name)] = difference_D
        self._heads = [HeadNetwork(head, self.dim, self.name) for head in heads]

    def embed(self, pictures: Iterable[Picture]) -> Iterator[Embedding | ImageError]:
        """Embed pictures in their order.

        Every forward pass has the same shape: copies of a picture fill it up. So no bit of an
        image's embedding depends on other images.

        Yields:
            The L2-normalised embedding, shape (dim,), or why the picture has none.
        """
        ahead = 0 if self.device.type == "cpu" else 2 * self._batch
        with map_ahead(self._preprocess, pictures, ahead) as inputs:
            # embed the pictures of a batch that could be decoded
            while batch := list(islice(inputs, self._batch)):
                images = [item for item in batch if isinstance(item, torch.Tensor)]
                embeddings = iter(self._encode(images))
                for item in batch:
                    yield item if isinstance(item, ImageError) else next(embeddings)

    def classify(self, embeddings_ND: NDArray[np.float32]) -> list[LabelResult]:
        """Return labels by a softmax over the classes, at the temperature of the training."""
        # cosine similarities, scaled by 1 / temperature
        logits_NK = self._scale * embeddings_ND.astype(np.float64) @ self._classes_KD.T
        return [self._result(shares_K) for shares_K in softmax(logits_NK, axis=1)]

    def score(self, embeddings_ND: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
        """Return the scores of images by pairs of prompts and by heads: column -> shape (N,)."""
        scores = {}
        for column, difference_D in self._pairs.items():
            # softmax over two sides, which is a sigmoid of the difference of their logits
            scores[column] = expit(self._scale * embeddings_ND.astype(np.float64) @ difference_D)
        for head in self._heads:
            scores[score_column(head.name)] = head(embeddings_ND)
        return {column: score_N.round(DIGITS) for column, score_N in scores.items()}

    def embed_text(self, prompts: Sequence[str]) -> NDArray[np.float64]:
        """Return the unit vector of the mean of some prompts' unit vectors, shape (dim,)."""
        with exact():
            prompts_PD = self._model.encode_text(self._tokenizer(list(prompts)).to(self.device))
            mean_D = F.normalize(prompts_PD.double(), dim=-1).mean(dim=0).cpu().numpy()
        # means of unit vectors are shorter than 1
        unit: NDArray[np.float64] = mean_D / np.linalg.norm(mean_D)
        return unit

    def _result(self, shares_K: NDArray[np.float64]) -> LabelResult:
        second, first = np.sort(shares_K)[-2:]
        margin = round(float(first - second), DIGITS)
        chosen = int(shares_K.argmax())
        # an uncertain label becomes "others" of the same broad class
        if margin < self._others_margin:
            chosen = self.taxonomy.others_of(chosen)
        category = self.taxonomy.categories[chosen]
        score = round(float(shares_K[chosen]), DIGITS)
        return LabelResult(category.broad, category.name, score, margin, self.name)

    def _preprocess(self, picture: Picture) -> torch.Tensor | ImageError:
        """Return the model's input, shape (3, side, side), or why the picture can't be decoded."""
        try:
            with contain_errors():
                image: torch.Tensor = self._transform(self._open(picture))
        except ImageError as error:
            return error
        return image

    def _open(self, picture: Picture) -> Image.Image:
        if isinstance(picture, Image.Image):
            return to_rgb(picture)
        try:
            data = Path(picture).read_bytes() if isinstance(picture, str | Path) else _read(picture)
        except OSError as error:
            raise ImageError(Reason.UNREADABLE, error.strerror or str(error)) from error
        return Image.fromarray(run_in_decoder(decode_small_pixels, data, self.side))

    def _encode(self, images: list[torch.Tensor]) -> Embedding:
        """Return the embeddings of at most one batch, shape (len(images), dim)."""
        if not images:
            return np.empty((0, self.dim), np.float32)
        # fill the batch up with the first image
        full_BCHW = torch.stack(images + images[:1] * (self._batch - len(images)))
        full_BCHW = full_BCHW.to(self.device, self._dtype, memory_format=torch.channels_last)
        with exact():
            unit_BD = F.normalize(self._model.encode_image(full_BCHW).float(), dim=-1)
        return np.asarray(unit_BD[: len(images)].cpu())


def _read(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()


def load_labeller(config: Label) -> Labeller:
    """Return the labeller of a recipe; each process caches one.

    Raises:
        LabelError: if the taxonomy, the model, pairs of prompts or heads can't be loaded.
    """
    # scores stand in the recipe as mappings, which no cache can take for a key
    model = config.model_copy(update={"scores": (), "heads": ()})
    taxonomy, pairs = load_taxonomy(config.taxonomy), load_pairs(config)
    return _load(model, taxonomy, pairs, find_heads(config))


_load = lru_cache(maxsize=1)(Labeller)


def label_images(
    images: Iterable[Image.Image | str | Path],
    config: Label = Label(),  # noqa: B008 - frozen
) -> list[LabelResult]:
    """Label pictures in memory or in files, in their order.

    Raises:
        LabelError: if the labeller can't be loaded.
        InputError: if a file can't be read.
        ImageError: if it can't be decoded.
    """
    images = list(images)
    labels = []
    for image, found in zip(images, attempt_labels(images, config), strict=True):
        if isinstance(found, ImageError):
            if found.reason is Reason.UNREADABLE:
                raise InputError(f"can't read {image}: {found.args[1]}")
            raise ImageError(found.reason, f"{image}: {found.args[1]}")
        labels.append(found)
    return labels


def attempt_labels(images: Iterable[Picture], config: Label) -> list[LabelResult | ImageError]:
    """Label pictures in their order; one that can't be read or decoded has its error instead.

    Raises:
        LabelError: if the labeller can't be loaded.
    """
    labeller = load_labeller(config)
    found = list(labeller.embed(images))
    vectors = [item for item in found if not isinstance(item, ImageError)]
    labels = iter(labeller.classify(np.array(vectors, np.float32).reshape(-1, labeller.dim)))
    return [item if isinstance(item, ImageError) else next(labels) for item in found]
