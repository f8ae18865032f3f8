"""Pictures with a degraded partner, and the tasks of models that are told them."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from torch import Tensor

from curate.errors import ManifestError, RestoreError
from curate.manifest import read_manifest, write_manifest
from curate.restore.data.degradations import TASKS
from curate.restore.data.patches import Group, PatchDataset, ValidationDataset
from curate.restore.data.pictures import open_pictures
from curate.restore.inference.restore_image import restore_array
from curate.restore.models import build_model, count_parameters, require_tasks, task_arguments
from curate.restore.recipe import Phase
from curate.restore.training.trainer import train
from tests.restore.samples import draw, pair_manifest, recipe

SMALL = {"dim": 12, "depths": [2], "heads": 2}


def test_a_pair_is_read_as_it_was_written(tmp_path: Path) -> None:
    pictures = open_pictures(pair_manifest(tmp_path / "run", [draw(7), None]))
    assert [(p.is_paired, p.degradation, p.task) for p in pictures] == [
        (True, "motion_blur", "deblur"),
        (False, None, None),
    ]
    clean, degraded = pictures[0].read_pair()
    np.testing.assert_array_equal(clean, draw(0))
    np.testing.assert_array_equal(degraded, draw(7))
    with pytest.raises(RestoreError, match="has no degraded image"):
        pictures[1].read_pair()


def test_pictures_of_other_places_are_no_pairs(manifest: Path, photos: Path) -> None:
    for where in (manifest, photos):
        assert not open_pictures(where)[0].is_paired
        assert open_pictures(where)[0].task is None


def test_a_pair_of_two_sizes_is_refused(tmp_path: Path) -> None:
    (picture,) = open_pictures(pair_manifest(tmp_path / "run", [draw(7, height=48)]))
    with pytest.raises(
        RestoreError, match=r"train.parquet row 0 .*different sizes, 72x60 and 72x48"
    ):
        picture.read_pair()


def test_a_damaged_degraded_image_is_named_as_such(tmp_path: Path) -> None:
    path = pair_manifest(tmp_path / "run", [draw(7)])
    table = read_manifest(path).table
    data = (tmp_path / "run/0.png").read_bytes()[:200]
    (tmp_path / "run/0.png").write_bytes(data)
    for name, value in (
        ("degraded_nbytes", 200),
        ("degraded_sha256", hashlib.sha256(data).hexdigest()),
    ):
        table = table.set_column(table.column_names.index(name), name, pa.array([value]))
    write_manifest(path, table, {})
    with pytest.raises(RestoreError, match=r"the degraded image of .* can't be decoded"):
        open_pictures(path)[0].read_pair()


def test_pairs_for_a_task_that_nobody_knows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="has pairs for colourise; the tasks are sr, derain"):
        open_pictures(pair_manifest(tmp_path / "run", [draw(7)], task="colourise"))


def test_the_order_of_tasks_is_for_ever() -> None:
    assert TASKS == ("sr", "derain", "denoise", "dejpeg", "deblur", "enhance")


def test_damoe_defaults_to_papers_four_tasks() -> None:
    models = [build_model("damoe_hard", **SMALL, tasks=tasks) for tasks in (4, 6)]
    assert count_parameters(build_model("damoe_hard", **SMALL)) == count_parameters(models[0])
    # two more experts in each of two blocks, 12 -> 24 -> 12 with biases, and two embeddings of 12
    assert (
        count_parameters(models[1]) - count_parameters(models[0])
        == 2 * 2 * (12 * 24 + 24 + 24 * 12 + 12) + 2 * 12
    )
    require_tasks(models[0], TASKS[:4])
    require_tasks(models[1], TASKS)
    require_tasks(build_model("swinir", **SMALL), TASKS)  # which isn't told any
    with pytest.raises(
        RestoreError,
        match=r"for sr, derain, denoise, dejpeg, not for deblur: .*settings=\{tasks: 5\}",
    ):
        require_tasks(models[0], ["sr", "deblur"])
    with pytest.raises(RestoreError, match="not for enhance"):
        task_arguments(models[0], TASKS.index("enhance"))
    with pytest.raises(RestoreError, match="tasks is 1 to 6"):
        build_model("damoe", **SMALL, tasks=7)


def test_a_task_beyond_the_models_is_refused_before_work_begins() -> None:
    with pytest.raises(RestoreError, match="not for deblur"):
        restore_array(build_model("damoe_hard", **SMALL).eval(), draw(0), task="deblur")
    with pytest.raises(RestoreError, match=r"one of sr, derain, denoise, dejpeg$"):
        restore_array(build_model("damoe_hard", **SMALL).eval(), draw(0))


def test_a_training_on_pairs_takes_what_they_have(tmp_path: Path) -> None:
    path = pair_manifest(tmp_path / "run", [draw(7), draw(8), None])
    phase = Phase(epochs=1, crop=16, batch=1, lr=1)
    group = Group(open_pictures(path), {"denoise_50": 1})
    assert group.tasks == {"deblur", "denoise"}
    dataset = PatchDataset([group], [phase], seed=0)
    for number in range(12):
        picture = dataset.sample(number).picture
        degraded, clean, task = dataset[0, number]
        assert TASKS[task] == ("denoise" if picture == 2 else "deblur")
        places = set(find(clean, draw(picture)))
        assert places
        if picture != 2:
            assert places & set(find(degraded, draw(7 + picture))), "cut and flipped alike"


def find(patch: Tensor, picture: np.ndarray) -> Iterator[tuple[int, ...]]:
    """Return place and flip of a patch in a picture."""
    wanted = (patch * 255).round().byte().permute(1, 2, 0).numpy()
    for down, across in itertools.product((1, -1), repeat=2):
        windows = np.lib.stride_tricks.sliding_window_view(picture[::down, ::across], wanted.shape)[
            :, :, 0
        ]
        for y, x in np.argwhere((windows == wanted).all((2, 3, 4))):
            yield int(y), int(x), down, across


def test_pairs_are_validated_under_their_own_name(tmp_path: Path) -> None:
    pictures = open_pictures(pair_manifest(tmp_path / "run", [draw(7), draw(8), None]))
    dataset = ValidationDataset(pictures, ["denoise_25", "sr_x2"], crop=20, seed=0)
    assert [dataset[i][2:4] for i in range(len(dataset))] == [
        ("denoise_25", "denoise"),
        ("sr_x2", "sr"),
        ("motion_blur", "deblur"),
        ("motion_blur", "deblur"),
    ]
    assert dataset.names == ["denoise_25", "sr_x2", "motion_blur"]
    degraded, clean, *_ = dataset[3]
    for tensor, image in ((clean, draw(1)), (degraded, draw(8))):
        assert np.array_equal(
            (tensor * 255).round().byte().permute(1, 2, 0).numpy(), image[20:40, 26:46]
        )


def test_a_restorer_is_trained_on_pairs(tmp_path: Path) -> None:
    path = pair_manifest(tmp_path / "run", [draw(n + 4) for n in range(4)])
    settings = recipe(
        data={"Blurred": {}}, validation={"images": 1, "crop": 32}, samples_per_epoch=4
    )
    result = train(settings, [f"Blurred={path}"], tmp_path / "out")
    assert set(result.metrics) == {"psnr", "psnr_before", "psnr/motion_blur"}
    damoe = recipe(model="damoe_hard", settings=SMALL, degradations={"denoise_25": 1})
    with pytest.raises(RestoreError, match=r"not for deblur: train one with settings=\{tasks: 5\}"):
        train(damoe, [path], tmp_path / "damoe")
