import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from curate.cli import app


@pytest.fixture
def curate(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Runs the command in this process: (exit code, standard output, standard error)."""

    def command(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["curate", *map(str, arguments)])
        code = 0
        try:
            app.main()
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return command


@pytest.fixture(scope="module")
def finished(undisturbed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shutil.copytree(undisturbed, tmp_path_factory.mktemp("finished") / "run")


def test_run_command_prints_results_and_next_step(
    curate, recipe: Path, pictures: Path, tmp_path: Path
) -> None:
    command = ("run", recipe, "-i", pictures, "-o", tmp_path / "run", "--scheduler", "serial")
    code, out, _ = curate(*command)
    assert code == 0
    for place in ("manifest/train.parquet", "manifest/test.parquet", "ledger", "report/index.html"):
        assert (tmp_path / "run" / place).exists()
    summary = out.partition("report     done\n")[2].splitlines()
    assert summary[0] == "kept      10 of 26 candidates: 9 for training, 1 for test"
    assert len(summary) <= 15
    assert summary[-2:] == [
        f"report    {tmp_path}/run/report/index.html",
        f"next      curate export {tmp_path}/run --out dataset.parquet",
    ]
    code, out, _ = curate(*command)
    assert code == 0
    assert out.count("there already") == 6


def test_run_without_kept_images_exits_with_3(
    curate, recipe: Path, pictures: Path, tmp_path: Path
) -> None:
    command = ("run", recipe, "-i", pictures, "-o", tmp_path / "run", "--scheduler", "serial")
    for _ in range(2):  # resumed, too
        code, out, err = curate(*command, "--set", "filters.min.width=9999")
        assert (code, err) == (3, "curate: no image is left of 26 candidates\n")
        assert "filters.min.width=9999" in out
    assert curate("label", tmp_path / "run", "--scheduler", "serial")[0] == 3


def test_stage_commands_continue_one_another(
    curate, recipe: Path, pictures: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    assert curate("candidates", recipe, "-i", pictures, "-o", run)[0] == 0
    for stage in ("fetch", "measure", "label", "match"):
        assert curate(stage, run, "--scheduler", "serial")[0] == 0
    assert curate("select", run)[0] == 0
    code, out, _ = curate("report", run)
    assert code == 0
    assert f"{run}/report/index.html" in out
    # a setting of that stage may be changed on the way, and the command says so
    code, out, _ = curate("select", run, "--set", "select.train=3")
    assert code == 0
    assert out.startswith(f"recipe     select.train: 9 -> 3 (now in {run}/recipe.yaml)\n")
    assert "recipe  " not in curate("select", run, "--set", "select.train=3")[1]
    assert "train: 3" in (run / "recipe.yaml").read_text()


def test_dry_run_writes_nothing(curate, recipe: Path, pictures: Path, tmp_path: Path) -> None:
    code, out, _ = curate(
        "run", recipe, "-i", pictures, "-o", tmp_path / "run", "--dry-run", "--set", "seed=7"
    )
    assert code == 0
    assert "seed: 7" in out
    assert "fetch      to do" in out
    assert not (tmp_path / "run").exists()


def test_dry_run_of_finished_run_lists_done_stages(curate, recipe: Path, finished: Path) -> None:
    _, out, _ = curate("run", recipe, "-o", finished, "--dry-run")
    assert "measure    5 of 5 shards, to be checked" in out
    _, out, _ = curate("run", recipe, "-o", finished, "--dry-run", "--from", "label")
    assert "measure    5 of 5 shards, to be checked" in out
    assert [
        f"{stage:<10} to be done again" in out for stage in ("label", "match", "select", "report")
    ] == [True] * 4


def test_dry_run_refuses_same_mistakes_as_run(
    curate, recipe: Path, finished: Path, tmp_path: Path
) -> None:
    code, out, err = curate("run", recipe, "-o", finished, "--dry-run", "--set", "select.train=5")
    assert (code, "train: 5" in out) == (1, True)
    assert "add --from select" in err
    assert (
        "no stage 'start'"
        in curate("run", recipe, "-o", finished, "--dry-run", "--from", "start")[2]
    )
    assert (
        "no input at"
        in curate("run", recipe, "-o", tmp_path / "run", "--dry-run", "-i", tmp_path / "none.txt")[
            2
        ]
    )


def test_manifest_commands_show_validate_and_diff(curate, finished: Path, tmp_path: Path) -> None:
    train, test = finished / "manifest/train.parquet", finished / "manifest/test.parquet"
    assert curate("manifest", "validate", train, "--bytes")[:2] == (
        0,
        f"{train}: 9 rows, all valid\n",
    )
    code, out, _ = curate("manifest", "show", train)
    assert code == 0
    assert "small" in out
    assert curate("manifest", "diff", train, train)[0] == 0
    code, out, _ = curate("manifest", "diff", train, test)
    assert code == 1
    assert "9 removed" in out
    # a run folder has both
    code, out, _ = curate("manifest", "validate", finished)
    assert (code, out) == (0, f"{train}: 9 rows, all valid\n{test}: 1 row, all valid\n")
    code, out, _ = curate("manifest", "show", finished, "-n", 0)
    assert code == 0
    assert out.count("how it was made") == 2
    assert curate("manifest", "diff", finished, f"{finished}/")[:2] == (
        0,
        "0 added, 0 removed, 0 changed, 10 the same\n",
    )
    code, out, _ = curate("manifest", "diff", finished, train)
    assert (code, out.splitlines()[-1]) == (1, "0 added, 1 removed, 0 changed, 9 the same")
    code, out, _ = curate("export", finished, "-o", tmp_path / "published.parquet")
    assert code == 0
    assert curate("manifest", "validate", tmp_path / "published.parquet")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("run", "nosuch", "-i", "x"),
            "curate: no recipe 'nosuch': give a YAML file, or one of demo, hq50k",
        ),
        (
            ("run", "hq50k", "--set", "filters.mim.width=3"),
            "unknown key 'filters.mim'; did you mean 'filters.min'?",
        ),
        (
            ("run", "hq50k", "--set", "select.train=many"),
            "select.train: input should be a valid integer",
        ),
        (("run", "hq50k", "--set", "width"), "--set wants key=value"),
        (("run", "hq50k", "-i", "{tmp}/none.txt", "-o", "{tmp}/run"), "no input at {tmp}/none.txt"),
        (("run", "hq50k", "-o", "{tmp}/run"), "name the candidates with --input"),
        (("run", "hq50k", "-i", "{urls}", "-o", "{file}"), "can't write {file}"),
        (
            ("run", "hq50k", "-i", "{urls}", "-o", "{tmp}/run", "--scheduler", "slurm"),
            "--scheduler takes local, serial",
        ),
        (
            ("run", "hq50k", "-i", "{urls}", "-o", "{tmp}/run", "--from", "start"),
            "no stage 'start': the stages are candidates, fetch",
        ),
        (("measure", "{tmp}/nowhere"), "{tmp}/nowhere is no run folder"),
        (("manifest", "validate", "{file}"), "{file} is no readable Parquet file"),
        (("manifest", "show", "{tmp}/none.parquet"), "no manifest at {tmp}/none.parquet"),
        (
            ("export", "{tmp}/nowhere", "-o", "{tmp}/x.csv"),
            "no manifest at {tmp}/nowhere/manifest/train.parquet",
        ),
        (("train", "nosuch", "-m", "{file}"), "no recipe 'nosuch'"),
        (
            ("run", "train/demo", "-i", "{urls}", "-o", "{tmp}/run"),
            "demo.yaml is a recipe for another command: curate train RECIPE --manifest FILE",
        ),
        (
            ("train", "hq50k", "-m", "{file}"),
            "hq50k.yaml is a recipe for another command: curate run RECIPE --input URLS",
        ),
        (("train", "train/demo", "-m", "{tmp}/none.parquet"), "none.parquet"),
        (
            ("restore", "{file}", "-o", "{tmp}/o", "-c", "{tmp}/none.safetensors"),
            "none.safetensors",
        ),
    ],
)
def test_user_error_is_one_line_with_remedy(
    curate, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    (tmp_path / "file").write_text("no folder, and no manifest")
    (tmp_path / "urls.txt").write_text("http://127.0.0.1/a.jpg\n")
    places = {
        "tmp": str(tmp_path),
        "file": str(tmp_path / "file"),
        "urls": str(tmp_path / "urls.txt"),
    }
    code, _, err = curate(*(argument.format(**places) for argument in arguments))
    assert code == 1
    assert err.startswith("curate: ")
    assert message.format(**places) in err
    assert err.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"file", "urls.txt"}


def test_ctrl_c_says_whether_command_resumes(
    curate, recipe: Path, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    for function in ("pipeline.execute.run", "pipeline.probe.probe", "datasets.statistics.stats"):
        monkeypatch.setattr(f"curate.{function}", interrupt)
    for arguments in (("run", recipe, "-o", finished), ("measure", finished)):
        code, _, err = curate(*arguments)
        assert code == 130
        advice = "the same command goes on after the shards that are done"
        assert err.endswith(f"stopped; {advice}\n")
    for arguments in (("probe", recipe, "-i", finished), ("stats", finished)):
        code, _, err = curate(*arguments)
        assert code == 130
        assert err.endswith("stopped\n")


def test_ctrl_c_is_answered_at_once(
    curate, recipe: Path, finished: Path, monkeypatch: pytest.MonkeyPatch, ctrl_c
) -> None:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    monkeypatch.setattr(app, "STDERR", writer)
    said: list[bytes] = []

    def interrupt(*_: object, **__: object) -> None:
        try:
            ctrl_c()
        finally:  # workers are stopped before the interrupt reaches the command line
            said.append(os.read(reader, 100))

    monkeypatch.setattr("curate.pipeline.execute.run", interrupt)
    code, *_ = curate("run", recipe, "-o", finished)
    assert (code, said) == (130, [b"\nstopping...\n"])


def test_corrupt_run_folder_is_an_error_of_one_line(curate, finished: Path, tmp_path: Path) -> None:

    run = shutil.copytree(finished, tmp_path / "run")
    (run / "recipe.yaml").write_text("name: [")
    printed = curate("measure", run)[2]
    assert "recipe.yaml is damaged" in printed
    assert printed.count("\n") == 1


def test_changed_recipe_is_an_error_with_its_remedy(curate, recipe: Path, finished: Path) -> None:
    code, _, err = curate("run", recipe, "-o", finished, "--set", "measure.max_pixels=1000")
    assert code == 1
    assert "measure.max_pixels: 64000000 -> 1000): add --from measure" in err


def test_help_and_import_load_no_heavy_library() -> None:
    code = (
        "import sys, curate, curate.cli.app\n"
        "heavy = {'torch', 'pyarrow', 'numpy', 'pandas', 'scipy', 'dask', 'matplotlib', 'aiohttp',"
        "'pydantic', 'PIL'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_public_name_can_be_imported() -> None:
    import curate

    assert sorted(curate.__all__) == curate.__all__
    for name in curate.__all__:
        assert getattr(curate, name) is not None
        assert name in (curate.__doc__ or "") or name == "__version__"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = curate.nothing
