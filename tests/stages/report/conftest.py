"""A run folder as the chain leaves it, with drawn images and a ledger of invented measures."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from PIL import Image

from curate.engine import RunFolder, Shard
from curate.errors import Reason
from curate.manifest import CATEGORIES, LEDGER, NAMED_CATEGORIES, arrow_schema, write_manifest
from curate.recipe import Recipe
from curate.stages.match.benchmarks import Benchmarks
from curate.stages.report import build_report
from curate.stages.select import select

BROAD_OF = {
    name: broad for broad, own in NAMED_CATEGORIES.items() for name in (*own, f"{broad} others")
}
LOST = [Reason.HTTP_404] * 3 + [
    Reason.TIMEOUT,
    Reason.DECODE_FAILED,
    Reason.TOO_SMALL,
    Reason.LOW_TEXTURE,
]
MEASURED_ONLY = (Reason.TOO_SMALL, Reason.LOW_TEXTURE)

MakeRun = Callable[..., Shard]


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """See `run_maker`."""
    return run_maker(tmp_path)


@pytest.fixture(scope="session")
def built_run(tmp_path_factory: pytest.TempPathFactory) -> Shard:
    """A run folder with its report, for tests that only read it."""
    shard = run_maker(tmp_path_factory.mktemp("report"))(edit=_doubt)
    build_report(shard)
    return shard


def _doubt(row: dict[str, object]) -> None:
    """Give rows the columns that some sections need: hashes that meet, margins, a local file."""
    number = int(str(row["id"])[:4], 16)
    if row.get("category"):
        row["label_margin"] = number / 65536
        row["phash"] = 0x0123456789ABCDEF * (number % 150 + 1) % 2**64
    if number % 3 == 0:
        row["url"], row["host"] = f"file:photos/holiday/{number}.jpg", None
    if row["reason"] is None and number % 40 == 0:
        row["contaminated_by"] = "Set14/lenna"


def run_maker(tmp_path: Path) -> MakeRun:
    """Return a function that writes a run folder of random candidates as one shard.

    Arguments: `rows`; `train`, the images wanted; `categories` to draw from; `edit`, which may
    change the rows before the selection; `parts` of the ledger.
    """

    def make(
        rows: int = 300,
        train: int = 60,
        categories: tuple[str, ...] = CATEGORIES,
        edit: Callable[[dict[str, object]], None] = lambda row: None,
        parts: int = 2,
        model: str = "ViT-B-32/laion2b_s34b_b79k",
        name: str = "run",
    ) -> Shard:
        folder = RunFolder(tmp_path / name)
        recipe = Recipe.parse(
            {
                "name": "sample",
                "filters": {
                    "min": {"width": 512, "height": 512, "nbytes": 100_000, "hf_ratio_032": 0.002}
                },
                "select": {"train": train, "test": {"per_category": 3}},
            },
            where="test",
        )
        folder.write("recipe.yaml", recipe.to_yaml().encode())
        spots = _write_tar(folder)
        random = np.random.default_rng(5)
        drawn = [_row(n, random, spots, categories, model) for n in range(rows)]
        for row in drawn:
            edit(row)
        table = pa.Table.from_pylist(drawn, schema=arrow_schema(LEDGER))
        chosen = select(table, recipe.select, recipe.filters, CATEGORIES, recipe.seed)
        for column in chosen.decisions.column_names:
            place = table.column_names.index(column)
            field = table.schema.field(column)
            table = table.set_column(place, field, chosen.decisions[column].cast(field.type))
        for part in range(parts):
            sink = io.BytesIO()
            pq.write_table(
                table.slice(
                    part * rows // parts, (part + 1) * rows // parts - part * rows // parts
                ),
                sink,
            )
            folder.write(f"ledger/part-{part:05}.parquet", sink.getvalue())
        benchmarks = Benchmarks.load(recipe.select.benchmarks).coverage()
        folder.write(
            "select/summary.json", json.dumps(chosen.summary | {"benchmarks": benchmarks}).encode()
        )
        for split in ("train", "test"):
            chosen_rows = table.filter(pc.equal(table["split"], split)).drop_columns(
                ["status", "reason"]
            )
            write_manifest(
                f"{folder}/manifest/{split}.parquet", chosen_rows, {"recipe_name": recipe.name}
            )
        return Shard("report", folder)

    return make


def _write_tar(folder: RunFolder) -> list[tuple[int, int]]:
    """Twelve drawn pictures in a tar; returns offset and length of each."""
    random = np.random.default_rng(1)
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as tar:
        for n in range(12):
            image = io.BytesIO()
            size = (int(random.integers(60, 140)), int(random.integers(60, 140)))
            waves = np.sin(
                np.outer(np.linspace(0, 3 + 2 * n, size[1]), np.linspace(1, 4 + n, size[0]))
            )
            colours = (waves[..., None] * random.uniform(40, 120, 3) + 128).astype(np.uint8)
            Image.fromarray(colours).save(image, "JPEG")
            info = tarfile.TarInfo(f"{n}.jpg")
            info.size = image.tell()
            image.seek(0)
            tar.addfile(info, image)
    folder.write("images/part-00000.tar", sink.getvalue())
    sink.seek(0)
    with tarfile.open(fileobj=sink) as tar:
        return [(member.offset_data, member.size) for member in tar]


def _row(
    n: int,
    random: np.random.Generator,
    spots: list[tuple[int, int]],
    categories: tuple[str, ...],
    model: str,
) -> dict[str, object]:
    host = f"host{int(random.exponential(6))}.example"
    id_ = hashlib.sha256(str(n).encode()).hexdigest()
    row: dict[str, object] = {
        "id": id_[:16],
        "url": f"https://{host}/{n}.jpg",
        "host": host,
        "source": "list.txt",
    }
    row["licence"] = [None, "CC-BY-4.0", "CC0-1.0"][random.integers(3)]
    lost = LOST[random.integers(len(LOST))] if random.random() < 0.5 else None
    row["reason"] = lost and lost.value
    if lost is not None and lost not in MEASURED_ONLY:
        return row
    offset, length = spots[n % len(spots)]
    row |= {
        "sha256": id_,
        "tar": "images/part-00000.tar",
        "offset": offset,
        "nbytes": length,
        "format": "JPEG",
    }
    width, height = (int(side) for side in random.uniform(300 if lost else 600, 3000, 2))
    ratio = float(10 ** random.normal(-3 if lost is Reason.LOW_TEXTURE else -2, 0.35))
    row |= {
        "width": width,
        "height": height,
        "pixels": width * height,
        "bpp": float(random.lognormal(1, 0.6)),
    }
    row |= {"hf_ratio_032": ratio, "hf_ratio": ratio / 3}
    if lost is None:
        category = categories[int(random.integers(len(categories)) * random.random())]
        row |= {
            "category": category,
            "broad": BROAD_OF[category],
            "label_model": model,
            "label_score": 0.5,
        }
    return row
