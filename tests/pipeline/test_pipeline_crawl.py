"""A crawl over loopback, by both engines, in this process and on Dask: one run folder, byte for byte."""

import functools
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path

import pytest
from pipeline_digests import digests

import curate
from curate import Recipe


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> Iterator[Path]:
    """A list of every picture's URL, and of one that isn't there."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(pictures)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    path = tmp_path_factory.mktemp("crawl") / "urls.txt"
    names = [*sorted(picture.name for picture in pictures.iterdir()), "gone,for ever.jpg"]
    path.write_text("".join(f"http://127.0.0.1:{server.server_port}/{name}\n" for name in names))
    yield path
    server.shutdown()
    server.server_close()


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
    ("engine", "scheduler"), [("stream", "local"), ("img2dataset", "local"), ("img2dataset", "serial")]
)
def test_either_engine_anywhere_gives_the_same_bytes(
    crawl: Recipe, urls: Path, tmp_path: Path, expected: dict[str, str], engine: str, scheduler: str
) -> None:
    if engine == "img2dataset" and find_spec("img2dataset") is None:
        pytest.skip("img2dataset is not installed")
    other = crawl.override([f"fetch.engine={engine}"])
    curate.run(other, [urls], tmp_path / "run", scheduler=scheduler, workers=2)
    # the recipe names the engine, and the report shows the recipe
    own = {"recipe.yaml", "report/index.html", "report/whole.json"}
    found = digests(tmp_path / "run")
    assert found.keys() == expected.keys()
    assert {name: d for name, d in found.items() if name not in own} == {
        name: d for name, d in expected.items() if name not in own
    }
