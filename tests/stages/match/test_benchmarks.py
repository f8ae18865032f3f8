import io
from functools import cache
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from curate.demo.draw import SCENES, paint
from curate.errors import RecipeError
from curate.stages.match import benchmarks as module
from curate.stages.match.benchmarks import BENCHMARK, Benchmarks
from curate.stages.match.keypoints import find_keypoints

DRAWN = (
    SCENES["Architecture"]["houses"],
    SCENES["Architecture"]["temple"],
    SCENES["Animals"]["herd"],
    SCENES["Transportation"]["cars"],
    SCENES["Architecture"]["towers"],
    SCENES["Transportation"]["boats"],
)


@cache
def picture(number: int, seed: int = 0) -> Image.Image:
    return paint(DRAWN[number], np.random.default_rng(seed), (480, 320))


def seen(image: Image.Image, count: int = 40) -> tuple[bytes, int, int]:
    return (
        find_keypoints(np.asarray(image.convert("L")), count).tobytes(),
        image.width,
        image.height,
    )


@pytest.fixture(scope="module")
def benchmarks() -> Benchmarks:
    columns = ("keypoints", "width", "height")
    rows = [
        {"benchmark": "Drawn", "image": str(n)}
        | dict(zip(columns, seen(picture(n), 128), strict=True))
        for n in range(len(DRAWN))
    ]
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
        pytest.param(
            lambda i: jpeg(i.crop((90, 0, 480, 270)).resize((520, 360)), 60), id="all at once"
        ),
    ],
)
def test_copies_match_their_benchmark_image(benchmarks: Benchmarks, change: object) -> None:
    copies = [seen(change(picture(n))) for n in range(len(DRAWN))]
    assert benchmarks.match(copies) == [f"Drawn/{n}" for n in range(len(DRAWN))]


def test_picture_that_contains_a_benchmark_image_matches(benchmarks: Benchmarks) -> None:
    around = picture(1, seed=9).resize((680, 460))
    around.paste(picture(0), (120, 80))
    assert benchmarks.match([seen(around)]) == ["Drawn/0"]


def test_other_pictures_match_nothing(benchmarks: Benchmarks) -> None:
    others = [picture(n, seed) for n in range(len(DRAWN)) for seed in (1, 2, 3)]
    others.append(paint(SCENES["Food"]["fruit"], np.random.default_rng(5), (480, 320)))
    assert benchmarks.match([seen(other) for other in others]) == [None] * len(others)


def test_plain_pictures_match_nothing(benchmarks: Benchmarks) -> None:
    images = [seen(Image.new("RGB", (50, 40))), seen(picture(0)), (b"", 50, 40)]
    assert benchmarks.match(images) == [None, "Drawn/0", None]
    assert benchmarks.match([]) == []


def test_without_benchmarks_nothing_is_matched() -> None:
    assert Benchmarks.load([]).match([seen(picture(0))]) == [None]


def test_match_does_not_depend_on_other_images(benchmarks: Benchmarks) -> None:
    images = [seen(picture(0, seed=1)), *(seen(picture(number)) for number in range(len(DRAWN)))]
    alone = [match for image in images for match in benchmarks.match([image])]
    assert alone == [None, *(f"Drawn/{n}" for n in range(len(DRAWN)))]
    assert benchmarks.match(images * 50) == alone * 50


def plainly(benchmarks: Benchmarks, image: tuple[bytes, int, int]) -> str | None:
    """Return the match by brute force: all keypoints, and every pair of blobs."""
    best, named = 3, None
    for turned, sign in module._MIRRORS:
        ours = module._Keypoints.join([image])
        for listed in benchmarks.table.to_pylist():
            benchmark = listed["keypoints"], listed["width"], listed["height"]
            theirs = module._Keypoints.join([benchmark])
            distance = np.bitwise_count((ours.bits_K ^ turned)[:, None] ^ theirs.bits_K)
            near = np.flatnonzero(distance.min(axis=1) <= 6)
            other = theirs.place_K3[distance.argmin(axis=1)[near]]
            one = ours.place_K3[near] * [*sign, 1]
            for first, second in combinations(range(len(near)), 2):
                lengths = [np.hypot(*(p[first] - p[second])[:2]) for p in (one, other)]
                if min(lengths) <= 0.1 or not 0.3 < (scale := lengths[1] / lengths[0]) < 3:
                    continue
                away = other[:, :2] - other[first, :2] - scale * (one[:, :2] - one[first, :2])
                sizes = np.abs(other[:, 2] - one[:, 2] - 16 * np.log2(scale))
                fits = (np.hypot(*away.T) < 0.06 * max(1, scale)) & (sizes < 8)
                count = min(
                    len(np.unique((p[fits, :2] / 0.03).round(), axis=0)) for p in (one, other)
                )
                if count > best:
                    best, named = count, f"{listed['benchmark']}/{listed['image']}"
    return named


def test_index_finds_the_same_matches_as_brute_force(benchmarks: Benchmarks) -> None:
    rng = np.random.default_rng(3)
    images = []
    for number in range(12):
        copy = picture(number % len(DRAWN), seed=int(number > 8))
        width, height = (int(side * rng.uniform(0.5, 1)) for side in copy.size)
        x, y = int(rng.integers(481 - width)), int(rng.integers(321 - height))
        turn = [
            Image.Transpose.FLIP_LEFT_RIGHT,
            Image.Transpose.FLIP_TOP_BOTTOM,
            Image.Transpose.ROTATE_180,
        ][number % 3]
        images.append(seen(jpeg(copy.crop((x, y, x + width, y + height)).transpose(turn), 40)))
    found = benchmarks.match(images)
    assert found == [plainly(benchmarks, image) for image in images]
    assert 2 < len([match for match in found if match]) < 12


def test_every_pair_within_the_radius_is_found(benchmarks: Benchmarks) -> None:
    rng = np.random.default_rng(3)
    listed = benchmarks._listed
    ours = rng.choice(listed.bits_K, 200)
    for place in range(len(ours)):
        for bit in rng.choice(64, place % 10, replace=False):
            ours[place] ^= np.uint64(1) << np.uint64(bit)
    distance = np.bitwise_count(ours[:, None] ^ listed.bits_K)
    expected = set()
    for one, other in np.argwhere(distance <= 6):
        image = listed.image_K[other]
        expected.add((one, image, distance[one, listed.image_K == image].min()))
    found = list(zip(*benchmarks._near(ours), strict=True))
    assert {(one, listed.image_K[other], distance[one, other]) for one, other in found} == expected
    assert len(found) == len(expected) >= 140


def test_the_shipped_lists_are_whole() -> None:
    table = Benchmarks.load(["shipped"]).table
    counts = {v["values"]: v["counts"] for v in table["benchmark"].value_counts().to_pylist()}
    assert counts == {
        "BSDS500": 400, "CBSD68": 68, "Kodak24": 24, "Set14": 14, "Set5": 5, "Urban100": 25,
        "classic5": 5,
    }  # fmt: skip
    assert min(map(len, table["keypoints"].to_pylist())) >= 10 * 11
    assert table.schema == BENCHMARK


def test_coverage_names_usual_benchmarks_with_and_without_list() -> None:
    coverage = Benchmarks.load(["shipped"]).coverage()
    counts = {row["benchmark"]: (row["listed"], row["images"]) for row in coverage}
    assert counts == {
        "BSDS500": (400, 500), "CBSD68": (68, 68), "classic5": (5, 5), "DIV2K-val": (0, 100),
        "Kodak24": (24, 24), "LIVE1": (0, 29), "Manga109": (0, 109), "McMaster": (0, 18),
        "Rain100H": (0, 100), "Rain100L": (0, 100), "Set14": (14, 14), "Set5": (5, 5),
        "Urban100": (25, 100),
    }  # fmt: skip
    assert list(counts) == sorted(counts, key=str.lower)
    own = pa.Table.from_pylist([{"benchmark": "div2k_val", "image": "0801"}], BENCHMARK)
    coverage = Benchmarks(own).coverage()
    listed = {row["benchmark"]: row["images"] for row in coverage if row["listed"]}
    assert listed == {"div2k_val": 100}
    assert "DIV2K-val" not in [row["benchmark"] for row in coverage]


def test_digests_identify_lists_by_content(tmp_path: Path, benchmarks: Benchmarks) -> None:
    one, two = tmp_path / "one.parquet", tmp_path / "two.parquet"
    pq.write_table(benchmarks.table, one)
    pq.write_table(benchmarks.table.slice(1), two)
    both = Benchmarks.load([str(one), str(two)])
    assert both.coverage()[4] == {
        "benchmark": "Drawn",
        "listed": 2 * len(DRAWN) - 1,
        "images": None,
    }
    assert both.digests == (
        *Benchmarks.load([str(one)]).digests,
        *Benchmarks.load([str(two)]).digests,
    )
    assert len(set(both.digests)) == 2


def test_load_of_file_that_is_no_list_raises(tmp_path: Path) -> None:
    other = tmp_path / "other.parquet"
    pq.write_table(pa.table({"a": [1]}), other)
    text = tmp_path / "text.parquet"
    text.write_text("no")
    for path, message in (
        (other, "is no list"),
        (text, "is no list"),
        (tmp_path / "gone.parquet", "can't read"),
    ):
        with pytest.raises(RecipeError, match=f"select.benchmarks: .*{message}|{message} .*"):
            Benchmarks.load([str(path)])
