import io
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageOps

from curate.demo.draw import DRAWINGS, draw
from curate.demo.misbehaviour import MISBEHAVIOURS
from curate.demo.pictures import ENCODINGS, Entry, Picture, catalogue, encode, fingerprint


def test_the_catalogue_is_large_and_has_no_url_twice(entries: list[Entry]) -> None:
    assert len(entries) >= 300
    assert len({entry.path for entry in entries}) == len(entries)
    assert all(entry.path.startswith("/") and "\n" not in entry.path for entry in entries)
    assert all(entry.caption and entry.licence for entry in entries)


def test_the_catalogue_holds_the_good_the_flawed_and_every_misbehaviour(
    entries: list[Entry],
) -> None:
    fates = Counter(entry.fate for entry in entries)
    assert fates["good"] >= 300
    assert min(fates[fate] for fate in ("small", "compressed", "blurred", "duplicate", "odd")) >= 10
    assert fates["private"] == 1
    assert {entry.behaviour for entry in entries} == {None, *MISBEHAVIOURS}
    drawn = Counter(entry.picture.category for entry in entries if entry.fate == "good")
    assert set(drawn) == set(DRAWINGS)
    assert min(drawn.values()) >= 15
    assert {entry.picture.encoding for entry in entries} == set(ENCODINGS)
    assert any(entry.picture.photograph for entry in entries)


def test_the_catalogue_follows_its_seed(entries: list[Entry]) -> None:
    assert catalogue(0) == entries
    other = catalogue(1)
    assert {entry.picture for entry in entries}.isdisjoint(
        entry.picture for entry in other if entry.fate == "good" and not entry.picture.photograph
    )


def test_duplicates_are_pictures_that_are_served_elsewhere_too(entries: list[Entry]) -> None:
    good = {entry.picture: entry.path for entry in entries if entry.fate == "good"}
    for entry in entries:
        if entry.fate == "duplicate":
            assert good[entry.picture] != entry.path


def test_fates_are_what_they_say(entries: list[Entry]) -> None:
    for entry in entries:
        assert (min(entry.picture.size) < 256) == (entry.fate == "small")
        assert bool(entry.picture.blur) == (entry.fate == "blurred")
        assert (entry.picture.encoding in {"jpeg5", "jpeg10", "jpeg15", "webp5"}) == (
            entry.fate == "compressed"
        )


@pytest.mark.parametrize("name", ENCODINGS)
def test_every_encoding_is_the_format_it_names_and_follows_the_seed(name: str) -> None:
    picture = Picture("Comic", 3, (60, 44), name)
    data = encode(picture)
    assert data == encode(picture)
    assert data != encode(replace(picture, seed=6))
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == ENCODINGS[name].format
        assert ImageOps.exif_transpose(image).size == (60, 44)
        assert getattr(image, "is_animated", False) == name.endswith("animated")


def test_odd_files_are_odd_as_promised() -> None:
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


def test_lossless_formats_lose_nothing() -> None:
    shown = np.asarray(draw("Comic", 3, (60, 44)))
    for name in ("png", "webp-lossless"):
        assert (
            np.asarray(Image.open(io.BytesIO(encode(Picture("Comic", 3, (60, 44), name))))) == shown
        ).all()


def test_a_blur_takes_the_texture_away() -> None:
    sharp, blurred = (
        np.asarray(
            Image.open(io.BytesIO(encode(Picture("Nature", 5, (96, 96), "png", blur=blur)))),
            dtype=float,
        )
        for blur in (0.0, 4.0)
    )
    assert np.abs(np.diff(blurred, axis=0)).mean() < 0.4 * np.abs(np.diff(sharp, axis=0)).mean()


def test_a_photograph_is_cropped_by_its_seed() -> None:
    picture = Picture("Animals", 1, (80, 60), "png", photograph="chelsea")
    assert encode(picture) == encode(picture)
    assert encode(picture) != encode(replace(picture, seed=2))


def test_the_fingerprint_tells_pictures_apart() -> None:
    picture = Picture("Comic", 3, (60, 44), "png")
    names = {
        fingerprint(p)
        for p in (picture, replace(picture, seed=4), replace(picture, encoding="jpeg92"))
    }
    assert len(names) == 3
    assert fingerprint(picture) == fingerprint(replace(picture))
