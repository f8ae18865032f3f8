from __future__ import annotations

import io
import pickle
from collections import Counter
from pathlib import Path

import fsspec
import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from curate.errors import RestoreError
from curate.restore.data.degradations import TASKS
from curate.restore.data.patches import Group, PatchDataset, ValidationDataset, hold_out
from curate.restore.data.pictures import Picture, decode, open_pictures
from curate.restore.recipe import Phase
from tests.restore.samples import draw, encode


def patches(
    pictures: list[Picture], degradations: dict[str, float] | None = None, **changes: object
) -> PatchDataset:
    """Build a plan of one group and one phase."""
    settings: dict[str, object] = {"crop": 16, "seed": 5, "crops_per_image": 2} | changes
    phase = Phase(epochs=1, crop=settings.pop("crop"), batch=1, lr=1)
    group = Group(pictures, degradations or {"denoise_25": 2.0, "dejpeg_20": 1.0, "sr_x3": 1.0})
    return PatchDataset([group], [phase], **settings)


def keys(count: int) -> list[tuple[int, int]]:
    return [(0, number) for number in range(count)]


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(manifest: Path, workers: int) -> None:
    dataset = patches(open_pictures(manifest))
    alone = list(DataLoader(dataset, 4, sampler=keys(12)))
    shared = list(DataLoader(dataset, 4, sampler=keys(12), num_workers=workers))
    assert len(alone) == len(shared) == 3
    for one, other in zip(alone, shared, strict=True):
        assert torch.equal(one[0], other[0])
        assert torch.equal(one[1], other[1])


def test_order_of_access_changes_nothing(photos: Path) -> None:
    forwards = patches(open_pictures(photos))
    backwards = patches(open_pictures(photos), cache_bytes=0)
    expected = [forwards[key] for key in keys(40)]
    for key in reversed(keys(40)):
        assert torch.equal(backwards[key][0], expected[key[1]][0])


def test_datasets_travel_to_workers_that_are_not_forked(manifest: Path) -> None:
    dataset = patches(open_pictures(manifest))
    first = dataset[0, 0]
    assert torch.equal(pickle.loads(pickle.dumps(dataset))[0, 0][0], first[0])


def test_seeds_and_crops_differ(photos: Path) -> None:
    pictures = open_pictures(photos)[:1]
    base = patches(pictures)
    clean = [base[key][1] for key in keys(30)]
    assert len({c.numpy().tobytes() for c in clean}) > 25, (
        "crops of one picture are different crops"
    )
    assert not torch.equal(base[0, 0][0], patches(pictures, seed=6)[0, 0][0])


def test_every_picture_comes_before_any_again(photos: Path) -> None:
    dataset = patches(open_pictures(photos))
    samples = [dataset.sample(number) for number in range(48)]
    first, second = samples[:16], samples[16:32]
    for pass_ in (first, second):
        assert sorted(s.picture for s in pass_) == [i // 2 for i in range(16)]
    assert first != second
    assert all(samples[i] == samples[i + 1] for i in range(0, 48, 2))


def test_groups_come_as_often_as_they_are_repeated_and_draw_what_is_theirs(photos: Path) -> None:
    pictures = open_pictures(photos)
    groups = [
        Group(pictures[:3], {"denoise_25": 1}),
        Group(pictures[3:5], {"dejpeg_20": 1, "derain": 2}, repeat=4),
    ]
    dataset = PatchDataset(groups, [Phase(epochs=1, crop=16, batch=1, lr=1)], seed=0)
    for pass_ in range(3):
        counts = Counter(dataset.sample(11 * pass_ + i) for i in range(11))
        assert sorted((s.group, s.picture, n) for s, n in counts.items()) == [
            (0, 0, 1), (0, 1, 1), (0, 2, 1), (1, 0, 4), (1, 1, 4)
        ]  # fmt: skip
    tasks = {0: set(), 1: set()}
    for number in range(66):
        tasks[dataset.sample(number).group].add(TASKS[dataset[0, number][2]])
    assert tasks == {0: {"denoise"}, 1: {"dejpeg", "derain"}}


def test_a_phase_may_weigh_otherwise(photos: Path) -> None:
    weights = [{}, {"denoise_0": 0}, {"denoise_50": 0, "dejpeg_20": 9}]
    phases = [Phase(epochs=1, crop=8, batch=1, lr=1, degradations=changed) for changed in weights]
    group = Group(open_pictures(photos), {"denoise_0": 3.0, "denoise_50": 1.0})
    dataset = PatchDataset([group], phases, seed=0)
    untouched = [sum(torch.equal(*dataset[phase, n][:2]) for n in range(100)) for phase in range(3)]
    assert 60 <= untouched[0] <= 90
    assert untouched[1:] == [0, 100]
    nothing = [
        Phase(epochs=1, crop=8, batch=1, lr=1, degradations={"denoise_0": 0, "denoise_50": 0})
    ]
    with pytest.raises(
        RestoreError, match="phase of crop 8 leaves nothing to draw of denoise_0, denoise_50"
    ):
        PatchDataset([group], nothing, seed=0)


def test_noise_is_trained_on_as_it_is_drawn_unless_its_name_says_otherwise(tmp_path: Path) -> None:
    (tmp_path / "white.png").write_bytes(encode(np.full((40, 40, 3), 255, np.uint8)))
    pictures = open_pictures(str(tmp_path))
    drawn, cut = (
        patches(pictures, {name: 1})[0, 0][0] * 255 for name in ("denoise_25", "denoise_25+8bit")
    )
    assert drawn.max() > 280
    assert (drawn - drawn.round()).abs().max() > 0.1
    assert cut.max() <= 255.001
    assert (cut - cut.round()).abs().max() < 1e-3


def test_samples_are_patches_of_the_picture(photos: Path) -> None:
    picture = open_pictures(photos)[0]
    degraded, clean, _ = patches([picture])[0, 0]
    assert clean.shape == degraded.shape == (3, 16, 16)
    assert clean.dtype == torch.float32
    assert 0 <= clean.min() <= clean.max() <= 1
    whole = picture.read()
    views = [v[::down, ::across] for v in [whole] for down in (1, -1) for across in (1, -1)]
    patch = (clean * 255).round().byte().permute(1, 2, 0).numpy()
    found = [
        np.array_equal(view[y : y + 16, x : x + 16], patch)
        for view in views
        for y in range(45)
        for x in range(57)
    ]
    assert any(found)


@pytest.mark.parametrize("size", [(1, 1), (5, 90), (16, 3)])
def test_small_pictures_are_mirrored_to_the_crop(tmp_path: Path, size: tuple[int, int]) -> None:
    (tmp_path / "small.png").write_bytes(encode(draw(0, 96, 96)[: size[0], : size[1]]))
    degraded, clean, _ = patches(open_pictures(tmp_path))[0, 0]
    assert clean.shape == degraded.shape == (3, 16, 16)


def test_jpeg_grids_start_anywhere_in_a_patch(tmp_path: Path) -> None:
    """A network that only saw blocks from the corner on would fail on crops."""
    (tmp_path / "noise.png").write_bytes(
        encode(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    )
    dataset = patches(open_pictures(tmp_path), {"dejpeg_5": 1}, crop=24)
    starts = set()
    for degraded, _, _ in (dataset[key] for key in keys(16)):
        steps = degraded.diff(dim=2).abs().mean((0, 1))
        starts.add(max(range(8), key=lambda s, steps=steps: float(steps[s::8].mean())))
    assert len(starts) > 3


def test_degradations_are_drawn_by_weight(photos: Path) -> None:
    dataset = patches(open_pictures(photos), {"denoise_0": 3, "denoise_50": 1}, crop=8)
    untouched = sum(torch.equal(*dataset[key][:2]) for key in keys(200))
    assert 125 <= untouched <= 175


def test_cache_keeps_within_its_bytes_and_saves_decoding(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[str] = []
    original = Picture.read
    monkeypatch.setattr(Picture, "read", lambda self: (reads.append(self.id), original(self))[1])
    size = 60 * 72 * 3
    for limit, expected in [(8 * size, 8), (2 * size, 16), (0, 16)]:
        reads.clear()
        dataset = patches(open_pictures(photos), cache_bytes=limit)
        for key in keys(32):
            dataset[key]
        assert len(reads) == expected, limit


def test_every_patch_says_what_undoing_it_is(photos: Path) -> None:
    for name, task in (("denoise_25", 2), ("dejpeg_20", 3), ("sr_x3", 0), ("derain", 1)):
        dataset = patches(open_pictures(photos), {name: 1.0})
        assert [batch[2].tolist() for batch in DataLoader(dataset, 2, sampler=keys(2))] == [
            [task, task]
        ]


def test_manifests_are_read_wherever_they_lie(manifest: Path) -> None:
    fs = fsspec.filesystem("memory")
    run = manifest.parent.parent
    for path in run.rglob("*"):
        if path.is_file():
            fs.pipe_file(f"/restore-data/{path.relative_to(run).as_posix()}", path.read_bytes())
    remote = open_pictures("memory://restore-data/manifest/train.parquet")
    for here, there in zip(open_pictures(manifest), remote, strict=True):
        assert here.id == there.id
        assert np.array_equal(here.read(), there.read())


def test_pictures_are_upright_rgb() -> None:
    image = Image.fromarray(draw(0)[..., 0])
    exif = image.getexif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    image.save(buffer, "PNG", exif=exif)
    decoded = decode(buffer.getvalue(), "here")
    assert np.array_equal(decoded, np.repeat(np.rot90(draw(0)[..., :1], -1), 3, axis=2))


def test_damaged_pictures_are_named(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(encode(draw(0))[:200])
    with pytest.raises(RestoreError, match=r"broken.png can't be decoded: decode_failed"):
        patches(open_pictures(tmp_path))[0, 0]


def test_folders_without_pictures_are_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(
        RestoreError, match=r"no pictures in .*: give a manifest, as RUN/.* or a folder"
    ):
        open_pictures(tmp_path)


def test_test_rows_are_for_validation(manifest: Path) -> None:
    train, validation = hold_out(Group(open_pictures(manifest), {}), 4, seed=0)
    assert len(train.pictures) == 6
    assert {p.split for p in validation} == {"test"}
    assert len(validation) == 2


def test_without_test_rows_some_are_held_out_whatever_their_order(photos: Path) -> None:
    pictures = open_pictures(photos)
    train, validation = hold_out(Group(pictures, {}, repeat=3), 3, seed=0)
    assert (len(train.pictures), train.repeat) == (5, 3)
    assert {p.id for p in train.pictures}.isdisjoint(p.id for p in validation)
    assert {p.id for p in hold_out(Group(pictures[::-1], {}), 3, seed=0)[1]} == {
        p.id for p in validation
    }
    with pytest.raises(
        RestoreError, match=r"leave none to train on: .* set validation.images lower"
    ):
        hold_out(Group(pictures, {}), 8, seed=0)


def test_validation_measures_every_degradation_on_the_same_centres(photos: Path) -> None:
    pictures = open_pictures(photos)[:2]
    dataset = ValidationDataset(pictures, ["denoise_25", "sr_x3"], crop=20, seed=0)
    items = [dataset[i] for i in range(len(dataset))]
    assert [item[2:] for item in items] == [("denoise_25", "denoise", True)] * 2 + [
        ("sr_x3", "sr", True)
    ] * 2
    assert items[0][1].shape == (3, 20, 20)
    assert items[2][1].shape == (3, 18, 18)
    assert torch.equal(items[0][0], dataset[0][0])
    centre = pictures[0].read()[20:40, 26:46]
    assert torch.equal(
        (items[0][1] * 255).round().byte().permute(1, 2, 0), torch.from_numpy(centre.copy())
    )


@pytest.mark.parametrize("world", [2, 3, 4, 5])
def test_processes_share_the_validation_and_count_every_picture_once(
    photos: Path, world: int
) -> None:
    pictures = open_pictures(photos)[:3]
    settings = {"crop": 20, "seed": 0}
    whole = [
        item[0].numpy().tobytes()
        for item in ValidationDataset(pictures, ["denoise_25"], **settings)
    ]
    parts = [
        ValidationDataset(pictures, ["denoise_25"], **settings, rank=r, world=world)
        for r in range(world)
    ]
    assert len({len(part) for part in parts}) == 1, "or some would wait for the others for ever"
    counted = [item[0].numpy().tobytes() for part in parts for item in part if item[4]]
    assert sorted(counted) == sorted(whole)
