from __future__ import annotations

import io
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from curate.cli import app
from curate.errors import RestoreError
from curate.images.decode import to_rgb
from curate.restore import Restored, restore_files, restore_image
from curate.restore.checkpoints.checkpoint import load_model
from curate.restore.data.degradations import generator, parse_degradation
from curate.restore.inference.restore_image import restore_array
from curate.runtime import describe_failure
from tests.restore.samples import draw, encode


def test_one_broken_file_does_not_stop_the_others(checkpoint: Path, tmp_path: Path) -> None:
    source = tmp_path / "in"
    (source / "deep").mkdir(parents=True)
    (source / "a.png").write_bytes(encode(draw(0)))
    (source / "b.jpg").write_bytes(encode(draw(1), "JPEG")[:300])
    (source / "deep/c.webp").write_bytes(encode(draw(2), "WEBP"))
    (source / "deep/d.gif").write_bytes(encode(draw(2), "GIF"))
    (source / "notes.txt").write_text("no picture")
    seen: list[tuple[int, int, Restored]] = []
    out = tmp_path / "out"
    results = restore_files(checkpoint, [source], out, progress=lambda *args: seen.append(args))
    assert [(r.source.name, r.output) for r in results] == [
        ("a.png", out / "a.png"),
        ("b.jpg", None),
        ("c.webp", out / "deep/c.webp"),
        ("d.gif", out / "deep/d.png"),
    ]
    assert results[1].error.startswith("can't be read: decode_failed")
    assert sorted(p.name for p in out.rglob("[!.]*.*")) == ["a.png", "c.webp", "d.png"]
    assert [(done, total) for done, total, _ in seen] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert np.array_equal(
        np.asarray(Image.open(out / "a.png")), np.asarray(restore_image(checkpoint, draw(0)))
    )


@pytest.mark.parametrize("error", [struct.error("short"), MemoryError(), RecursionError("deep")])
def test_restore_with_unforeseen_error_names_the_picture_and_does_the_others(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    for n in range(3):
        (tmp_path / f"{n}.png").write_bytes(encode(draw(n)))

    def restore(model: object, image: np.ndarray, **options: object) -> np.ndarray:
        if np.array_equal(image, draw(1)):
            raise error
        return image

    monkeypatch.setattr("curate.restore.inference.restore_files.restore_array", restore)
    results = restore_files(checkpoint, [tmp_path], tmp_path / "out")
    assert [result.output is None for result in results] == [False, True, False]
    assert results[1].error == describe_failure(error)


def test_restore_interrupted_stops(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.png").write_bytes(encode(draw(0)))

    def restore(*_: object, **__: object) -> np.ndarray:
        raise KeyboardInterrupt

    monkeypatch.setattr("curate.restore.inference.restore_files.restore_array", restore)
    with pytest.raises(KeyboardInterrupt):
        restore_files(checkpoint, [tmp_path], tmp_path / "out")


def test_exif_colour_profile_and_transparency_stay(checkpoint: Path, tmp_path: Path) -> None:
    image = Image.fromarray(draw(0))
    image.putalpha(Image.fromarray(draw(1)[..., 0]))
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "Camera", 6
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image.save(tmp_path / "in.png", exif=exif, icc_profile=profile)
    restore_files(checkpoint, [tmp_path / "in.png"], tmp_path / "out.webp")
    with Image.open(tmp_path / "out.webp") as out:
        assert (out.format, out.mode, out.size) == ("WEBP", "RGBA", (60, 72)), "turned upright"
        assert out.getexif()[0x010F] == "Camera"
        assert 0x0112 not in out.getexif(), "turned only once"
        assert out.info["icc_profile"] == profile
        alpha = np.asarray(out.getchannel("A"))
    assert np.array_equal(alpha, np.rot90(draw(1)[..., 0], -1))
    restore_files(checkpoint, [tmp_path / "in.png"], tmp_path / "out.jpg")
    with Image.open(tmp_path / "out.jpg") as out:
        assert (out.format, out.mode) == ("JPEG", "RGB")


@pytest.mark.parametrize(
    ("mode", "space", "kept"),
    [("L", b"GRAY", True), ("RGB", b"GRAY", False), ("CMYK", b"CMYK", False)],
)
def test_a_profile_stays_where_it_fits(
    checkpoint: Path, tmp_path: Path, mode: str, space: bytes, kept: bool
) -> None:
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[16:20] = space
    Image.fromarray(draw(0)).convert(mode).save(tmp_path / "in.tif", icc_profile=bytes(profile))
    restore_files(checkpoint, [tmp_path / "in.tif"], tmp_path / "out.png")
    with Image.open(tmp_path / "out.png") as out:
        assert ("icc_profile" in out.info) is kept


@pytest.mark.parametrize("mode", ["L", "LA", "1", "I;16"])
def test_grey_comes_out_grey_and_in_8_bits(checkpoint: Path, tmp_path: Path, mode: str) -> None:
    grey = draw(0)[..., 0]
    if mode == "I;16":
        Image.fromarray((grey * 256.9).astype(np.uint16)).save(tmp_path / "in.png")
    else:
        image = Image.fromarray(grey).convert(mode)
        if mode == "LA":
            image.putalpha(Image.fromarray(draw(1)[..., 0].clip(1)))
        image.save(tmp_path / "in.png")
        grey = np.asarray(image.convert("L"))
    restore_files(checkpoint, [tmp_path / "in.png"], tmp_path / "out")
    three = np.repeat(grey[..., None], 3, axis=2)
    expected = restore_array(load_model(checkpoint), three, grey=True)[..., 0]
    with Image.open(tmp_path / "out/in.png") as out:
        assert out.mode == ("LA" if mode == "LA" else "L")
        assert np.array_equal(np.asarray(out.getchannel(0)), expected)
        if mode == "LA":
            assert np.array_equal(np.asarray(out.getchannel("A")), draw(1)[..., 0].clip(1))


def test_transparency_becomes_white_where_the_format_has_none(
    checkpoint: Path, tmp_path: Path
) -> None:
    image = Image.fromarray(draw(0))
    image.putalpha(0)
    image.save(tmp_path / "in.png")
    restore_files(checkpoint, [tmp_path / "in.png"], tmp_path / "out.bmp")
    white = np.full_like(draw(0), 255)
    with Image.open(tmp_path / "out.bmp") as out:
        assert np.array_equal(np.asarray(out), np.asarray(restore_image(checkpoint, white)))


def test_damaged_exif_is_left_out(checkpoint: Path, tmp_path: Path) -> None:
    data = encode(draw(0), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\xff" * 40)
    (tmp_path / "in.jpg").write_bytes(data)
    (result,) = restore_files(checkpoint, [tmp_path / "in.jpg"], tmp_path / "out")
    assert result.output is not None, result.error


@pytest.mark.parametrize(
    ("format_", "pillow"),
    [("png", "PNG"), (".JPG", "JPEG"), ("webp", "WEBP"), ("tif", "TIFF"), ("avif", "AVIF")],
)
def test_format_option_applies_to_all_outputs(
    checkpoint: Path, tmp_path: Path, format_: str, pillow: str
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.png").write_bytes(encode(draw(0)))
    (tmp_path / "in/b.bmp").write_bytes(encode(draw(1), "BMP"))
    results = restore_files(checkpoint, [tmp_path / "in"], tmp_path / "out", format=format_)
    assert [r.output.stem for r in results if r.output] == ["a", "b"]
    for result in results:
        assert result.output and result.output.suffix == f".{format_.lower().removeprefix('.')}"
        with Image.open(result.output) as out:
            assert out.format == pillow


def test_folders_may_hold_formats_of_cameras_and_scanners(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.jp2").write_bytes(encode(draw(0), "JPEG2000"))
    (tmp_path / "in/b.jfif").write_bytes(encode(draw(1), "JPEG"))
    results = restore_files(checkpoint, [tmp_path / "in"], tmp_path / "out")
    assert [r.output and r.output.name for r in results] == ["a.jp2", "b.jfif"]


@pytest.mark.parametrize("format_", ["gif", "psd", "x y", ""])
def test_formats_that_are_not_written_are_refused(
    checkpoint: Path, tmp_path: Path, format_: str
) -> None:
    (tmp_path / "a.png").write_bytes(encode(draw(0)))
    with pytest.raises(RestoreError, match="that can be written: say png, jpg"):
        restore_files(checkpoint, [tmp_path / "a.png"], tmp_path / "out", format=format_)


def test_outputs_are_not_replaced_without_overwrite(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        (tmp_path / f"in/{name}.png").write_bytes(encode(draw(0)))
    restore_files(checkpoint, [tmp_path / "in"], tmp_path / "out")
    (tmp_path / "out/a.png").write_bytes(b"mine")
    with pytest.raises(
        RestoreError,
        match=r"a\.png is there already, .*: choose another output, or say --overwrite",
    ):
        restore_files(checkpoint, [tmp_path / "in"], tmp_path / "out")
    assert (tmp_path / "out/a.png").read_bytes() == b"mine"
    restore_files(checkpoint, [tmp_path / "in"], tmp_path / "out", overwrite=True)
    assert (tmp_path / "out/a.png").read_bytes() == (tmp_path / "out/b.png").read_bytes()
    with pytest.raises(
        RestoreError, match=r"a\.png and 1 more are there already, .* other settings"
    ):
        restore_files(checkpoint, [tmp_path / "in"], tmp_path / "out", bilateral=True)
    with pytest.raises(RestoreError, match="would be overwritten"):
        restore_files(checkpoint, [tmp_path / "in"], tmp_path / "in", overwrite=True)


def test_restore_stopped_midway_goes_on_with_the_same_command(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    (source / "deep").mkdir(parents=True)
    for name in ("a.png", "b.png", "deep/c.png"):
        (source / name).write_bytes(encode(draw(ord(Path(name).stem))))

    def stop(done: int, total: int, _: Restored) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restore_files(checkpoint, [source], out, progress=stop)
    with (out / ".restored.jsonl").open("a") as log:
        log.write('\n{"output": "deep/c.png", "sha')  # as a kill leaves it
    before = {name: (out / name).stat().st_mtime_ns for name in ("a.png", "b.png")}
    results = restore_files(checkpoint, [source], out)
    assert [result.kept for result in results] == [True, True, False]
    assert {name: (out / name).stat().st_mtime_ns for name in before} == before
    results = restore_files(checkpoint, [source], out, compare=True)
    assert [result.kept for result in results] == [False] * 3, "strips are new"
    assert all(result.kept for result in restore_files(checkpoint, [source], out, compare=True))


def test_files_in_the_output_folder_are_no_inputs(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encode(draw(0)))
    for _ in range(2):
        results = restore_files(
            checkpoint, [tmp_path], tmp_path / "restored", overwrite=True, compare=True
        )
        assert [r.source.name for r in results] == ["a.png"]
    outputs = (tmp_path / "restored").glob("[!.]*")
    assert sorted(path.name for path in outputs) == ["a.compare.png", "a.png"]


def test_a_strip_shows_before_and_after(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encode(draw(0)[..., 0]))
    restore_files(checkpoint, [tmp_path / "a.png"], tmp_path / "out", compare=True)
    with Image.open(tmp_path / "out/a.compare.png") as strip:
        assert strip.width == 2 * 480 + 3 * 12
    restore_files(
        checkpoint, [tmp_path / "a.png"], tmp_path / "trial", compare=True, degrade="denoise_50"
    )
    with Image.open(tmp_path / "trial/a.compare.png") as strip:
        assert strip.width == 3 * 480 + 4 * 12, "the clean one too"


def test_each_picture_may_have_its_own_task(
    checkpoints: dict[str, Path], checkpoint: Path, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    for n in range(2):
        (tmp_path / f"in/{n}.png").write_bytes(encode(draw(n)))
    seen: list[np.ndarray] = []

    def find(image: np.ndarray) -> str:
        seen.append(image)
        return ("denoise", "sr")[len(seen) - 1]

    results = restore_files(checkpoints["damoe"], [tmp_path / "in"], tmp_path / "out", task=find)
    assert [r.task for r in results] == ["denoise", "sr"]
    assert np.array_equal(seen[1], draw(1))
    for n, task in enumerate(("denoise", "sr")):
        with Image.open(tmp_path / f"out/{n}.png") as out:
            expected = restore_image(checkpoints["damoe"], draw(n), task=task)
            assert np.array_equal(np.asarray(out), np.asarray(expected))
    results = restore_files(checkpoint, [tmp_path / "in"], tmp_path / "others", task=find)
    assert len(seen) == 2 and results[0].task is None, "a model without tasks asks for none"
    with pytest.raises(RestoreError, match="must be told what to do"):
        restore_files(checkpoints["damoe"], [tmp_path / "in"], tmp_path / "seen")


def test_pictures_can_be_degraded_first(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encode(draw(0)))
    restore_files(checkpoint, [tmp_path / "a.png"], tmp_path / "out", degrade="denoise_50")
    noisy = parse_degradation("denoise_50").pair(draw(0), generator(0, "denoise_50", "a.png"))[1]
    with Image.open(tmp_path / "out/a.png") as out:
        assert np.array_equal(np.asarray(out), np.asarray(restore_image(checkpoint, noisy)))


def test_plans_that_would_lose_a_picture_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.png").write_bytes(encode(draw(0)))
    with pytest.raises(RestoreError, match="no picture or folder"):
        restore_files(checkpoint, [tmp_path / "c"], tmp_path / "out")
    with pytest.raises(RestoreError, match="would both become"):
        restore_files(checkpoint, [tmp_path / "a/x.png", tmp_path / "b/x.png"], tmp_path / "out")
    with pytest.raises(RestoreError, match="would be overwritten"):
        restore_files(checkpoint, [tmp_path / "a"], tmp_path / "a")
    (tmp_path / "empty").mkdir()
    with pytest.raises(RestoreError, match="no pictures in"):
        restore_files(checkpoint, [tmp_path / "empty"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_pictures_of_one_name_in_two_formats_keep_both(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for seed, ending in enumerate(("gif", "png", "tif")):
        Image.fromarray(draw(seed)).save(tmp_path / f"in/a.{ending}")
    found = restore_files(checkpoint, [tmp_path / "in"], tmp_path / "out", format="png")
    assert [result.output for result in found] == [
        tmp_path / "out" / name for name in ("a.gif.png", "a.png", "a.tif.png")
    ]
    again = restore_files(checkpoint, [tmp_path / "in"], tmp_path / "out", format="png")
    assert all(result.kept for result in again)


def test_animated_inputs_give_their_first_frame(checkpoint: Path, tmp_path: Path) -> None:
    frames = [Image.fromarray(draw(seed)) for seed in range(2)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    (tmp_path / "a.webp").write_bytes(buffer.getvalue())
    result = restore_files(checkpoint, [tmp_path / "a.webp"], tmp_path / "a.png")[0]
    assert result.output
    with Image.open(result.output) as out:
        assert np.array_equal(np.asarray(out), np.asarray(restore_image(checkpoint, draw(0))))


def test_command_names_broken_files(
    checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.png").write_bytes(encode(draw(0)))
    (tmp_path / "in/b.png").write_bytes(b"broken")
    out = str(tmp_path / "out")
    monkeypatch.setattr(
        sys, "argv", ["curate", "restore", str(tmp_path / "in"), "-o", out, "-c", str(checkpoint)]
    )
    with pytest.raises(SystemExit) as end:
        app.main()
    said = capsys.readouterr()
    assert end.value.code == 1
    assert f"1 of 2 restored, in {out}" in said.out
    assert "b.png: can't be read: format_unsupported" in said.err
    assert (tmp_path / "out/a.png").exists()


def test_restore_of_hidden_colours_keeps_them_out_of_their_neighbours(
    checkpoint: Path, tmp_path: Path
) -> None:
    shown = Image.fromarray(np.full((60, 72), 255, np.uint8))
    shown.paste(0, (36, 0, 72, 60))
    outputs = []
    for name, colour in (("black", 0), ("magenta", (255, 0, 255))):
        image = Image.fromarray(draw(0))
        image.paste(Image.new("RGB", image.size, colour), mask=Image.eval(shown, lambda a: 255 - a))
        image.putalpha(shown)
        image.save(tmp_path / f"{name}.png")
        (result,) = restore_files(checkpoint, [tmp_path / f"{name}.png"], tmp_path / "out")
        assert result.output, result.error
        outputs.append(np.asarray(Image.open(result.output)))
    assert np.array_equal(*outputs)
    assert np.array_equal(outputs[0][..., 3], np.asarray(shown))


def test_restore_of_grey_stored_as_colours_comes_out_without_colour(
    checkpoint: Path, tmp_path: Path
) -> None:
    grey = np.repeat(draw(0)[..., :1], 3, axis=2)
    (tmp_path / "in.png").write_bytes(encode(grey))
    for degrade in (None, "denoise_50"):
        out = tmp_path / f"out {degrade}"
        restore_files(checkpoint, [tmp_path / "in.png"], out, degrade=degrade)
        with Image.open(out / "in.png") as image:
            assert image.mode == "RGB"
            assert np.ptp(np.asarray(image), axis=2).max() == 0
    assert np.ptp(np.asarray(restore_image(checkpoint, grey)), axis=2).max() == 0


def test_restore_of_16_bit_grey_with_a_transparent_value_keeps_its_levels(
    checkpoint: Path, tmp_path: Path
) -> None:
    grey = draw(0)[..., 0].astype(np.uint16) * 257
    grey[:10] = 1234
    Image.fromarray(grey).save(tmp_path / "in.png", transparency=1234)
    (result,) = restore_files(checkpoint, [tmp_path / "in.png"], tmp_path / "out")
    assert result.output, result.error
    with Image.open(result.output) as out:
        assert out.mode == "LA"
        levels, alpha = (np.asarray(out.getchannel(n)) for n in range(2))
    assert alpha[:10].max() == 0 and alpha[10:].min() == 255
    assert abs(levels[10:].mean() - draw(0)[10:, :, 0].mean()) < 40


def planar_tiff(image: np.ndarray) -> bytes:
    """A TIFF with one plane after the other, described and with its resolution."""
    height, width, _ = image.shape
    plane = height * width
    long, short = 4, 3
    tags = {256: (long, width), 257: (long, height), 258: (short, 8, 8, 8), 259: (short, 1)}
    tags |= {262: (short, 2), 273: (long, 8, 8 + plane, 8 + 2 * plane), 277: (short, 3)}
    tags |= {278: (long, height), 279: (long, plane, plane, plane), 284: (short, 2)}
    pixels = image.transpose(2, 0, 1).tobytes()
    start = 8 + len(pixels)
    further, entries = b"", b""
    for tag, (kind, *values) in tags.items():
        body = struct.pack(f"<{len(values)}{'IH'[kind == short]}", *values)
        if len(body) > 4:
            place = start + 2 + 12 * len(tags) + 4 + len(further)
            body, further = struct.pack("<I", place), further + body
        entries += struct.pack("<HHI4s", tag, kind, len(values), body)
    directory = struct.pack("<H", len(tags)) + entries + bytes(4) + further
    return struct.pack("<2sHI", b"II", 42, start) + pixels + directory


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "P", "1", "planar"])
def test_restore_of_tiff_of_any_layout_gives_a_tiff_of_its_own_layout(
    checkpoint: Path, tmp_path: Path, mode: str
) -> None:
    if mode == "planar":
        (tmp_path / "in.tif").write_bytes(planar_tiff(draw(0)))
    else:
        Image.fromarray(draw(0)).convert(mode).save(tmp_path / "in.tif")
    with Image.open(tmp_path / "in.tif") as opened:
        expected = to_rgb(opened)
    (result,) = restore_files(checkpoint, [tmp_path / "in.tif"], tmp_path / "out")
    assert result.output, result.error
    with Image.open(result.output) as out:
        assert out.mode in ("L", "RGB")
        tags = out.tag_v2
        assert tags[262] == (2 if out.mode == "RGB" else 1), "photometric interpretation"
        assert tags.get(277, 1) == len(out.getbands()), "samples a pixel"
        assert tags.get(284, 1) == 1, "contiguous"
        restored = np.asarray(restore_image(checkpoint, expected))
        assert np.array_equal(np.asarray(out.convert("RGB")), restored)
