from __future__ import annotations

import io
import pickle
from collections import Counter
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from curate.errors import RestoreError
from curate.manifest import PAIRED, read_manifest, write_manifest
from curate.restore.data.degradations import TASKS, at_one_level, generator, parse_degradation
from curate.restore.data.patches import Group, PatchDataset, ValidationDataset, hold_out
from curate.restore.data.pictures import Picture, decode, open_pictures
from curate.restore.recipe import Phase
from tests.restore.samples import draw, encode, make_manifest


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


def test_chroma_grids_of_jpeg_start_anywhere_in_a_patch(tmp_path: Path) -> None:
    """Chroma at half the resolution has blocks of 16 pixels."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    (tmp_path / "noise.png").write_bytes(encode(noise))
    dataset = patches(open_pictures(tmp_path), {"dejpeg_20": 1}, crop=48)
    starts = set()
    for degraded, *_ in (dataset[key] for key in keys(48)):
        steps = (degraded[0] - degraded[2]).diff(dim=1).abs().mean(0)
        starts.add(max(range(16), key=lambda s, steps=steps: float(steps[s::16].mean())))
    assert len(starts) > 10


@pytest.mark.parametrize("name", ["denoise_0-50", "denoise_5+denoise_0-50"])
def test_two_views_are_degraded_at_one_level(tmp_path: Path, name: str) -> None:
    (tmp_path / "flat.png").write_bytes(encode(np.full((64, 64, 3), 128, np.uint8)))
    group = Group(open_pictures(tmp_path), {name: 1})
    phase = Phase(epochs=1, crop=64, batch=1, lr=1)
    dataset = PatchDataset([group], [phase], seed=0, views=2)
    levels = []
    for number in range(8):
        both, *_ = dataset[0, number]
        first, second = both.flatten(1).std(1)
        assert not torch.equal(*both), "but with noise of their own"
        assert float(first) == pytest.approx(float(second), rel=0.05)
        levels.append(float(first))
    assert max(levels) > 2 * min(levels), "another one for each sample"


def test_a_level_drawn_from_a_range_lies_in_it() -> None:
    rng = generator(0)
    for name in ("dejpeg_10-40", "blur_motion_5-25+denoise_10-20+8bit", "derain", "sr_x2"):
        low, high = (parse_degradation(name), at_one_level(parse_degradation(name), rng))
        assert high.task == low.task
        assert "-" not in high.name and high.name != "derain"


def with_urls(run: Path, rows: list[tuple[str, str]]) -> list[Picture]:
    """Pictures of a manifest with (dataset, url) of each row."""
    names = [f"{n:016x}" for n in range(len(rows))]
    path = make_manifest(run, dict.fromkeys(names, encode(draw(0))), ["train"] * len(rows))
    table = read_manifest(path).table
    urls = pa.array([url for _, url in rows])
    table = table.set_column(table.column_names.index("url"), "url", urls)
    for column in PAIRED:
        values = [dataset if column.name == "dataset" else None for dataset, _ in rows]
        table = table.append_column(column.name, pa.array(values, column.type))
    write_manifest(path, table, {})
    return open_pictures(path)


@pytest.mark.parametrize(
    ("dataset", "form", "scenes", "shots"),
    [
        ("NIND", "file:NIND/{0}/NIND_{0}_ISO{1}00.png", "abcdef", range(4)),
        (
            "SIDD",
            "file:SIDD/Data/{1:04}_{0:03}_S6_00100/{1:04}_GT_SRGB_010.PNG",
            range(6),
            range(4),
        ),
        (
            "SIDD",
            "file:SIDD/Data/0001_{0:03}_S6/0001_GT_010.PNG#xywh={1},0,9,9",
            range(6),
            range(4),
        ),
        ("GoPro", "file:GoPro/train/GOPR03{0}_07_0{1}/sharp/00047.png", range(6), range(4)),
        ("REDS_blur", "file:REDS_blur/train_sharp/{0:03}/{1:08}.png", range(6), range(4)),
        ("PolyU", "file:PolyU/CroppedImages/Canon_5_{0}_{1}_mean.JPG", "abcdef", range(4)),
        ("mine", "file:mine/{0}.png#xywh={1},0,9,9", "abcdef", range(4)),
    ],
)
def test_no_scene_is_both_trained_on_and_held_out(
    tmp_path: Path, dataset: str, form: str, scenes: object, shots: object
) -> None:
    rows = [(dataset, form.format(scene, shot)) for scene in scenes for shot in shots]
    pictures = with_urls(tmp_path, rows)
    scene_by_id = {picture.id: n // 4 for n, picture in enumerate(pictures)}
    group, chosen = hold_out(Group(pictures, {}), 3, seed=0)
    held = {scene_by_id[picture.id] for picture in chosen}
    assert len(chosen) == 3 and len(held) == 1
    trained = {scene_by_id[picture.id] for picture in group.pictures}
    assert trained == set(range(6)) - held, "all of the other scenes"


def test_pictures_of_a_single_scene_are_parted_one_by_one(tmp_path: Path) -> None:
    rows = [("REDS_blur", f"file:REDS_blur/train_sharp/000/{n:08}.png") for n in range(4)]
    group, chosen = hold_out(Group(with_urls(tmp_path, rows), {}), 1, seed=0)
    assert (len(group.pictures), len(chosen)) == (3, 1)


def test_degradations_are_drawn_by_weight(photos: Path) -> None:
    dataset = patches(open_pictures(photos), {"denoise_0": 3, "denoise_50": 1}, crop=8)
    untouched = sum(torch.equal(*dataset[key][:2]) for key in keys(200))
    assert 125 <= untouched <= 175


def test_cache_keeps_within_its_bytes_and_saves_decoding(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[str] = []
    original = Picture.read_whole
    monkeypatch.setattr(
        Picture, "read_whole", lambda self: (reads.append(self.id), original(self))[1]
    )
    size = 60 * 72 * 3
    for limit, expected in [(8 * size, 8), (2 * size, 32), (0, 32)]:
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


def test_validation_sees_noise_as_training_and_evaluation_do(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encode(np.full((40, 40, 3), 250, np.uint8)))
    pictures = open_pictures(tmp_path)
    ((degraded, *_),) = list(ValidationDataset(pictures, ["denoise_25"], crop=40, seed=0))
    assert degraded.max() > 1.1
    ((degraded, *_),) = list(ValidationDataset(pictures, ["denoise_25+8bit"], crop=40, seed=0))
    assert degraded.max() == 1


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_small_and_enlarged_pictures_are_bytes_in_training_as_in_evaluation(scale: int) -> None:
    degradation = parse_degradation(f"sr_x{scale}")
    _, evaluated = degradation.pair(draw(0), generator(0))
    _, trained = degradation.pair(draw(0).astype(np.float32), generator(0))
    assert trained.dtype == np.float32
    assert np.array_equal(trained, evaluated)


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
