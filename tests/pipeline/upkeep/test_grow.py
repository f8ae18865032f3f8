"""Growth of a run: old shards stay, new candidates come in, removed images don't come back."""

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

import curate
from curate.errors import RunError
from curate.manifest import find_faults, read_manifest
from curate.pipeline import Growth, grow
from curate.recipe import Recipe
from tests.pipeline.digests import digests
from tests.pipeline.upkeep.dying import Killed, killed_after

SERIAL = {"scheduler": "serial"}
WANTED = ("select.train=14",)


@pytest.fixture(scope="module")
def lists(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two lists of files: the second names some of the first's again."""
    folder = tmp_path_factory.mktemp("lists")
    names = sorted(path.name for path in pictures.iterdir())
    for name, part in (("first.txt", names[:14]), ("more.txt", [*names[4:8], *names[14:]])):
        (folder / name).write_text("".join(f"{name}\n" for name in part))
    return folder / "first.txt", folder / "more.txt"


@pytest.fixture(scope="module")
def folders(
    lists: tuple[Path, Path], pictures: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """The pictures of the first list, and those of both: one folder as it was, and as it is now."""
    then, now = (tmp_path_factory.mktemp(name) / "pictures" for name in ("then", "now"))
    shutil.copytree(pictures, now)
    then.mkdir()
    for name in lists[0].read_text().split():
        shutil.copy2(pictures / name, then / name)
    return then, now


@pytest.fixture(scope="module")
def first(
    recipe: Path, folders: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A finished run of the first 14 pictures, in shards of six."""
    run = tmp_path_factory.mktemp("first") / "run"
    curate.run(Recipe.load(recipe, ["select.train=7"]), [folders[0]], run, **SERIAL)
    return run


@pytest.fixture
def run(first: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(first, tmp_path / "run"))


def picks(run: Path) -> dict[str, str]:
    tables = [read_manifest(run / f"manifest/{split}.parquet") for split in ("train", "test")]
    return {
        id_: split
        for t in tables
        for id_, split in zip(t.column("id"), t.column("split"), strict=True)
    }


def more(run: Path, folders: tuple[Path, Path], **options: object) -> Growth:
    return grow(run, [folders[1]], **{**SERIAL, "settings": WANTED, **options})


def test_grow_adds_only_new_candidates_and_keeps_picks(
    first: Path, run: Path, folders: tuple[Path, Path]
) -> None:
    before = picks(run)
    growth = more(run, folders)
    assert (growth.added, growth.shards, growth.outcome.passed_over["known"]) == (12, 2, 14)
    by_stage = {stage.stage: stage for stage in growth.outcome.stages}
    assert [by_stage[name].resumed for name in ("fetched", "measured", "labelled")] == [3, 3, 3]
    assert sum(growth.outcome.reasons.values()) == 26

    after = picks(run)
    assert before.items() <= after.items()
    assert len(after) > len(before)
    assert {id_ for id_, split in before.items() if split == "test"} <= {
        i for i, s in after.items() if s == "test"
    }
    for split in ("train", "test"):
        assert not list(
            find_faults(read_manifest(run / f"manifest/{split}.parquet"), check_bytes=True)
        )
    old, new = digests(first), digests(run)
    for name, digest in old.items():
        if name.startswith(
            ("candidates/part", "images", "fetched", "measured", "labelled", "embeddings")
        ):
            assert new[name] == digest, name
    assert pq.read_table(run / "candidates/part-00003.parquet").num_rows == 6


def test_grow_again_changes_nothing(
    recipe: Path, run: Path, folders: tuple[Path, Path], lists: tuple[Path, Path]
) -> None:
    more(run, folders)
    grown = digests(run)
    again = more(run, folders)
    assert (again.added, again.shards) == (0, 0)
    for inputs in ([], [folders[0]], [folders[1]]):
        asked = Recipe.load(recipe, ["select.train=14"])
        outcome = curate.run(asked, inputs, run, **SERIAL)
        assert all(stage.resumed == stage.shards for stage in outcome.stages)
    assert digests(run) == grown
    with pytest.raises(RunError, match="curate grow adds it to the run"):
        curate.run(asked, [lists[0]], run, **SERIAL)


def test_grown_run_rereads_damaged_candidates_from_their_input(
    recipe: Path, run: Path, folders: tuple[Path, Path]
) -> None:
    more(run, folders)
    grown = digests(run)
    for name, folder in (("part-00001", folders[0]), ("part-00004", folders[1])):
        (run / f"candidates/{name}.parquet").write_bytes(b"rotten")
        curate.run(Recipe.load(recipe, WANTED), [folder], run, **SERIAL)
        assert digests(run) == grown


def test_grow_twice_does_not_depend_on_workers(
    run: Path, folders: tuple[Path, Path], tmp_path: Path, cluster: str
) -> None:
    other = shutil.copytree(run, tmp_path / "other")
    more(run, folders)
    more(other, folders, scheduler=cluster)
    assert digests(other) == digests(run)


def test_killed_growth_resumes_to_same_bytes(
    run: Path, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    expected = shutil.copytree(run, tmp_path / "expected")
    more(expected, folders)
    deaths = 0
    for count in range(1, 100):
        try:
            with killed_after(count):
                more(run, folders)
            break
        except Killed:
            deaths += 1
    assert deaths > 5
    assert digests(run) == digests(expected)


def test_grow_refuses_removed_images(run: Path, folders: tuple[Path, Path], tmp_path: Path) -> None:
    table = read_manifest(run / "manifest/train.parquet")
    id_, url = table.column("id")[0], table.column("url")[0]
    (tmp_path / "ids.txt").write_text(id_)
    curate.remove(run, ids=[tmp_path / "ids.txt"], **SERIAL)

    # other names for the same bytes, the same pixels re-encoded, and the same picture resized
    now = Path(shutil.copytree(folders[1], tmp_path / "now" / "pictures"))
    original = now / url.rsplit("/", 1)[-1]
    copies = [now / "another.png", now / "lossless.png", now / "compressed.jpg"]
    shutil.copy(original, copies[0])
    with Image.open(original) as image:
        image.save(copies[1])
        image.save(copies[2], quality=70)
    growth = grow(run, [now], settings=WANTED, **SERIAL)
    assert growth.added == 15
    removals = [json.loads(line) for line in (run / "log/removals.jsonl").read_text().splitlines()]
    assert [line["by"] for line in removals if line["id"] == id_] == ["id"]
    assert {"sha256", "pixel_sha256", "phash"} <= {line["by"] for line in removals}
    ledger = [
        row
        for path in sorted((run / "ledger").iterdir())
        for row in pq.read_table(path).to_pylist()
    ]
    assert len(ledger) == 29
    assert {row["id"] for row in ledger if row["reason"] == "removed"} == {
        line["id"] for line in removals
    }
    tars = [path.read_bytes() for path in (run / "images").iterdir()]
    for path in (original, *copies):
        assert not [row for row in ledger if row["url"] and row["url"].endswith(f"/{path.name}")]
        assert not any(path.read_bytes() in tar for tar in tars)


def test_grow_without_run_is_refused(run: Path, folders: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is no run folder"):
        more(tmp_path / "none", folders)
    with pytest.raises(RunError, match=r"measure\.cutoffs.* matters to the measure stage already"):
        more(run, folders, settings=["measure.cutoffs=[0.4]"])
