"""Dataset card and Croissant file: true, deterministic, and readable by their readers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from curate.engine import Shard
from curate.manifest import read_manifest
from curate.stages.report import build_report

MakeRun = Callable[..., Shard]


def card_of(shard: Shard) -> str:
    build_report(shard)
    return shard.folder.read("manifest/README.md").decode()


def tables(card: str) -> dict[str, list[list[str]]]:
    """Heading of a table's first column -> its rows."""
    found: dict[str, list[list[str]]] = {}
    rows: list[list[str]] = []
    for line in [*card.splitlines(), ""]:
        if line.startswith("|"):
            rows.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
        elif rows:
            assert len({len(row) for row in rows}) == 1, f"a ragged table: {rows[0]}"
            found[rows[0][0]] = rows[2:]
            rows = []
    return found


def test_card_of_same_run_has_same_bytes(make_run: MakeRun) -> None:
    outputs = []
    for name in ("run", "elsewhere"):
        shard = make_run(name=name)
        build_report(shard)
        outputs.append(shard.outputs)
    assert outputs[0] == outputs[1]
    assert sorted(outputs[0]) == [
        "manifest/README.md",
        "manifest/croissant.json",
        *(f"manifest/figures/{name}.svg" for name in ("categories", "frequency", "size")),
        "report/index.html",
    ]


def test_card_figures_equal_manifests(make_run: MakeRun) -> None:
    shard = make_run()
    card = card_of(shard)
    train, test = (
        read_manifest(f"{shard.folder}/manifest/{split}.parquet") for split in ("train", "test")
    )
    assert (
        f"{len(train)} images to train image restorers on, and {len(test)} to test them with"
        in card
    )
    for manifest in (train, test):
        assert manifest.fingerprint in card
    assert shard.folder.sha256("manifest/train.parquet") in card
    found = tables(card)
    categories = train.column("category")
    assert {row[1]: int(row[3]) for row in found["broad class"]} == {
        name: categories.count(name) for name in (row[1] for row in found["broad class"])
    }
    assert sum(int(row[2]) for row in found["host"]) == len(train) + len(test)
    assert sum(int(row[1]) + int(row[2]) for row in found["format"]) == len(train) + len(test)
    assert found["stage"][-1][-1] == f"**{len(train) + len(test)}**"
    (pixels,) = (row for row in found["column"] if row[0] == "`pixels`")
    values = [float(value.replace(",", "")) for value in pixels[1:6]]
    assert values == sorted(values)
    assert min(train.column("pixels")) <= values[0] <= values[-1] <= max(train.column("pixels"))


def test_card_names_checked_and_unchecked_benchmarks(make_run: MakeRun) -> None:
    shown: set[object] = set()

    def show_one(row: dict[str, object]) -> None:
        if row["reason"] is None and len(shown) < 7:
            row["contaminated_by"] = "Set5/baby"
            shown.add(row["id"])

    shard = make_run(edit=show_one)
    card = card_of(shard)
    rows = tables(card)["benchmark"]
    assert ["Set5", "5", "5", "7"] in rows
    assert ["Urban100", "25", "100", "0"] in rows
    assert len(rows) == 7
    missing = "Not looked for: DIV2K-val, LIVE1, Manga109, McMaster, Rain100H, Rain100L."
    page = shard.folder.read("report/index.html").decode()
    assert missing in card
    assert missing in page
    cells = re.search(r'<th scope="row">Set5</th>(.*?)</tr>', page)
    assert cells is not None
    assert re.findall(r"<td[^>]*>(.*?)</td>", cells[1]) == ["5", "5", "7"]


def test_card_leaves_blanks_for_author(make_run: MakeRun) -> None:
    card = card_of(make_run())
    for question in (
        "Who created it",
        "Who funded it",
        "Over what time was it collected",
        "Who maintains it",
    ):
        assert re.search(rf"- \*\*{question}[^*]*\*\* \*Left for the author\.\*", card)
    headings = re.findall(r"^### (.*)$", card, re.MULTILINE)
    assert headings == [
        "Motivation", "Composition", "Collection", "Preprocessing and labelling", "Uses",
        "Distribution", "Maintenance",
    ]  # fmt: skip


def test_card_header_is_valid_for_hub(make_run: MakeRun) -> None:
    header = yaml.safe_load(card_of(make_run()).split("---\n")[1])
    assert header["configs"][0]["data_files"] == [
        {"split": "train", "path": "train.parquet"}, {"split": "test", "path": "test.parquet"}
    ]  # fmt: skip


def test_card_escapes_text_from_the_web(make_run: MakeRun) -> None:
    hostile = 'CC0 | x\n# heading <img src=x> [a](https://evil) `b` **c** https://evil.example & "'

    def edit(row: dict[str, object]) -> None:
        row["licence"] = hostile
        row["host"] = f"{hostile}{'x' * 500}"

    card = card_of(make_run(edit=edit))
    assert tables(card)["licence"][0][0].startswith(
        "CC0 \\| x # heading &lt;img src=x&gt; \\[a\\](https:&#47;&#47;evil)"
    )
    assert "https://evil" not in card
    assert "<img" not in card
    assert max(map(len, card.splitlines())) < 1000


def test_card_names_no_local_path(make_run: MakeRun, tmp_path: Path) -> None:
    shard = make_run()
    recipe = yaml.safe_load(shard.folder.read("recipe.yaml"))
    recipe["label"] |= {
        "model": "local-dir:/home/me/secret/clip",
        "taxonomy": "/home/me/secret/mine.yaml",
    }
    shard.folder.write("recipe.yaml", yaml.safe_dump(recipe).encode())
    card = card_of(shard)
    assert "model: local-dir:clip" in card
    assert "taxonomy: mine.yaml" in card
    texts = [
        shard.folder.read(name).decode() for name in shard.outputs if name.startswith("manifest/")
    ]
    for text in texts:
        assert "secret" not in text
        assert str(tmp_path) not in text


def test_card_figures_are_self_contained(make_run: MakeRun) -> None:
    from xml.etree import ElementTree

    shard = make_run()
    card = card_of(shard)
    for name in re.findall(r"\]\((figures/\w+\.svg)\)", card):
        figure = shard.folder.read(f"manifest/{name}").decode()
        assert ElementTree.fromstring(figure).tag == "{http://www.w3.org/2000/svg}svg"
        assert "var(" not in figure


def test_run_without_kept_images_has_card(make_run: MakeRun) -> None:
    def reject(row: dict[str, object]) -> None:
        if row["reason"] is None:
            row["reason"] = "low_texture"

    card = card_of(make_run(edit=reject))
    assert "0 images to train image restorers on" in card
    tables(card)


def test_croissant_file_is_valid(make_run: MakeRun, caplog: pytest.LogCaptureFixture) -> None:
    mlcroissant = pytest.importorskip("mlcroissant")
    shard = make_run()
    build_report(shard)
    path = Path(str(shard.folder), "manifest/croissant.json")
    dataset = mlcroissant.Dataset(jsonld=str(path))
    assert not dataset.metadata.ctx.issues.errors
    # what only the author knows is not made up
    missing = {
        re.search(r'Property "(\S+)"', warning)[1]
        for warning in dataset.metadata.ctx.issues.warnings
    }
    assert {name.rpartition("/")[2] for name in missing} <= {
        "citeAs",
        "datePublished",
        "version",
        "license",
    }
    for split in ("train", "test"):
        manifest = read_manifest(path.parent / f"{split}.parquet")
        records = list(dataset.records(split))
        assert [record[f"{split}/id"].decode() for record in records] == manifest.column("id")
        for name in ("pixels", "bpp", "phash", "jpeg_quality"):
            assert [record[f"{split}/{name}"] for record in records] == pytest.approx(
                manifest.column(name), nan_ok=True
            )
    assert {
        field["name"] for field in json.loads(path.read_text())["recordSet"][0]["field"]
    } == set(manifest.table.column_names)
