import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from curate.demo.draw import animals, architecture, food, transport
from curate.errors import Reason, RecipeError
from curate.measure import find_keypoints
from curate.select import Benchmarks
from curate.select.contamination import BENCHMARK

DRAWN = (
    architecture.houses,
    architecture.temples,
    animals.herd,
    transport.cars,
    architecture.skylines,
    transport.trains,
)


def picture(number: int, seed: int = 0) -> Image.Image:
    return DRAWN[number](np.random.default_rng(seed), (480, 320))


def row(image: Image.Image, count: int = 40, reason: str | None = None) -> dict:
    keypoints = find_keypoints(np.asarray(image.convert("L")), count).tobytes()
    return {"reason": reason, "width": image.width, "height": image.height, "keypoints": keypoints}


@pytest.fixture(scope="module")
def benchmarks() -> Benchmarks:
    rows = [{"benchmark": "Drawn", "image": str(n)} | row(picture(n), 128) for n in range(len(DRAWN))]
    return Benchmarks(pa.Table.from_pylist(rows, BENCHMARK))


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda i: i, id="as it is"),
        pytest.param(lambda i: i.convert("L"), id="grey"),
        pytest.param(lambda i: i.resize((240, 160)), id="half the size"),
        pytest.param(lambda i: i.resize((960, 640)), id="twice the size"),
        pytest.param(lambda i: jpeg(i, 30), id="quality 30"),
        pytest.param(lambda i: i.transpose(Image.Transpose.FLIP_LEFT_RIGHT), id="mirrored"),
        pytest.param(lambda i: i.transpose(Image.Transpose.FLIP_TOP_BOTTOM), id="upside down"),
        pytest.param(lambda i: i.crop((40, 30, 420, 290)), id="two thirds of it"),
        pytest.param(lambda i: jpeg(i.crop((90, 0, 480, 270)).resize((520, 360)), 60), id="all at once"),
    ],
)
def test_copies_are_known(benchmarks: Benchmarks, change: object) -> None:
    table = pa.Table.from_pylist([row(change(picture(n))) for n in range(len(DRAWN))])
    table = table.set_column(0, "reason", pa.nulls(len(DRAWN), pa.string()))
    assert benchmarks.matches(table).to_pylist() == [f"Drawn/{n}" for n in range(len(DRAWN))]


def test_a_picture_that_holds_a_benchmark_image_is_known(benchmarks: Benchmarks) -> None:
    around = picture(1, seed=9).resize((680, 460))
    around.paste(picture(0), (120, 80))
    assert benchmarks.match(row(around)["keypoints"], *around.size) == "Drawn/0"


def test_other_pictures_are_not(benchmarks: Benchmarks) -> None:
    others = [picture(n, seed) for n in range(len(DRAWN)) for seed in (1, 2, 3)]
    others += (
        [food_(np.random.default_rng(5), (480, 320)) for food_ in (food.plates,)] if hasattr(food, "plates") else []
    )
    assert [benchmarks.match(row(other)["keypoints"], *other.size) for other in others] == [None] * len(others)


def test_plain_and_rejected_ones_are_passed_over(benchmarks: Benchmarks) -> None:
    rows = [row(picture(0), reason=Reason.TOO_SMALL), row(Image.new("RGB", (50, 40))), row(picture(0))]
    rows.append({"reason": None, "width": None, "height": None, "keypoints": None})
    assert benchmarks.matches(pa.Table.from_pylist(rows)).to_pylist() == [None, None, "Drawn/0", None]


def test_without_benchmarks_nothing_is_matched() -> None:
    none = Benchmarks.load([])
    assert none.matches(pa.Table.from_pylist([row(picture(0))])).to_pylist() == [None]


def test_the_shipped_lists_are_whole() -> None:
    table = Benchmarks.load(["shipped"]).table
    counts = {v["values"]: v["counts"] for v in table["benchmark"].value_counts().to_pylist()}
    assert counts == {
        "BSDS500": 400, "CBSD68": 68, "Kodak24": 24, "Set14": 14, "Set5": 5, "Urban100": 25, "classic5": 5
    }  # fmt: skip
    assert min(map(len, table["keypoints"].to_pylist())) >= 10 * 11
    assert table.schema == BENCHMARK


def test_a_list_counts_by_its_content(tmp_path: Path, benchmarks: Benchmarks) -> None:
    one, two = tmp_path / "one.parquet", tmp_path / "two.parquet"
    pq.write_table(benchmarks.table, one)
    pq.write_table(benchmarks.table.slice(1), two)
    assert Benchmarks.load([str(one), str(two)]).table.num_rows == 2 * len(DRAWN) - 1
    assert Benchmarks.fingerprint([str(one)]) != Benchmarks.fingerprint([str(two)])


def test_what_is_no_list_is_told(tmp_path: Path) -> None:
    other = tmp_path / "other.parquet"
    pq.write_table(pa.table({"a": [1]}), other)
    text = tmp_path / "text.parquet"
    text.write_text("no")
    for path, message in ((other, "is no list"), (text, "is no list"), (tmp_path / "gone.parquet", "can't read")):
        with pytest.raises(RecipeError, match=f"select.benchmarks: .*{message}|{message} .*"):
            Benchmarks.load([str(path)])
