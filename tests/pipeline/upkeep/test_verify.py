"""`curate verify`: what a sample tells of a dataset, and that nothing of the dataset is touched."""

import csv
import json
import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest

import curate
from curate.cli.link_rot_tables import link_rot_tables
from curate.errors import CurateError
from curate.manifest import export_manifest
from curate.pipeline.link_rot import State
from tests.pipeline.digests import digests
from tests.pipeline.upkeep.ageing import FATES, REASONS, SETTINGS, STATES, Ageing, fates, replaced


def test_verify_gives_each_image_a_state_and_changes_nothing(
    ageing: Ageing, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    before = digests(dataset)
    found = curate.verify(dataset, sample="all", scheduler="serial")
    places = fates(found.verdicts["url"].to_pylist())
    assert sorted(places) == list(range(len(FATES)))
    assert found.verdicts["state"].to_pylist() == [STATES[n] for n in places]
    assert found.verdicts["reason"].to_pylist() == [REASONS[n] for n in places]
    assert digests(dataset) == before
    assert list((tmp_path / "scratch").iterdir()) == []
    lost = sum(state in ("gone", "changed") for state in STATES)
    assert found.rot.lost_images.low == found.rot.lost_images.high == lost  # exact
    assert found.reached == len(FATES) - sum(state in ("gone", "unreachable") for state in STATES)


def test_verify_draws_seeded_nested_samples(ageing: Ageing, dataset: Path) -> None:
    def drawn(sample: str | int, seed: int = 0) -> set[str]:
        return set(
            curate.verify(dataset, sample=sample, seed=seed, scheduler="serial")
            .verdicts["id"]
            .to_pylist()
        )

    few, more = drawn(3), drawn("50%")
    assert (len(few), len(more)) == (3, 6)  # of eleven, rounded
    assert few < more
    assert drawn(3, seed=1) != few


def test_verify_of_manifest_uses_users_recipe(dataset: Path, tmp_path: Path) -> None:
    """A run has its recipe; a manifest has none that says whom it may ask."""
    export_manifest(str(dataset), tmp_path / "m.parquet")
    guarded = curate.verify(tmp_path / "m.parquet", sample="all", scheduler="serial")
    assert [(share.state, share.reasons) for share in guarded.rot.states] == [
        ("unchecked", {"forbidden_address": len(FATES)})
    ]
    assert (guarded.reached, guarded.rot.checked) == (0, 0)
    lines = [part for part in link_rot_tables(guarded.rot) if isinstance(part, str)]
    assert lines == [
        f"whether anything is lost can't be told: none of {len(FATES)} images could be checked",
        "forbidden_address: if these hosts are yours, name their network in fetch.allow_networks",
    ]
    found = curate.verify(
        tmp_path / "m.parquet", sample="all", settings=SETTINGS, scheduler="serial"
    )
    assert {share.state: share.images for share in found.rot.states} == {
        s: STATES.count(s) for s in set(STATES)
    }


def test_verify_of_others_run_folder_opens_nothing_by_itself(
    command, ageing: Ageing, dataset: Path, tmp_path: Path
) -> None:
    """Its recipe could name networks of ours; whoever says so on the command line may."""
    others = Path(shutil.copytree(dataset, tmp_path / "others"))
    recipe = (others / "recipe.yaml").read_text().replace("per_host: 8", "per_host: 7")
    (others / "recipe.yaml").write_text(recipe)
    before = ageing.site.requests.total()
    code, _, err = command("verify", others, "--scheduler", "serial")
    assert (code, ageing.site.requests.total()) == (1, before)
    assert err.count("\n") == 1
    assert """add  --set 'fetch.allow_networks=["127.0.0.1/32"]'""" in err
    said = ("--set", 'fetch.allow_networks=["127.0.0.1/32"]')
    assert command("verify", others, "--scheduler", "serial", "--sample", "2", *said)[0] == 0
    # going on with the run doesn't make its recipe the user's own
    curate.run(None, out=others, stages=["candidates"], scheduler="serial")
    assert command("verify", others, "--scheduler", "serial")[0] == 1


def test_verify_of_list_without_hashes_is_unproven(
    ageing: Ageing, dataset: Path, tmp_path: Path
) -> None:
    export_manifest(str(dataset), tmp_path / "urls.txt")
    urls = tmp_path / "urls.txt"
    found = curate.verify(urls, sample="all", settings=SETTINGS, scheduler="serial")
    counts = {share.state: share.images for share in found.rot.states}
    assert counts == {
        "unproven": 6,
        "gone": 4,
        "unreachable": 1,
    }  # what is damaged is no image to be had


def test_verify_of_dripping_server_is_unreachable(tmp_path: Path) -> None:
    ageing = Ageing(("slow", "same"), old=True)
    with ageing.site:
        (tmp_path / "urls.txt").write_text("\n".join(ageing.urls))
        settings = [*SETTINGS, "fetch.deadline=1"]
        found = curate.verify(
            tmp_path / "urls.txt", sample="all", settings=settings, scheduler="serial"
        )
    assert [(share.state, share.reasons) for share in found.rot.states][1:] == [
        ("unreachable", {"timeout": 1})
    ]


def test_verify_of_run_finds_its_local_images(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    from curate.demo.pictures import Picture, encode

    for n in range(4):
        (photos / f"{n}.png").write_bytes(encode(Picture("Food", n, (90, 70), "png")))
    (tmp_path / "list.txt").write_text("".join(f"file:photos/{n}.png\n" for n in range(4)))
    curate.rebuild(tmp_path / "list.txt", tmp_path / "run", folders=[photos], scheduler="serial")
    (photos / "1.png").write_bytes(replaced(b""))
    (photos / "2.png").unlink()
    (photos / "3.png").write_bytes(b"<html>")
    found = curate.verify(tmp_path / "run", scheduler="serial")
    assert found.verdicts.select(["state", "reason"]).to_pylist() == [
        {"state": "same", "reason": None},
        {"state": "changed", "reason": None},
        {"state": "unreachable", "reason": "unreadable"},  # its disk may come back
        {"state": "gone", "reason": "not_image"},
    ]
    export_manifest(str(tmp_path / "run"), tmp_path / "m.parquet")
    with pytest.raises(CurateError, match=r"4 of 4 images .* such as file:photos/0.png: say where"):
        curate.verify(tmp_path / "m.parquet", scheduler="serial")
    photos.rename(tmp_path / "moved")
    moved = curate.verify(
        tmp_path / "m.parquet", folders=[f"photos={tmp_path}/moved"], scheduler="serial"
    )
    assert moved.verdicts["state"].to_pylist() == found.verdicts["state"].to_pylist()


@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet", "rows.json"])
def test_verify_writes_rows_to_file(dataset: Path, tmp_path: Path, name: str) -> None:
    found = curate.verify(dataset, sample=4, scheduler="serial", out=tmp_path / name)
    rows = found.verdicts.to_pylist()
    match name.partition(".")[2]:
        case "csv":
            with (tmp_path / name).open(newline="") as file:
                read = [
                    (row["id"], row["state"], row["reason"] or None) for row in csv.DictReader(file)
                ]
        case "parquet":
            assert pq.read_table(tmp_path / name).equals(found.verdicts)
            return
        case _:
            found = map(json.loads, (tmp_path / name).read_text().splitlines())
            read = [(row["id"], row["state"], row["reason"]) for row in found]
    assert read == [(row["id"], row["state"], row["reason"]) for row in rows]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sample": "some"}, "--sample takes a share such as 1%, a number such as 2000, or all"),
        ({"scheduler": "tcp://host:1"}, "--scheduler is local or serial"),
        ({"out": "rows.xlsx"}, r"can't write rows.xlsx: name it \.csv, \.json or \.parquet"),
        ({"settings": ["fetch.nosuch=1"]}, "unknown key 'fetch.nosuch'"),
        ({"folders": ["nowhere"]}, "no folder at nowhere"),
    ],
)
def test_verify_with_wrong_arguments_requests_nothing(
    ageing: Ageing, dataset: Path, options: dict, message: str
) -> None:
    before = ageing.site.requests.total()
    with pytest.raises(CurateError, match=message):
        curate.verify(dataset, **{"scheduler": "serial", **options})
    assert ageing.site.requests.total() == before


def test_verify_with_small_disk_is_refused_before_any_request(
    ageing: Ageing, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=1000))
    before = ageing.site.requests.total()
    with pytest.raises(
        CurateError, match=r"these 11 images take .* and .* has .* free: draw fewer with --sample"
    ):
        curate.verify(dataset, scheduler="serial")
    assert ageing.site.requests.total() == before


def test_verify_command_prints_tables_or_json(command, dataset: Path, tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    code, out, _ = command("verify", dataset, "--scheduler", "serial", "--out", rows)
    assert code == 0
    for words in (
        "what has become of 11 images",
        "http_404",
        "45.5% of the dataset is lost",
        "doesn't count as lost",
    ):
        assert words in out
    assert len(rows.read_text().splitlines()) == 12
    code, out, _ = command("verify", dataset, "--sample", "5", "--scheduler", "serial", "--json")
    found = json.loads(out)
    assert (code, found["listed"], found["asked"]) == (0, 11, 5)
    assert sum(share["images"] for share in found["states"]) == 5
    assert {share["state"] for share in found["states"]} <= set(State)
    nowhere = ("--set", "fetch.allow_networks=[]")
    code, out, _ = command("verify", dataset, "--scheduler", "serial", "--sample", "2", *nowhere)
    assert (code, "forbidden_address" in out) == (1, True)
