"""Header parser: its facts are right or None, and no bytes make it raise."""

import base64
import io
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from curate.images.header import Header, read_header
from tests.site.hostile import late_size_jpeg

SIZE = (70, 45)

# from libheif and libjxl, 70 x 45 pixels; the HEIF has a clap property, the JXLs are bare and in
# boxes
HEIF_CROPPED = base64.b64decode(
    "AAAAGGZ0eXBoZWljAAAAAG1pZjFoZWljAAABfW1ldGEAAAAAAAAAIWhkbHIAAAAAAAAAAHBpY3QAAAAAAAAAAAAAAAAA"
    "AAAAImlsb2MAAAAAREAAAQABAAAAAAGdAAEAAAAAAAAAKQAAACNpaW5mAAAAAAABAAAAFWluZmUCAAAAAAEAAGh2YzEA"
    "AAAADnBpdG0AAAAAAAEAAAD9aXBycAAAAN1pcGNvAAAAdmh2Y0MBA3AAAACQAAAAAAAe8AD8/fj4AAAPA2AAAQAYQAEM"
    "Af//A3AAAAMAkAAAAwAAAwAeugJAYQABACpCAQEDcAAAAwCQAAADAAADAB6gJIEHXlurkprm4CGgwIAAAAyAAAADAIRi"
    "AAEABkQBwXPBiQAAABNjb2xybmNseAABAA0ABoAAAAAUaXNwZQAAAAAAAABGAAAAQAAAAChjbGFwAAAARgAAAAEAAAAt"
    "AAAAAQAAAAAAAAAC////7QAAAAIAAAAQcGl4aQAAAAADCAgIAAAAGGlwbWEAAAAAAAAAAQABBYECAwWEAAAAMW1kYXQA"
    "AAAlKAGv"
)
HEIF = HEIF_CROPPED.replace(b"clap", b"free")
JXL = base64.b64decode(
    "/wpgAYoMABOIAgAsAbWfIAAAFSqjjBu8nOv58kOHxbSN6wxttW1hCWOzvTBICIAL7mLJuxivKSw7BkCIAYHA0A01kgNA"
    "+Sim0QMpABXfrSSlcwb9"
    "bStJAA=="
)
JXL_IN_BOXES = b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\x14ftypjxl \0\0\0\0jxl \0\0\0\0jxlp\0\0\0\0" + JXL


def save(
    format_: str,
    size: tuple[int, int] = SIZE,
    frames: int = 1,
    mode: str = "RGB",
    **options: object,
) -> bytes:
    images = [Image.effect_noise(size, 20 + 9 * i).convert(mode) for i in range(frames)]
    file = io.BytesIO()
    more = {"save_all": True, "append_images": images[1:]} if frames > 1 else {}
    images[0].save(file, format_, **more, **options)
    return file.getvalue()


def turned_bmp() -> bytes:
    """Rows from the top: a negative height."""
    data = bytearray(save("BMP"))
    data[22:26] = (-SIZE[1]).to_bytes(4, "little", signed=True)
    return bytes(data)


def bmp_of_os2() -> bytes:
    return b"BM" + bytes(12) + (12).to_bytes(4, "little") + b"\x46\0\x2d\0\x01\0\x18\0"


SEEDS = {
    "jpeg": save("JPEG"),
    "jpeg, progressive": save(
        "JPEG", progressive=True, exif=b"Exif\0\0" + bytes(3000), icc_profile=bytes(40_000)
    ),
    "jpeg, filled": save("JPEG").replace(b"\xff\xdb", b"\xff\xff\xff\xdb", 1),
    "png": save("PNG"),
    "png, palette": save("PNG", mode="P", icc_profile=bytes(3000)),
    "gif": save("GIF"),
    "webp, lossy": save("WEBP"),
    "webp, lossless": save("WEBP", lossless=True),
    "webp, extended": save("WEBP", exif=b"Exif\0\0" + bytes(100), mode="RGBA"),
    "bmp": save("BMP"),
    "bmp, from the top": turned_bmp(),
    "bmp of OS/2": bmp_of_os2(),
    "tiff": save("TIFF"),
    "tiff, LZW": save("TIFF", compression="tiff_lzw"),
    "bigtiff": save("TIFF", big_tiff=True),
    "avif": save("AVIF"),
    "jxl": JXL,
    "jxl in boxes": JXL_IN_BOXES,
}
ANIMATED = {
    "gif": save("GIF", frames=3),
    "png": save("PNG", frames=3),
    "webp": save("WEBP", frames=3),
    "tiff": save("TIFF", frames=3),
}


@pytest.mark.parametrize("name", SEEDS)
def test_size_and_frames_of_a_whole_file(name: str) -> None:
    header = read_header(SEEDS[name])
    assert (header.width, header.height, header.animated) == (*SIZE, False)


@pytest.mark.parametrize("name", ANIMATED)
def test_animations(name: str) -> None:
    header = read_header(ANIMATED[name])
    assert (header.width, header.height, header.animated) == (*SIZE, True)


@pytest.mark.parametrize(
    "size", [(1, 1), (3, 1000), (1000, 3), (640, 480), (1024, 1024), (4097, 2)]
)
@pytest.mark.parametrize("format_", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF"])
def test_sizes_are_those_that_a_decoder_finds(format_: str, size: tuple[int, int]) -> None:
    for data in (save(format_, size), save(format_, size)[: 1 << 14]):
        header = read_header(data)
        assert header.format == format_
        if (
            len(data) < 1 << 14 or format_ != "TIFF"
        ):  # Pillow puts a TIFF's directory first, but others don't
            assert (header.width, header.height) == size


def test_heif_has_the_size_of_its_primary_item_unless_cropped() -> None:
    assert read_header(HEIF) == Header("HEIF", 70, 64, None)
    assert read_header(HEIF_CROPPED) == Header("HEIF", None, None, None)


def test_avif_of_several_items_has_the_size_of_the_primary_one() -> None:
    header = read_header(save("AVIF", mode="RGBA"))  # alpha is an item of its own
    assert (header.width, header.height, header.animated) == (*SIZE, False)


def test_frames_of_a_sequence_are_left_to_the_decoder() -> None:
    assert read_header(save("AVIF", frames=3)).animated is None
    one = save("WEBP", frames=3)
    assert read_header(one[: one.index(b"ANMF") + 8]).animated is None


def test_a_gif_may_have_a_frame_larger_than_its_screen() -> None:
    data = bytearray(save("GIF"))
    data[6:10] = b"\x01\0\x01\0"
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        assert image.size == SIZE
    assert (read_header(bytes(data)).width, read_header(bytes(data)).height) == SIZE


def test_a_size_of_zero_is_no_size() -> None:
    data = SEEDS["jpeg"]
    at = data.index(b"\xff\xc0") + 5
    assert (
        read_header(data[:at] + b"\0\0" + data[at + 2 :]).height is None
    )  # told by a DNL marker, after the scan


def test_jpeg_frame_header_after_a_megabyte_is_found() -> None:
    data = late_size_jpeg(1_000_000)
    assert read_header(data) == Header("JPEG", 64, 64, False)
    assert read_header(data[: 1 << 18]) == Header("JPEG", None, None, False)


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xd8\xff", b"<!doctype html>", b"GIF89a", b"RIFF\0\0\0\0WEBP", bytes(64)]
)
def test_header_of_truncated_file_has_no_size(data: bytes) -> None:
    header = read_header(data)
    assert (header.width, header.height) == (None, None)


@pytest.mark.parametrize("data", [*SEEDS.values(), *ANIMATED.values(), HEIF, HEIF_CROPPED])
def test_shorter_head_gives_fewer_facts_and_no_others(data: bytes) -> None:
    whole = read_header(data)
    for length in [*range(0, min(len(data), 600)), *range(600, len(data), 997)]:
        header = read_header(data[:length])
        for name in ("width", "height", "animated"):
            assert getattr(header, name) in (None, getattr(whole, name)), length


@given(
    st.sampled_from([*SEEDS.values(), *ANIMATED.values(), HEIF, HEIF_CROPPED]),
    st.integers(0, 2**32),
    st.integers(0, 20),
    st.one_of(st.none(), st.integers(0, 700)),
)
def test_changed_files_raise_nothing(
    seed: bytes, number: int, changes: int, cut: int | None
) -> None:
    rng = random.Random(number)
    data = bytearray(seed[:4000])
    for _ in range(changes):
        at = rng.randrange(min(len(data), rng.choice([16, 64, 512, 4000])))
        data[at] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)])
    if changes and rng.random() < 0.3:  # a piece twice, or missing
        at, length = rng.randrange(len(data)), rng.randrange(1, 64)
        data[at : at + rng.choice([0, length])] = data[at : at + length]
    header = read_header(bytes(data[:cut]))
    assert (header.width is None) == (header.height is None)
    assert header.width is None or (0 < header.width < 1 << 64 and 0 < header.height < 1 << 64)


@given(st.binary(max_size=400), st.sampled_from([data[:32] for data in (*SEEDS.values(), HEIF)]))
def test_noise_after_a_valid_beginning_raises_nothing(noise: bytes, beginning: bytes) -> None:
    for length in (4, 12, 16, 32):
        read_header(beginning[:length] + noise)
