"""The built wheel, installed outside of any environment: recipes and lists come with it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of a copy of the checkout: building writes beside the sources."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    names = ("curate", "pipelines", "manifests")
    for name in names:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=ignored)
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, source]
    subprocess.run(build, check=True, capture_output=True)
    [built] = folder.glob("*.whl")
    return built


def run(place: Path, *arguments: str, cwd: Path) -> str:
    """Run Python with a package from this place alone, and return its standard output."""
    environment = {**os.environ, "PYTHONPATH": str(place)}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_wheel_installed_with_target_runs_a_shipped_recipe(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    subprocess.run([*pip, "--no-deps", "--target", target, wheel], check=True, capture_output=True)
    where = run(target, "-c", "import curate; print(curate.__file__)", cwd=tmp_path)
    assert where.strip() == str(target / "curate/__init__.py")
    printed = run(target, "-m", "curate", "run", "hq50k", "--dry-run", cwd=tmp_path)
    assert "name: hq50k" in printed
    assert "to do" in printed


def test_wheel_that_stays_zipped_has_recipes_and_benchmark_lists(
    wheel: Path, tmp_path: Path
) -> None:
    code = """
from curate.recipe import Recipe
from curate.restore.recipe import TrainRecipe
from curate.stages.match.benchmarks import Benchmarks
print(Recipe.load("hq50k").name, TrainRecipe.load("train/damoe").name)
print(len(Benchmarks.load(["shipped"]).digests))
"""
    shipped = len(list((ROOT / "manifests/benchmarks").glob("*.parquet")))
    assert run(wheel, "-c", code, cwd=tmp_path).split() == ["hq50k", "damoe", str(shipped)]
