from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms, PngImagePlugin

from curate.errors import CurateError
from curate.images import encode
from curate.images.decode import open_image, to_rgb
from curate.images.encode import encode_picture, holds_alpha, writable_format
from curate.images.picture_facts import PictureFacts, read_facts
from curate.manifest.export.images import to_png

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b"""<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/"
 xmlns:dc="http://purl.org/dc/elements/1.1/"
 xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" xmlns:exif="http://ns.adobe.com/exif/1.0/"
 xmlns:Container="http://ns.google.com/photos/1.0/container/"
 tiff:Orientation="6" tiff:Artist="J\xc3\xbcrgen" hdrgm:Version="1.0" exif:PixelXDimension="9">
<dc:title>Quay &amp; sea</dc:title><tiff:BitsPerSample>16</tiff:BitsPerSample>
<Container:Directory><rdf:Seq/></Container:Directory>
</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>"""
LOSSLESS = ["PNG", "TIFF", "BMP", "JPEG2000", "PPM", "TGA"]
LOSSY = ["JPEG", "WEBP", "AVIF"]


def draw(mode: str = "RGB", size: tuple[int, int] = (60, 40)) -> Image.Image:
    ramp = np.linspace(0, 255, size[0] * size[1] * 3).reshape(size[1], size[0], 3)
    image = Image.fromarray(ramp.astype(np.uint8)).convert(mode)
    if mode in ("LA", "RGBA"):
        image.putalpha(Image.linear_gradient("L").resize(size))
    return image


def reopen(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def facts_of(image: Image.Image, format_: str, **options: object) -> PictureFacts:
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    with open_image(buffer) as opened:
        return read_facts(opened)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
@pytest.mark.parametrize("format_", LOSSLESS + LOSSY)
def test_encode_of_each_mode_gives_the_picture_back(format_: str, mode: str) -> None:
    image = draw(mode)
    read = reopen(encode_picture(image, format_))
    assert (read.format, read.size) == (format_, image.size)
    distance = np.abs(np.asarray(to_rgb(read), int) - np.asarray(to_rgb(image), int))
    assert distance.max() <= (0 if format_ in LOSSLESS else 24)
    if holds_alpha(format_) and mode in ("LA", "RGBA"):
        alpha = np.asarray(read.convert("RGBA").getchannel("A"), int)
        assert np.abs(alpha - np.asarray(image.getchannel("A"), int)).max() <= 3


@pytest.mark.parametrize("format_", LOSSLESS + LOSSY)
@pytest.mark.parametrize("size", [(1, 1), (3, 2), (1, 70)])
def test_encode_of_tiny_pictures_gives_them_back(format_: str, size: tuple[int, int]) -> None:
    assert reopen(encode_picture(draw(size=size), format_)).size == size


@pytest.mark.parametrize("format_", LOSSY)
def test_encode_of_noise_passes_its_own_comparison(format_: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert encode_picture(Image.fromarray(noise), format_)


def test_encode_of_jpeg_at_the_lowest_quality_passes_its_own_comparison() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert encode_picture(Image.fromarray(noise), "JPEG", quality=1, subsampling="4:2:0")


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize(
    ("space", "mode", "kept"),
    [
        (b"RGB ", "RGB", True),
        (b"CMYK", "RGB", False),
        (b"GRAY", "RGB", False),
        (b"Lab ", "RGB", False),
        (b"RGB ", "L", False),
        (b"GRAY", "L", True),
    ],
)
def test_encode_keeps_a_profile_of_the_colour_space_of_the_pixels_written(
    format_: str, space: bytes, mode: str, kept: bool
) -> None:
    profile = SRGB[:16] + space + SRGB[20:]
    read = reopen(encode_picture(draw(mode), format_, PictureFacts(profile=profile)))
    if format_ in ("WEBP", "AVIF") and mode == "L":
        kept = space == b"RGB "  # such files hold colours
    assert (read.info.get("icc_profile") == profile) is kept


def test_encode_takes_nothing_from_what_the_image_knows_of_its_file() -> None:
    buffer = io.BytesIO()
    draw("CMYK").save(buffer, "TIFF", icc_profile=SRGB, tiffinfo={270: "old"}, dpi=(300, 300))
    with Image.open(buffer) as opened:
        converted = opened.convert("RGB")
    for format_ in ("PNG", "JPEG", "TIFF", "WEBP"):
        read = reopen(encode_picture(converted, format_))
        assert not {"icc_profile", "exif", "xmp"} & set(read.info)
        assert read.info.get("dpi") in (None, (1, 1))
    stale = draw()
    stale.info["transparency"] = (0, 0, 0)
    assert "transparency" not in reopen(encode_picture(stale, "PNG")).info


@pytest.mark.parametrize("length", [1_000, 70_000, 3 * 65_533, 500_000])
def test_encode_of_jpeg_holds_profiles_of_any_length(length: int) -> None:
    profile = SRGB.ljust(length, b"\0")
    data = encode_picture(draw(), "JPEG", PictureFacts(profile=profile, xmp=b"<x/>"), quality=90)
    read = reopen(data)
    assert read.info["icc_profile"] == profile
    assert read.info["xmp"] == b"<x/>"
    assert data[2:4] == b"\xff\xe0", "JFIF comes first"


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "TIFF", "BMP", "WEBP", "AVIF"])
def test_encode_keeps_the_resolution(format_: str) -> None:
    read = reopen(encode_picture(draw(), format_, PictureFacts(dpi=(300, 150))))
    if format_ in ("WEBP", "AVIF"):
        exif = read.getexif()
        found = (exif[282], exif[283])
        assert exif[296] == 2
    else:
        found = read.info["dpi"]
    assert found == pytest.approx((300, 150), abs=0.02)


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "TIFF", "WEBP", "AVIF"])
def test_encode_keeps_exif_and_xmp_less_what_they_say_of_the_old_file(format_: str) -> None:
    exif = Image.Exif()
    exif.update({270: "J\u00fcrgen's quay", 271: "Camera", 274: 6, 282: 72.0, 256: 9, 262: 5})
    exif[ExifTags.IFD.Exif] = {0x829A: 0.5, 0xA002: 9, 0xA003: 9, 0x927C: b"maker" * 9}
    exif[ExifTags.IFD.GPSInfo] = {1: "N", 2: (48.0, 8.0, 0.0)}
    facts = facts_of(draw(), "JPEG", exif=exif, xmp=XMP)
    read = reopen(encode_picture(draw(), format_, facts))
    found = read.getexif()
    assert found[271] == "Camera"
    assert 274 not in found
    if format_ != "TIFF":  # which has such tags of its own
        assert not {256, 262} & set(found)
    assert found.get_ifd(ExifTags.IFD.Exif) == {0x829A: 0.5}
    assert found.get_ifd(ExifTags.IFD.GPSInfo)[2] == (48.0, 8.0, 0.0)
    xmp = read.info["xmp"]
    xmp = xmp.encode() if isinstance(xmp, str) else xmp
    assert "J\u00fcrgen" in xmp.decode()
    assert b"Quay &amp; sea" in xmp and xmp.startswith(b"<?xpacket begin")
    for name in (b"Orientation", b"hdrgm:Version", b"PixelX", b"BitsPerSample", b"Directory"):
        assert name not in xmp


@pytest.mark.parametrize("format_", ["PNG", "TIFF", "JPEG"])
def test_facts_of_text_beyond_ascii_stay_byte_for_byte(format_: str) -> None:
    exif = Image.Exif()
    exif[315] = "J\u00fcrgen \u65e5\u672c".encode()
    facts = facts_of(draw(), "JPEG", exif=exif)
    read = reopen(encode_picture(draw(), format_, facts)).getexif()
    assert read[315].encode("latin-1").decode() == "J\u00fcrgen \u65e5\u672c"


@pytest.mark.parametrize(
    "xmp",
    [
        b"no XML",
        b"<x>",
        b"\xff\xfe<x/>",
        b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><x>&b;</x>',
        b"",
    ],
)
def test_facts_of_bad_xmp_are_left_out(xmp: bytes) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", xmp.decode("latin-1"))
    assert facts_of(draw(), "PNG", pnginfo=info).xmp == b""


def test_facts_of_tiff_are_upright_and_without_its_layout() -> None:
    facts = facts_of(draw("CMYK"), "TIFF", tiffinfo={274: 6, 270: "quay"}, dpi=(300, 150))
    assert facts.dpi == (150, 300), "turned with the picture"
    exif = Image.Exif()
    exif.load(facts.exif)
    assert dict(exif) == {270: "quay"}
    assert facts_of(draw(), "TIFF").dpi is None


def test_encode_of_metadata_that_no_segment_holds_keeps_the_rest() -> None:
    exif = Image.Exif()
    exif[270] = "x" * 70_000
    facts = PictureFacts(profile=SRGB, exif=exif.tobytes(), xmp=b"<x>" + b" " * 70_000 + b"</x>")
    read = reopen(encode_picture(draw(), "JPEG", facts))
    assert read.info["icc_profile"] == SRGB
    assert not {"exif", "xmp"} & set(read.info)


def test_encode_drops_facts_that_break_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    write = encode._write

    def spoil(bare, format_, container, facts, options):
        data = write(bare, format_, container, facts, options)
        return data[:60] if facts.exif else data

    monkeypatch.setattr(encode, "_write", spoil)
    facts = PictureFacts(profile=SRGB, exif=Image.Exif().tobytes())
    assert reopen(encode_picture(draw(), "PNG", facts)).info["icc_profile"] == SRGB


def test_encode_with_facts_that_turn_the_picture_leaves_them_out() -> None:
    read = reopen(encode_picture(draw(), "JPEG", PictureFacts(profile=SRGB, xmp=XMP)))
    assert "xmp" not in read.info, "it has an orientation"
    assert read.info["icc_profile"] == SRGB


@pytest.mark.parametrize("format_", ["PNG", "JPEG"])
def test_encode_refuses_a_file_that_gives_another_picture(
    monkeypatch: pytest.MonkeyPatch, format_: str
) -> None:
    other = draw().rotate(180)

    def write(bare, format_, container, facts, options):
        buffer = io.BytesIO()
        other.save(buffer, format_)
        return buffer.getvalue()

    monkeypatch.setattr(encode, "_write", write)
    with pytest.raises(CurateError, match=f"can't be written as {format_}: .* read again; choose"):
        encode_picture(draw(), format_)


def test_encode_of_sides_that_a_format_cannot_hold_says_so() -> None:
    with pytest.raises(CurateError, match=r"can't be written as WEBP: .*choose another format"):
        encode_picture(draw("L", (16_400, 1)), "WEBP")


@pytest.mark.parametrize(
    ("name", "format_"),
    [("a.png", "PNG"), ("a.JPG", "JPEG"), ("a.tif", "TIFF"), ("a.pdf", None), ("a.eps", None)]
    + [("a.gif", None), ("a.ico", None), ("a", None)],
)
def test_writable_format_is_one_that_can_be_opened_again(name: str, format_: str | None) -> None:
    assert writable_format(Path(name)) == format_


def test_png_of_an_export_has_no_profile_of_the_old_colours() -> None:
    buffer = io.BytesIO()
    draw("CMYK").save(buffer, "JPEG", icc_profile=SRGB[:16] + b"CMYK" + SRGB[20:])
    with open_image(buffer) as opened:
        converted = to_rgb(opened)
    assert "icc_profile" not in reopen(to_png(converted.crop((0, 0, 30, 20)))).info
    converted.info["icc_profile"] = SRGB
    assert reopen(to_png(converted)).info["icc_profile"] == SRGB
