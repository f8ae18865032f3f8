from __future__ import annotations

import logging
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file

from curate.errors import RecipeError, RestoreError
from curate.manifest import read_manifest, write_manifest
from curate.restore.checkpoints.checkpoint import CheckpointInfo, load_model, read_info, save_model
from curate.restore.data.groups import open_groups, split_name
from curate.restore.models import build_model
from curate.restore.recipe import Phase, TrainRecipe
from curate.restore.schedule import Schedule
from curate.restore.training.trainer import train
from tests import ROOT
from tests.restore.samples import TINY, recipe

PIPELINES = ROOT / "pipelines/train"


class Stopped(Exception):  # noqa: N818 - stands for a kill
    pass


def stop_at(step: int):
    def progress(done: int, total: int, values: Mapping[str, float]) -> None:
        if done == step:
            raise Stopped

    return progress


@pytest.mark.parametrize(("ema", "precision"), [(None, "32-true"), (0.9, "bf16-mixed")])
def test_a_stopped_training_resumes_to_the_same_weights(
    manifest: Path, tmp_path: Path, ema: float | None, precision: str
) -> None:
    settings = recipe(
        ema=ema, precision=precision, validation={"images": 2, "crop": 32, "every": 1}
    )
    whole = train(settings, [manifest], tmp_path / "whole")
    assert (whole.steps, whole.trained) == (3, 3)
    with pytest.raises(Stopped):
        train(settings, [manifest], tmp_path / "stopped", progress=stop_at(3))
    assert read_info(tmp_path / "stopped/model.safetensors").epoch == 1
    resumed = train(settings, [manifest], tmp_path / "stopped")
    assert (resumed.steps, resumed.trained) == (3, 1)
    assert resumed.metrics == whole.metrics
    assert resumed.checkpoint.read_bytes() == whole.checkpoint.read_bytes()
    assert resumed.best.read_bytes() == whole.best.read_bytes()


def test_ctrl_c_is_the_callers(photos: Path, tmp_path: Path) -> None:
    def interrupt(done: int, total: int, values: Mapping[str, float]) -> None:
        raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(recipe(), [photos], tmp_path, progress=interrupt)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_finished_training_does_nothing_again(manifest: Path, tmp_path: Path) -> None:
    first = train(recipe(), [manifest], tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    # what doesn't change the result may change
    second = train(recipe(workers=2, cache_mb=1), [manifest], tmp_path, progress=stop_at(1))
    assert second.trained == 0
    assert second.metrics == first.metrics
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    (tmp_path / "state.ckpt").unlink()
    assert train(recipe(), [manifest], tmp_path).trained == 0, (
        "the weights alone tell that it is finished"
    )


def test_an_empty_manifest_is_passed_over(manifest: Path, tmp_path: Path) -> None:
    whole = read_manifest(manifest)
    write_manifest(tmp_path / "run/manifest/test.parquet", whole.table.slice(0, 0), {})
    result = train(
        recipe(), [manifest, tmp_path / "run/manifest/test.parquet"], tmp_path / "restorer"
    )
    assert [source.pictures for source in read_info(result.checkpoint).manifests] == [len(whole)]
    with pytest.raises(RestoreError, match="no pictures in"):
        train(recipe(), [tmp_path / "run/manifest/test.parquet"], tmp_path / "other")


def test_another_training_is_not_overwritten_unless_wanted(
    manifest: Path, photos: Path, tmp_path: Path
) -> None:
    train(recipe(), [manifest], tmp_path)
    with pytest.raises(
        RestoreError,
        match=r"another recipe \(changed: seed; later .*\): choose another .*--restart",
    ):
        train(recipe(seed=1), [manifest], tmp_path)
    with pytest.raises(RestoreError, match="with other pictures"):
        train(recipe(), [photos], tmp_path)
    assert train(recipe(seed=1), [manifest], tmp_path, resume=False).trained == 3


def test_checkpoint_names_recipe_and_manifest(manifest: Path, tmp_path: Path) -> None:
    result = train(recipe(), [manifest], tmp_path)
    info = read_info(result.checkpoint)
    assert (info.model, info.settings, info.epoch, info.step) == ("moe_ir_30g", TINY, 2, 3)
    assert info.recipe["phases"][1]["crop"] == 24
    assert [(m.name, m.pictures) for m in info.manifests] == [("train.parquet", 8)]
    assert set(info.metrics) == {"psnr", "psnr_before", "psnr/denoise_25"}
    assert TrainRecipe.load(tmp_path / "recipe.yaml") == recipe()
    assert list((tmp_path / "logs").glob("events.*"))


def test_progress_tells_every_step_and_lightning_nothing(
    photos: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls: list[tuple[int, int, Mapping[str, float]]] = []
    train(recipe(), [photos], tmp_path, progress=lambda *args: calls.append(args))
    assert [(done, total) for done, total, _ in calls] == [(1, 3), (2, 3), (3, 3)]
    assert set(calls[0][2]) == {"loss", "lr", "l1", "aux", "gradient"}
    assert set(calls[2][2]) == {"loss", "lr", "l1", "aux", "gradient", "psnr"}
    assert capfd.readouterr() == ("", "")
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


def test_validation_comes_every_so_often_and_at_the_end(photos: Path, tmp_path: Path) -> None:
    measured = []
    phases = [{"epochs": 5, "crop": 16, "batch": 4, "lr": 1e-4}]

    def progress(done: int, total: int, values: Mapping[str, float]) -> None:
        measured.append(values.get("psnr"))

    settings = recipe(phases=phases, validation={"images": 1, "crop": 16, "every": 3})
    result = train(settings, [photos], tmp_path, progress=progress)
    assert [value is not None for value in measured] == [False, False, False, True, True]
    assert result.metrics["psnr"] > 0
    assert read_info(result.checkpoint).metrics == result.metrics


def test_a_loss_that_explodes_is_reported(photos: Path, tmp_path: Path) -> None:
    settings = recipe(phases=[{"epochs": 9, "crop": 16, "batch": 2, "lr": 1e30}])
    with pytest.raises(
        RestoreError,
        match=r"the loss is not finite at step 1, by l1 and aux \(l1 nan.*\): lower the phase's lr",
    ):
        train(settings, [photos], tmp_path)


def test_a_worker_that_dies_is_reported(photos: Path, tmp_path: Path) -> None:
    def kill(done: int, total: int, values: Mapping[str, float]) -> None:
        for child in psutil.Process().children():
            if child.pid not in before:
                child.kill()

    before = {child.pid for child in psutil.Process().children()}
    with pytest.raises(RestoreError, match=r"^a worker died \(.+\): if memory is short"):
        train(recipe(workers=1, samples_per_epoch=400), [photos], tmp_path, progress=kill)


def test_a_damaged_state_is_reported(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        train(recipe(save_every=1), [photos], tmp_path, progress=stop_at(2))
    (tmp_path / "state.ckpt").write_bytes((tmp_path / "state.ckpt").read_bytes()[:1000])
    with pytest.raises(
        RestoreError, match=r"state.ckpt can't be read: .+; begin anew with --restart"
    ):
        train(recipe(save_every=1), [photos], tmp_path)
    assert train(recipe(save_every=1), [photos], tmp_path, resume=False).trained == 3


def test_an_unknown_degradation_is_noticed_first(tmp_path: Path) -> None:
    for changes in ({"degradations": {"blur": 1}}, {"validation": {"degradations": ["blur"]}}):
        with pytest.raises(RestoreError, match="no degradation 'blur'; known: denoise_<sigma>"):
            train(recipe(**changes), [tmp_path], tmp_path / "out")


def test_a_recipe_may_be_named(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(recipe(degradations={"blur": 1}).to_yaml())
    with pytest.raises(RestoreError, match="no degradation 'blur'"):
        train(tmp_path / "mine.yaml", [tmp_path], tmp_path / "out")
    with pytest.raises(RecipeError, match="no recipe 'nosuch'"):
        train("nosuch", [tmp_path], tmp_path / "out")


def copy_damaged(photos: Path, folder: Path, names: set[str]) -> Path:
    """Copy pictures into a folder, and cut those of some names off."""
    folder.mkdir()
    for path in photos.iterdir():
        data = path.read_bytes()
        (folder / path.name).write_bytes(data[:300] if path.name in names else data)
    return folder


@pytest.mark.parametrize("workers", [0, 1])
def test_training_with_a_broken_picture_names_it_once_and_does_without(
    tmp_path: Path, photos: Path, workers: int
) -> None:
    for name in ("3.png", "5.png"):  # one of them is held out
        folder = copy_damaged(photos, tmp_path / name, {name})
        notices: list[str] = []
        settings = recipe(workers=workers, samples_per_epoch=16)
        result = train(settings, [folder], tmp_path / f"out {name}", notice=notices.append)
        assert result.trained == result.steps
        (named,) = (notice for notice in notices if name in notice)
        assert "can't be decoded: decode_failed" in named
        assert named.endswith("; the training does without it")


def test_training_with_too_many_broken_pictures_stops_by_their_names(
    tmp_path: Path, photos: Path
) -> None:
    broken = {f"{n}.png" for n in range(4)}
    folder = copy_damaged(photos, tmp_path / "photos", broken)
    limit = r"and the limit is 1: mend them or take them out, or raise unreadable"
    with pytest.raises(RestoreError, match=rf"^\S+.png can't be decoded: decode_failed.*{limit}"):
        train(recipe(), [folder], tmp_path / "out")
    with pytest.raises(RestoreError, match="and the limit is 0"):
        train(recipe(unreadable=0), [folder], tmp_path / "out")
    assert train(recipe(unreadable=1), [folder], tmp_path / "out").trained == 3


def test_training_with_a_broken_picture_resumes_to_the_same_weights(
    tmp_path: Path, photos: Path
) -> None:
    folder = copy_damaged(photos, tmp_path / "photos", {"5.png"})
    whole = train(recipe(samples_per_epoch=16), [folder], tmp_path / "whole")
    with pytest.raises(Stopped):
        settings = recipe(samples_per_epoch=16, save_every=2)
        train(settings, [folder], tmp_path / "stopped", progress=stop_at(5))
    resumed = train(recipe(samples_per_epoch=16), [folder], tmp_path / "stopped")
    assert 0 < resumed.trained < resumed.steps
    assert resumed.checkpoint.read_bytes() == whole.checkpoint.read_bytes()


def test_resume_without_the_broken_picture_goes_on(tmp_path: Path, photos: Path) -> None:
    folder = copy_damaged(photos, tmp_path / "photos", {"3.png", "4.png", "5.png"})
    settings = recipe(samples_per_epoch="auto", unreadable=1, save_every=1)
    with pytest.raises(Stopped):
        train(settings, [folder], tmp_path / "out", progress=stop_at(2))
    before = read_info(tmp_path / "out/model.safetensors")
    (folder / "4.png").unlink()
    result = train(settings, [folder], tmp_path / "out")
    after = read_info(result.checkpoint)
    assert result.trained == result.steps - 1, "from the last state"
    assert before.samples_per_epoch == after.samples_per_epoch, "steps that are done stay"
    (change,) = after.changes
    assert (change.step, change.setting) == (1, "pictures of photos")
    assert (change.before, change.after) == (8, 7)


def test_resume_of_a_finished_training_with_more_epochs_trains_these(
    manifest: Path, tmp_path: Path
) -> None:
    phase = {"crop": 16, "batch": 2, "lr": 1e-3}
    notices: list[str] = []

    def train_for(epochs: int, **changes: object):
        settings = recipe(phases=[{"epochs": epochs, **phase, **changes}])
        return train(settings, [manifest], tmp_path, notice=notices.append)

    assert (train_for(2).steps, train_for(2).trained) == (4, 0)
    longer = train_for(3)
    assert (longer.steps, longer.trained) == (6, 2)
    (change,) = read_info(longer.checkpoint).changes
    assert (change.step, change.setting) == (4, "phases")
    assert [phases[0]["epochs"] for phases in (change.before, change.after)] == [2, 3]
    assert "goes on with other phases" in notices
    with pytest.raises(RestoreError, match=r"phases, with another batch in epochs that are begun"):
        train_for(4, batch=4)
    with pytest.raises(RestoreError, match="with 1 epochs where 3 are begun"):
        train_for(1)
    assert train_for(4, lr=1e-4).trained == 2
    assert [change.step for change in read_info(longer.checkpoint).changes] == [4, 6]
    (tmp_path / "state.ckpt").unlink()
    with pytest.raises(RestoreError, match=r"state\.ckpt is gone"):
        train_for(5)


def test_resume_after_an_exploded_loss_takes_the_advice(photos: Path, tmp_path: Path) -> None:
    phases = [{"epochs": 2, "crop": 16, "batch": 2, "lr": 1e-3}]
    with pytest.raises(Stopped):
        train(recipe(phases=phases, save_every=1), [photos], tmp_path, progress=stop_at(2))
    phases[0]["lr"] = 1e-5
    rates = []
    calmer = recipe(
        phases=phases,
        optimiser={"clip": 1},
        precision="bf16-mixed",
        validation={"images": 1, "crop": 16},
        workers=1,
    )
    result = train(calmer, [photos], tmp_path, progress=lambda *args: rates.append(args[2]["lr"]))
    assert result.trained == 3
    assert max(rates) <= 1e-5, "from the first step on"
    changed = {change.setting for change in read_info(result.checkpoint).changes}
    assert changed == {
        "phases", "optimiser.clip", "precision", "validation.images", "validation.crop",
    }  # fmt: skip


def test_training_begins_with_given_weights(
    photos: Path, tmp_path: Path, checkpoint: Path, checkpoints: dict[str, Path]
) -> None:
    phases = [{"epochs": 1, "crop": 16, "batch": 2, "lr": 1e-12}]
    settings = recipe(phases=phases)
    result = train(settings, [photos], tmp_path / "out", weights=checkpoint)
    given, trained = load_file(checkpoint), load_file(result.checkpoint)
    for name in given:
        torch.testing.assert_close(trained[name], given[name], rtol=0, atol=1e-6)
    assert len(read_info(result.checkpoint).initial) == 64
    assert train(settings, [photos], tmp_path / "out", weights=checkpoint).trained == 0
    assert train(settings, [photos], tmp_path / "out").trained == 0
    with pytest.raises(RestoreError, match="began with other weights: choose another"):
        train(settings, [photos], tmp_path / "out", weights=checkpoints["one"])
    with pytest.raises(RestoreError, match="of damoe, don't fit"):
        train(settings, [photos], tmp_path / "others", weights=checkpoints["damoe"])
    with pytest.raises(RestoreError, match="can't read checkpoint"):
        train(settings, [photos], tmp_path / "none", weights=tmp_path / "nowhere")


def test_checkpoints_come_back_as_they_were(tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = build_model("moe_ir_30g", **TINY).eval()
    save_model(
        tmp_path / "m.safetensors",
        model.state_dict(),
        CheckpointInfo(model="moe_ir_30g", settings=TINY),
    )
    loaded = load_model(tmp_path / "m.safetensors", "cpu")
    assert not loaded.training
    image = torch.rand(1, 3, 9, 9)
    with torch.no_grad():
        assert torch.equal(model(image), loaded(image))


def test_checkpoints_that_cannot_be_used_say_why(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    with pytest.raises(RestoreError, match="can't read checkpoint"):
        load_model(path)
    path.write_bytes(b"no safetensors")
    with pytest.raises(RestoreError, match=r"can't read checkpoint .*m.safetensors"):
        load_model(path)
    save_model(path, {"a": torch.zeros(1)}, CheckpointInfo(model="moe_ir_30g"))
    with pytest.raises(RestoreError, match="of moe_ir_30g, don't fit"):
        load_model(path)
    save_model(path, load_file(path), CheckpointInfo(model="unknown"))
    with pytest.raises(RestoreError, match="no model 'unknown'"):
        load_model(path)
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(RestoreError, match="doesn't say which model it holds"):
        load_model(path)


PHASES = (
    Phase(epochs=1, crop=16, batch=4, lr=1.0, lr_end=0.1, warmup=2),
    Phase(epochs=2, crop=16, batch=8, lr=0.01),
)


def test_learning_rate_warms_up_and_falls_in_every_phase() -> None:
    schedule = Schedule(PHASES, 40)
    rates = [schedule.learning_rate(step) for step in range(21)]
    assert rates[:3] == [0.5, 1.0, 1.0]
    assert rates[6] == pytest.approx(0.55)
    assert rates[2:10] == sorted(rates[2:10], reverse=True)
    assert rates[9] > 0.1
    assert rates[10] == 0.01
    assert rates[15] == pytest.approx(0.005)
    assert rates[20] == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"losses": {"ms_ssim": 1}}, "losses.ms_ssim needs crops over 96 pixels, not 16"),
        ({"losses": {"l1": 0}}, "at least one of the losses"),
        ({"losses": {"L1": 1}}, "did you mean 'losses.l1'"),
        (
            {
                "phases": [
                    {"epochs": 1, "crop": 16, "batch": 2, "lr": 1, "degradations": {"derain": 0}}
                ]
            },
            "a phase weighs derain, which nothing draws; known: denoise_25, dejpeg_20, sr_x3",
        ),
        ({"degradations": {}}, "name at least one degradation"),
        ({"degradation": {}}, "did you mean 'degradations'"),
        ({"phases": []}, "phases"),
    ],
)
def test_recipes_that_cannot_work_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        recipe(**changes)


@pytest.mark.parametrize(
    ("name", "count"), [("moe_ir_30g", 571_001), ("demo", 571_001), ("damoe", 82_296_507)]
)
def test_shipped_recipes_are_sound(name: str, count: int) -> None:
    from curate.restore.data.degradations import parse_degradation
    from curate.restore.models import count_parameters

    shipped = TrainRecipe.load(PIPELINES / f"{name}.yaml")
    for degradation in (*shipped.degradations, *shipped.validation.degradations):
        parse_degradation(degradation)
    with torch.device("meta"):
        assert count_parameters(build_model(shipped.model, **shipped.settings)) == count


def test_the_documents_training_is_the_documents() -> None:
    shipped = TrainRecipe.load(PIPELINES / "moe_ir_30g.yaml")
    assert [(p.epochs, p.crop, p.batch, p.lr) for p in shipped.phases] == [
        (100, 128, 32, 2e-4),
        (20, 192, 16, 2e-5),
        (10, 256, 8, 1e-6),
    ]
    losses = shipped.losses
    assert (losses.l1, losses.ms_ssim, losses.l2, losses.fft, losses.aux) == (
        1.5,
        0.7,
        0.1,
        0.1,
        0.05,
    )
    assert losses.vgg == 0, "it must run where nothing can be downloaded"


def test_the_documents_pictures_are_the_documents() -> None:
    """Its table 1: repeats, and how many different pictures each dataset has."""
    shipped = TrainRecipe.load(PIPELINES / "moe_ir_30g.yaml")
    different = {
        "BSD400": 400, "WED": 4744, "SIDD": 30608, "NIND": 710, "PolyU": 100, "GoPro": 2103,
        "REDS_blur": 24000,
        "REDS_blur_jpeg": 24000,
    }  # fmt: skip
    assert list(shipped.data) == list(different)
    assert [group.repeat for group in shipped.data.values()] == [4, 4, 1, 8, 40, 3, 1, 1]
    assert sum(different[name] * group.repeat for name, group in shipped.data.items()) == 115_173
    assert shipped.samples_per_epoch == "auto"


def test_an_epoch_is_a_pass_over_all_groups(manifest: Path, photos: Path, tmp_path: Path) -> None:
    settings = recipe(
        data={"Kept": {"repeat": 3}, "Other": {}},
        samples_per_epoch="auto",
        phases=[{"epochs": 1, "crop": 16, "batch": 2, "lr": 1e-3}],
    )
    notices: list[str] = []
    result = train(settings, [photos, f"Kept={manifest}"], tmp_path, notice=notices.append)
    assert result.steps == (6 * 3 + 6) // 2, (
        "six train rows thrice; two of eight photos are held out"
    )
    assert [(m.group, m.pictures) for m in read_info(result.checkpoint).manifests] == [
        ("Kept", 8),
        ("", 8),
    ]
    assert notices[0] == "trains without Other, of which no --manifest was given"
    with pytest.raises(RestoreError, match="with other pictures"):
        train(settings, [f"Other={photos}", f"Kept={manifest}"], tmp_path)
    whole = train(settings, [photos], tmp_path / "unnamed", notice=notices.append)
    assert (whole.steps, len(notices)) == (3, 1), "without names the groups are of no account"


def test_an_epoch_of_less_than_a_batch_is_refused(photos: Path, tmp_path: Path) -> None:
    settings = recipe(
        samples_per_epoch="auto", phases=[{"epochs": 1, "crop": 16, "batch": 7, "lr": 1e-3}]
    )
    with pytest.raises(
        RestoreError, match=r"a batch of 7 is more than the 6 samples of an epoch: set samples_per_"
    ):
        train(settings, [photos], tmp_path)


def test_groups_are_named_as_the_recipe_names_them(manifest: Path, tmp_path: Path) -> None:
    settings = recipe(data={"SIDD": {}, "NIND": {}})
    for name, advice in (
        ("SID", "did you mean SIDD=x.parquet"),
        ("GoPro", "its groups: SIDD, NIND"),
    ):
        with pytest.raises(RestoreError, match=f"recipe tiny has no data group '{name}'; {advice}"):
            open_groups(settings, [f"{name}=x.parquet"])
    with pytest.raises(RestoreError, match=r"no data group 'SIDD'; its groups: none"):
        open_groups(recipe(), [f"SIDD={manifest}"])


def test_a_path_with_an_equals_sign_is_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a=b").mkdir()
    assert split_name("a=b") == ("", "a=b")
    assert split_name("a=c") == ("a", "c")
    assert split_name("s3://bucket/split=train/x.parquet") == (
        "",
        "s3://bucket/split=train/x.parquet",
    )
    assert split_name("SIDD=s3://bucket/split=train/x.parquet") == (
        "SIDD",
        "s3://bucket/split=train/x.parquet",
    )


def test_importing_the_room_loads_no_torch() -> None:
    code = (
        "import sys, curate.restore as r; r.TrainRecipe; assert 'torch' not in sys.modules; "
        "r.known_degradations()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=PIPELINES.parents[1])
