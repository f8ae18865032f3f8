import io
import warnings

import numpy as np
import pytest
from PIL import Image

from curate.errors import ImageError, Reason
from curate.images.decode import FORMATS, MAX_PIXELS, open_image, orientation, to_luma, to_rgb


def noise(height: int = 9, width: int = 14, channels: int = 3) -> np.ndarray:
    shape = (height, width) if channels == 1 else (height, width, channels)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def encode(image: Image.Image, format_: str = "PNG", **options: object) -> io.BytesIO:
    file = io.BytesIO()
    image.save(file, format_, **options)
    file.seek(0)
    return file


def turned(value: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


def rgb_of(image: Image.Image, format_: str = "PNG", **options: object) -> np.ndarray:
    with open_image(encode(image, format_, **options)) as opened:
        return np.asarray(to_rgb(opened))


def luma_of(image: Image.Image, format_: str = "PNG", **options: object) -> np.ndarray:
    with open_image(encode(image, format_, **options)) as opened:
        return to_luma(opened)


def test_luma_is_itu_r_601_rounded_as_pillow_does() -> None:
    rgb_HWC = noise(40, 50).astype(np.float64)
    expected = rgb_HWC @ [0.299, 0.587, 0.114]
    assert np.abs(luma_of(Image.fromarray(noise(40, 50))) - expected).max() <= 0.51


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16"])
def test_luma_is_that_of_the_rgb(mode: str) -> None:
    image = Image.fromarray(noise(12, 17))
    image = (
        Image.fromarray(noise(12, 17, 1).astype(np.uint16) * 257)
        if mode == "I;16"
        else image.convert(mode)
    )
    format_ = "TIFF" if mode in ("CMYK", "YCbCr") else "PNG"
    rgb = Image.fromarray(rgb_of(image, format_))
    assert np.array_equal(luma_of(image, format_), np.asarray(rgb.convert("L")))


def test_sixteen_bits_become_eight() -> None:
    eight = noise(channels=1)
    sixteen = Image.fromarray(eight.astype(np.uint16) * 257)
    assert np.array_equal(luma_of(sixteen, "TIFF"), eight)
    assert np.array_equal(rgb_of(sixteen, "TIFF"), np.stack([eight] * 3, axis=2))
    grey = Image.fromarray(np.array([[0, 128, 129, 65535]], np.uint16))
    assert luma_of(grey).tolist() == [[0, 0, 1, 255]]


def test_transparency_lies_over_white() -> None:
    rgba_HWC = np.dstack([noise(), np.array([0, 255] * 63, np.uint8).reshape(9, 14)])
    expected = np.where(rgba_HWC[..., 3:] == 0, 255, rgba_HWC[..., :3])
    assert np.array_equal(rgb_of(Image.fromarray(rgba_HWC)), expected)
    half = Image.new("RGBA", (2, 1), (100, 0, 200, 128))
    assert rgb_of(half)[0, 0].tolist() == pytest.approx([177, 127, 227], abs=1)


def test_a_transparent_colour_lies_over_white() -> None:
    assert rgb_of(Image.new("RGB", (2, 1), (9, 8, 7)), transparency=(9, 8, 7)).tolist() == [
        [[255] * 3] * 2
    ]
    assert luma_of(Image.new("L", (2, 1), 9), transparency=9).tolist() == [[255, 255]]
    palette = Image.new("P", (2, 1), 1)
    palette.putpalette([0, 0, 0, 50, 60, 70])
    assert rgb_of(palette, transparency=1).tolist() == [[[255] * 3] * 2]


@pytest.mark.parametrize("format_", ["PNG", "TIFF"])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "I;16"])
@pytest.mark.parametrize("value", range(1, 9))
def test_all_orientations_come_out_upright(format_: str, mode: str, value: int) -> None:
    upright = (
        noise(channels=1).astype(np.uint16) * 257
        if mode == "I;16"
        else np.asarray(Image.fromarray(noise()).convert(mode))
    )
    # the stored picture of each orientation, after table 6 of the EXIF standard
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: upright.swapaxes(0, 1)[::-1],
        7: upright.swapaxes(0, 1)[::-1, ::-1],
        8: upright.swapaxes(0, 1)[:, ::-1],
    }[value]
    image = Image.fromarray(np.ascontiguousarray(stored))
    assert np.array_equal(
        rgb_of(image, format_, exif=turned(value)), rgb_of(Image.fromarray(upright))
    )
    assert np.array_equal(
        luma_of(image, format_, exif=turned(value)), luma_of(Image.fromarray(upright))
    )


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_invalid_orientations_are_1(value: int) -> None:
    with open_image(encode(Image.fromarray(noise()), exif=turned(value))) as image:
        assert orientation(image) == 1
        assert to_rgb(image).size == (14, 9)


def test_animations_show_their_first_frame() -> None:
    frames = [Image.fromarray(np.full((4, 5), level, np.uint8)) for level in (10, 200)]
    for format_, options in (("GIF", {}), ("WEBP", {"lossless": True}), ("PNG", {})):
        luma = luma_of(frames[0], format_, save_all=True, append_images=frames[1:], **options)
        assert np.unique(luma).tolist() == [10]


def test_pixels_remain_after_the_file_is_closed() -> None:
    with open_image(encode(Image.fromarray(noise(channels=1)))) as image:
        luma, rgb = to_luma(image), to_rgb(image)
    assert luma.tolist() == noise(channels=1).tolist()
    assert np.asarray(rgb)[..., 0].tolist() == noise(channels=1).tolist()


def test_header_access_decodes_no_pixels() -> None:
    data = encode(Image.fromarray(noise(300, 300))).getvalue()
    with open_image(io.BytesIO(data[:100])) as image:
        assert image.size == (300, 300)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", Reason.FORMAT_UNSUPPORTED),
        (b"<html></html>", Reason.FORMAT_UNSUPPORTED),
        (
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n",
            Reason.FORMAT_UNSUPPORTED,
        ),
        (encode(Image.fromarray(noise(300, 300))).getvalue()[:5000], Reason.DECODE_FAILED),
        (encode(Image.fromarray(noise(300, 300)), "JPEG").getvalue()[:5000], Reason.DECODE_FAILED),
    ],
)
def test_undecodable_files_have_a_reason(data: bytes, reason: Reason) -> None:
    with pytest.raises(ImageError) as caught, open_image(io.BytesIO(data)) as image:
        to_rgb(image)
    assert caught.value.reason is reason


def test_jpeg_of_too_many_scans_is_refused() -> None:
    buffer = io.BytesIO()
    Image.radial_gradient("L").save(buffer, "JPEG", progressive=True, quality=95)
    data = buffer.getvalue()
    lead, last = data[:-2], data[data.rindex(b"\xff\xda") : -2]
    comment = b"\xff\xfe\x10\x02" + b"\xff\xda" * 0x800  # what looks like scans, and is a comment
    with open_image(io.BytesIO(data[:2] + comment + data[2:] + b"\xff\xda" * 600)) as image:
        assert to_luma(image).shape == (256, 256)
    with open_image(io.BytesIO(lead + last * 50 + b"\xff\xd9")) as image:
        image.load()
    with (
        pytest.raises(ImageError, match="scans of 256 x 256 pixels") as refused,
        open_image(io.BytesIO(lead + last * 600)),
    ):
        pass
    assert refused.value.reason == Reason.TOO_COSTLY


def test_an_image_error_within_the_block_keeps_its_reason() -> None:
    with pytest.raises(ImageError) as caught, open_image(encode(Image.fromarray(noise()))):
        raise ImageError(Reason.TOO_MANY_PIXELS, "by the caller's own limit")
    assert caught.value.reason is Reason.TOO_MANY_PIXELS


def test_open_image_allows_up_to_max_pixels() -> None:
    # Pillow warns at half of what it refuses
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        header = bytearray(encode(Image.new("L", (20_000, 6_000))).getvalue()[:60])
        with open_image(io.BytesIO(header)) as image:
            assert MAX_PIXELS / 2 < image.width * image.height < MAX_PIXELS


def test_formats_are_those_that_are_fetched() -> None:
    from curate.images.file_format import EXTENSIONS

    assert set(FORMATS) == set(EXTENSIONS)


def test_jpeg_2000_whose_samples_fill_the_memory_is_refused() -> None:
    data = bytearray(encode(Image.fromarray(noise()), "JPEG2000", no_jp2=True).getvalue())
    # SIZ: sides of the picture and of its tile
    for at, side in ((8, 2**13), (12, 2**13), (24, 2**13), (28, 2**13)):
        data[at : at + 4] = side.to_bytes(4)
    with pytest.raises(ImageError) as refused, open_image(io.BytesIO(bytes(data))):
        pass
    assert refused.value.reason is Reason.TOO_COSTLY
