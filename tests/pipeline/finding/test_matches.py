"""Images of a run by text and by example, as a table and as a page."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import curate
from curate.cli.app import app
from curate.engine.cache import vectors
from curate.errors import CurateError, InputError, LabelError, RunError
from curate.pipeline.finding.matches import _check_words
from curate.recipe import Label, Recipe
from curate.review.collection import open_collection
from curate.stages.label.clip import load_labeller


def ledger(run: Path) -> dict[str, dict[str, object]]:
    parts = sorted((run / "ledger").glob("*.parquet"))
    return {row["id"]: row for part in parts for row in pq.read_table(part).to_pylist()}


def labelled(run: Path) -> dict[str, dict[str, object]]:
    return {id_: row for id_, row in ledger(run).items() if row["label_model"]}


def test_text_finds_images_in_the_order_of_their_cosines(undisturbed: Path) -> None:
    found = curate.find(undisturbed, "a red house", count=5)
    labeller = load_labeller(Recipe.load(undisturbed / "recipe.yaml").label)
    query = labeller.embed_text(["a red house"])
    similarities = [match.similarity for match in found.matches]
    assert similarities == sorted(similarities, reverse=True)
    parts = sorted((undisturbed / "embeddings").glob("*"))
    cached_ND = np.concatenate([vectors(pq.read_table(part)["embedding"]) for part in parts])
    expected = sorted((cached_ND @ query).tolist(), reverse=True)[:5]
    assert similarities == pytest.approx(expected, abs=1e-4)
    assert found.images == len(cached_ND)


def test_review_of_the_run_finds_the_same_images(undisturbed: Path) -> None:
    search = open_collection(str(undisturbed)).find
    assert search is not None
    found = curate.find(undisturbed, "a red house", count=500)
    assert search("a red house") == [match.id for match in found.matches]


def test_image_of_the_run_finds_others_but_not_itself(undisturbed: Path) -> None:
    row = next(iter(labelled(undisturbed).values()))
    by_id = curate.find(undisturbed, like=row["id"], count=3)
    by_url = curate.find(undisturbed, like=row["url"], count=3)
    assert by_id.matches == by_url.matches
    assert row["id"] not in [match.id for match in by_id.matches]
    assert len(by_id.matches) == 3


def test_file_finds_the_image_with_its_bytes_first(undisturbed: Path, pictures: Path) -> None:
    found = curate.find(undisturbed, like=pictures / "04.jpg", count=2)
    assert found.matches[0].url.endswith("04.jpg")
    assert found.matches[0].similarity == pytest.approx(1, abs=1e-3)


def test_page_holds_each_image_and_nothing_from_elsewhere(
    undisturbed: Path, tmp_path: Path
) -> None:
    found = curate.find(undisturbed, '<b>red</b> & "blue"', count=4, page=tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert page.count("data:image/webp") == 4
    assert all(match.id in page for match in found.matches)
    assert "<b>red" not in page
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    assert len(page) < 400_000


def test_command_prints_a_table_as_json(undisturbed: Path) -> None:
    result = CliRunner().invoke(
        app, ["find", str(undisturbed), "a red house", "-n", "2", "--format", "json"]
    )
    assert result.exit_code == 0
    rows = json.loads(result.stdout)
    names = {"similarity", "id", "url", "width", "height", "category", "split", "reason"}
    assert [set(row) for row in rows] == [names] * 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "either a text, or an image"),
        ({"text": "a", "like": "b"}, "either a text, or an image"),
        ({"text": " "}, "is empty"),
        ({"text": "a", "count": 0}, "from 1 to 500"),
        ({"text": "a", "count": 501}, "from 1 to 500"),
        ({"like": "0123456789abcdef"}, "neither a file nor an id or URL"),
        ({"like": "nothing"}, "neither a file nor an id or URL"),
    ],
)
def test_find_without_a_usable_query_is_refused(
    undisturbed: Path, arguments: dict[str, object], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        curate.find(undisturbed, **arguments)


def test_file_that_is_no_image_is_refused(undisturbed: Path, pictures: Path) -> None:
    with pytest.raises(InputError, match=r"can't read .*page.jpg as an image"):
        curate.find(undisturbed, like=pictures / "page.jpg")


def test_rejected_image_has_no_embedding(undisturbed: Path) -> None:
    rows = ledger(undisturbed).values()
    small = next(row["id"] for row in rows if row["reason"] == "too_small")
    with pytest.raises(RunError, match=r"rejected before it was labelled \(too_small\)"):
        curate.find(undisturbed, like=small)


def test_run_without_embeddings_names_the_setting(undisturbed: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(undisturbed, tmp_path / "run"))
    shutil.rmtree(run / "embeddings")
    with pytest.raises(CurateError, match=r"label.keep_embeddings=true"):
        curate.find(run, "a red house")


def test_lost_cache_of_a_shard_is_counted(undisturbed: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(undisturbed, tmp_path / "run"))
    next((run / "embeddings").glob("*")).unlink()
    found = curate.find(run, "a red house", count=3)
    assert (len(found.matches), found.missing) == (3, 1)


def test_find_before_selection_reads_the_labels(undisturbed: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(undisturbed, tmp_path / "run"))
    shutil.rmtree(run / "ledger")
    found, selected = (curate.find(folder, "a house", count=9) for folder in (run, undisturbed))
    similarities = [match.similarity for match in found.matches]
    assert similarities == [match.similarity for match in selected.matches]
    assert {match.split for match in found.matches} == {None}


def test_bundled_labeller_refuses_words_that_it_does_not_know() -> None:
    bundled = Label(model="bundled", pretrained=None)
    _check_words(bundled, "a Dog in a forest")
    with pytest.raises(LabelError, match=r"knows only the words .*, and not zeppelin, over:"):
        _check_words(bundled, "a zeppelin over a forest")
    _check_words(Label(), "a zeppelin over a forest")
