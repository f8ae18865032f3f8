"""The further facts, from a file's bytes to columns."""

import hashlib
import io
import math

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from curate.errors import RecipeError
from curate.manifest import MANIFEST
from curate.recipe import FACTS, LOSS_FACTS, Fact, Measure, Recipe
from curate.stages.measure import measure_image
from curate.stages.measure.facts import COLOUR_FACTS
from curate.stages.measure.shard import MeasureShard


def picture(height: int = 150, width: int = 210, seed: int = 0) -> Image.Image:
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (7, 9, 3), dtype=np.uint8))
    smooth_HWC = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC), np.float64)
    return Image.fromarray(
        (smooth_HWC + rng.normal(0, 6, smooth_HWC.shape)).clip(0, 255).astype(np.uint8)
    )


def encode(image: Image.Image, format_: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format_, **options)
    return file.getvalue()


def facts_of(
    image: Image.Image, format_: str = "PNG", **options: object
) -> dict[Fact, float | None]:
    return dict(measure_image(encode(image, format_, **options), facts=FACTS).facts)


def test_every_fact_is_a_nullable_column() -> None:
    columns = {column.name: column for column in MANIFEST}
    assert not [name for name in FACTS if columns[name].required]


def test_facts_outside_the_request_are_not_measured() -> None:
    data = encode(picture(), "PNG")
    assert dict(measure_image(data).facts) == {}
    assert dict(measure_image(data, facts=["noise_sigma"]).facts).keys() == {"noise_sigma"}


@pytest.mark.parametrize("fact", FACTS)
def test_fact_alone_equals_fact_among_others(fact: Fact) -> None:
    data = encode(picture(), "PNG")
    assert (
        measure_image(data, facts=[fact]).facts[fact]
        == measure_image(data, facts=FACTS).facts[fact]
    )


@pytest.mark.parametrize(
    "image",
    [
        picture(),
        picture().convert("L"),
        picture().convert("LA"),
        picture().convert("1"),
        picture().quantize(16),
        picture().convert("RGBA"),
        Image.fromarray(np.asarray(picture().convert("L"), np.uint16) * 257),
    ],
    ids=lambda image: image.mode,
)
def test_colour_facts_change_no_other_measure(image: Image.Image) -> None:
    data = encode(image, "PNG")
    luma_only, colours = (
        measure_image(data, facts=facts)
        for facts in (["noise_sigma"], ["noise_sigma", *COLOUR_FACTS])
    )
    assert (colours.hf_ratio, colours.phash) == (luma_only.hf_ratio, luma_only.phash)
    assert colours.facts["noise_sigma"] == luma_only.facts["noise_sigma"]


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_every_format_has_all_facts(format_: str) -> None:
    facts = facts_of(picture(), format_)
    assert list(facts) == list(FACTS)
    assert all(value is not None and math.isfinite(value) for value in facts.values())


def test_facts_of_16_bits_equal_facts_of_8() -> None:
    grey = picture().convert("L")
    deep = Image.fromarray(np.asarray(grey, np.uint16) * 257)
    assert facts_of(deep) == facts_of(grey)


def test_channel_spread_of_grey_stored_as_rgb_is_0() -> None:
    grey = facts_of(picture().convert("L").convert("RGB"), "JPEG")
    assert (grey["channel_spread"], grey["colourfulness"]) == (0, 0)
    assert (facts_of(picture())["channel_spread"] or 0) > 50


def test_blockiness_of_jpeg_saved_as_png_remains() -> None:
    once = Image.open(io.BytesIO(encode(picture(300, 420), "JPEG", quality=40)))
    assert (
        facts_of(once)["blockiness"]
        == facts_of(picture(300, 420), "JPEG", quality=40)["blockiness"]
    )
    assert (
        (facts_of(once)["blockiness"] or 0)
        > 1.3
        > 1.1
        > (facts_of(picture(300, 420))["blockiness"] or 9)
    )


@pytest.mark.parametrize(
    "size", [(1, 1), (1, 300), (300, 1), (33, 33), (34, 34), (127, 128), (3, 20_000)]
)
@pytest.mark.parametrize("level", [None, 0, 200])
def test_small_flat_and_narrow_pictures_have_null_facts(
    size: tuple[int, int], level: int | None
) -> None:
    image = picture(*size) if level is None else Image.new("RGB", (size[1], size[0]), (level,) * 3)
    facts = facts_of(image)
    assert all(value is None or math.isfinite(value) for value in facts.values())
    assert (facts["noise_sigma"] is None, facts["blockiness"] is None) == (min(size) < 34,) * 2
    assert facts["spectral_cutoff"] is None
    for share in ("border_share", "clipped_low", "clipped_high"):
        assert 0 <= (facts[share] or 0) <= 1


def test_facts_of_turned_picture_change_little() -> None:
    upright = facts_of(picture())
    turned = Image.Exif()
    turned[0x0112] = 6
    for name, value in facts_of(
        picture().transpose(Image.Transpose.ROTATE_90), exif=turned
    ).items():
        assert value == pytest.approx(upright[name], rel=0.1), name


class OneTar:
    """Run folder of one tar, as far as a shard function needs it."""

    discard = True

    def __init__(self, *bodies: bytes) -> None:
        self.data = b"".join(bodies)
        rows, offset = [], 0
        for number, body in enumerate(bodies):
            row = {"id": f"{number:016x}", "tar": "images/part.tar", "offset": offset}
            rows.append(row | {"nbytes": len(body), "sha256": hashlib.sha256(body).hexdigest()})
            offset += len(body)
        self.rows = pa.Table.from_pylist(rows)

    def open(self, path: str) -> io.BytesIO:
        return io.BytesIO(self.data)

    def advance(self, rows: int = 1, reason: str | None = None) -> None:
        pass


def test_fact_columns_exist_with_and_without_request() -> None:
    files = OneTar(encode(picture(), "JPEG"), encode(picture(20, 20), "PNG"), b"no image")
    types = {column.name: column.type for column in MANIFEST}
    bare = MeasureShard(Measure())(files.rows, files)
    asked = MeasureShard(Measure(facts=FACTS))(files.rows, files)
    assert bare.schema == asked.schema
    for name in FACTS:
        assert bare.schema.field(name).type == types[name]
    for name in FACTS:
        assert bare[name].null_count == (2 if name in LOSS_FACTS else 3)
    assert asked["noise_sigma"].null_count == 2  # the small image and the file that is none
    assert asked["channel_spread"].null_count == 1
    assert asked["chroma_subsampling"].to_pylist() == ["4:2:0", None, None]
    assert MeasureShard(Measure(facts=FACTS[::-1]))(files.rows, files).equals(asked)


@pytest.mark.parametrize("where", ["filters.min", "filters.max", "select.frequency.column"])
def test_filter_on_unmeasured_fact_is_refused(where: str) -> None:
    rule = where if where.startswith("select") else f"{where}.noise_sigma"
    value = "noise_sigma" if where.startswith("select") else "5"
    recipe = Recipe(name="mine")
    with pytest.raises(
        RecipeError,
        match=f"{where} names 'noise_sigma', which is not measured: add it to measure.facts",
    ):
        recipe.override([f"{rule}={value}"])
    recipe.override([f"{rule}={value}", "measure.facts=[noise_sigma]"])


def test_unknown_fact_is_refused_with_list_of_facts() -> None:
    with pytest.raises(
        RecipeError, match=r"measure.facts.0: input should be 'blockiness', 'noise_sigma'"
    ):
        Recipe(name="mine").override(["measure.facts=[sharpness]"])
