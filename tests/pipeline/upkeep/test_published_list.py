"""Every form of a published list gives the same facts, and no local path."""

import csv
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from curate.errors import CurateError
from curate.manifest import MANIFEST, export_manifest, open_manifests, read_manifest, write_manifest
from curate.pipeline.published_list import fetching_recipe, read_published
from curate.recipe import Recipe
from tests.pipeline.upkeep.ageing import Ageing

COLUMNS = [column.name for column in MANIFEST if column.name not in ("tar", "offset")]


def write_csv(path: Path, *rows: dict[str, object]) -> str:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)))
        writer.writeheader()
        writer.writerows(rows)
    return str(path)


def test_published_manifest_and_csv_equal_run(dataset: Path, tmp_path: Path) -> None:
    run = read_published(str(dataset))
    assert run.facts["url"].to_pylist() == [
        url for m in open_manifests(str(dataset)) for url in m.column("url")
    ]
    for name in ("m.parquet", "m.csv"):
        export_manifest(str(dataset), tmp_path / name)
        read = read_published(str(tmp_path / name))
        for column in COLUMNS:
            assert read.facts[column].to_pylist() == run.facts[column].to_pylist(), column
            assert read.facts[column].type == run.facts[column].type


@pytest.mark.parametrize("suffix", ["tsv", "parquet", "txt"])
def test_published_lists_of_urls_name_same_images(
    dataset: Path, tmp_path: Path, suffix: str
) -> None:
    """Commas, spaces and all."""
    export_manifest(str(dataset), tmp_path / f"urls.{suffix}", "urls")
    run, read = read_published(str(dataset)), read_published(str(tmp_path / f"urls.{suffix}"))
    assert read.facts["id"].to_pylist() == run.facts["id"].to_pylist()
    known = (
        ("sha256", "phash", "pixel_sha256", "split", "category", "width", "licence")
        if suffix != "txt"
        else ()
    )
    for column in known:
        assert read.facts[column].to_pylist() == run.facts[column].to_pylist(), column
    if suffix == "txt":
        assert read.facts["sha256"].null_count == len(read)
        assert set(read.facts["split"].to_pylist()) == {"train"}


def test_published_list_keeps_its_own_columns(tmp_path: Path) -> None:
    rows = [
        {"url": f"http://a/{n}", "SCORE": n / 2, "artist": f"A{n}", "WIDTH": 9} for n in range(3)
    ]
    read = read_published(write_csv(tmp_path / "l.csv", *rows))
    assert read.facts["score"].to_pylist() == [0.0, 0.5, 1.0]
    assert read.facts["artist"].to_pylist() == ["A0", "A1", "A2"]
    pq.write_table(
        pa.table({"url": ["http://a/0"], "n": pa.array([7], pa.int16())}), tmp_path / "l.parquet"
    )
    assert read_published(str(tmp_path / "l.parquet")).facts["n"].type == pa.int16()


def test_published_list_has_each_image_once_and_bad_urls(tmp_path: Path) -> None:
    (tmp_path / "l.txt").write_text("http://a/1\n\nHTTP://A:80/1\nno url\nhttp://a/2, b\n")
    read = read_published(str(tmp_path / "l.txt"))
    assert read.facts["url"].to_pylist() == ["http://a/1", "no url", "http://a/2, b"]
    assert read.candidates["reason"].to_pylist() == [None, "bad_url", None]
    assert read.passed_over == {"blank": 1, "repeated": 1}


def test_published_list_cannot_name_local_file(tmp_path: Path) -> None:
    """Else whoever publishes one could have any file of ours read, and put into a dataset."""
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"secret")
    row = {
        "url": "http://a/1",
        "local_path": str(secret),
        "local_offset": 0,
        "tar": str(secret),
        "malformed": "",
    }
    read = read_published(write_csv(tmp_path / "l.csv", row))
    assert [
        read.candidates[name].null_count for name in read.candidates.column_names if "local" in name
    ] == [1] * 6
    assert not {"tar", "offset", "local_path", "malformed"} & set(read.facts.column_names)
    photos = tmp_path / "photos"
    photos.mkdir()
    for url in (
        "file:photos/../secret.png",
        f"file:{secret}",
        "file:photos/.hidden",
        "file:other/a.png",
    ):
        with pytest.raises(CurateError, match=r"1 of 1 images of .* are files of a folder"):
            read_published(write_csv(tmp_path / "l.csv", {"url": url}), [str(photos)])


def test_local_images_are_found_in_named_folder(tmp_path: Path) -> None:
    listed = write_csv(
        tmp_path / "l.csv", {"url": "file:photos/a b/ü@1.png"}, {"url": "http://a/1"}
    )
    for folder in ("photos", "elsewhere"):
        (tmp_path / folder).mkdir()
    find = read_published(listed, [str(tmp_path / "photos")]).candidates["local_path"].to_pylist
    assert find() == [f"file://{tmp_path}/photos/a b/ü@1.png", None]
    moved = read_published(listed, [f"photos={tmp_path}/elsewhere"])
    assert moved.candidates["local_path"][0].as_py() == f"file://{tmp_path}/elsewhere/a b/ü@1.png"
    assert moved.fingerprint != read_published(listed, [str(tmp_path / "photos")]).fingerprint


def test_recipe_of_published_manifest_sets_measures_only(dataset: Path, tmp_path: Path) -> None:
    """The recipe in a manifest can't open networks; only its measures count."""
    given = Recipe.parse(
        {
            "name": "x",
            "fetch": {"allow_networks": ["127.0.0.0/8"], "robots": False, "max_bytes": 10**12},
            "measure": {"cutoffs": [0.25], "facts": ["noise_sigma"]},
        },
        "here",
    )
    table = read_manifest(dataset / "manifest/train.parquet").table
    write_manifest(tmp_path / "m.parquet", table, {"recipe": yaml.safe_dump(given.essence())})
    published = read_published(str(tmp_path / "m.parquet"))
    recipe = fetching_recipe(published, None, str(tmp_path / "new"), ["fetch.per_host=1"])
    assert recipe.fetch == Recipe(name="x").fetch.model_copy(update={"per_host": 1})
    assert recipe.measure == given.measure
    assert recipe.early_bounds == ()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"url": "http://a/1", "split": "val"}], "no split 'val': call it train or test"),
        (
            [{"url": "http://a/1", "sha256": "abc"}],
            "sha256 is a SHA-256 of 64 hex digits, or nothing",
        ),
        ([{"url": "http://a/1", "phash": "many"}], "phash holds what is no uint64"),
        (
            [{"url": "http://a/1", "id": "0" * 16}],
            "the id 0000000000000000 is not that of its URL http://a/1",
        ),
        ([{"href": "http://a/1"}], "has no column of URLs among href"),
    ],
)
def test_published_list_with_wrong_values_is_refused(
    tmp_path: Path, rows: list, message: str
) -> None:
    with pytest.raises(CurateError, match=message):
        read_published(write_csv(tmp_path / "l.csv", *rows))


def test_source_that_is_no_list_is_refused(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.png").write_bytes(b"")
    (tmp_path / "damaged.parquet").write_bytes(b"PAR1")
    (tmp_path / "empty.txt").write_text("\n\n")
    export_manifest(str(dataset), tmp_path / "crops", "crops")
    for name, message in (
        ("photos", "holds images: name a manifest"),
        ("none.parquet", "there is nothing at"),
        ("damaged.parquet", "can't read"),
        ("empty.txt", "names no images"),
        (
            "crops/manifest/train.parquet",
            "images that were made of others, such as crops, can't be fetched",
        ),
    ):
        with pytest.raises(CurateError, match=message):
            read_published(str(tmp_path / name))


def test_published_hashes_may_be_upper_case(tmp_path: Path) -> None:
    read = read_published(write_csv(tmp_path / "l.csv", {"url": "http://a/1", "sha256": "AB" * 32}))
    assert read.facts["sha256"].to_pylist() == ["ab" * 32]


def test_published_jsonl_equals_manifest(ageing: Ageing, tmp_path: Path) -> None:
    (tmp_path / "l.jsonl").write_text(
        json.dumps({"url": ageing.urls[0], "sha256": "ab" * 32, "split": "test"})
    )
    assert read_published(str(tmp_path / "l.jsonl")).facts.select(
        ["sha256", "split"]
    ).to_pylist() == [{"sha256": "ab" * 32, "split": "test"}]
