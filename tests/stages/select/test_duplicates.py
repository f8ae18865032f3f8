import io
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from curate.demo.draw import SCENES, paint
from curate.recipe import Dedup
from curate.stages.measure import measure_image
from curate.stages.select import find_clusters
from curate.stages.select.duplicates import mirror_hash

STEADY = settings(deadline=None, derandomize=True, max_examples=60)
SCHEMA = pa.schema(
    [
        ("id", pa.string()), ("sha256", pa.string()), ("pixel_sha256", pa.string()),
        ("phash", pa.uint64()),
        ("pixels", pa.int64()), ("bpp", pa.float64()),
    ]
)  # fmt: skip
OFF = Dedup(exact=False, perceptual=None)
HOUSES = SCENES["Architecture"]["houses"]


def table(rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist([{"id": f"{n:016x}"} | row for n, row in enumerate(rows)], SCHEMA)


def pool(count: int, seed: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    hashes = rng.integers(2**62, 2**64, 6, np.uint64)
    return table(
        [
            {
                "id": f"{int(rng.integers(2**60)):016x}",
                "sha256": f"{int(rng.integers(count)):064x}",
                "pixel_sha256": f"{int(rng.integers(count)):064x}" if rng.random() < 0.5 else None,
                "phash": int(hashes[rng.integers(6)]) ^ 1 << int(rng.integers(64))
                if rng.random() < 0.7
                else None,
                "pixels": int(rng.integers(3)) if rng.random() < 0.9 else None,
                "bpp": float(rng.integers(3)),
            }
            for _ in range(count)
        ]
    )


def by_hand(rows: list[dict[str, Any]], config: Dedup, vectors: np.ndarray) -> list[set[str]]:
    """Every pair looked at, then merged: slow and plain."""

    def same(n: int, m: int) -> bool:
        a, b = rows[n], rows[m]
        equal = any(a[key] is not None and a[key] == b[key] for key in ("sha256", "pixel_sha256"))
        alike = False
        if config.perceptual is not None and None not in (a["phash"], b["phash"]):
            others = [
                b["phash"],
                *([int(mirror_hash(np.uint64(b["phash"])))] if config.mirrored else []),
            ]
            alike = min((a["phash"] ^ other).bit_count() for other in others) <= config.perceptual
        near = config.semantic is not None and vectors[n] @ vectors[m] >= config.semantic
        return (config.exact and equal) or alike or near

    clusters: list[set[int]] = []
    for n in range(len(rows)):
        touched = [c for c in clusters if any(same(n, m) for m in c)]
        clusters = [c for c in clusters if c not in touched] + [{n}.union(*touched)]
    return [{rows[n]["id"] for n in cluster} for cluster in clusters]


@STEADY
@given(
    st.integers(0, 30), st.integers(0, 99), st.booleans(), st.sampled_from([None, 0, 2, 6]),
    st.booleans(),
    st.sampled_from([None, 0.9]), st.randoms(use_true_random=False), st.integers(1, 9),
)  # fmt: skip
def test_clusters_equal_all_pairs_in_any_order(
    count: int,
    seed: int,
    exact: bool,
    radius: int | None,
    mirrored: bool,
    cosine: float | None,
    random: Any,
    cut: int,
) -> None:
    config = Dedup(exact=exact, perceptual=radius, mirrored=mirrored, semantic=cosine)
    rows = pool(count, seed)
    vectors = np.random.default_rng(seed).normal(size=(count, 3)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    order = list(range(count))
    random.shuffle(order)
    shuffled = pa.concat_tables(
        [rows.slice(0, 0), *(rows.take(order).slice(i, cut) for i in range(0, count, cut))]
    )
    expected = by_hand(rows.to_pylist(), config, vectors)
    assert sum(map(len, expected)) == count  # a partition
    for some, their_vectors in ((rows, vectors), (shuffled, vectors[order])):
        found = find_clusters(some, config, their_vectors)
        ids = some["id"].to_pylist()
        clusters: dict[int, set[str]] = {}
        for id_, label in zip(ids, found.label_N, strict=True):
            clusters.setdefault(int(label), set()).add(id_)
        assert sorted(map(sorted, clusters.values())) == sorted(map(sorted, expected))
        facts = {
            row["id"]: (-(row["pixels"] or 0), -row["bpp"], row["id"]) for row in some.to_pylist()
        }
        for label, best in zip(found.label_N, found.best_N, strict=True):
            assert ids[best] == min(clusters[int(label)], key=facts.__getitem__)


def test_best_of_cluster_has_most_pixels_then_bits_then_smallest_id() -> None:
    same = {"sha256": "1" * 64, "bpp": 2.0}
    rows = [
        same | {"pixels": 5},
        same | {"pixels": 9},
        same | {"pixels": 9, "bpp": 3.0},
        same | {"pixels": 9, "bpp": 3.0},
    ]
    assert find_clusters(table(rows), Dedup()).best_N.tolist() == [2, 2, 2, 2]


def test_plain_pictures_match_nothing() -> None:
    white, grey = 1 << 63, (1 << 63) | 3
    found = find_clusters(table([{"phash": white}, {"phash": white}, {"phash": grey}]), Dedup())
    assert len(set(found.label_N)) == 3


def test_clusters_with_all_criteria_off_are_single() -> None:
    rows = [{"sha256": "1" * 64, "pixel_sha256": "2" * 64, "phash": 0xFFFF0000FFFF0000}] * 3
    assert len(set(find_clusters(table(rows), OFF).label_N)) == 3


def saved(picture: Image.Image, form: str = "PNG", **options: Any) -> dict[str, Any]:
    file = io.BytesIO()
    picture.save(file, form, **options)
    measures = measure_image(file.getvalue())
    return {name: getattr(measures, name) for name in ("pixel_sha256", "phash", "pixels", "bpp")}


PICTURE = paint(HOUSES, np.random.default_rng(3), (360, 240))
OTHER = paint(HOUSES, np.random.default_rng(4), (360, 240))


@pytest.mark.parametrize(
    ("copy", "same_by"),
    [
        pytest.param(saved(PICTURE, "WEBP", lossless=True), "pixels", id="saved without loss"),
        pytest.param(
            saved(PICTURE.rotate(90, expand=True), "TIFF", tiffinfo={274: 6}),
            "pixels",
            id="turned by EXIF",
        ),
        pytest.param(saved(PICTURE, "JPEG", quality=40), "hash", id="saved with loss"),
        pytest.param(saved(PICTURE.resize((180, 120))), "hash", id="half the size"),
        pytest.param(saved(PICTURE.resize((720, 480))), "hash", id="twice the size"),
        pytest.param(
            saved(PICTURE.transpose(Image.Transpose.FLIP_LEFT_RIGHT)), "mirror", id="mirrored"
        ),
        pytest.param(saved(PICTURE.crop((2, 2, 358, 238))), "hash", id="a hundredth cut off"),
        pytest.param(
            saved(PICTURE.crop((60, 40, 300, 200))), None, id="a third cut off: not by hash"
        ),
        pytest.param(saved(OTHER), None, id="another picture"),
    ],
)
def test_each_criterion_finds_its_copies(copy: dict[str, Any], same_by: str | None) -> None:
    rows = table([saved(PICTURE), copy])
    criteria = {
        "pixels": Dedup(perceptual=None),
        "hash": Dedup(exact=False, mirrored=False),
        "mirror": Dedup(exact=False, mirrored=True),
    }
    found = []
    for name, config in criteria.items():
        if len(set(find_clusters(rows, config).label_N)) == 1:
            found.append(name)
    assert (
        found
        == {
            "pixels": ["pixels", "hash", "mirror"],
            "hash": ["hash", "mirror"],
            "mirror": ["mirror"],
            None: [],
        }[same_by]
    )


# --- copies of one picture


def natural(seed: int, side: int = 256) -> Image.Image:
    """Return noise with a photograph's falling spectrum, and an edge: grey."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side)))
    spectrum = np.fft.fft2(rng.normal(size=(side, side))) / np.maximum(frequency, 1 / side) ** 1.4
    waves = np.fft.ifft2(spectrum).real
    waves = 40 * waves / waves.std() + 30 * (np.indices((side, side)).sum(axis=0) > side)
    return Image.fromarray((110 + waves).clip(0, 255).astype(np.uint8))


def file_of(image: Image.Image, format_: str = "JPEG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format_, **options)
    return file.getvalue()


def loaded(data: bytes) -> Image.Image:
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        return image


def best_of(rows: dict[str, dict[str, Any]]) -> str:
    """Return the name of the copy that stays, whatever the order of the rows."""
    facts = [("blockiness", pa.float64()), ("spectral_cutoff", pa.float64())]
    schema = pa.schema([*SCHEMA, ("jpeg_quality", pa.int8()), *facts])
    found = set()
    for names in ([*rows], [*rows][::-1]):
        numbered = [{"id": f"{n:016x}"} | rows[name] for n, name in enumerate(names)]
        best = find_clusters(pa.Table.from_pylist(numbered, schema), Dedup()).best_N[0]
        found.add(names[best])
    assert len(found) == 1
    return found.pop()


def measured(data: bytes) -> dict[str, Any]:
    measures = measure_image(data, facts=("blockiness", "spectral_cutoff"))
    row = {"sha256": "1" * 64, "pixels": measures.pixels, "bpp": measures.bpp}
    return row | {"jpeg_quality": measures.jpeg_quality} | dict(measures.facts)


@pytest.mark.parametrize("options", [("PNG", {}), ("JPEG", {"quality": 92})])
def test_original_stays_before_its_copies(options: tuple[str, dict[str, Any]]) -> None:
    first = file_of(natural(0), options[0], **options[1])
    shown = loaded(first)
    copies = {"half": file_of(shown.resize((128, 128), Image.Resampling.LANCZOS), "PNG")}
    for quality in (20, 40, 60):
        worse = file_of(shown, quality=quality)
        copies[f"{quality}"] = worse
        copies[f"{quality} as PNG"] = file_of(loaded(worse), "PNG")
        copies[f"{quality} saved at 95"] = file_of(loaded(worse), quality=95)
        copies[f"{quality} with a video"] = worse + bytes(500_000)
    for times in (2, 3):
        larger = shown.resize((256 * times,) * 2, Image.Resampling.BICUBIC)
        copies[f"{times} x"] = file_of(larger, "PNG")
        copies[f"{times} x at 90"] = file_of(larger, quality=90)
    rows = {name: measured(data) for name, data in copies.items()}
    original = {"original": measured(first)}
    assert best_of(original | rows) == "original"
    for name, row in rows.items():
        assert best_of(original | {name: row}) == "original", name


@pytest.mark.parametrize("quality", [30, 50])
def test_first_lossy_copy_stays_before_its_re_saves(quality: int) -> None:
    worse = file_of(natural(1), quality=quality)
    again = {"PNG": file_of(loaded(worse), "PNG"), "98": file_of(loaded(worse), quality=98)}
    rows = {name: measured(data) for name, data in ({"first": worse} | again).items()}
    assert best_of(rows) == "first"
