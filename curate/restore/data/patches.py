"""Training patches: which pictures, crops, flips and degradations, all a function of the seed and a number."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from curate.errors import RestoreError
from curate.restore.data.degradations import TASKS, Degradation, Image, generator, parse_degradation
from curate.restore.data.pictures import Picture
from curate.restore.recipe import Phase

__all__ = [
    "Group",
    "Key",
    "PatchDataset",
    "Sample",
    "ValidationBatch",
    "ValidationDataset",
    "divide",
    "to_tensor",
]


Key = tuple[int, int]
"""Of a sample: position of its phase, and its number in the whole training."""


@dataclass(frozen=True)
class Group:
    """Pictures that are drawn alike."""

    pictures: Sequence[Picture]
    degradations: Mapping[str, float]
    """Weight by name: each sample of a clean picture draws one."""
    repeat: int = 1
    """How often each picture comes in a pass over all groups."""

    @property
    def tasks(self) -> set[str]:
        """What undoing the degradations of its samples can be; of `TASKS`."""
        of_pairs = {picture.task for picture in self.pictures}
        drawn = (
            {parse_degradation(name).task for name in self.degradations}
            if None in of_pairs
            else set()
        )
        return drawn | {task for task in of_pairs if task is not None}


@dataclass(frozen=True)
class Sample:
    """What one training sample is cut from."""

    group: int
    picture: int
    """Position in the group."""


class PatchDataset(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """(degraded, clean, task) of each key: patches of (3, crop, crop) float32 in 0..1, and a position in `TASKS`.

    With two `views`, degraded is (2, 3, crop, crop): a second crop of the picture, with the same degradation, comes
    after the one that clean belongs to.

    A pair gives what it has; a clean picture is degraded, by a degradation that is drawn.

    The samples of a training are numbered through. They go over all groups in shuffled passes, one after the other,
    whatever the epochs; each picture gives `crops_per_image` samples in a row, so that it is decoded once for them. A
    sample draws from a generator seeded with (seed, number), so the number and order of workers change nothing, and a
    training can go on anywhere.

    Args:
        groups: where the patches are cut from.
        phases: their crops, and the weights that differ from the groups'.
        seed: of the whole training.
        crops_per_image: samples per decoded picture.
        cache_bytes: decoded pictures to keep, in each worker; the last is kept whatever its size.
        views: degraded crops of each sample.

    Raises:
        RestoreError: if there is no such degradation, or a phase leaves a group none.
    """

    def __init__(
        self,
        groups: Sequence[Group],
        phases: Sequence[Phase],
        *,
        seed: int,
        crops_per_image: int = 1,
        cache_bytes: int = 2**28,
        views: int = 1,
    ) -> None:
        self.groups, self.phases, self.views = groups, phases, views
        self.cache = _Cache(cache_bytes)
        self.draws = [
            [_Draw.build(group.degradations, phase) for group in groups] for phase in phases
        ]
        self.seed, self.crops_per_image = seed, crops_per_image
        entries = [
            [(n, i) for i in range(len(group.pictures))] * group.repeat
            for n, group in enumerate(groups)
        ]
        self._entries_N2 = np.array([entry for group in entries for entry in group], dtype=np.int32)
        self._pass: tuple[int, NDArray[np.int64]] = -1, np.empty(0, np.int64)

    def sample(self, number: int) -> Sample:
        """Which picture a sample is cut from."""
        pass_, position = divmod(number // self.crops_per_image, len(self._entries_N2))
        if self._pass[0] != pass_:
            self._pass = (
                pass_,
                generator(self.seed, "pass", pass_).permutation(len(self._entries_N2)),
            )
        return Sample(*self._entries_N2[self._pass[1][position]].tolist())

    def __getitem__(self, key: Key) -> tuple[Tensor, Tensor, Tensor]:
        phase, number = key
        sample = self.sample(number)
        picture = self.groups[sample.group].pictures[sample.picture]
        rng = generator(self.seed, "sample", number)
        images, crop = self.cache.read(picture), self.phases[phase].crop
        degradation = self.draws[phase][sample.group](rng) if picture.task is None else None
        pairs = [_patch(images, crop, degradation, rng) for _ in range(self.views)]
        degraded = [to_tensor(image) for _, image in pairs]
        task = degradation.task if degradation else picture.task
        patches = torch.stack(degraded) if self.views > 1 else degraded[0]
        return patches, to_tensor(pairs[0][0]), torch.tensor(TASKS.index(task or ""))


@dataclass(frozen=True)
class _Draw:
    """Draws one of some degradations."""

    degradations: Sequence[Degradation]
    shares: NDArray[np.float64]

    @classmethod
    def build(cls, weights: Mapping[str, float], phase: Phase) -> _Draw:
        weights = {name: phase.degradations.get(name, weight) for name, weight in weights.items()}
        if not any(weights.values()):
            raise RestoreError(
                f"the phase of crop {phase.crop} leaves nothing to draw of {', '.join(weights)}"
            )
        shares = np.array(list(weights.values()), dtype=float)
        return cls([parse_degradation(name) for name in weights], shares / shares.sum())

    def __call__(self, rng: np.random.Generator) -> Degradation:
        return self.degradations[rng.choice(len(self.degradations), p=self.shares)]


ValidationBatch = tuple[Tensor, Tensor, Sequence[str], Sequence[str], Sequence[bool]]
"""Degraded and clean pictures, (B, 3, H, W), names of the degradations and tasks, and whether they count."""


class ValidationDataset(Dataset[tuple[Tensor, Tensor, str, str, bool]]):
    """Central parts of pictures, degraded the same way every time: (degraded, clean, degradation, task, counts).

    Sides are up to `crop`. Every degradation meets every clean picture, and the picture changes first; then come the
    pairs. Processes that share them get equally many: where that doesn't come out even, the last ones get one that is
    another's too, and doesn't count.
    """

    def __init__(
        self,
        pictures: Sequence[Picture],
        degradations: Sequence[str],
        *,
        crop: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        drawn = [parse_degradation(name) for name in degradations]
        self.items: list[tuple[Picture, Degradation | None]] = [
            *(
                (picture, degradation)
                for degradation in drawn
                for picture in pictures
                if not picture.is_paired
            ),
            *((picture, None) for picture in pictures if picture.is_paired),
        ]
        self.crop, self.seed = crop, seed
        self.rank, self.world = rank, world

    @property
    def names(self) -> list[str]:
        """The degradations, each once."""
        return list(
            dict.fromkeys(d.name if d else str(picture.degradation) for picture, d in self.items)
        )

    def __len__(self) -> int:
        return -(-len(self.items) // self.world)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, str, str, bool]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        index = index * self.world + self.rank
        counts = index < len(self.items)
        picture, degradation = self.items[index % len(self.items)]
        images = picture.read_pair() if degradation is None else [picture.read()]
        top, left = (max(side - self.crop, 0) // 2 for side in images[0].shape[:2])
        centre, *partner = (
            image[top : top + self.crop, left : left + self.crop] for image in images
        )
        if degradation is None:
            return (
                to_tensor(partner[0]),
                to_tensor(centre),
                str(picture.degradation),
                str(picture.task),
                counts,
            )
        clean, degraded = degradation.pair(
            centre, generator(self.seed, degradation.name, picture.id)
        )
        return to_tensor(degraded), to_tensor(clean), degradation.name, degradation.task, counts


def divide(group: Group, count: int, seed: int) -> tuple[Group, list[Picture]]:
    """Pictures to train on, and `count` to validate on: of the test split, or of the others when there are none.

    Raises:
        RestoreError: if that leaves none to train on.
    """
    train = [p for p in group.pictures if p.split != "test"]
    test = [p for p in group.pictures if p.split == "test"]
    chosen = sorted(test or train, key=lambda p: generator(seed, "validation", p.id).random())[
        :count
    ]
    if not test:
        held = set(chosen)
        train = [p for p in train if p not in held]
    if not train:
        raise RestoreError(
            f"{len(group.pictures)} pictures, of which {len(chosen)} are for validation, leave none to train on: "
            "add a manifest with train rows, or set validation.images lower"
        )
    return replace(group, pictures=train), chosen


def to_tensor(image_HWC: Image) -> Tensor:
    """(height, width, 3) on 0..255 -> (3, height, width) float32 on 0..1, in memory of its own."""
    return torch.from_numpy(image_HWC.astype(np.float32)).permute(2, 0, 1).contiguous() / 255


def _patch(
    images: Sequence[Image], crop: int, degradation: Degradation | None, rng: np.random.Generator
) -> tuple[Image, Image]:
    """A random crop, clean and degraded: of a pair, or of a clean picture that is degraded here."""
    if degradation is None:
        clean, degraded = _cut(images, crop, rng)
        return clean, degraded
    # cut whole periods of the degradation's pattern, so that the patch can start anywhere in one
    grid = degradation.grid
    side = -(-(crop + grid - 1) // grid) * grid
    # floats, since noise is trained on as it is drawn, neither cut off nor rounded
    clean, degraded = degradation.pair(_cut(images, side, rng)[0].astype(np.float32), rng)
    y, x = rng.integers(grid, size=2)
    window = slice(y, y + crop), slice(x, x + crop)
    return clean[window], degraded[window]


def _cut(images: Sequence[Image], side: int, rng: np.random.Generator) -> list[Image]:
    """The same random square of each, flipped alike at random; mirrored first where the pictures are smaller."""
    short = [max(side - length, 0) for length in images[0].shape[:2]]
    if any(short):
        images = [
            np.pad(image, [(0, short[0]), (0, short[1]), (0, 0)], mode="reflect")
            for image in images
        ]
    top, left = (int(rng.integers(length - side + 1)) for length in images[0].shape[:2])
    down, across = rng.integers(2, size=2) * 2 - 1
    return [image[top : top + side, left : left + side][::down, ::across] for image in images]


class _Cache:
    """Decoded pictures, and their degraded partners, up to a limit of bytes; the least recently used go first."""

    def __init__(self, limit: int) -> None:
        self._limit, self._used = limit, 0
        self._images: OrderedDict[Picture, Sequence[Image]] = OrderedDict()

    def read(self, picture: Picture) -> Sequence[Image]:
        """The clean picture, then the degraded one if there is one."""
        if picture in self._images:
            self._images.move_to_end(picture)
            return self._images[picture]
        images = picture.read_pair() if picture.is_paired else [picture.read()]
        self._images[picture] = images
        self._used += sum(image.nbytes for image in images)
        while self._used > self._limit and len(self._images) > 1:
            self._used -= sum(image.nbytes for image in self._images.popitem(last=False)[1])
        return images
