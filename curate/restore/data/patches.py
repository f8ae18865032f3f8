"""Training patches, which follow from the seed and the number of a sample alone."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from curate.errors import ManifestError, RestoreError
from curate.restore.data.degradations import (
    TASKS,
    Degradation,
    Image,
    at_one_level,
    degrade_picture,
    generator,
    parse_degradation,
)
from curate.restore.data.passes import LONGEST, Passes
from curate.restore.data.pictures import Picture
from curate.restore.data.scenes import hold_scenes, image_of
from curate.restore.recipe import Phase

__all__ = [
    "Group",
    "Key",
    "PatchDataset",
    "Sample",
    "ValidationBatch",
    "ValidationDataset",
    "hold_out",
    "to_tensor",
]

_ATTEMPTS = 20
"""Pictures that are tried for a sample."""

Key = tuple[int, int]
"""Position of a sample's phase, and the sample's number in the whole training."""


@dataclass(frozen=True)
class Group:
    """Pictures with one choice of degradations and one repeat."""

    pictures: Sequence[Picture]
    degradations: Mapping[str, float]
    """Weight by name: each sample of a clean picture draws one."""
    repeat: int = 1
    """Times that a pass over all groups draws each picture."""

    @property
    def tasks(self) -> set[str]:
        """Tasks of the group's samples, of `TASKS`."""
        found = {picture.task for picture in self.pictures}
        drawn = self.degradations if None in found else ()
        tasks = {parse_degradation(name).task for name in drawn}
        return tasks.union(task for task in found if task is not None)


@dataclass(frozen=True)
class Sample:
    """Picture that one training sample is cut from."""

    group: int
    picture: int
    """Position in the group."""


class PatchDataset(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """Samples of a training: (degraded, clean, task) of each `Key`.

    Patches are (3, crop, crop) float32 in 0..1; the task is a position in `TASKS`. With two
    `views`, degraded is (2, 3, crop, crop): the clean patch belongs to the first crop, and the
    second is another crop with the same degradation. A pair brings its degraded image; a clean
    picture is degraded by a drawn degradation.

    Samples are numbered through the training. They go over all groups in shuffled passes, one after
    the other, whatever the epochs. Each picture gives `crops_per_image` samples, which lie apart;
    see `Passes`. Tiles of one image file share a visit, so that one decoding serves them all. Each
    sample draws from a generator seeded with (seed, number), so the number and order of workers
    change nothing, and a training can resume anywhere. A picture that can't be read is replaced by
    another one, drawn by the sample's number.

    Args:
        groups: pictures to cut from.
        phases: crops, and weights that override the groups'.
        seed: seed of the whole training.
        crops_per_image: samples of each picture in a pass.
        cache_bytes: limit of each worker's cache of decoded pictures, which always holds one.
        views: degraded crops of each sample.

    Raises:
        RestoreError: if a degradation isn't known, or a phase leaves a group none.
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
        self.seed, self.crops_per_image = seed, crops_per_image
        self.cache = _Cache(cache_bytes)
        self._failures: dict[Picture, str] = {}
        self.draws = {}
        visits: list[list[tuple[int, int]]] = []
        for number, group in enumerate(groups):
            for position, phase in enumerate(phases):
                self.draws[position, number] = _Draw.build(group.degradations, phase)
            visits += _visits(number, group.pictures, crops_per_image) * group.repeat
        # (group, picture) of every sample of a pass, before it is shuffled
        self._entries_N2 = np.array(list(chain.from_iterable(visits)), dtype=np.int32)
        self._passes = Passes([len(visit) for visit in visits], seed)

    def sample(self, number: int) -> Sample:
        """Return the picture of a sample."""
        return Sample(*self._entries_N2[self._passes.entry(number)].tolist())

    def siblings(self, number: int) -> list[int]:
        """Return the numbers of the samples that one decoding serves, a given one among them."""
        return self._passes.siblings(number)

    def __getitem__(self, key: Key) -> tuple[Tensor, Tensor, Tensor]:
        return self._cut(key)[:3]

    def __getitems__(self, keys: Sequence[Key]) -> list[tuple[Tensor, Tensor, Tensor, str]]:
        """Return the samples of a batch, each with the failure of a picture that it stands for."""
        return [self._cut(key) for key in keys]

    def _cut(self, key: Key) -> tuple[Tensor, Tensor, Tensor, str]:
        phase, number = key
        sample, images, failure = self._read(number)
        picture = self.groups[sample.group].pictures[sample.picture]
        rng = generator(self.seed, "sample", number)
        crop = self.phases[phase].crop
        degradation = self.draws[phase, sample.group](rng) if picture.task is None else None
        if degradation and self.views > 1:
            degradation = at_one_level(degradation, rng)  # both views count as degraded alike
        pairs = [_patch(images, crop, degradation, rng) for _ in range(self.views)]
        degraded = [to_tensor(image) for _, image in pairs]
        task = degradation.task if degradation else picture.task
        patches = torch.stack(degraded) if self.views > 1 else degraded[0]
        task_number = torch.tensor(TASKS.index(task or ""))
        return patches, to_tensor(pairs[0][0]), task_number, failure

    def _read(self, number: int) -> tuple[Sample, Sequence[Image], str]:
        """Return the picture of a sample; where it can't be read, another one and the failure."""
        first_failure = ""
        for attempt in range(_ATTEMPTS):
            sample = self.sample(number)
            if attempt:
                place = generator(self.seed, "instead", number, attempt)
                entry = place.integers(len(self._entries_N2))
                sample = Sample(*self._entries_N2[entry].tolist())
            picture = self.groups[sample.group].pictures[sample.picture]
            if picture not in self._failures:
                try:
                    whole = self.cache.read(picture)
                    return sample, [picture.cut(image) for image in whole], first_failure
                except (ManifestError, RestoreError) as error:
                    self._failures[picture] = str(error)
            first_failure = first_failure or self._failures[picture]
        raise RestoreError(first_failure)


def _visits(
    group: int, pictures: Sequence[Picture], crops_per_image: int
) -> list[list[tuple[int, int]]]:
    """Return the (group, picture) of each sample, visit by visit.

    A visit takes the tiles of one image file, as many as `LONGEST` allows.
    """
    files: dict[object, list[int]] = {}
    for number, picture in enumerate(pictures):
        files.setdefault(picture.file, []).append(number)
    tiles = max(LONGEST // crops_per_image, 1)
    visits = []
    for numbers in files.values():
        for start in range(0, len(numbers), tiles):
            samples = [(group, number) for number in numbers[start : start + tiles]]
            visits.append(samples * crops_per_image)
    return visits


@dataclass(frozen=True)
class _Draw:
    """Weighted choice of a degradation."""

    degradations: Sequence[Degradation]
    shares: NDArray[np.float64]

    @classmethod
    def build(cls, weights: Mapping[str, float], phase: Phase) -> _Draw:
        weights = {name: phase.degradations.get(name, weight) for name, weight in weights.items()}
        if not any(weights.values()):
            names = ", ".join(weights)
            raise RestoreError(f"the phase of crop {phase.crop} leaves nothing to draw of {names}")
        shares = np.array(list(weights.values()), dtype=float)
        return cls([parse_degradation(name) for name in weights], shares / shares.sum())

    def __call__(self, rng: np.random.Generator) -> Degradation:
        return self.degradations[rng.choice(len(self.degradations), p=self.shares)]


ValidationBatch = tuple[Tensor, Tensor, Sequence[str], Sequence[str], Sequence[bool]]
"""Degraded and clean pictures, (B, 3, H, W), degradations, tasks, and whether they count."""


@dataclass(eq=False)
class ValidationDataset(Dataset[tuple[Tensor, Tensor, str, str, bool]]):
    """Centres of pictures, degraded alike every time: (degraded, clean, degradation, task, counts).

    Every degradation meets every clean picture, and the picture changes first; pairs come last.
    Processes that share them get equally many: where that doesn't come out even, the last processes
    get one that another has too, and it doesn't count.
    """

    pictures: Sequence[Picture]
    degradations: Sequence[str]
    crop: int
    """Largest side, in pixels."""
    seed: int
    rank: int = 0
    """Number of this process."""
    world: int = 1
    """Number of processes that share the pictures."""

    def __post_init__(self) -> None:
        clean = [picture for picture in self.pictures if not picture.is_paired]
        self.items: list[tuple[Picture, Degradation | None]] = []
        for degradation in map(parse_degradation, self.degradations):
            self.items += [(picture, degradation) for picture in clean]
        self.items += [(picture, None) for picture in self.pictures if picture.is_paired]

    @property
    def names(self) -> list[str]:
        """Names of the degradations, each once."""
        names = (d.name if d else str(picture.degradation) for picture, d in self.items)
        return list(dict.fromkeys(names))

    def __len__(self) -> int:
        return -(-len(self.items) // self.world)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, str, str, bool]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        index = index * self.world + self.rank
        counts = index < len(self.items)
        picture, degradation = self.items[index % len(self.items)]
        images = picture.read_pair() if degradation is None else [picture.read()]
        # crop the centre, at most `crop` pixels a side
        top, left = (max(side - self.crop, 0) // 2 for side in images[0].shape[:2])
        window = slice(top, top + self.crop), slice(left, left + self.crop)
        clean, degraded = images[0][window], images[-1][window]
        name, task = str(picture.degradation), str(picture.task)
        if degradation is not None:
            name, task = degradation.name, degradation.task
            rng = generator(self.seed, name, picture.id)
            clean, degraded = degrade_picture(clean, degradation, rng, clip_noise=False)
        return to_tensor(degraded), to_tensor(clean), name, task, counts


def hold_out(
    group: Group,
    count: int,
    seed: int,
    can_read: Callable[[Picture], bool] = lambda picture: True,
) -> tuple[Group, list[Picture]]:
    """Return the group to train on, and `count` of its pictures to validate on.

    These are of the test split, and can be read. Where it is empty they are of whole scenes, and
    none of these is trained on. Nor is a tile or crop of an image that has another one in the test
    split.

    Raises:
        RestoreError: if no pictures are left to train on.
    """
    train = [picture for picture in group.pictures if picture.split != "test"]
    test = [picture for picture in group.pictures if picture.split == "test"]
    shown = {image_of(picture) for picture in test}
    train = [picture for picture in train if image_of(picture) not in shown]
    # in an order that depends on the seed and the ids alone
    ranked = sorted(test or train, key=lambda p: generator(seed, "validation", p.id).random())
    broken: set[Picture] = set()
    while True:
        usable = [picture for picture in ranked if picture not in broken]
        held = set(usable[:count]) if test else hold_scenes(usable, count)
        chosen = [picture for picture in usable if picture in held][:count]
        found = {picture for picture in chosen if not can_read(picture)}
        if not found:
            break
        broken |= found
    if not test:
        train = [picture for picture in train if picture not in held | broken]
    if not train:
        raise RestoreError(
            f"{len(group.pictures)} pictures, of which {len(held)} are for validation, leave none"
            " to train on: add a manifest with train rows, or set validation.images lower"
        )
    return replace(group, pictures=train), chosen


def to_tensor(image_HWC: Image) -> Tensor:
    """Convert (height, width, 3) on 0..255 to (3, height, width) float32 on 0..1, as a copy."""
    return torch.from_numpy(image_HWC.astype(np.float32)).permute(2, 0, 1).contiguous() / 255


def _patch(
    images: Sequence[Image], crop: int, degradation: Degradation | None, rng: np.random.Generator
) -> tuple[Image, Image]:
    """Return a random crop, clean and degraded, of a pair or of a picture to degrade."""
    if degradation is None:
        clean, degraded = _cut(images, crop, rng)
        return clean, degraded
    # cut whole periods of the degradation's pattern, so that the patch can start anywhere in one
    grid = degradation.grid
    side = -(-(crop + grid - 1) // grid) * grid
    # floats, since training takes noise as it is drawn, neither clipped nor rounded
    clean, degraded = degradation.pair(_cut(images, side, rng)[0].astype(np.float32), rng)
    y, x = rng.integers(grid, size=2)
    window = slice(y, y + crop), slice(x, x + crop)
    return clean[window], degraded[window]


def _cut(images: Sequence[Image], side: int, rng: np.random.Generator) -> list[Image]:
    """Cut and flip one random square of all images; smaller images are mirrored first."""
    down, right = (max(side - length, 0) for length in images[0].shape[:2])
    if down or right:
        pads = [(0, down), (0, right), (0, 0)]
        images = [np.pad(image, pads, mode="reflect") for image in images]
    top, left = (int(rng.integers(length - side + 1)) for length in images[0].shape[:2])
    # a step of -1 flips that axis
    y_step, x_step = rng.integers(2, size=2) * 2 - 1
    window = slice(top, top + side), slice(left, left + side)
    return [image[window][::y_step, ::x_step] for image in images]


class _Cache:
    """Cache of decoded pictures and degraded partners, by last use, of at most `limit` bytes."""

    def __init__(self, limit: int) -> None:
        self._limit, self._used = limit, 0
        self._images: OrderedDict[Hashable, Sequence[Image]] = OrderedDict()

    def read(self, picture: Picture) -> Sequence[Image]:
        """Return the whole clean image, then the degraded one if there is one."""
        file = picture.file
        if file in self._images:
            self._images.move_to_end(file)
            return self._images[file]
        images = picture.read_all()
        self._images[file] = images
        self._used += sum(image.nbytes for image in images)
        while self._used > self._limit and len(self._images) > 1:
            _, oldest = self._images.popitem(last=False)
            self._used -= sum(image.nbytes for image in oldest)
        return images
