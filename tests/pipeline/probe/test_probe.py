"""`curate probe`: what it says of a list is what a run of it would find."""

import json
import socket
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

import curate
from curate import Recipe
from curate.cli.tables import probe_summary
from curate.errors import CurateError
from curate.pipeline.probe import ProbeOutcome


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory, pictures: Path, site: str) -> Path:
    """A list of every picture's URL, of one that isn't there, and of a line that is no URL."""
    path = tmp_path_factory.mktemp("crawl") / "urls.txt"
    found = [f"{site}/{name.name}" for name in sorted(pictures.iterdir())]
    path.write_text("\n".join([*found, found[0], f"{found[0]}.gone", "no URL", "", ""]))
    return path


@pytest.fixture(scope="module")
def crawl(recipe: Path) -> Recipe:
    return Recipe.load(
        recipe, ["fetch.allow_networks=[127.0.0.1/32]", "fetch.user_agent=test@example.org"]
    )


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Parent of temporary folders."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.mark.parametrize("scheduler", ["serial", "local"])
def test_probe_of_whole_list_equals_run(
    crawl: Recipe, urls: Path, tmp_path: Path, scratch: Path, scheduler: str
) -> None:
    run = tmp_path / "run"
    found = curate.probe(crawl, urls, run, scheduler=scheduler, workers=2)
    assert list(scratch.glob("curate-*")) == []  # nothing of it stays
    assert not run.exists()
    stages = ("candidates", "fetch", "measure", "label")
    outcome = curate.run(crawl, urls, run, scheduler="serial", stages=stages)
    assert found.reasons == outcome.reasons
    assert found.passed_over == outcome.passed_over == {"blank": 1, "repeated": 1}
    assert (found.listed, found.drawn) == (28, 28)
    assert found.estimate.images.low == found.estimate.images.high == outcome.reasons["ok"]
    tars = sum(path.stat().st_size for path in (run / "images").glob("*.tar"))
    assert 0.5 * tars < found.estimate.bytes_kept < tars  # a tar's members have headers and padding
    assert found.estimate.slowest_host == "127.0.0.1"


def test_probe_of_sample_is_seeded_and_scaled(crawl: Recipe, pictures: Path, scratch: Path) -> None:
    found = curate.probe(crawl, pictures, sample=13, scheduler="serial")
    assert (found.drawn, found.listed, sum(found.reasons.values())) == (13, 26, 13)
    assert curate.probe(crawl, pictures, sample=13, scheduler="serial").reasons == found.reasons
    estimate = found.estimate
    assert estimate.images.likely == 2 * found.reasons["ok"]
    assert estimate.images.low < estimate.images.likely < estimate.images.high
    assert (estimate.wanted, estimate.bytes_read, estimate.slowest_host) == (9 + 12 + 50, 0, None)


def test_probe_needs_no_labeller(crawl: Recipe, pictures: Path) -> None:
    settings = [
        "label.model=local-dir:/nowhere",
        "filters.min.label_score=0.5",
        "filters.allow.category=[Food]",
    ]
    found = curate.probe(crawl.override(settings), pictures, scheduler="serial")
    assert found.reasons["ok"] > 0
    assert found.not_judged == ("category", "label_score")


def test_probe_of_dead_list_reports_it(
    monkeypatch: pytest.MonkeyPatch, crawl: Recipe, tmp_path: Path
) -> None:
    def look_up(*_: Any, **__: Any) -> list[Any]:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    path = tmp_path / "dead.txt"
    path.write_text("".join(f"http://host{number}.test/{number}.jpg\n" for number in range(12)))
    found = curate.probe(crawl.override(["fetch.retries=0"]), path, scheduler="serial")
    assert (found.images, found.reasons, found.estimate.needed) == (0, {"dns": 12}, None)
    assert [diagnosis.name for diagnosis in found.diagnoses] == ["dns"]


def test_probe_with_quarantined_shard_reports_it(
    monkeypatch: pytest.MonkeyPatch, crawl: Recipe, pictures: Path
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("no fault of the list")

    monkeypatch.setattr("curate.stages.fetch.shard.FetchShard._fetch", fail)
    found = curate.probe(crawl, pictures, sample=5, scheduler="serial")
    assert (found.reasons, found.images) == ({"quarantined": 5}, 0)
    assert "5 quarantined" in found.diagnoses[0].text


def test_probe_checks_disk_of_planned_run(
    monkeypatch: pytest.MonkeyPatch, crawl: Recipe, pictures: Path, tmp_path: Path
) -> None:
    asked: list[Path] = []

    def usage(path: Path) -> SimpleNamespace:
        asked.append(path)
        return SimpleNamespace(free=1000)

    monkeypatch.setattr("shutil.disk_usage", usage)
    found = curate.probe(
        crawl, pictures, tmp_path / "planned" / "run", sample=10, scheduler="serial"
    )
    assert asked == [tmp_path]  # the nearest that is there
    assert "disk" in [diagnosis.name for diagnosis in found.diagnoses]
    found = curate.probe(crawl, pictures, "memory://run", sample=10, scheduler="serial")
    assert "disk" not in [diagnosis.name for diagnosis in found.diagnoses]


def shown(outcome: ProbeOutcome) -> str:
    console = Console(width=120, highlight=False)
    with console.capture() as captured:
        console.print(probe_summary(outcome))
    return " ".join(captured.get().split())


def test_probe_of_small_list_prints_forecast(crawl: Recipe, urls: Path) -> None:
    text = shown(curate.probe(crawl, urls, sample=20, scheduler="serial"))
    assert "probed 20 of 28 candidates, drawn at random" in text
    assert "skipped, of the list's lines: 1 blank, 1 repeated" in text
    for line in (
        "share that passes",
        "(95 %)",
        "bytes kept",
        "127.0.0.1 at the least",
        "CLIP was not loaded",
    ):
        assert line in text
    assert "71 images are wanted, and about" in text
    assert "will pass: crawl" in text


def test_probe_of_long_list_prints_forecast(crawl: Recipe, urls: Path) -> None:
    few = crawl.override(
        ["select.train=2", "select.test.per_category=0", "select.test.overrides={Text Scene: 0}"]
    )
    assert "2 images are wanted, and about" in (
        text := shown(curate.probe(few, urls, scheduler="serial"))
    )
    assert "will pass: enough" in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sample": "much"}, "--sample takes a share such as 1%"),
        ({"scheduler": "tcp://host:1"}, "--scheduler is local or serial"),
        ({"inputs": []}, "name the candidates with --input"),
    ],
)
def test_probe_with_wrong_arguments_is_refused(
    crawl: Recipe, urls: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(CurateError, match=message):
        curate.probe(crawl, **{"inputs": urls, **options})


def test_probe_command_prints_json_and_exit_code(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    recipe: Path,
    pictures: Path,
    tmp_path: Path,
) -> None:
    from curate.cli import app

    def command(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(
            "sys.argv", ["curate", "probe", *map(str, arguments), "--scheduler", "serial"]
        )
        with pytest.raises(SystemExit) as end:
            app.main()
        return int(end.value.code or 0), capsys.readouterr().out

    code, out = command(recipe, "-i", pictures, "--sample", 15, "--json")
    printed = json.loads(out)
    assert (code, printed["drawn"], printed["estimate"]["wanted"]) == (0, 15, 71)
    code, out = command(recipe, "-i", pictures)
    assert code == 0
    assert "26 of 26 candidates, all of them" in out
    (tmp_path / "urls.txt").write_text("http://127.0.0.1/closed.jpg\n")
    code, out = command(recipe, "-i", tmp_path / "urls.txt")
    assert code == 1
    assert "no_image: no image could be reached: of 1 candidates 1 forbidden_address" in out
    assert "bytes kept" not in out  # estimates of nothing
