"""Training patches: which pictures, crops, flips and degradations, all a function of seed, epoch and position alone."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from curate.errors import RestoreError
from curate.restore.degradations import TASKS, Image, generator, parse_degradation
from curate.restore.pictures import Picture

__all__ = ["PatchDataset", "Sample", "ValidationDataset", "divide", "to_tensor"]


@dataclass(frozen=True)
class Sample:
    """What one training sample is made from."""

    picture: int
    """Position among all pictures."""
    crop: int
    """How many crops of this picture the epoch has had before."""


class PatchDataset(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """One epoch of (degraded, clean, task): patches of (3, crop, crop) float32 in 0..1, and a position in `TASKS`.

    Every picture of a shuffled pass gives `crops_per_image` samples in a row, so that it is decoded once for them;
    passes follow one another until the epoch is full. Each sample draws from a generator seeded with (seed, epoch,
    picture's id, crop), so the number and order of workers change nothing.

    Args:
        pictures: where the patches are cut from.
        degradations: weight by name.
        crop: side of a patch in pixels; smaller pictures are mirrored to it.
        length: samples in the epoch.
        seed: of the whole training.
        epoch: number of the epoch.
        crops_per_image: samples per decoded picture.
        cache_bytes: decoded pictures to keep, in each worker.
    """

    def __init__(
        self,
        pictures: Sequence[Picture],
        degradations: Mapping[str, float],
        *,
        crop: int,
        length: int,
        seed: int,
        epoch: int = 0,
        crops_per_image: int = 1,
        cache_bytes: int = 2**28,
    ) -> None:
        self.pictures = pictures
        self.cache = _Cache(cache_bytes)
        self.degradations = [parse_degradation(name) for name in degradations]
        weights = np.array(list(degradations.values()), dtype=float)
        self.shares = weights / weights.sum()
        self.crop, self.length, self.seed, self.epoch = crop, length, seed, epoch
        self.crops_per_image = crops_per_image
        self._passes: dict[int, NDArray[np.int64]] = {}

    def __len__(self) -> int:
        return self.length

    def sample(self, index: int) -> Sample:
        """Which picture and crop the sample at `index` is."""
        turn, crop = divmod(index, self.crops_per_image)
        round_, position = divmod(turn, len(self.pictures))
        if round_ not in self._passes:
            self._passes[round_] = generator(self.seed, self.epoch, "order", round_).permutation(len(self.pictures))
        return Sample(int(self._passes[round_][position]), round_ * self.crops_per_image + crop)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        if not 0 <= index < self.length:
            raise IndexError(index)
        sample = self.sample(index)
        picture = self.pictures[sample.picture]
        rng = generator(self.seed, self.epoch, picture.id, sample.crop)
        degradation = self.degradations[rng.choice(len(self.degradations), p=self.shares)]
        # cut whole periods of the degradation's pattern, so that the patch can start anywhere in one
        grid = degradation.grid
        side = -(-(self.crop + grid - 1) // grid) * grid
        clean, degraded = degradation.pair(_cut(self.cache.read(picture), side, rng), rng)
        y, x = rng.integers(grid, size=2)
        window = slice(y, y + self.crop), slice(x, x + self.crop)
        task = torch.tensor(TASKS.index(degradation.task))
        return to_tensor(degraded[window]), to_tensor(clean[window]), task


class ValidationDataset(Dataset[tuple[Tensor, Tensor, str]]):
    """Central parts of pictures, degraded the same way every time: (degraded, clean, degradation's name).

    Sides are up to `crop`. Every degradation meets every picture; the picture changes first.
    """

    def __init__(self, pictures: Sequence[Picture], degradations: Sequence[str], *, crop: int, seed: int) -> None:
        self.pictures = pictures
        self.degradations = [parse_degradation(name) for name in degradations]
        self.crop, self.seed = crop, seed

    def __len__(self) -> int:
        return len(self.pictures) * len(self.degradations)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, str]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        which, position = divmod(index, len(self.pictures))
        degradation, picture = self.degradations[which], self.pictures[position]
        image = picture.read()
        top, left = (max(side - self.crop, 0) // 2 for side in image.shape[:2])
        centre = image[top : top + self.crop, left : left + self.crop]
        clean, degraded = degradation.pair(centre, generator(self.seed, degradation.name, picture.id))
        return to_tensor(degraded), to_tensor(clean), degradation.name


def divide(pictures: Sequence[Picture], count: int, seed: int) -> tuple[list[Picture], list[Picture]]:
    """Pictures to train on, and `count` to validate on: of the test split, or of the others when there are none.

    Raises:
        RestoreError: if that leaves none to train on.
    """
    train = [p for p in pictures if p.split != "test"]
    test = [p for p in pictures if p.split == "test"]
    chosen = sorted(test or train, key=lambda p: generator(seed, "validation", p.id).random())[:count]
    if not test:
        held = set(chosen)
        train = [p for p in train if p not in held]
    if not train:
        raise RestoreError(
            f"{len(pictures)} pictures, of which {len(chosen)} are for validation, leave none to train on: "
            "add a manifest with train rows, or set validation.images lower"
        )
    return train, chosen


def to_tensor(image_HWC: Image) -> Tensor:
    """(height, width, 3) on 0..255 -> (3, height, width) float32 on 0..1, in memory of its own."""
    return torch.from_numpy(image_HWC.astype(np.float32)).permute(2, 0, 1).contiguous() / 255


def _cut(image: Image, side: int, rng: np.random.Generator) -> Image:
    """A random square, flipped at random; mirrored first where the picture is smaller."""
    short = [max(side - length, 0) for length in image.shape[:2]]
    if any(short):
        image = np.pad(image, [(0, short[0]), (0, short[1]), (0, 0)], mode="reflect")
    top, left = (int(rng.integers(length - side + 1)) for length in image.shape[:2])
    patch = image[top : top + side, left : left + side]
    down, across = rng.integers(2, size=2) * 2 - 1
    return patch[::down, ::across]


class _Cache:
    """Decoded pictures up to a limit of bytes; the least recently used goes first."""

    def __init__(self, limit: int) -> None:
        self._limit, self._used = limit, 0
        self._images: OrderedDict[Picture, Image] = OrderedDict()

    def read(self, picture: Picture) -> Image:
        if picture in self._images:
            self._images.move_to_end(picture)
            return self._images[picture]
        image = picture.read()
        self._images[picture] = image
        self._used += image.nbytes
        while self._used > self._limit:
            self._used -= self._images.popitem(last=False)[1].nbytes
        return image
