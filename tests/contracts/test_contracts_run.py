import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import curate
from tests.contracts.contracts_run import RUN, digests, fake_labeller

STAGES = ("candidates", "fetched", "measured", "labelled", "matched", "select", "report")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A copy of the folder that version 0.1 made."""
    return Path(shutil.copytree(RUN, tmp_path / "run"))


def test_run_of_an_older_version_resumes_with_nothing_done_twice(run: Path) -> None:
    before = digests(run)
    outcome = curate.run(None, out=run, scheduler="serial")
    assert [(o.stage, o.shards) for o in outcome.stages] == [
        (o.stage, o.resumed) for o in outcome.stages
    ]
    assert [o.stage for o in outcome.stages] == [
        "candidates",
        "fetched",
        "measured",
        "labelled",
        "matched",
        "select",
        "report",
    ]
    assert digests(run) == before


def test_run_of_older_version_computed_again_is_equal(run: Path) -> None:
    """All but the downloads: same files, same rows, same settings in the commit records."""
    urls, before = RUN.with_name("urls.txt"), digests(run)
    with fake_labeller():
        curate.run(None, urls, out=run, scheduler="serial", redo_from="candidates")
    assert digests(run).keys() == before.keys()
    for name in before:
        old, new = RUN / name, run / name
        if name.endswith(".parquet"):
            assert_same_rows(pq.read_table(old), pq.read_table(new), name)
        elif name.endswith(".tar"):
            assert old.read_bytes() == new.read_bytes(), name
        elif name.endswith((".csv", ".yaml")):
            assert old.read_text() == new.read_text(), name
        elif name.startswith(("select/summary", "candidates/index")):
            assert read_json(old) == read_json(new), name
        elif name.endswith(".json") and not name.startswith("manifest/"):
            assert promises(old) == promises(new), name


def assert_same_rows(old: pa.Table, new: pa.Table, name: str) -> None:
    """Compare columns, types and rows; floats to nine digits, since processors differ."""
    assert old.schema.equals(new.schema), name
    assert (old.schema.metadata or {}).keys() == (new.schema.metadata or {}).keys(), name
    for column, field in zip(old.column_names, old.schema, strict=True):
        before, after = old[column].combine_chunks(), new[column].combine_chunks()
        if pa.types.is_floating(field.type):
            assert before.is_null().equals(after.is_null()), f"{name}: {column}"
            np.testing.assert_allclose(
                after.drop_null(), before.drop_null(), rtol=1e-9, err_msg=column
            )
        else:
            assert after.equals(before), f"{name}: {column}"


def read_json(path: Path) -> object:
    """Floats to nine digits."""
    return json.loads(path.read_text(), parse_float=lambda text: round(float(text), 9))


def promises(record: Path) -> dict[str, object]:
    """A commit record without digests, which depend on the version of pyarrow."""
    fields = json.loads(record.read_text())
    if fields["shard"] == "whole":
        del fields["config"]  # holds digests, too
    return {**fields, "input": None, "outputs": [*fields["outputs"]]}
