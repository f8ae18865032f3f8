"""Training on tile manifests: patches inside the boxes, and one decoding for all tiles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from curate.errors import ManifestError, RestoreError
from curate.restore.data.loader import PatchLoader, Unreadable
from curate.restore.data.patches import Group, PatchDataset, hold_out
from curate.restore.data.pictures import Picture, open_pictures
from curate.restore.recipe import Phase
from curate.restore.schedule import Schedule
from tests.restore.samples import draw, encode, make_manifest
from tests.tiles import write_tiles

CORNERS = [(0, 0), (8, 24), (40, 28)]


@pytest.fixture(scope="module")
def tiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three tiles of 32 pixels of each of four pictures."""
    files = {f"{n:016x}": encode(draw(n)) for n in range(4)}
    path = make_manifest(tmp_path_factory.mktemp("tiled") / "run", files, ["train"] * 4)
    return Path(write_tiles(path, dict.fromkeys(range(4), CORNERS), 32).path)


def dataset(pictures: list[Picture], batch: int, crop: int = 8, **changes: int) -> PatchDataset:
    phases = [Phase(epochs=1, crop=crop, batch=batch, lr=1)]
    return PatchDataset([Group(pictures, {"denoise_25": 1})], phases, seed=0, **changes)


def test_tile_is_read_as_its_box(tiled: Path) -> None:
    pictures = open_pictures(tiled)
    for number, picture in enumerate(pictures):
        x, y = CORNERS[number % 3]
        assert np.array_equal(picture.read(), draw(number // 3)[y : y + 32, x : x + 32])
    files = [picture.file for picture in pictures]
    assert len(set(files)) == 4
    assert files == sorted(files, key=files.index)


def test_patches_lie_inside_the_box_of_their_tile(tiled: Path) -> None:
    patches = dataset(open_pictures(tiled), 1)
    for number in range(24):
        clean = (patches[0, number][1] * 255).round().byte().permute(1, 2, 0).numpy()
        picture = patches.groups[0].pictures[patches.sample(number).picture]
        flips = [clean[::y, ::x] for y in (1, -1) for x in (1, -1)]
        views = np.lib.stride_tricks.sliding_window_view(picture.read(), (8, 8), (0, 1))
        places = views.transpose(0, 1, 3, 4, 2)
        assert any((places == flip).all((2, 3, 4)).any() for flip in flips)


@pytest.mark.parametrize("workers", [0, 2])
def test_loader_decodes_an_image_once_for_all_of_its_tiles(
    tiled: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    decoded: list[object] = []
    read = Picture.read_whole
    monkeypatch.setattr(
        Picture, "read_whole", lambda self: (decoded.append(self.file), read(self))[1]
    )
    patches = dataset(open_pictures(tiled), 4, crops_per_image=2, cache_bytes=0)
    schedule = Schedule(patches.phases, 24)
    batches = list(PatchLoader(patches, schedule, lambda: 0, workers=workers))
    if not workers:
        assert len(decoded) == len(set(decoded)) == 4
    for step, batch in enumerate(batches):
        numbers = range(4 * step, 4 * step + 4)
        pictures = [patches.groups[0].pictures[patches.sample(n).picture] for n in numbers]
        assert len({picture.file for picture in pictures}) == 4
        assert torch.equal(batch[1], torch.stack([patches[0, n][1] for n in numbers]))


def test_tiles_of_one_image_are_never_on_both_sides(tiled: Path, tmp_path: Path) -> None:
    group, held = hold_out(Group(open_pictures(tiled), {}), 2, seed=0)
    assert {p.file for p in group.pictures}.isdisjoint(p.file for p in held)
    assert len(group.pictures) == 9
    # a test tile takes the training tiles of its image with it
    pictures = open_pictures(tiled)
    test = Picture(pictures[1].id, "test", pictures[1].source, pictures[1].row)
    group, held = hold_out(Group([*pictures[:1], test, *pictures[2:]], {}), 2, seed=0)
    assert held == [test]
    assert {p.row for p in group.pictures} == set(range(3, 12))


def test_box_outside_of_its_image_is_named_and_replaced(tmp_path: Path) -> None:
    files = {f"{n:016x}": encode(draw(n)) for n in range(2)}
    path = make_manifest(tmp_path / "run", files, ["train"] * 2)
    tiles = write_tiles(path, {0: [(0, 0), (41, 0)], 1: [(0, 0)]}, 32)
    pictures = open_pictures(tiles)
    message = r"row 1 \(\w+\): its box xywh=41,0,32,32 leaves its image of 72 x 60 pixels"
    with pytest.raises(ManifestError, match=message):
        pictures[1].read()
    assert not Unreadable(1).can_read(pictures[1])
    patches = dataset(pictures, 1)
    failures = [patches.__getitems__([(0, number)])[0][3] for number in range(3)]
    assert sorted(map(bool, failures)) == [False, False, True]
    with pytest.raises(RestoreError, match=message):
        dataset(pictures[1:2], 1)[0, 0]
