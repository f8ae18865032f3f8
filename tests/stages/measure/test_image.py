import io
import struct
import zlib
from dataclasses import asdict

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import GifImagePlugin, Image, ImageCms, TiffImagePlugin

from curate.errors import ImageError, Reason
from curate.images.decode import installed
from curate.recipe import Measure
from curate.stages.measure import (
    Measures,
    bits_per_pixel,
    high_frequency_ratios,
    measure_image,
    perceptual_hash,
)
from curate.stages.measure import image as image_module
from curate.stages.measure.image import MAX_SIDE
from curate.stages.measure.shard import MeasureShard

ORIENTATION = 0x0112
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000")


def picture(height: int = 60, width: int = 84, seed: int = 0) -> Image.Image:
    """Smooth shapes, edges and noise: something of all that photographs have."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (7, 9, 3), dtype=np.uint8))
    smooth_HWC = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC), np.float64)
    smooth_HWC[height // 3 : height // 2, width // 4 : width // 2] *= 0.4
    return Image.fromarray(
        (smooth_HWC + rng.normal(0, 6, smooth_HWC.shape)).clip(0, 255).astype(np.uint8)
    )


def encode(image: Image.Image, format_: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format_, **options)
    return file.getvalue()


def exif(**tags: int) -> Image.Exif:
    written = Image.Exif()
    for name, value in tags.items():
        written[int(name.removeprefix("tag_"), 16)] = value
    return written


def reason_of(data: bytes, **options: int) -> Reason:
    with pytest.raises(ImageError) as caught:
        measure_image(data, **options)
    return caught.value.reason


@pytest.mark.parametrize("format_", FORMATS)
def test_facts_of_every_format_of_the_web(format_: str) -> None:
    data = encode(picture(60, 84), format_)
    measures = measure_image(data)
    assert (measures.format, measures.width, measures.height, measures.pixels) == (
        format_,
        84,
        60,
        84 * 60,
    )
    assert measures.bpp == 8 * measures.coded_nbytes / (84 * 60)
    assert (measures.orientation, measures.animated, measures.icc) == (1, False, False)
    assert measures.bit_depth == 8
    assert 0 < measures.hf_ratio < measures.hf_ratio_032 < 1
    assert (measures.jpeg_quality is not None) == (format_ == "JPEG")


@given(st.integers(1, 10**9), st.integers(1, 10**9))
def test_bpp_is_eight_bits_a_byte(nbytes: int, pixels: int) -> None:
    assert bits_per_pixel(nbytes, pixels) * pixels == pytest.approx(8 * nbytes)


def test_ratios_are_those_of_the_luma() -> None:
    image = picture()
    luma_HW = np.asarray(image.convert("L"))
    measures = measure_image(encode(image, "PNG"), cutoffs=[0.25, 0.7])
    expected = high_frequency_ratios(luma_HW, [0.5, 0.32, 0.25, 0.7])
    assert [measures.hf_ratio, measures.hf_ratio_032, *measures.cutoffs] == expected


@pytest.mark.parametrize("quality", [*range(1, 101, 6), 50, 75, 95, 98, 99, 100])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_quality_of_a_jpeg_is_what_it_was_saved_with(quality: int, mode: str) -> None:
    assert (
        measure_image(encode(picture(8, 8).convert(mode), "JPEG", quality=quality)).jpeg_quality
        == quality
    )


@pytest.mark.parametrize(
    "options", [{"subsampling": s} for s in (0, 1, 2)] + [{"progressive": True}], ids=str
)
def test_every_kind_of_jpeg(options: dict[str, int]) -> None:
    measures = measure_image(encode(picture(), "JPEG", quality=83, **options))
    assert (measures.format, measures.mode, measures.jpeg_quality) == ("JPEG", "RGB", 83)


def test_foreign_quantisation_tables_get_the_nearest_quality() -> None:
    with Image.open(io.BytesIO(encode(picture(8, 8), "JPEG", quality=80))) as image:
        tables = [
            [*image.quantization[0][:50], *(1 + value for value in image.quantization[0][50:])]
        ]
    assert measure_image(encode(picture(8, 8), "JPEG", qtables=tables)).jpeg_quality in (79, 80)
    assert measure_image(encode(picture(8, 8), "JPEG", qtables=[[255] * 64])).jpeg_quality == 1


@pytest.mark.parametrize(
    ("image", "format_", "mode", "depth"),
    [
        (picture().convert("1"), "PNG", "1", 1),
        (picture().quantize(4), "PNG", "P", 2),
        (picture().quantize(16), "PNG", "P", 4),
        (picture().quantize(200), "PNG", "P", 8),
        (picture().convert("LA"), "PNG", "LA", 8),
        (picture().convert("RGBA"), "PNG", "RGBA", 8),
        (Image.fromarray(np.asarray(picture().convert("L"), np.uint16) * 257), "PNG", "I;16", 16),
        (Image.fromarray(np.asarray(picture().convert("L"), np.uint16) * 257), "TIFF", "I;16", 16),
        (picture().convert("1"), "TIFF", "1", 1),
        (picture().convert("CMYK"), "JPEG", "CMYK", 8),
        (picture().convert("CMYK"), "TIFF", "CMYK", 8),
        (picture().convert("L"), "JPEG", "L", 8),
        (Image.new("RGBA", (9, 7), (200, 100, 0, 128)), "WEBP", "RGBA", 8),
        (picture().quantize(16), "BMP", "P", 8),
        (picture().convert("YCbCr"), "TIFF", "YCbCr", 8),
        (Image.new("LAB", (9, 7)), "TIFF", "LAB", 8),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_modes_and_bit_depths(image: Image.Image, format_: str, mode: str, depth: int) -> None:
    measures = measure_image(encode(image, format_))
    assert (measures.mode, measures.bit_depth) == (mode, depth)


def test_measures_of_16_bits_equal_measures_of_8() -> None:
    grey = picture().convert("L")
    deep = Image.fromarray(np.asarray(grey, np.uint16) * 257)
    eight = measure_image(encode(grey, "PNG"))
    for format_ in ("PNG", "TIFF"):
        sixteen = measure_image(encode(deep, format_))
        assert (sixteen.hf_ratio, sixteen.phash) == (eight.hf_ratio, eight.phash)


def test_transparent_pixels_are_white() -> None:
    # noise that nobody sees must not count as texture
    hidden = picture().convert("RGBA")
    hidden.putalpha(0)
    for format_ in ("PNG", "WEBP"):
        assert (
            measure_image(
                encode(hidden, format_, **({"lossless": True} if format_ == "WEBP" else {}))
            ).hf_ratio
            < 1e-20
        )


@pytest.mark.parametrize("kind", [TiffImagePlugin.TiffImageFile, GifImagePlugin.GifImageFile])
def test_frames_are_not_counted(kind: type[Image.Image], monkeypatch: pytest.MonkeyPatch) -> None:
    # that takes minutes for a TIFF of a few megabytes, as Pillow compares each directory with all
    # before it
    monkeypatch.setattr(kind, "n_frames", property(lambda _: pytest.fail("they are counted")))
    data = encode(
        picture(),
        kind.format or "",
        save_all=True,
        append_images=[picture(seed=1), picture(seed=2)],
    )
    assert measure_image(data).animated


def test_several_frames_are_animated() -> None:
    frames = [picture(seed=seed) for seed in range(3)]
    for format_ in ("GIF", "WEBP", "PNG"):
        measures = measure_image(
            encode(frames[0], format_, save_all=True, append_images=frames[1:])
        )
        assert (measures.format, measures.animated) == (format_, True)
        assert not measure_image(encode(frames[0], format_)).animated


def test_an_mpo_is_a_jpeg_with_a_preview() -> None:
    measures = measure_image(
        encode(picture(), "MPO", save_all=True, append_images=[picture(30, 42)])
    )
    assert (measures.format, measures.animated, measures.width) == ("JPEG", False, 84)


def test_a_profile_is_noticed() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for format_ in ("JPEG", "PNG", "WEBP", "TIFF"):
        assert measure_image(encode(picture(), format_, icc_profile=profile)).icc
        assert not measure_image(encode(picture(), format_)).icc


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("format_", "mode"), [("PNG", "RGB"), ("PNG", "L"), ("TIFF", "RGB"), ("TIFF", "L")]
)
def test_orientation_turns_the_picture(orientation: int, format_: str, mode: str) -> None:
    upright = picture(60, 84).convert(mode)
    turn = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,  # stored turned left, to be shown turned right
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(turn[orientation]) if orientation > 1 else upright
    measures = measure_image(encode(stored, format_, exif=exif(tag_0112=orientation)))
    expected = measure_image(encode(upright, "PNG"))
    assert (measures.orientation, measures.width, measures.height) == (orientation, 84, 60)
    assert measures.phash == expected.phash
    assert measures.hf_ratio == pytest.approx(expected.hf_ratio, rel=1e-12)


@pytest.mark.parametrize("format_", ["JPEG", "WEBP", "AVIF"])
def test_orientation_of_lossy_formats(format_: str) -> None:
    measures = measure_image(encode(picture(60, 84), format_, exif=exif(tag_0112=6)))
    assert (measures.orientation, measures.width, measures.height, measures.pixels) == (
        6,
        60,
        84,
        60 * 84,
    )


def jpeg_with_exif(body: bytes) -> bytes:
    segment = b"Exif\0\0" + body
    data = encode(picture(60, 84), "JPEG")
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + data[2:]


def tiff_directory(*entries: tuple[int, int, int, bytes]) -> bytes:
    """Return a little-endian TIFF header and directory: (tag, type, count, value or offset)."""
    rows = b"".join(struct.pack("<HHI4s", *entry) for entry in entries)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + rows + bytes(4)


TURNED = (ORIENTATION, 3, 1, struct.pack("<HH", 6, 0))


@pytest.mark.parametrize(
    ("body", "orientation"),
    [
        (b"no header at all", 1),
        (b"", 1),
        (tiff_directory((ORIENTATION, 3, 1, struct.pack("<HH", 9, 0))), 1),
        (tiff_directory((ORIENTATION, 3, 1, struct.pack("<HH", 0, 0))), 1),
        (tiff_directory((ORIENTATION, 2, 4, b"6\0\0\0")), 1),
        (tiff_directory((ORIENTATION, 3, 2, struct.pack("<HH", 6, 6))), 6),
        (tiff_directory((ORIENTATION, 11, 1, struct.pack("<f", 6))), 6),
        (tiff_directory((ORIENTATION, 5, 1, struct.pack("<I", 26))) + struct.pack("<II", 6, 1), 6),
        (tiff_directory((ORIENTATION, 5, 1, struct.pack("<I", 26))) + struct.pack("<II", 6, 0), 1),
        (tiff_directory(TURNED, (0x010E, 11, 1, struct.pack("<f", 1.5))), 6),
        (tiff_directory(TURNED, (0x8769, 4, 1, struct.pack("<I", 2**31))), 6),
        (tiff_directory(TURNED, (0x8825, 3, 2, struct.pack("<HH", 1, 2))), 6),
    ],
)
def test_odd_exif_makes_no_image_unusable(body: bytes, orientation: int) -> None:
    measures = measure_image(jpeg_with_exif(body))
    assert type(measures.orientation) is int
    assert measures.orientation == orientation
    assert (measures.width, measures.height) == ((60, 84) if orientation == 6 else (84, 60))


@pytest.mark.parametrize("format_", FORMATS)
def test_half_a_file_is_damaged(format_: str) -> None:
    data = encode(picture(), format_)
    assert reason_of(data[: len(data) // 2]) in (Reason.DECODE_FAILED, Reason.FORMAT_UNSUPPORTED)


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_an_image_cut_in_its_pixels_is_damaged(format_: str) -> None:
    data = encode(picture(), format_)
    keep = 0.9 if format_ != "TIFF" else 0.5
    assert reason_of(data[: int(keep * len(data))]) is Reason.DECODE_FAILED


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"<!doctype html><html><body>404 not found</body></html>",
        b'{"error": "no such image"}',
        b"\xff\xd8\xff",
        b"\x89PNG\r\n\x1a\n",
        b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
    ],
)
def test_bytes_that_are_no_image_are_unsupported(data: bytes) -> None:
    assert reason_of(data) in (Reason.FORMAT_UNSUPPORTED, Reason.DECODE_FAILED)


@pytest.mark.parametrize("format_", ["EPS", "PCX", "TGA", "ICO", "PDF", "SGI", "IM"])
def test_formats_outside_the_web_are_unsupported(format_: str) -> None:
    # EPS is a programme that Ghostscript would run
    assert reason_of(encode(picture(64, 64), format_)) is Reason.FORMAT_UNSUPPORTED


def test_too_many_pixels_are_refused_by_the_header() -> None:
    header = encode(Image.new("L", (4000, 3000)), "PNG")[:60]  # none of its pixels are there
    assert reason_of(header, max_pixels=4000 * 3000 - 1) is Reason.TOO_MANY_PIXELS
    assert reason_of(header, max_pixels=4000 * 3000) is Reason.DECODE_FAILED


@pytest.mark.parametrize("format_", ["PNG", "WEBP", "GIF", "JPEG", "TIFF", "AVIF"])
def test_large_picture_of_next_to_no_bytes_is_refused_before_decoding(
    format_: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = encode(Image.new("L" if format_ != "AVIF" else "RGB", (16, 16)), format_)
    monkeypatch.setattr(image_module, "_LARGE", 100)
    monkeypatch.setattr(image_module, "_LEAST_BITS", 8 * len(small) / 256 + 0.1)
    monkeypatch.setattr(image_module, "to_luma", None)  # not to be asked
    assert reason_of(small) is Reason.TOO_COSTLY


def test_large_picture_of_enough_bytes_is_measured() -> None:
    flat = encode(Image.new("1", (5000, 4000)), "PNG")
    assert reason_of(flat) is Reason.TOO_COSTLY
    assert measure_image(encode(picture(600, 840), "JPEG")).pixels == 600 * 840


def test_a_decompression_bomb_is_too_many_pixels() -> None:
    size = struct.pack(">II", 60_000, 60_000)
    bomb = bytearray(encode(Image.new("1", (8, 8)), "PNG"))
    bomb[16:24] = size
    bomb[29:33] = struct.pack(">I", zlib.crc32(bytes(bomb[12:29])))
    assert reason_of(bytes(bomb)) is Reason.TOO_MANY_PIXELS


def hamming(a: int, b: int) -> int:
    return (a ^ b).bit_count()


def test_hash_survives_recompression_and_resizing() -> None:
    for seed in range(8):
        image = picture(300, 420, seed)
        original = measure_image(encode(image, "PNG")).phash
        assert 0 <= original < 2**64
        assert hamming(original, measure_image(encode(image, "JPEG", quality=60)).phash) <= 4
        assert hamming(original, measure_image(encode(image, "WEBP", quality=60)).phash) <= 4
        assert hamming(original, measure_image(encode(image.resize((380, 270)), "PNG")).phash) <= 4
        assert hamming(original, measure_image(encode(image.convert("L"), "PNG")).phash) <= 2


def test_hashes_of_different_pictures_lie_far_apart() -> None:
    hashes = [measure_image(encode(picture(seed=seed), "PNG")).phash for seed in range(12)]
    assert min(hamming(a, b) for i, a in enumerate(hashes) for b in hashes[:i]) > 10


def test_hash_by_hand() -> None:
    # one slow wave from left to right has DC and the first coefficient of row 0
    x = np.arange(32)
    wave = (128 + 100 * np.cos(np.pi * (x + 0.5) / 32)).round().astype(np.uint8)
    bits = f"{perceptual_hash(np.tile(wave, (32, 1))):064b}"
    assert bits[0] == "1"  # DC
    assert bits[1] == "1"  # one half wave across
    assert set(bits[8:]) <= {"0"}  # nothing from top to bottom


def test_half_of_the_coefficients_lie_over_their_median() -> None:
    for seed in range(5):
        assert perceptual_hash(np.asarray(picture(seed=seed).convert("L"))).bit_count() == 32


def test_hash_of_one_level_has_dc_only() -> None:
    assert {perceptual_hash(np.full((50, 70), level, np.uint8)) for level in (1, 77, 128, 255)} == {
        1 << 63
    }
    assert perceptual_hash(np.zeros((50, 70), np.uint8)) == 0


# Any bytes give measures that fit their table, or a reason, so that the run goes on

HOSTILE = settings(deadline=None, derandomize=True, max_examples=120)
VICTIMS = {
    **{
        format_: encode(picture(24, 20), format_)
        for format_ in (*FORMATS, "HEIF", "JXL")
        if format_ in installed()
    },
    "EXIF": jpeg_with_exif(
        tiff_directory(TURNED, (0x8769, 4, 1, struct.pack("<I", 38)), (0x0102, 3, 1, b"\x08\0\0\0"))
    ),
    "APNG": encode(picture(24, 20), "PNG", save_all=True, append_images=[picture(24, 20, 1)]),
    "MPO": encode(picture(24, 20), "MPO", save_all=True, append_images=[picture(12, 10)]),
    "JPEG in TIFF": encode(picture(24, 20), "TIFF", compression="jpeg"),
    "16 bit": encode(
        Image.fromarray(np.asarray(picture(24, 20).convert("L"), np.uint16) * 257), "PNG"
    ),
    "palette": encode(picture(24, 20).quantize(16), "PNG", transparency=3),
}


def survive(data: bytes) -> None:
    try:
        measures = measure_image(data, max_pixels=10**6)
    except ImageError:
        return
    assert isinstance(measures, Measures)
    pa.Table.from_pylist([asdict(measures)], schema=MeasureShard(Measure()).schema)


@HOSTILE
@given(st.sampled_from(sorted(VICTIMS)), st.data())
def test_changed_bytes_raise_nothing_but_image_errors(victim: str, data: st.DataObject) -> None:
    changed = bytearray(VICTIMS[victim])
    # headers are where the harm is
    places = st.one_of(st.integers(0, min(200, len(changed) - 1)), st.integers(0, len(changed) - 1))
    for place, value in data.draw(
        st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=12)
    ):
        changed[place] = value
    survive(bytes(changed))


@HOSTILE
@given(st.sampled_from(sorted(VICTIMS)), st.data())
def test_cut_and_spliced_files_raise_nothing_but_image_errors(
    victim: str, data: st.DataObject
) -> None:
    whole = VICTIMS[victim]
    start, stop = sorted(data.draw(st.tuples(*[st.integers(0, len(whole))] * 2)))
    survive(
        whole[:start]
        + data.draw(st.sampled_from([b"", whole, b"\xff" * 40, bytes(40)]))
        + whole[stop:]
    )
    survive(whole[:stop])


@HOSTILE
@given(st.sampled_from([b"", *(data[:16] for data in VICTIMS.values())]), st.binary(max_size=300))
def test_random_bytes_raise_nothing_but_image_errors(magic: bytes, rest: bytes) -> None:
    survive(magic + rest)


def test_a_line_longer_than_any_jpeg_is_not_transformed() -> None:
    buffer = io.BytesIO()
    Image.new("L", (MAX_SIDE + 1, 1)).save(buffer, "PNG")
    with pytest.raises(ImageError) as caught:
        measure_image(buffer.getvalue())
    assert caught.value.reason is Reason.TOO_MANY_PIXELS


def test_a_known_format_with_a_broken_header_is_damaged() -> None:
    with pytest.raises(ImageError) as caught:
        measure_image(b"\x89PNG\r\n\x1a\n" + b"\0" * 40)
    assert caught.value.reason is Reason.DECODE_FAILED
