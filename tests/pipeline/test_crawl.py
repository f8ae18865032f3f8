"""A crawl over loopback by both engines, serial and on Dask: the same run folder, byte for byte."""

from importlib.util import find_spec
from pathlib import Path

import pytest

import curate
from curate import Recipe
from tests.pipeline.digests import digests


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory, pictures: Path, site: str) -> Path:
    """A list of every picture's URL, and of one that isn't there."""
    path = tmp_path_factory.mktemp("crawl") / "urls.txt"
    names = [*sorted(picture.name for picture in pictures.iterdir()), "gone,for ever.jpg"]
    path.write_text("".join(f"{site}/{name}\n" for name in names))
    return path


@pytest.fixture(scope="module")
def crawl(recipe: Path) -> Recipe:
    return Recipe.load(recipe, ["fetch.allow_networks=[127.0.0.1/32]"])


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory, crawl: Recipe, urls: Path) -> dict[str, str]:
    out = tmp_path_factory.mktemp("expected") / "run"
    outcome = curate.run(crawl, [urls], out, scheduler="serial")
    assert sum(outcome.reasons.values()) == 27
    assert outcome.reasons["http_404"] == 1
    return digests(out)


@pytest.mark.parametrize(
    ("engine", "scheduler"),
    [("stream", "cluster"), ("img2dataset", "cluster"), ("img2dataset", "serial")],
)
def test_crawl_with_either_engine_and_scheduler_has_same_bytes(
    crawl: Recipe,
    urls: Path,
    tmp_path: Path,
    expected: dict[str, str],
    cluster: str,
    engine: str,
    scheduler: str,
) -> None:
    scheduler = cluster if scheduler == "cluster" else scheduler
    if engine == "img2dataset" and find_spec("img2dataset") is None:
        pytest.skip("img2dataset is not installed")
    other = crawl.override([f"fetch.engine={engine}"])
    curate.run(other, [urls], tmp_path / "run", scheduler=scheduler)
    # the recipe names the engine, and the report shows the recipe
    own = {"recipe.yaml", "report/index.html", "report/whole.json"}
    found = digests(tmp_path / "run")
    assert found.keys() == expected.keys()
    assert {name for name in expected if found[name] != expected[name]} <= own
