"""Coded pictures: their bytes, bit depth and frames, whatever else is in the file."""

from __future__ import annotations

import io

import imagecodecs
import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from curate.errors import Reason
from curate.images.coded_picture import CodedPicture, first_gif_frame
from curate.images.decode import installed, open_image, open_picture, orientation
from tests.images.pictures import decode, encode, picture, reason_of, rgb8

PROFILE = bytes(4000)
XMP = b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/>'
VIDEO = b"\0\0\0\x18ftypmp42" + bytes(300_000)
METADATA = {
    "JPEG": {"icc_profile": PROFILE, "xmp": XMP},
    "PNG": {"icc_profile": PROFILE},
    "WEBP": {"icc_profile": PROFILE, "xmp": XMP},
    "TIFF": {"icc_profile": PROFILE, "tiffinfo": {700: XMP}},
    "AVIF": {"icc_profile": PROFILE, "xmp": XMP},
    "HEIF": {"icc_profile": PROFILE},
    "JXL": {"exif": b"Exif\0\0MM\0*" + bytes(4000)},
    "GIF": {"comment": bytes(4000)},
    "BMP": {},
    "JPEG2000": {"comment": "x" * 4000},
    "PPM": {},
}


def coded(data: bytes) -> CodedPicture:
    with open_picture(data) as (_, found):
        return found


@pytest.fixture(autouse=True)
def plugins() -> None:
    installed()


@pytest.mark.parametrize("format_", [name for name in METADATA if name != "JPEG2000"])
def test_metadata_and_trailing_bytes_are_no_part_of_the_picture(format_: str) -> None:
    if format_ in ("HEIF", "JXL"):
        pytest.importorskip("pillow_heif" if format_ == "HEIF" else "pillow_jxl")
    plain = encode(rgb8(), format_)
    alone = coded(plain).nbytes
    assert 0.9 * len(plain) - 800 < alone <= len(plain)
    larger = coded(encode(rgb8(), format_, **METADATA[format_])).nbytes
    assert abs(larger - alone) < 100
    if format_ not in ("JXL", "PPM"):  # whose end isn't marked
        assert coded(plain + VIDEO).nbytes == alone


def test_gain_map_behind_a_jpeg_is_no_part_of_it() -> None:
    primary, gain = encode(rgb8(), "JPEG"), encode(rgb8().convert("L"), "JPEG", quality=95)
    both = io.BytesIO()
    rgb8().save(both, "MPO", save_all=True, append_images=[rgb8()])
    assert coded(primary + gain).nbytes == len(primary)
    assert coded(both.getvalue()).nbytes < 1.01 * len(encode(rgb8(), "JPEG"))
    assert not coded(both.getvalue()).animated


@pytest.mark.parametrize("bits", [8, 10, 12])
def test_bit_depth_of_avif(bits: int) -> None:
    samples = picture(2**bits).astype(np.uint16 if bits > 8 else np.uint8)
    assert coded(imagecodecs.avif_encode(samples, bitspersample=bits)).bit_depth == bits


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_jpeg_2000_of_any_depth_is_that_of_the_reference_reader(bits: int) -> None:
    samples = picture(2**bits).astype(np.uint16 if bits > 8 else np.uint8)
    for shown in (samples, samples[..., 0]):
        data = imagecodecs.jpeg2k_encode(shown, bitspersample=bits, level=0)
        assert coded(data).bit_depth == bits
        reference = np.rint(imagecodecs.jpeg2k_decode(data) * (255 / (2**bits - 1)))
        expected = reference if shown.ndim == 3 else reference[..., None]
        assert np.abs(decode(data) - np.broadcast_to(expected, (*expected.shape[:2], 3))).max() <= 1


def test_jpeg_xl_shows_its_depth_and_frames() -> None:
    pytest.importorskip("pillow_jxl")
    for samples, bits in ((picture(2**16).astype(np.uint16), 16), (picture().astype(np.uint8), 8)):
        assert coded(imagecodecs.jpegxl_encode(samples, lossless=True)).bit_depth == bits
    still = picture().astype(np.uint8)
    moving = coded(imagecodecs.jpegxl_encode(np.stack([still, still[::-1]]), lossless=True))
    assert (moving.animated, moving.bit_depth) == (True, 8)


def test_animated_avif_is_no_still() -> None:
    still = picture().astype(np.uint8)
    assert coded(imagecodecs.avif_encode(np.stack([still, still[::-1]]))).animated
    assert not coded(encode(rgb8(), "AVIF")).animated


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_orientation_of_xmp_alone_does_not_turn(format_: str) -> None:
    options = dict(METADATA[format_])
    if format_ == "PNG":
        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", XMP.decode())
    with open_image(io.BytesIO(encode(rgb8(), format_, **options))) as image:
        image.load()
        assert (orientation(image), image.size) == (1, rgb8().size)


def test_first_frame_of_a_gif_is_decoded_without_the_others() -> None:
    frames = [rgb8().quantize(), Image.new("P", rgb8().size), Image.new("P", rgb8().size, 1)]
    moving = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    frame, animated = first_gif_frame(moving)
    assert animated
    assert np.array_equal(decode(frame), decode(moving))
    still = encode(frames[0], "GIF")
    assert first_gif_frame(still) == (still, False)


def test_gif_of_countless_blocks_is_refused() -> None:
    still = encode(rgb8().quantize(), "GIF")
    comment = b"\x21\xfe" + b"\1x" * 1_100_000 + b"\0"
    assert reason_of(still[:-1] + comment + b";") is Reason.TOO_COSTLY


def test_netpbm_of_any_kind_is_decoded() -> None:
    grey = rgb8().getchannel(0)
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    for image, bits in ((rgb8(), 8), (grey, 8), (deep, 16), (grey.point(lambda v: v > 99, "1"), 1)):
        data = encode(image, "PPM")
        assert coded(data).bit_depth == bits
        expected = rgb8() if image.mode == "RGB" else grey if bits > 1 else image
        assert np.array_equal(decode(data), np.asarray(expected.convert("RGB")))
    twelve = b"P5 # of 12 bits\n2 1 4095\n\x0f\xff\x08\x00"
    assert decode(twelve)[0, :, 0].tolist() == [255, 128]
    assert coded(twelve).bit_depth == 12
