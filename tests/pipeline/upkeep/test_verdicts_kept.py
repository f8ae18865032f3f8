import shutil
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq

import curate
from curate.manifest import read_manifest
from curate.manifest.verdicts import Sidecar
from tests.contracts.contracts_run import RUN, fake_labeller
from tests.pipeline.upkeep.ageing import SETTINGS

WHEN = datetime(2026, 1, 1, tzinfo=UTC)


def drop(source: str, id_: str) -> None:
    row = {"id": id_, "verdict": "drop", "by": "ann", "when": WHEN}
    Sidecar.of(source).write(id_, [row])


def test_rebuild_leaves_out_images_dropped_beside_its_list_or_in_its_folder(
    dataset: Path, tmp_path: Path
) -> None:
    published = tmp_path / "list.parquet"
    shutil.copy(dataset / "manifest/train.parquet", published)
    first, second = read_manifest(published).column("id")[:2]
    drop(str(published), first)
    again = tmp_path / "again"
    for left_out in ({first}, {first, second}):
        curate.rebuild(published, again, settings=SETTINGS, scheduler="serial", accept="picture")
        kept = set(read_manifest(again / "manifest/train.parquet").column("id"))
        assert not kept & left_out
        ledger = pq.read_table(again / "ledger").to_pylist()
        by = {row["id"]: (row["status"], row["verdict_by"]) for row in ledger}
        assert {by[id_] for id_ in left_out} == {("rejected", "ann")}
        drop(str(again), second)


def test_growing_keeps_verdicts_on_old_images(tmp_path: Path) -> None:
    run = Path(shutil.copytree(RUN, tmp_path / "run"))
    dropped = read_manifest(run / "manifest/train.parquet").column("id")[0]
    drop(str(run), dropped)
    (tmp_path / "more.txt").write_text("ftp://a.example/c\n")
    with fake_labeller():
        curate.grow(run, tmp_path / "more.txt", scheduler="serial")
    assert dropped not in read_manifest(run / "manifest/train.parquet").column("id")
