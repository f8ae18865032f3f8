"""Measures of every format of the web, against pixels by formula and plain sums."""

import base64
import io
import struct
import sys
import zlib
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image, ImageCms

from curate.errors import ImageError, Reason
from curate.images import decode
from curate.images.file_format import HEAD, sniff
from curate.images.header import read_header
from curate.stages.measure import Measures, measure_image

HEIGHT, WIDTH = 45, 70


def picture(levels: int = 256) -> np.ndarray:
    """Return waves, an edge and hashed grain: (45, 70, 3) of whole numbers below `levels`.

    They are the same on every machine.
    """
    y, x, c = np.mgrid[:HEIGHT, :WIDTH, :3]
    waves = 110 + 50 * np.sin(x / (5 + c)) + 40 * np.cos(y / 7 + c) - 45 * ((x // 16 + y // 12) % 2)
    grain = (x * 7919 + y * 104_729 + c * 1_299_709) % 31
    return ((waves + grain).clip(0, 255) * levels / 256).astype(np.int64)


def luma(rgb_HWC: np.ndarray) -> np.ndarray:
    """Return the ITU-R BT.601 luma in 16 bits of fraction, rounded; one channel stays as it is."""
    if rgb_HWC.ndim == 2:
        return rgb_HWC
    red, green, blue = np.moveaxis(rgb_HWC.astype(np.int64), 2, 0)
    return (19_595 * red + 38_470 * green + 7_471 * blue + 2**15) >> 16


def ratio(luma_HW: np.ndarray, cutoff: str) -> float:
    """Return the ratio by eqs. (3) to (6) in float64 over the whole plane."""
    height, width = luma_HW.shape
    power = np.abs(np.fft.fft2(luma_HW.astype(np.float64))) ** 2
    u, v = np.ogrid[:height, :width]
    u, v = np.minimum(u, height - u), np.minimum(v, width - v)
    beyond = u**2 + v**2 > Fraction(cutoff) ** 2 * (height**2 + width**2) / 4
    return float(power[beyond].sum() / power.sum())


def hold(data: bytes, luma_HW: np.ndarray, format_: str, rel: float = 1e-6) -> Measures:
    """Return the file's measures, after checking them against this luma and its header."""
    measures = measure_image(data)
    assert measures.format == format_ == sniff(data[:HEAD])
    assert (measures.height, measures.width) == luma_HW.shape
    assert measures.pixels == luma_HW.size
    assert measures.bpp == 8 * measures.coded_nbytes / luma_HW.size
    assert 0 < measures.coded_nbytes <= len(data)
    assert measures.hf_ratio == pytest.approx(ratio(luma_HW, "0.5"), rel=rel)
    assert measures.hf_ratio_032 == pytest.approx(ratio(luma_HW, "0.32"), rel=rel)
    header = read_header(data)
    assert header.format == format_
    if header.width is not None:
        assert {header.width, header.height} == {measures.width, measures.height}
    assert header.animated in (None, measures.animated)
    return measures


def encode(image: Image.Image, format_: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format_, **options)
    return file.getvalue()


def rgb8() -> Image.Image:
    return Image.fromarray(picture().astype(np.uint8))


def over_white(samples: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Return samples over white, for alpha of 0 or 255 only."""
    return np.where(alpha == 0, 255, samples)


STRIPES = np.indices((HEIGHT, WIDTH))[1] // 9 % 2 * 255
"""Alpha that hides every other stripe."""


# --- PNG, by a writer of our own

ADAM7 = (
    (0, 0, 8, 8),
    (0, 4, 8, 8),
    (4, 0, 8, 4),
    (0, 2, 4, 4),
    (2, 0, 4, 2),
    (0, 1, 2, 2),
    (1, 0, 2, 1),
)
"""First row, first column, step of rows, step of columns of each pass."""


def png(
    samples: np.ndarray, depth: int, colour: int, *, interlaced: bool = False, extra: bytes = b""
) -> bytes:
    """A PNG of samples (height, width) or (height, width, channels), each below 2**depth."""
    rows = b""
    for top, left, down, across in ADAM7 if interlaced else ((0, 0, 1, 1),):
        for row in samples[top::down, left::across]:
            bits = (row.reshape(-1, 1) >> np.arange(depth)[::-1] & 1).astype(np.uint8)
            rows += b"\0" + np.packbits(bits).tobytes()
    height, width = samples.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + extra
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND")
    )


def chunk(kind: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


@pytest.mark.parametrize("interlaced", [False, True], ids=["", "Adam7"])
@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_grey_png(depth: int, interlaced: bool) -> None:
    samples = picture(2**depth)[..., 0]
    eight = np.round(samples * 255 / (2**depth - 1))
    assert hold(png(samples, depth, 0, interlaced=interlaced), eight, "PNG").bit_depth == depth


@pytest.mark.parametrize("interlaced", [False, True], ids=["", "Adam7"])
@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_palette_png(depth: int, interlaced: bool) -> None:
    colours = np.array([[i * 37 % 256, i * 91 % 256, 255 - i] for i in range(2**depth)])
    samples = picture(2**depth)[..., 1]
    palette = chunk(b"PLTE", colours.astype(np.uint8).tobytes())
    measures = hold(
        png(samples, depth, 3, interlaced=interlaced, extra=palette), luma(colours[samples]), "PNG"
    )
    assert (measures.mode, measures.bit_depth) == ("P", depth)


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_transparent_entries_of_a_palette(depth: int) -> None:
    colours = np.array([[i * 37 % 256, i * 91 % 256, 255 - i] for i in range(2**depth)])
    samples = picture(2**depth)[..., 1]
    extra = chunk(b"PLTE", colours.astype(np.uint8).tobytes()) + chunk(
        b"tRNS", b"\0"
    )  # the first is hidden
    shown = colours.copy()
    shown[0] = 255
    hold(png(samples, depth, 3, extra=extra), luma(shown[samples]), "PNG")


@pytest.mark.parametrize("interlaced", [False, True], ids=["", "Adam7"])
def test_colour_png(interlaced: bool) -> None:
    hold(png(picture(), 8, 2, interlaced=interlaced), luma(picture()), "PNG")
    deep = picture(2**16)
    eight = np.round(deep / 257)
    assert hold(png(deep, 16, 2, interlaced=interlaced), luma(eight), "PNG").bit_depth == 16


@pytest.mark.parametrize("depth", [8, 16])
def test_png_with_alpha(depth: int) -> None:
    samples, alpha = picture(2**depth), STRIPES * (2**depth - 1) // 255
    shown = over_white(np.round(samples * 255 / (2**depth - 1)), STRIPES[..., None])
    hold(png(np.dstack([samples, alpha]), depth, 6), luma(shown), "PNG")
    hold(png(np.dstack([samples[..., 0], alpha]), depth, 4), shown[..., 0], "PNG")


def test_half_transparent_samples_are_blended() -> None:
    alpha = picture()[..., 2]
    blended = np.round((picture() * alpha[..., None] + 255 * (255 - alpha[..., None])) / 255)
    hold(png(np.dstack([picture(), alpha]), 8, 6), luma(blended), "PNG")


def test_a_transparent_colour_of_a_png() -> None:
    samples = picture()[..., 0]
    hidden = int(samples[0, 0])
    extra = chunk(b"tRNS", bytes([0, hidden]))
    hold(png(samples, 8, 0, extra=extra), np.where(samples == hidden, 255, samples), "PNG")


# --- JPEG

# 440 and 411, which Pillow can't write; 70 x 45 pixels, by libjpeg-turbo
JPEG_440 = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAUDBAQEAwUEBAQFBQUGBwwIBwcHBw8LCwkMEQ8SEhEPERETFhwXExQaFRER"
    "GCEYGh0dHx8fExciJCIeJBweHx7/2wBDAQUFBQcGBw4ICA4eFBEUHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4e"
    "Hh4eHh4eHh4eHh4eHh4eHh4eHh7/wAARCAAtAEYDARIAAhEBAxEB/8QAHwAAAQUBAQEBAQEAAAAAAAAAAAECAwQFBgcI"
    "CQoL/8QAtRAAAgEDAwIEAwUFBAQAAAF9AQIDAAQRBRIhMUEGE1FhByJxFDKBkaEII0KxwRVS0fAkM2JyggkKFhcYGRol"
    "JicoKSo0NTY3ODk6Q0RFRkdISUpTVFVWV1hZWmNkZWZnaGlqc3R1dnd4eXqDhIWGh4iJipKTlJWWl5iZmqKjpKWmp6ip"
    "qrKztLW2t7i5usLDxMXGx8jJytLT1NXW19jZ2uHi4+Tl5ufo6erx8vP09fb3+Pn6/8QAHwEAAwEBAQEBAQEBAQAAAAAA"
    "AAECAwQFBgcICQoL/8QAtREAAgECBAQDBAcFBAQAAQJ3AAECAxEEBSExBhJBUQdhcRMiMoEIFEKRobHBCSMzUvAVYnLR"
    "ChYkNOEl8RcYGRomJygpKjU2Nzg5OkNERUZHSElKU1RVVldYWVpjZGVmZ2hpanN0dXZ3eHl6goOEhYaHiImKkpOUlZaX"
    "mJmaoqOkpaanqKmqsrO0tba3uLm6wsPExcbHyMnK0tPU1dbX2Nna4uPk5ebn6Onq8vP09fb3+Pn6/9oADAMBAAIRAxEA"
    "PwDsvCmqL5KgEkegGB/np/Lua8m8LeNWMKl7POR/FP8A0x7/AK+rV47wE7nvKVOx7hqurAW5w46dF/Pr/X8fSvKNV8bt"
    "9mYixYjBOTNtH8vr/wDqArooYCZyV5U+p534t1T52HAOcc8n8v8APT0Bqh4t0VtzqNQJ68JB+Hr/AJ6etenHAVLHnxlT"
    "uc/FqQM+XcHP94/0/H/JNULfRGFxxfd+ojyfzz9T+vcV52LwM0j6LASpn0h4W1UYBBJ75J2j/P8AnsK8n8L+NGBXdZ9x"
    "1m5/LGO3+QK+VxGXzTPoeem4n0jb6sPIwGzx0Qfh/n8vWvKLbxs32cD7CSMY+abA/LH+c+prTB4CfMfJ5tOnZlPW9V4b"
    "DAH1zk/n+v69xVDW9Fcq3/ExJ/3YsD1659v69hX2+X4CdtT4ic6fOc5f6mBKSz85HU5P5dO3+QKoXuhv5hxfY9lgyfT+"
    "99P5etezUwE+U+ryWVO6PV7XVBt+6WGOhHH5f56+5rymHxgdpzZqc/3pS38h/nn1r5bG4GTkfpGFqUuQ2fCts/lrgAe/"
    "U/n+v69xXu/hXTMwrwT/ALvA/P8Az69hX1Eo0+p+MrGzseQataMIDu4P+11/Lp2/yBXu2qaUTbttQDjoq5Pp/h/L1rpo"
    "xp3OOvjZ2Pn/AMW2zZYbTjp83A/L/PX1PGL4u0kK7lgO/X5v8/8A1/cV6UY07HBHGzctzJhgcz8Enn+HgevX/Pr6Vjx6"
    "X/pGSnQ9W9vb8P09Bz5uLjTtofRYDGzLHha2kOMLj/dXJ9P8/l617v4X0vIUbSwHoMD/ADz+uO5r5XERpXPofrs+Q4KC"
    "1Ihy2Oh6ncf8/wCPqRXu1ppRMPAx0zt/Pr/X6n0rXCRpcx8lm2NnZs84122cBiVPHdj6e3+enoOcXWtJCgjAz6Yyev8A"
    "n9B2Nfb5fGnY+JnjJc+5i39u5cjDMB2AwP8APP8ATuax9Q0seYTsA925/wA9f19TXtTjT5T6vJsbO6ORt4pNpI4HtnH5"
    "j/P6V7nbaXkE/Nj13bB+f4f5AFfKY6FHm1P0jCYyageoeFvEKCJSdP6d2m9PbHt+noOeX8IyM0YAwCOMnn+LH+foPx+G"
    "lmUk7HzKy1Wud/qviJDbkfYCwA6CXA/l7/07muW1e5byDhQSR1Y57D/4r+frXTRzGZx1stTOW8WeDRubF8B67Yvqeuf1"
    "+p9K6DxncOjSFiWxnvj1/wDif5elelDMZuN0efHLlc8vh8GRi4x9uGc/88Mnr9fb+nY1vwTOZuyjdjAGPQf1/wA8583G"
    "ZlN3R9HgMtSNrwv4iT5T/Z4Hu02f6f5z6muW8JTFkDgYwAevPQnr/nqTXyuJzGXNY+heWpQuexQeIlMOfsBbjqZsD+Xt"
    "+noBXL207YCADOQMnnuf8P5enOuEzKcXqfJZrlqd7F7W/BoKsBfceiwYH8/0+g9a39fuGCncNxI7njnH/wAV/P1r7jLs"
    "wnZHxFTLo855be+DYhKf9OGc5+WLJ/PP+eT3Fb9/cPy5JxjOBx6n+n+cCvYnmMnE+sybLVF2Zz9t4jRAT9gVT0+acZ/V"
    "cD/62O1c1p5Z8gEL16Lnpj1/zxXy+OzGTnY/ScNlqUNT/9k="
)
JPEG_411 = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAUDBAQEAwUEBAQFBQUGBwwIBwcHBw8LCwkMEQ8SEhEPERETFhwXExQaFRER"
    "GCEYGh0dHx8fExciJCIeJBweHx7/2wBDAQUFBQcGBw4ICA4eFBEUHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4e"
    "Hh4eHh4eHh4eHh4eHh4eHh4eHh7/wAARCAAtAEYDAUEAAhEBAxEB/8QAHwAAAQUBAQEBAQEAAAAAAAAAAAECAwQFBgcI"
    "CQoL/8QAtRAAAgEDAwIEAwUFBAQAAAF9AQIDAAQRBRIhMUEGE1FhByJxFDKBkaEII0KxwRVS0fAkM2JyggkKFhcYGRol"
    "JicoKSo0NTY3ODk6Q0RFRkdISUpTVFVWV1hZWmNkZWZnaGlqc3R1dnd4eXqDhIWGh4iJipKTlJWWl5iZmqKjpKWmp6ip"
    "qrKztLW2t7i5usLDxMXGx8jJytLT1NXW19jZ2uHi4+Tl5ufo6erx8vP09fb3+Pn6/8QAHwEAAwEBAQEBAQEBAQAAAAAA"
    "AAECAwQFBgcICQoL/8QAtREAAgECBAQDBAcFBAQAAQJ3AAECAxEEBSExBhJBUQdhcRMiMoEIFEKRobHBCSMzUvAVYnLR"
    "ChYkNOEl8RcYGRomJygpKjU2Nzg5OkNERUZHSElKU1RVVldYWVpjZGVmZ2hpanN0dXZ3eHl6goOEhYaHiImKkpOUlZaX"
    "mJmaoqOkpaanqKmqsrO0tba3uLm6wsPExcbHyMnK0tPU1dbX2Nna4uPk5ebn6Onq8vP09fb3+Pn6/9oADAMBAAIRAxEA"
    "PwDsvCmqL5KgEkegGB/np/Lua19V1YC3OHHTov59f6/j6V8yeLdU+dhwDnHPJ/L/AD09Aa5CLUgZ8u4Of7x/p+P+Sa8W"
    "jF+ykex7JfWYH0D4W1UYBBJ75J2j/P8AnsK7m31YeRgNnjog/D/P5eteOa3qvDYYA+ucn8/1/XuK42/1MCUln5yOpyfy"
    "6dv8gVhw3F+0mTnVJf2jSPSLXVBt+6WGOhHH5f56+5ooorKrTlzy1e/kfpcKMXFar8TM8LeNWMKl7POR/FP/AEx7/r6t"
    "WzqvjdvszEWLEYJyZto/l9f/ANQFeWeLdFbc6jUCevCQfh6/56etchb6IwuOL7v1EeT+efqf17ivpqOE/dTPzL26+swO"
    "48L+NGBXdZ9x1m5/LGO3+QK7q28bN9nA+wkjGPmmwPyx/nPqaxNb0Vyrf8TEn/diwPXrn2/r2Fcbe6G/mHF9j2WDJ9P7"
    "30/l61jw3g/3lQnOq6/tGl8hYfGB2nNmpz/elLfyH+efWiiioqYX32fo0MRHlRs+FbZ/LXAA9+p/P9f17itjVrRhAd3B"
    "/wBrr+XTt/kCqvi22bLDacdPm4H5f56+p44+GBzPwSef4eB69f8APr6V9bRoL2Uj8a+tf7TAz/C1tIcYXH+6uT6f5/L1"
    "ruoLUiHLY6Hqdx/z/j6kV1+u2zgMSp47sfT2/wA9PQc8Xf27lyMMwHYDA/zz/Tuax4boL2kyc6xX/CjSPObeKTaSOB7Z"
    "x+Y/z+lFFFc9XCR9pLRb9j9Lp1/cX+aPrrwrpmYV4J/3eB+f+fXsK19U0om3bagHHRVyfT/D+XrXzL4u0kK7lgO/X5v8"
    "/wD1/cVyMel/6Rkp0PVvb2/D9PQc+jRqr2Uj8fUmsTE9/wDC+l5CjaWA9Bgf55/XHc13NppRMPAx0zt/Pr/X6n0rx7Wt"
    "JCgjAz6Yyev+f0HY1xuoaWPMJ2Ae7c/56/r6mseG6q9pMnOZNZjSPRbbS8gn5seu7YPz/D/IAooorOriI879ex+kQb5U"
    "eoeFvEKCJSdP6d2m9PbHt+noOdfVfESG3I+wFgB0EuB/L3/p3NeW+LPBo3Ni+A9dsX1PXP6/U+lcfD4MjFxj7cM5/wCe"
    "GT1+vt/Tsa8mjjP3Uj4dYZ/WYHc+F/ESfKf7PA92mz/T/OfU13MHiJTDn7AW46mbA/l7fp6AVi634NBVgL7j0WDA/n+n"
    "0HrXGXvg2ISn/ThnOfliyfzz/nk9xWHDeM/eTJzrDP8AtGl8hLbxGiAn7Aqnp804z+q4H/1sdqKKKyq4m9SXr3Z+l08N"
    "HlX+X/BN/wAIyM0YAwCOMnn+LH+foPx1tXuW8g4UEkdWOew/+K/n61W8Z3Do0hYlsZ749f8A4n+XpXHQTOZuyjdjAGPQ"
    "f1/zznzKNR+ykfLexj9ZgUPCUxZA4GMAHrz0J6/56k13VtO2AgAzkDJ57n/D+Xpz1uv3DBTuG4kdzxzj/wCK/n61xl/c"
    "Py5JxjOBx6n+n+cCseGqj9pMnOqMf7RpHnWnlnyAQvXouemPX/PFFFFTUqPnZ+kRoxsj/9k="
)


def decoded(data: bytes) -> np.ndarray:
    """Samples as the decoder gives them."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image)


@pytest.mark.parametrize(
    "data",
    [
        *(encode(rgb8(), "JPEG", quality=85, subsampling=s) for s in ("4:4:4", "4:2:2", "4:2:0")),
        JPEG_440,
        JPEG_411,
        encode(rgb8(), "JPEG", quality=85, progressive=True),
        encode(rgb8(), "JPEG", quality=85, restart_marker_blocks=2),
        encode(rgb8(), "JPEG", quality=85, keep_rgb=True),
    ],
    ids=["444", "422", "420", "440", "411", "progressive", "restart markers", "RGB"],
)
def test_colour_jpeg(data: bytes) -> None:
    hold(data, luma(decoded(data)), "JPEG")
    # and near the picture itself, as far as a lossy file can be
    assert measure_image(data).hf_ratio_032 == pytest.approx(
        ratio(luma(picture()), "0.32"), rel=0.25
    )


def test_stored_jpegs_have_the_subsampling_of_their_names() -> None:
    # component 1's sampling factors, in the frame header
    assert [data[data.index(b"\xff\xc0") + 11] for data in (JPEG_440, JPEG_411)] == [0x12, 0x41]


def test_grey_jpeg() -> None:
    data = encode(rgb8().convert("L"), "JPEG", quality=85)
    assert hold(data, decoded(data), "JPEG").mode == "L"


def cmyk_jpeg(transform: int | None) -> bytes:
    """Return a JPEG of four components: CMYK (0), YCCK (2), or without an Adobe marker (None)."""
    data = encode(
        Image.fromarray(np.dstack([picture(), picture()[..., :1] // 3]).astype(np.uint8), "CMYK"),
        "JPEG",
    )
    start = data.index(b"\xff\xee\0\x0eAdobe")
    marker = b"" if transform is None else data[start : start + 15] + bytes([transform])
    return data[:start] + marker + data[start + 16 :]


@pytest.mark.parametrize("transform", [None, 0, 2])
def test_cmyk_jpeg(transform: int | None) -> None:
    # inverted, as Adobe's are, which Pillow takes them to be without a marker too
    stored = 255 - decoded(cmyk_jpeg(0)).astype(np.float64)
    if transform == 2:
        y, cb, cr = stored[..., 0], stored[..., 1] - 128, stored[..., 2] - 128
        rgb = np.dstack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb]).clip(
            0, 255
        )
        light = np.dstack([255 - rgb, stored[..., 3:]])
    else:
        light = stored
    expected = luma(np.round(light[..., :3] * light[..., 3:] / 255))
    measures = hold(cmyk_jpeg(transform), expected, "JPEG", rel=1e-6 if transform != 2 else 1e-2)
    assert measures.mode == "CMYK"


# --- the other formats


def grey16() -> np.ndarray:
    return picture(2**16)[..., 0].astype(np.uint16)


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_tiff(compression: str | None) -> None:
    hold(encode(rgb8(), "TIFF", compression=compression), luma(picture()), "TIFF")
    hold(encode(rgb8().getchannel(0), "TIFF", compression=compression), picture()[..., 0], "TIFF")
    eight = np.round(grey16() / 257)
    assert (
        hold(
            encode(Image.fromarray(grey16()), "TIFF", compression=compression), eight, "TIFF"
        ).bit_depth
        == 16
    )


def test_tiff_of_other_kinds() -> None:
    rgba = Image.fromarray(np.dstack([picture(), STRIPES]).astype(np.uint8))
    hold(encode(rgba, "TIFF"), luma(over_white(picture(), STRIPES[..., None])), "TIFF")
    bits = picture(2)[..., 0]
    assert (
        hold(encode(Image.fromarray(bits.astype(bool)), "TIFF"), bits * 255, "TIFF").bit_depth == 1
    )
    inks = np.dstack([picture(), picture()[..., :1] // 3])
    light = 255 - inks
    cmyk = Image.fromarray(inks.astype(np.uint8), "CMYK")
    hold(encode(cmyk, "TIFF"), luma(np.round(light[..., :3] * light[..., 3:] / 255)), "TIFF")


def test_bmp() -> None:
    hold(encode(rgb8(), "BMP"), luma(picture()), "BMP")
    hold(encode(rgb8().getchannel(1), "BMP"), picture()[..., 1], "BMP")
    bits = picture(2)[..., 0]
    hold(encode(Image.fromarray(bits.astype(bool)), "BMP"), bits * 255, "BMP")


def test_the_first_frame_of_a_gif() -> None:
    grey, other = rgb8().getchannel(1), Image.new("L", (WIDTH, HEIGHT), 9)
    assert not hold(encode(grey, "GIF"), picture()[..., 1], "GIF").animated
    assert hold(
        encode(grey, "GIF", save_all=True, append_images=[other]), picture()[..., 1], "GIF"
    ).animated
    hidden = int(picture()[0, 0, 1])
    expected = np.where(picture()[..., 1] == hidden, 255, picture()[..., 1])
    hold(encode(grey, "GIF", transparency=hidden), expected, "GIF")


def test_webp() -> None:
    hold(encode(rgb8(), "WEBP", lossless=True), luma(picture()), "WEBP")
    rgba = Image.fromarray(np.dstack([picture(), STRIPES]).astype(np.uint8))
    shown = luma(over_white(picture(), STRIPES[..., None]))
    hold(encode(rgba, "WEBP", lossless=True), shown, "WEBP")
    lossy = encode(rgb8(), "WEBP", quality=80)
    hold(lossy, luma(decoded(lossy)), "WEBP")
    assert measure_image(lossy).hf_ratio_032 == pytest.approx(
        ratio(luma(picture()), "0.32"), rel=0.4
    )


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0", "4:0:0"])
def test_avif(subsampling: str) -> None:
    data = encode(rgb8(), "AVIF", quality=90, subsampling=subsampling)
    hold(data, luma(decoded(data)), "AVIF")
    assert measure_image(data).hf_ratio_032 == pytest.approx(
        ratio(luma(picture()), "0.32"), rel=0.25
    )
    rgba = encode(
        Image.fromarray(np.dstack([picture(), STRIPES]).astype(np.uint8)), "AVIF", quality=100
    )
    hold(rgba, luma(over_white(decoded(rgba)[..., :3], STRIPES[..., None])), "AVIF")


def test_jpeg_2000() -> None:
    hold(encode(rgb8(), "JPEG2000"), luma(picture()), "JPEG2000")
    hold(encode(rgb8().getchannel(0), "JPEG2000", no_jp2=True), picture()[..., 0], "JPEG2000")


# --- formats of plugins

LOSSLESS_HEIF = {"quality": -1, "chroma": 444, "matrix_coefficients": 0}


@pytest.fixture
def heif() -> None:
    pytest.importorskip("pillow_heif")
    decode.installed()


@pytest.fixture
def jxl() -> None:
    pytest.importorskip("pillow_jxl")
    decode.installed()


def turned(value: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = value
    return exif.tobytes()


@pytest.mark.usefixtures("heif")
def test_heif() -> None:
    hold(encode(rgb8(), "HEIF", **LOSSLESS_HEIF), luma(picture()), "HEIF")
    hold(encode(rgb8().getchannel(0), "HEIF", **LOSSLESS_HEIF), picture()[..., 0], "HEIF")
    rgba = Image.fromarray(np.dstack([picture(), STRIPES]).astype(np.uint8))
    hold(
        encode(rgba, "HEIF", **LOSSLESS_HEIF),
        luma(over_white(picture(), STRIPES[..., None])),
        "HEIF",
    )
    lossy = encode(rgb8(), "HEIF", quality=90)
    assert hold(lossy, luma(decoded(lossy)), "HEIF").bit_depth == 8
    deep = encode(Image.fromarray(grey16()), "HEIF", quality=90)
    assert hold(deep, np.round(decoded(deep) / 257), "HEIF").bit_depth == 10


@pytest.mark.usefixtures("heif")
@pytest.mark.parametrize("value", range(1, 9))
def test_heif_is_turned_once(value: int) -> None:
    # the plugin writes the turn as HEIF's own, and EXIF repeats it
    data = encode(rgb8(), "HEIF", exif=turned(value), **LOSSLESS_HEIF)
    expected = luma(picture())
    assert hold(data, expected if value < 5 else expected.T, "HEIF").orientation == 1


@pytest.mark.usefixtures("jxl")
def test_jpeg_xl() -> None:
    hold(encode(rgb8(), "JXL", lossless=True), luma(picture()), "JXL")
    hold(encode(rgb8(), "JXL", lossless=True, use_container=True), luma(picture()), "JXL")
    hold(encode(rgb8().getchannel(0), "JXL", lossless=True), picture()[..., 0], "JXL")
    hold(encode(Image.fromarray(grey16()), "JXL", lossless=True), np.round(grey16() / 257), "JXL")
    rgba = Image.fromarray(np.dstack([picture(), STRIPES]).astype(np.uint8))
    shown = over_white(picture(), STRIPES[..., None])
    hold(encode(rgba, "JXL", lossless=True), luma(shown), "JXL")
    grey = Image.fromarray(np.dstack([picture()[..., 0], STRIPES]).astype(np.uint8), "LA")
    hold(encode(grey, "JXL", lossless=True), shown[..., 0], "JXL")
    lossy = encode(rgb8(), "JXL", quality=80)
    hold(lossy, luma(decoded(lossy)), "JXL")


@pytest.mark.usefixtures("jxl")
def test_jpeg_xl_is_turned_by_its_decoder(tmp_path) -> None:  # type: ignore[no-untyped-def]
    # EXIF in a JPEG XL only repeats; a JPEG that was packed into one is as it was
    assert (
        hold(
            encode(rgb8(), "JXL", lossless=True, exif=turned(6)), luma(picture()), "JXL"
        ).orientation
        == 1
    )
    jpeg = encode(rgb8(), "JPEG", quality=90, exif=turned(6))
    (tmp_path / "turned.jpg").write_bytes(jpeg)
    with Image.open(tmp_path / "turned.jpg") as image:
        packed = encode(image, "JXL", lossless_jpeg=True)
    assert hold(packed, luma(decoded(jpeg)).T, "JXL").orientation == 6


@pytest.mark.usefixtures("jxl")
def test_jpeg_xl_bomb_is_not_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    from pillow_jxl import JpegXLImagePlugin

    # a bare codestream whose size header says 2**30 x 2**30 and which holds nothing else
    bits = "0" + "11" + f"{2**30 - 1:030b}"[::-1] + "000" + "11" + f"{2**30 - 1:030b}"[::-1]
    packed = np.packbits([int(bit) for bit in bits], bitorder="little").tobytes()
    monkeypatch.setattr(JpegXLImagePlugin, "Decoder", None)  # not to be asked
    for data, reason in (
        (b"\xff\x0a" + packed + bytes(20), Reason.TOO_MANY_PIXELS),
        (b"\xff\x0a", Reason.DECODE_FAILED),
    ):
        with pytest.raises(ImageError) as caught:
            measure_image(data)
        assert caught.value.reason is reason


@pytest.mark.parametrize(("format_", "module"), [("HEIF", "pillow_heif"), ("JXL", "pillow_jxl")])
def test_a_format_without_its_plugin_is_unsupported(
    format_: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = {
        "HEIF": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
        "JXL": b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\x14ftypjxl ",
    }[format_]
    Image.init()
    monkeypatch.delitem(Image.OPEN, format_, raising=False)
    monkeypatch.setitem(sys.modules, module, None)
    decode.installed.cache_clear()
    try:
        with pytest.raises(
            ImageError, match=r"pip install 'curate-restoration\[formats\]'"
        ) as caught:
            measure_image(head + bytes(50))
    finally:
        decode.installed.cache_clear()
    assert caught.value.reason is Reason.FORMAT_UNSUPPORTED


# --- what is not to change the numbers


def test_a_profile_is_recorded_and_not_applied() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    for format_, options in (("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True})):
        assert hold(
            encode(rgb8(), format_, icc_profile=profile, **options), luma(picture()), format_
        ).icc


@pytest.mark.parametrize("value", range(1, 9))
@pytest.mark.parametrize(
    ("format_", "options"),
    [("JPEG", {}), ("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {}), ("AVIF", {})],
)
def test_exif_turns(format_: str, options: dict[str, object], value: int) -> None:
    data = encode(rgb8(), format_, exif=turned(value), **options)
    plain = luma(decoded(encode(rgb8(), format_, **options)))
    assert hold(data, plain if value < 5 else plain.T, format_).orientation == value
