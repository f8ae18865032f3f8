from pathlib import Path

import pytest

import curate
from curate import Recipe
from curate.engine import Progress, RunFolder
from curate.errors import CurateError, InputError, LabelError, RunError
from curate.pipeline.recipe_changes import revise_recipe
from tests.pipeline.digests import digests

STAGES = ("candidates", "fetch", "measure")


@pytest.fixture
def measured(recipe: Path, pictures: Path, tmp_path: Path) -> Path:
    curate.run(recipe, [pictures], tmp_path / "run", scheduler="serial", stages=STAGES)
    return tmp_path / "run"


class Interrupt(Progress):
    """Ctrl-C, after so many shards of a stage."""

    def __init__(self, stage: str, after: int) -> None:
        self.stage, self.left = stage, after

    def shard_done(
        self, stage: str, shard: str, rows_out: dict[str, int], resumed: bool, seconds: float
    ) -> None:
        self.left -= stage == self.stage
        if not self.left:
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("error", "inputs", "options"),
    [
        (InputError, ["no-such-list.txt"], {"redo_from": "candidates"}),
        (InputError, [], {"redo_from": "candidates"}),
        (RunError, [], {"redo_from": "fetch", "scheduler": "slurm"}),
        (LabelError, [], {"redo_from": "fetch", "settings": ["label.taxonomy=none.yaml"]}),
        (LabelError, [], {"redo_from": "fetch", "settings": ["label.model=local-dir:none"]}),
    ],
)
def test_redo_that_is_refused_removes_nothing(
    recipe: Path,
    measured: Path,
    error: type[CurateError],
    inputs: list[str],
    options: dict[str, str | list[str]],
) -> None:
    before = digests(measured)
    changed = Recipe.load(recipe, options.pop("settings", []))
    with pytest.raises(error):
        curate.run(changed, inputs, measured, **({"scheduler": "serial"} | options))
    assert digests(measured) == before


def test_redo_that_was_stopped_resumes_with_same_command(
    recipe: Path, pictures: Path, measured: Path
) -> None:
    undisturbed = digests(measured)

    def redo(progress: Progress | None = None) -> list[int]:
        outcome = curate.run(
            recipe,
            [pictures],
            measured,
            scheduler="serial",
            stages=STAGES,
            redo_from="fetch",
            progress=progress,
        )
        return [stage.resumed for stage in outcome.stages]

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            redo(Interrupt("fetched", after=3))
    assert redo() == [5, 3, 0]
    assert digests(measured) == undisturbed
    assert redo() == [5, 0, 0]  # it was done, so now it is asked for again


def test_redo_with_another_recipe_starts_over(recipe: Path, pictures: Path, measured: Path) -> None:
    def redo(quality: int, progress: Progress | None = None) -> list[int]:
        settings = Recipe.load(recipe, [f"filters.min.jpeg_quality={quality}"])
        outcome = curate.run(
            settings,
            [pictures],
            measured,
            scheduler="serial",
            stages=STAGES,
            redo_from="measure",
            progress=progress,
        )
        return [stage.resumed for stage in outcome.stages]

    with pytest.raises(KeyboardInterrupt):
        redo(50, Interrupt("measured", after=2))
    assert redo(51) == [5, 5, 0]


def test_redo_with_incidental_settings_removes_nothing(measured: Path) -> None:
    assert (
        revise_recipe(measured, "fetch", ["fetch.concurrency=3", "label.batch_size=1"])[1] is None
    )
    assert revise_recipe(measured, "fetch", ["fetch.max_bytes=1000"])[1] == "fetch"
    assert revise_recipe(measured, "fetch", ["select.train=3"])[1] == "select"
    with pytest.raises(
        RunError,
        match=r"matters to the fetch stage already: start there, with .* --from fetch --set",
    ):
        revise_recipe(measured, "measure", ["fetch.max_bytes=1000"])
    with pytest.raises(
        RunError, match="matters to the fetch stage already"
    ):  # by the head of a file, see Recipe
        revise_recipe(measured, "label", ["filters.min.width=60"])


def test_redo_with_bounds_changed_and_back_gives_same_bytes(
    recipe: Path, pictures: Path, tmp_path: Path
) -> None:
    def run(out: str, *settings: str, redo_from: str | None = None) -> dict[str, str]:
        changed = Recipe.load(recipe, settings)
        curate.run(changed, [pictures], tmp_path / out, scheduler="serial", redo_from=redo_from)
        return digests(tmp_path / out)

    first, tighter = run("run"), "filters.min.width=70"
    assert run("run", tighter, redo_from="fetch") == run("fresh", tighter)
    assert run("run", redo_from="fetch") == first


def test_verified_run_with_corrupt_file_finds_and_mends_it(
    recipe: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RunFolder, "stamp", lambda folder, name: "rot leaves no trace")
    run = tmp_path / "run"
    first = curate.run(recipe, [pictures], run, scheduler="serial")
    whole, tar = digests(run), run / "images/part-00001.tar"
    data = bytearray(tar.read_bytes())
    data[600] ^= 1  # in the first image
    tar.write_bytes(data)
    assert curate.run(recipe, [pictures], run, scheduler="serial").reasons == first.reasons
    with pytest.raises(
        RunError, match=r"part-00001\.tar is damaged at \w{16}: curate run with --verify mends"
    ):
        curate.run(recipe, [pictures], run, scheduler="serial", redo_from="measure")
    outcome = curate.run(
        recipe, [pictures], run, scheduler="serial", redo_from="measure", verify=True
    )
    assert [stage.resumed for stage in outcome.stages][:2] == [5, 4]
    assert digests(run) == whole


class Breaks(Progress):
    """A list that breaks after its second shard."""

    def shard_done(
        self, stage: str, shard: str, rows_out: dict[str, int], resumed: bool, seconds: float
    ) -> None:
        if shard == "part-00001":
            raise InputError("the list breaks off")


def test_redo_with_list_that_breaks_removes_nothing(
    recipe: Path, measured: Path, tmp_path: Path
) -> None:
    before = digests(measured)
    (tmp_path / "other.txt").write_text("".join(f"http://127.0.0.1/{i}.jpg\n" for i in range(20)))
    with pytest.raises(InputError, match="breaks off"):
        curate.run(
            recipe,
            [tmp_path / "other.txt"],
            measured,
            scheduler="serial",
            redo_from="candidates",
            progress=Breaks(),
        )
    assert digests(measured) == before


def test_run_with_damaged_candidates_reads_list_again(
    recipe: Path, pictures: Path, measured: Path
) -> None:
    undisturbed = digests(measured)
    (measured / "candidates/part-00001.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match="missing or damaged: name their --input"):
        curate.run(recipe, [], measured, scheduler="serial", stages=STAGES)
    outcome = curate.run(recipe, [pictures], measured, scheduler="serial", stages=STAGES)
    assert [stage.resumed for stage in outcome.stages] == [0, 5, 5]
    assert digests(measured) == undisturbed


def test_run_that_cannot_start_writes_no_recipe(recipe: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        curate.run(recipe, [tmp_path / "none.txt"], tmp_path / "run", scheduler="serial")
    assert not (tmp_path / "run/recipe.yaml").exists()


def test_redo_with_shorter_list_removes_later_shards(
    recipe: Path, pictures: Path, tmp_path: Path
) -> None:
    run, stages = tmp_path / "run", (*STAGES, "label", "match", "select")
    curate.run(recipe, [pictures], run, scheduler="serial", stages=stages)
    (run / "select/whole.json").unlink()  # killed before it: no record tells of the ledger's files
    fewer = tmp_path / pictures.name
    fewer.mkdir()
    for path in sorted(pictures.iterdir())[:8]:
        (fewer / path.name).write_bytes(path.read_bytes())
    curate.run(recipe, [fewer], run, scheduler="serial", redo_from="candidates", stages=stages)
    numbers = {path.stem[-5:] for path in run.rglob("*-0*.*")}
    assert numbers == {"00000", "00001"}
