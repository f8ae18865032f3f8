"""A dataset of a site whose pictures change once they are published, and the command line."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import curate
from tests.pipeline.upkeep.ageing import SETTINGS, Ageing
from tests.small_crawl import labeller, pictures, recipe

__all__ = ["labeller", "pictures", "recipe"]


@pytest.fixture(scope="session")
def site() -> Iterator[Ageing]:
    site = Ageing()
    with site.site:
        yield site


@pytest.fixture(scope="session")
def published_once(site: Ageing, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dataset")
    rows = [
        f"{url}\t{'test' if n % 3 == 1 else 'train'}\tFood {n}\t{'CC0' if n % 2 else ''}"
        for n, url in enumerate(site.urls)
    ]
    (folder / "first.tsv").write_text("\n".join(["url\tsplit\tcategory\tlicence", *rows]) + "\n")
    site.old = False
    curate.rebuild(folder / "first.tsv", folder / "run", settings=SETTINGS, scheduler="serial")
    return folder / "run"


@pytest.fixture
def ageing(site: Ageing) -> Ageing:
    """The site, while it is young."""
    site.old = False
    return site


@pytest.fixture
def dataset(published_once: Path, ageing: Ageing) -> Path:
    """Read-only run folder of the pictures before the site aged; a third of them are in test."""
    ageing.old = True
    return published_once


Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command line: words -> exit code, standard output, standard error."""
    from curate.cli import app

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["curate", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            app.main()
        printed = capsys.readouterr()
        return int(end.value.code or 0), printed.out, printed.err

    return run
