import io

import numpy as np
import pytest
from PIL import Image

from curate.stages.measure import measure_image
from curate.stages.measure.jpeg import chroma_subsampling, jpeg_quality


def jpeg(mode: str = "RGB", **options: object) -> Image.Image:
    noise = np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).convert(mode).save(file, "JPEG", **options)
    return Image.open(file)


@pytest.mark.parametrize("quality", range(1, 101))
def test_quality_is_recovered_exactly(quality: int) -> None:
    assert jpeg_quality(jpeg(quality=quality)) == quality


def test_the_table_is_the_one_that_luma_uses() -> None:
    file = io.BytesIO()
    Image.new("RGB", (16, 16)).save(file, "JPEG", quality=60)
    data = bytearray(file.getvalue())
    for number in (0, 1):  # the tables change numbers, and the components with them
        data[data.index(bytes([0xFF, 0xDB, 0, 67, number])) + 4] = 2 + number
    frame = data.index(b"\xff\xc0")
    for component in range(3):
        data[frame + 12 + 3 * component] += 2
    assert jpeg_quality(Image.open(io.BytesIO(data))) == 60


@pytest.mark.parametrize(("option", "expected"), [(0, "4:4:4"), (1, "4:2:2"), (2, "4:2:0")])
def test_chroma_subsampling_is_that_of_the_encoder(option: int, expected: str) -> None:
    assert chroma_subsampling(jpeg(subsampling=option)) == expected
    assert chroma_subsampling(jpeg(subsampling=option, progressive=True)) == expected


def test_chroma_subsampling_of_grey_is_400_and_of_cmyk_444() -> None:
    assert chroma_subsampling(jpeg("L")) == "4:0:0"
    assert chroma_subsampling(jpeg("CMYK")) == "4:4:4"


@pytest.mark.parametrize(
    ("luma", "chroma", "other", "expected"),
    [
        ((4, 1), (1, 1), (1, 1), "4:1:1"),
        ((1, 2), (1, 1), (1, 1), "4:4:0"),
        ((4, 2), (1, 1), (1, 1), "4:1:0"),
        ((2, 2), (2, 1), (2, 1), "4:4:0"),
        ((2, 2), (2, 2), (2, 2), "4:4:4"),
        ((3, 1), (1, 1), (1, 1), None),
        ((1, 1), (2, 2), (2, 2), None),
        ((2, 2), (1, 1), (2, 1), None),
        ((2, 2), (0, 0), (0, 0), None),
        ((0, 0), (0, 0), (0, 0), "4:4:4"),  # the decoder refuses it
    ],
)
def test_factors_that_few_encoders_write(
    luma: tuple[int, int], chroma: tuple[int, int], other: tuple[int, int], expected: str | None
) -> None:
    image = jpeg()
    image.layer = [(1, *luma, 0), (2, *chroma, 1), (3, *other, 1)]  # type: ignore[attr-defined]
    assert chroma_subsampling(image) == expected


@pytest.mark.parametrize("format_", ["PNG", "WEBP", "TIFF", "GIF"])
def test_other_formats_have_neither_quality_nor_subsampling(format_: str) -> None:
    file = io.BytesIO()
    jpeg().convert("RGB").save(file, format_)
    measures = measure_image(file.getvalue())
    assert (measures.jpeg_quality, measures.chroma_subsampling) == (None, None)


def test_both_are_columns_of_every_jpeg() -> None:
    file = io.BytesIO()
    jpeg().convert("RGB").save(file, "JPEG", quality=87, subsampling=1)
    measures = measure_image(file.getvalue())
    assert (measures.jpeg_quality, measures.chroma_subsampling) == (87, "4:2:2")
