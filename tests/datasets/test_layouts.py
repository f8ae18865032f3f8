"""Pairing of each layout's files by their names alone."""

from __future__ import annotations

import random

import pytest

from curate.datasets.layouts import LAYOUTS, find_layout
from curate.datasets.pairing import Pairing, pair_files
from curate.errors import InputError
from curate.restore.data.degradations import TASKS
from curate.storage.atomic import list_files
from tests import TESTSETS

# dataset, folder, files that do not belong to it, groups of (clean, degraded, split, dataset)
PACKED: list[tuple[str, str, list[str], list[tuple[str, list[str], str, str]]]] = [
    (
        "SIDD",
        "SIDD_Medium_Srgb",
        ["Scene_Instances.txt", "ReadMe_sRGB.txt"],
        [
            (
                f"Data/{scene}/{n}_GT_SRGB_{take}.PNG",
                [f"Data/{scene}/{n}_NOISY_SRGB_{take}.PNG"],
                "train",
                "SIDD",
            )
            for n, scene in (
                ("0001", "0001_001_S6_00100_00060_3200_L"),
                ("0200", "0200_010_GP_01600_03200_5500_N"),
            )
            for take in ("010", "011")
        ],
    ),
    (
        "NIND",
        "NIND",
        ["MuseeL-ram/NIND_MuseeL-ram_ISO200-2.png"],  # a second clean one
        [
            (
                "MuseeL-ram/NIND_MuseeL-ram_ISO200.png",
                [
                    f"MuseeL-ram/NIND_MuseeL-ram_ISO{iso}.png"
                    for iso in ("800", "6400", "6400-2", "H1", "H2")
                ],
                "train",
                "NIND",
            ),
            (
                "keyboard/NIND_keyboard_ISO100.jpg",
                ["keyboard/NIND_keyboard_ISO1000.jpg"],
                "train",
                "NIND",
            ),
            ("LP_2/NIND_LP_2_GT.png", ["LP_2/NIND_LP_2_ISO64.png"], "train", "NIND"),
        ],
    ),
    (
        "PolyU",
        "PolyU",
        ["OriginalImages/Canon5D2_5_160_3200_chair_11_mean.JPG", "README.md"],
        [
            (
                f"CroppedImages/Canon5D2_5_160_3200_chair_{k}_mean.JPG",
                [f"CroppedImages/Canon5D2_5_160_3200_chair_{k}_real.JPG"],
                "train",
                "PolyU",
            )
            for k in (1, 11)
        ],
    ),
    (
        "GoPro",  # as published
        "GOPRO_Large",
        ["train/GOPR0372_07_00/blur_gamma/000047.png"],
        [
            (
                f"{split}/{clip}/sharp/{frame}.png",
                [f"{split}/{clip}/blur/{frame}.png"],
                split,
                "GoPro",
            )
            for split, clip in (
                ("train", "GOPR0372_07_00"),
                ("train", "GOPR0374_11_00"),
                ("test", "GOPR0384_11_00"),
            )
            for frame in ("000047", "000048")
        ],
    ),
    (
        "GoPro",  # packed anew by those who came later
        "Datasets",
        [],
        [
            (
                f"{split}/GoPro/target/{clip}-000047.png",
                [f"{split}/GoPro/input/{clip}-000047.png"],
                split,
                "GoPro",
            )
            for split, clip in (("train", "GOPR0372_07_00"), ("test", "GOPR0384_11_00"))
        ],
    ),
    (
        "REDS_blur",
        "REDS",
        ["train_blur_jpeg/000/00000000.jpg", "train_sharp_bicubic/X4/000/00000000.png"],
        [
            (f"{p}_sharp/{clip}/{frame}.png", [f"{p}_blur/{clip}/{frame}.png"], split, "REDS_blur")
            for p, split, clip in (
                ("train", "train", "000"),
                ("train", "train", "239"),
                ("val", "test", "000"),
            )
            for frame in ("00000000", "00000001")
        ],
    ),
    (
        "REDS_blur_jpeg",  # JPEG beside PNG
        "REDS",
        ["train_blur/000/00000000.png"],
        [
            (
                f"train_sharp/000/{frame}.png",
                [f"train_blur_jpeg/000/{frame}.jpg"],
                "train",
                "REDS_blur_jpeg",
            )
            for frame in ("00000000", "00000001")
        ],
    ),
    (
        "Rain13K",
        "Datasets",
        [],
        [
            *(
                (
                    f"train/Rain13K/target/{n}.jpg",
                    [f"train/Rain13K/input/{n}.jpg"],
                    "train",
                    "Rain13K",
                )
                for n in ("1", "2_1")
            ),
            *(
                (f"test/{name}/target/1.png", [f"test/{name}/input/1.png"], "test", name)
                for name in ("Rain100H", "Rain100L", "Test100", "Test1200", "Test2800")
            ),
        ],
    ),
    (
        "Rain100L",  # AirNet
        "Train",
        [],
        [
            (f"Derain/gt/norain-{n}.png", [f"Derain/rainy/rain-{n}.png"], "train", "Rain100L")
            for n in (1, 2, 10)
        ],
    ),
    (
        "Rain100H",  # PReNet: all in one folder
        "RainTrainH",
        ["rainstreak-1.png"],
        [(f"norain-{n}.png", [f"rain-{n}.png"], "train", "Rain100H") for n in (1, 2)],
    ),
    (
        "Rain100H",  # PReNet's test
        "test",
        [],
        [
            (f"Rain100H/norain-00{n}.png", [f"Rain100H/rainy/rain-00{n}.png"], "test", "Rain100H")
            for n in (1, 2)
        ],
    ),
    (
        "Rain100L",  # two folders, one kind of name
        "rain100L",
        [],
        [
            (f"test/norain/norain-{n}.png", [f"test/rain/norain-{n}.png"], "test", "Rain100L")
            for n in (1, 2)
        ],
    ),
    (
        "Rain100L",  # Yang et al.
        "RainTrainL",
        [],
        [
            (f"norain/norain-{n}.png", [f"rain/norain-{n}x2.png"], "train", "Rain100L")
            for n in (1, 2)
        ],
    ),
    (
        "Rain100L",
        "test",
        [],
        [
            (f"Rain100L/target/{n}.png", [f"Rain100L/input/{n}.png"], "test", "Rain100L")
            for n in (1, 2)
        ],
    ),
    (
        "BSD400",  # training and test images of BSDS500
        "BSDS500",
        ["images/val/101085.jpg", "ground_truth/train/100075.mat"],
        [
            (f"images/{part}/{n}.jpg", [], "train", "BSD400")
            for part, n in (("train", 100075), ("test", 100007))
        ],
    ),
    ("BSD400", "Train400", [], [(f"test_{n:03}.png", [], "train", "BSD400") for n in (1, 2)]),
    (
        "WED",
        "WED",
        ["readme.txt"],
        [(f"pristine_images/{n:05}.bmp", [], "train", "WED") for n in (1, 4744)],
    ),
    (
        "DIV2K",
        "DIV2K",
        ["DIV2K_train_LR_bicubic/X2/0001x2.png"],
        [
            ("DIV2K_train_HR/0001.png", [], "train", "DIV2K"),
            ("DIV2K_valid_HR/0801.png", [], "test", "DIV2K"),
        ],
    ),
    ("DIV2K", "DIV2K_valid_HR", [], [("0801.png", [], "test", "DIV2K")]),
    (
        "Flickr2K",
        "Flickr2K",
        ["Flickr2K_LR_bicubic/X2/000001x2.png"],
        [("Flickr2K_HR/000001.png", [], "train", "Flickr2K")],
    ),
    (
        "Set5",
        "Set5",
        ["LR/baby.png"],
        [(f"HR/{name}.png", [], "test", "Set5") for name in ("baby", "bird")],
    ),
    ("Set14", "Set14", [], [("GTmod12/baboon.png", [], "test", "Set14")]),
    ("CBSD68", "CBSD68", ["noisy15/0000.png"], [("original_png/0000.png", [], "test", "CBSD68")]),
    ("Kodak24", "Kodak24", [], [("kodim01.png", [], "test", "Kodak24")]),
    ("Urban100", "Urban100", [], [("img_001.png", [], "test", "Urban100")]),
    (
        "Manga109",
        "Manga109",
        ["annotations.xml"],
        [("AisazuNihaIrarenai.png", [], "test", "Manga109")],
    ),
    (
        "classic5",
        "classic5",
        [],
        [(f"{name}.bmp", [], "test", "classic5") for name in ("baboon", "lena")],
    ),
]


def paths_of(others: list[str], groups: list[tuple[str, list[str], str, str]]) -> list[str]:
    return [*others, *(path for clean, degraded, _, _ in groups for path in (clean, *degraded))]


def matched(name: str, folder: str, paths: list[str]) -> Pairing:
    return pair_files(name, LAYOUTS[name], folder, paths)


@pytest.mark.parametrize(("name", "folder", "others", "groups"), PACKED)
def test_pairing_does_not_depend_on_order(
    name: str, folder: str, others: list[str], groups: list[tuple[str, list[str], str, str]]
) -> None:
    paths = paths_of(others, groups)
    random.Random(name).shuffle(paths)
    found = matched(name, folder, paths)
    assert found.faults == ()
    assert sorted(found.others) == sorted(others)
    expected = sorted((clean, sorted(noisy), *rest) for clean, noisy, *rest in groups)
    assert [(g.clean, sorted(g.degraded), g.split, g.dataset) for g in found.groups] == expected


def test_layouts_all_have_a_sample_and_a_known_task() -> None:
    assert {name for name, *_ in PACKED} == set(LAYOUTS)
    for layout in LAYOUTS.values():
        assert (layout.task in TASKS) == (layout.degradation is not None)
        assert layout.whole


@pytest.mark.parametrize(
    ("name", "folder", "others", "groups"), [case for case in PACKED if case[3][0][1]]
)
def test_pairing_without_partner_names_the_image(
    name: str, folder: str, others: list[str], groups: list[tuple[str, list[str], str, str]]
) -> None:
    first, *rest = groups
    paths = paths_of(others, rest)
    for lost, kept in ((first[0], first[1]), (first[1][0], [first[0], *first[1][1:]])):
        # one of several noisy images of a scene may be missing
        if len(kept) > 1 or name == "NIND":
            continue
        faults = matched(name, folder, [*paths, *kept]).faults
        assert len(faults) == 1, lost
        assert kept[0] in faults[0]
        assert "partner" in faults[0]


def test_pairing_of_single_image_scene_names_it() -> None:
    found = matched(
        "NIND", "NIND", ["a/NIND_a_ISO200.png", "b/NIND_b_ISO200.png", "b/NIND_b_ISO400.png"]
    )
    assert found.faults == ("a/NIND_a_ISO200.png has no degraded partner",)
    assert [group.clean for group in found.groups] == ["b/NIND_b_ISO200.png"]


def test_pairing_compares_iso_values_as_numbers() -> None:
    found = matched(
        "NIND", "NIND", [f"NIND_a_ISO{iso}.png" for iso in ("H1", "1000", "64", "200", "64-2")]
    )
    (group,) = found.groups
    assert (group.clean, found.others) == ("NIND_a_ISO64.png", ("NIND_a_ISO64-2.png",))


@pytest.mark.skipif(not TESTSETS.exists(), reason="wants the test sets themselves")
@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("BSD400", "BSDS500"),
        ("PolyU", "PolyU"),
        *((name, name) for name in ("Set5", "Set14", "CBSD68", "Kodak24")),
    ],
)
def test_pairing_of_the_real_sets_is_complete(name: str, folder: str) -> None:
    found = matched(name, folder, [path for path, _ in list_files(str(TESTSETS / folder))])
    assert {group.split: len(found.groups) for group in found.groups} == LAYOUTS[name].whole
    assert (found.faults, found.others) == ((), ())


def test_pairing_with_two_candidates_names_both() -> None:
    found = matched(
        "REDS_blur_jpeg",
        "REDS",
        [f"train_sharp/000/1.{s}" for s in ("png", "jpg")] + ["train_blur_jpeg/000/1.jpg"],
    )
    assert found.groups == ()
    assert found.faults == (
        "train_sharp/000/1.png and train_sharp/000/1.jpg have one name, "
        "and only one can be the clean image",
    )
    twice = ["train_sharp/000/1.png", "train_blur/000/1.png", "train_blur/000/1.bmp"]
    assert "only one can be the degraded image" in matched("REDS_blur", "REDS", twice).faults[0]


def test_pairing_keeps_clips_apart() -> None:
    paths = ["train_sharp/000/1.png", "train_blur/001/1.png"]
    assert len(matched("REDS_blur", "REDS", paths).faults) == 2


def test_pairing_without_known_split_asks_for_it() -> None:
    paths = ["gt/norain-1.png", "rainy/rain-1.png"]
    with pytest.raises(InputError, match=r"derain/gt/norain-1\.png: no folder of it .*--split"):
        matched("Rain100L", "derain", paths)
    (group,) = pair_files("Rain100L", LAYOUTS["Rain100L"], "derain", paths, "test").groups
    assert group.split == "test"


@pytest.mark.parametrize(
    ("folder", "split"),
    [
        ("train", "train"), ("Training", "train"), ("RainTrainL", "train"), ("GoPro_test", "test"),
        ("val", "test"), ("validation", "test"), ("Test1200", "test"), ("testchart", None),
        ("valley", None), ("strain", None),
    ],
)  # fmt: skip
def test_pairing_takes_the_split_from_folder_names(folder: str, split: str | None) -> None:
    paths = [f"{folder}/sharp/1.png", f"{folder}/blur/1.png"]
    if split is None:
        with pytest.raises(InputError, match="--split"):
            matched("GoPro", "data", paths)
    else:
        assert matched("GoPro", "data", paths).groups[0].split == split


def test_pairing_without_files_names_the_forms() -> None:
    with pytest.raises(InputError, match=r"photos holds no PolyU: .*CroppedImages/\{shot\}_mean"):
        matched("PolyU", "photos", ["a.png"])


def test_find_layout_ignores_case_and_suggests_names() -> None:
    assert find_layout("sidd") == ("SIDD", LAYOUTS["SIDD"])
    with pytest.raises(
        InputError, match=r"no layout of a dataset 'Urban10'; did you mean Urban100\?"
    ):
        find_layout("Urban10")
    with pytest.raises(InputError, match="known: SIDD, NIND"):
        find_layout("ImageNet")
