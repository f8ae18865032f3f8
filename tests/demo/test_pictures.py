import io
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageOps

from curate.demo.draw import SCENES, draw
from curate.demo.misbehaviour import MISBEHAVIOURS
from curate.demo.pictures import ENCODINGS, Entry, Picture, catalogue, encode, fingerprint


def test_catalogue_is_large_and_its_urls_are_unique(entries: list[Entry]) -> None:
    assert len(entries) >= 300
    assert len({entry.path for entry in entries}) == len(entries)
    assert all(entry.path.startswith("/") and "\n" not in entry.path for entry in entries)
    assert all(entry.caption and entry.licence for entry in entries)


def test_catalogue_holds_good_and_flawed_entries_and_every_misbehaviour(
    entries: list[Entry],
) -> None:
    fates = Counter(entry.fate for entry in entries)
    assert fates["good"] >= 300
    assert min(fates[fate] for fate in ("small", "compressed", "blurred", "duplicate", "odd")) >= 10
    assert fates["private"] == 1
    assert {entry.behaviour for entry in entries} == {None, *MISBEHAVIOURS}
    drawn = Counter(entry.picture.category for entry in entries if entry.fate == "good")
    assert set(drawn) == set(SCENES)
    assert min(drawn.values()) >= 15
    assert {entry.picture.encoding for entry in entries} == set(ENCODINGS)
    assert any(entry.picture.photograph for entry in entries)


def test_catalogue_of_another_seed_has_other_drawings(entries: list[Entry]) -> None:
    assert catalogue(0) == entries
    other = catalogue(1)
    good = [entry.picture for entry in other if entry.fate == "good"]
    drawings = {picture for picture in good if not picture.photograph}
    assert drawings.isdisjoint(entry.picture for entry in entries)


def test_duplicates_are_good_pictures_under_another_path(entries: list[Entry]) -> None:
    good = {entry.picture: entry.path for entry in entries if entry.fate == "good"}
    for entry in entries:
        if entry.fate == "duplicate":
            assert good[entry.picture] != entry.path


def test_entries_have_the_properties_of_their_fate(entries: list[Entry]) -> None:
    for entry in entries:
        assert (min(entry.picture.size) < 256) == (entry.fate == "small")
        assert bool(entry.picture.blur) == (entry.fate == "blurred")
        harsh = entry.picture.encoding in {"jpeg5", "jpeg10", "jpeg15", "webp5"}
        assert harsh == (entry.fate == "compressed")


@pytest.mark.parametrize("name", ENCODINGS)
def test_encode_gives_the_named_format_and_depends_on_the_seed(name: str) -> None:
    picture = Picture("Comic", 3, (60, 44), name)
    data = encode(picture)
    assert data == encode(picture)
    assert data != encode(replace(picture, seed=6))
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == ENCODINGS[name].format
        assert ImageOps.exif_transpose(image).size == (60, 44)
        assert getattr(image, "is_animated", False) == name.endswith("animated")


def test_encode_of_odd_files_has_the_named_oddity() -> None:
    def opened(name: str) -> Image.Image:
        return Image.open(io.BytesIO(encode(Picture("Comic", 3, (60, 44), name))))

    assert opened("jpeg-turned").getexif()[0x0112] == 6
    assert opened("jpeg-turned").size == (44, 60)
    assert opened("jpeg-cmyk").mode == "CMYK"
    assert opened("jpeg-grey").mode == "L"
    assert opened("png-palette").mode == "P"
    deep = np.asarray(opened("png16"))
    assert opened("png16").mode == "I;16"
    assert len(np.unique(deep & 255)) > 50, "16 bits that carry something"
    assert opened("jpeg85").info["progressive"]


def test_encode_of_lossless_formats_keeps_every_pixel() -> None:
    shown = np.asarray(draw("Comic", 3, (60, 44)))
    for name in ("png", "webp-lossless"):
        data = encode(Picture("Comic", 3, (60, 44), name))
        assert (np.asarray(Image.open(io.BytesIO(data))) == shown).all()


def test_encode_of_a_blurred_picture_removes_its_texture() -> None:
    roughness = []
    for blur in (0.0, 4.0):
        data = encode(Picture("Nature", 5, (96, 96), "png", blur=blur))
        pixels = np.asarray(Image.open(io.BytesIO(data)), dtype=float)
        roughness.append(np.abs(np.diff(pixels, axis=0)).mean())
    assert roughness[1] < 0.4 * roughness[0]


def test_encode_of_a_photograph_crops_it_by_the_seed() -> None:
    picture = Picture("Animals", 1, (80, 60), "png", photograph="chelsea")
    assert encode(picture) == encode(picture)
    assert encode(picture) != encode(replace(picture, seed=2))


def test_fingerprint_of_different_pictures_differs() -> None:
    picture = Picture("Comic", 3, (60, 44), "png")
    others = (replace(picture, seed=4), replace(picture, encoding="jpeg92"))
    assert len({fingerprint(picture), *map(fingerprint, others)}) == 3
    assert fingerprint(picture) == fingerprint(replace(picture))
