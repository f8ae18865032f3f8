"""Zero-shot labels by a CLIP model: which category's prompts lie nearest to an image."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path

import numpy as np
import open_clip
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors import SafetensorError
from scipy.special import softmax

from curate.decode import decode_small, to_rgb
from curate.errors import ImageError, InputError, LabelError
from curate.label.taxonomy import Taxonomy, load_taxonomy
from curate.label.weights import find_weights, model_name, pick_device
from curate.recipe import Label

__all__ = ["LabelResult", "Labeller", "label_images", "load_labeller"]

DIGITS = 4
"""Decimals of scores and margins: rounding errors of float32 arithmetic lie below."""

_UNUSABLE = (
    OSError, RuntimeError, ValueError, TypeError, KeyError, AttributeError, AssertionError, StopIteration, EOFError,
    pickle.UnpicklingError, SafetensorError,
)  # fmt: skip
"""What open_clip raises for checkpoints that are damaged or belong to another model."""


@dataclass(frozen=True)
class LabelResult:
    """One image's label."""

    broad: str
    category: str
    score: float
    """Probability of the category."""
    margin: float
    """Probability of the category less that of the runner-up."""
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
        self.batch_size = config.batch_size
        self.device = torch.device(pick_device(config.device))
        self._dtype = open_clip.get_input_dtype(config.precision) or torch.float32
        weights = find_weights(config)
        try:
            model, _, self._prepare = open_clip.create_model_and_transforms(
                weights.model,
                str(weights.checkpoint) if not weights.model.startswith("local-dir:") else None,
                precision=config.precision,
                device=self.device,
                **weights.options,
            )
            tokenizer = open_clip.get_tokenizer(weights.model)
        except ImportError as error:
            raise LabelError(f"label.model {config.model!r} needs a package that isn't installed: {error}") from error
        except _UNUSABLE as error:
            cause = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise LabelError(
                f"can't load {weights.checkpoint} into {config.model!r}: it is damaged or of another model ({cause})"
            ) from error
        self._model = model.eval()
        size = self._model.visual.image_size
        self.side: int = max(size) if isinstance(size, tuple) else size
        """Pixels of the shorter side of the pictures that the model looks at."""
        with _exact():
            self._scale = float(self._model.logit_scale.exp())
            self._classes_KD = self._embed_classes(tokenizer)
        self.dim: int = self._classes_KD.shape[1]
        """Length of an embedding."""

    def label(self, images: Iterable[Image.Image]) -> Iterator[tuple[LabelResult, NDArray[np.float16]]]:
        """Label RGB images in their order, a batch at a time.

        Yields:
            The label, and the image's L2-normalised embedding, float16 of shape (dim,).
        """
        prepared = map(self._prepare, images)
        while batch := list(islice(prepared, self.batch_size)):
            embeddings_ND = self._embed(batch)
            yield from zip(self._classify(embeddings_ND), embeddings_ND.astype(np.float16), strict=True)

    def _embed(self, batch: list[torch.Tensor]) -> NDArray[np.float64]:
        images_BCHW = torch.stack(batch).to(self.device, self._dtype)
        with _exact():
            embeddings_BD = self._model.encode_image(images_BCHW, normalize=True)
        embeddings_ND: NDArray[np.float64] = embeddings_BD.double().cpu().numpy()
        return embeddings_ND

    def _classify(self, embeddings_ND: NDArray[np.float64]) -> Iterator[LabelResult]:
        """Softmax over the classes at the temperature that the model was trained with."""
        logits_NK = self._scale * embeddings_ND @ self._classes_KD.T
        for shares_K in softmax(logits_NK, axis=1):
            second, first = np.sort(shares_K)[-2:]
            best = self.taxonomy.categories[int(shares_K.argmax())]
            score, margin = round(float(first), DIGITS), round(float(first - second), DIGITS)
            yield LabelResult(best.broad, best.name, score, margin, self.name)

    def _embed_classes(self, tokenizer: open_clip.SimpleTokenizer) -> NDArray[np.float64]:
        """One unit vector for each category: the mean of its prompts' unit vectors, shape (K, D)."""
        means = []
        for category in self.taxonomy.categories:
            prompts_PD = self._model.encode_text(tokenizer(list(category.prompts)).to(self.device), normalize=True)
            means.append(prompts_PD.double().mean(dim=0).cpu().numpy())
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
    pictures = (_picture(image, labeller.side) for image in images)
    return [result for result, _ in labeller.label(pictures)]


def _picture(image: Image.Image | str | Path, side: int) -> Image.Image:
    if isinstance(image, Image.Image):
        return to_rgb(image)
    try:
        with Path(image).open("rb") as file:
            return decode_small(file, side)
    except OSError as error:
        raise InputError(f"can't read {image}: {error.strerror}") from error
    except ImageError as error:
        raise ImageError(error.reason, f"{image}: {error.args[1]}") from error


@contextmanager
def _exact() -> Iterator[None]:
    """Inference on one CPU thread: more may split sums differently, and a run may not depend on its workers' threads.

    The cores are kept busy by one worker process for each.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            yield
    finally:
        torch.set_num_threads(threads)
