import socket

import numpy as np
import pytest

from curate.demo import photographs as room
from curate.demo.draw import SCENES
from curate.demo.photographs import crop, crops, photographs
from curate.errors import MissingExtra


def test_every_photograph_opens_and_has_licence_and_credit() -> None:
    shipped = photographs()
    assert len({photo.name for photo in shipped}) == len(shipped) >= 15
    for photo in shipped:
        picture = photo.open()
        assert picture.mode == "RGB"
        assert min(picture.size) >= 256
        assert photo.category in SCENES
        assert photo.licence
        assert photo.credit


def test_photographs_are_read_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a photograph must come from the disk")

    monkeypatch.setattr(socket, "socket", refuse)
    photographs.cache_clear()
    assert photographs()[0].open().size == (512, 512)


def test_crops_are_parts_of_the_photograph(rng: np.random.Generator) -> None:
    photo = photographs()[0]
    whole = np.asarray(photo.open())
    windows = np.lib.stride_tricks.sliding_window_view(whole[..., 0], (1, 40))[:, :, 0]
    for part in crops(photo, rng, 4, (40, 90)):
        row = np.asarray(part)[0, :, 0]
        assert any((windows == line).all(axis=-1).any() for line in (row[:40], row[::-1][:40]))


def test_crop_depends_on_its_seed() -> None:
    photo = photographs()[0]
    one, same, other = (
        np.asarray(crop(photo, np.random.default_rng(seed), (64, 64))) for seed in (1, 1, 2)
    )
    assert (one == same).all()
    assert (one != other).any()


def test_crop_is_never_larger_than_the_photograph(rng: np.random.Generator) -> None:
    photo = next(photo for photo in photographs() if photo.name == "chelsea")
    assert crop(photo, rng, (9000, 100)).size == (451, 100)


def test_photographs_without_the_extra_raise_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(room, "_FOLDERS", {"no_such_package": "data"})
    photographs.cache_clear()
    with pytest.raises(MissingExtra, match=r"curate-restoration\[demo\]"):
        photographs()
