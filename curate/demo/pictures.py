"""Catalogue of the sample site: some 500 URLs, each with bytes that depend on its entry alone."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from PIL import Image, ImageFilter

from curate._version import __version__
from curate.demo.draw import SCENES, draw, scene_name
from curate.demo.misbehaviour import MISBEHAVIOURS
from curate.demo.photographs import crop, photographs

__all__ = ["ENCODINGS", "Encoding", "Entry", "Picture", "catalogue", "encode", "fingerprint"]


@dataclass(frozen=True)
class Encoding:
    """Format and options of Pillow's `save`, with the headers that go with them."""

    media_type: str
    suffix: str
    format: str
    options: dict[str, object] = field(default_factory=dict)
    prepare: Callable[[Image.Image], Image.Image] | None = None
    """Function that changes the picture before it is saved."""


@dataclass(frozen=True)
class Picture:
    """Content of an entry, before it is encoded."""

    category: str
    """True category, by its name in the taxonomy; no stage of a run may see it."""
    seed: int
    size: tuple[int, int]
    encoding: str
    """A key of `ENCODINGS`."""
    photograph: str | None = None
    """Name of a shipped photograph; None for a drawing."""
    blur: float = 0.0
    """Standard deviation of a Gaussian blur, in pixels."""


@dataclass(frozen=True)
class Entry:
    """One URL of the site."""

    path: str
    """URL after the host, as a careless page writes it: not everything is percent-encoded."""
    picture: Picture
    caption: str
    licence: str
    fate: str
    """Purpose: good, small, compressed, blurred, duplicate, odd, private, or its misbehaviour."""
    behaviour: str | None = None
    """A key of `MISBEHAVIOURS`; None if it is served correctly."""


def _turned(picture: Image.Image) -> Image.Image:
    return picture.transpose(Image.Transpose.ROTATE_90)


def _deep(picture: Image.Image) -> Image.Image:
    """Return 16-bit grey whose low byte differs from the high one."""
    grey = np.asarray(picture.convert("RGB"), dtype=np.uint32) @ np.array(
        [77, 150, 29], dtype=np.uint32
    )
    return Image.fromarray(grey.astype(np.uint16))


def _exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def _jpeg(quality: int, **options: object) -> Encoding:
    return Encoding("image/jpeg", ".jpg", "JPEG", {"quality": quality, **options})


ENCODINGS: dict[str, Encoding] = {
    "jpeg97": _jpeg(97, subsampling=0),
    "jpeg92": _jpeg(92),
    "jpeg85": _jpeg(85, progressive=True, optimize=True),
    "jpeg70": _jpeg(70),
    "png": Encoding("image/png", ".png", "PNG"),
    "webp": Encoding("image/webp", ".webp", "WEBP", {"quality": 90, "method": 2}),
    "webp-lossless": Encoding(
        "image/webp", ".webp", "WEBP", {"lossless": True, "quality": 30, "method": 1}
    ),
    "jpeg5": _jpeg(5),
    "jpeg10": _jpeg(10),
    "jpeg15": _jpeg(15, progressive=True),
    "webp5": Encoding("image/webp", ".webp", "WEBP", {"quality": 5, "method": 2}),
    "jpeg-turned": Encoding(
        "image/jpeg", ".jpg", "JPEG", {"quality": 92, "exif": _exif(6)}, _turned
    ),
    "jpeg-cmyk": Encoding(
        "image/jpeg", ".jpg", "JPEG", {"quality": 92}, lambda picture: picture.convert("CMYK")
    ),
    "jpeg-grey": Encoding(
        "image/jpeg", ".jpeg", "JPEG", {"quality": 92}, lambda picture: picture.convert("L")
    ),
    "png16": Encoding("image/png", ".png", "PNG", prepare=_deep),
    "png-palette": Encoding(
        "image/png", ".png", "PNG", prepare=lambda picture: picture.quantize(64)
    ),
    "png-as-jpg": Encoding("image/jpeg", ".jpg", "PNG"),
    "webp-animated": Encoding(
        "image/webp", ".webp", "WEBP", {"save_all": True, "duration": 120, "quality": 70}
    ),
    "gif-animated": Encoding("image/gif", ".gif", "GIF", {"save_all": True, "duration": 120}),
}
_DRAWINGS = 2
"""Version of the drawings; another one makes cached pictures stale."""
_GOOD = (
    "jpeg97", "jpeg97", "jpeg92", "jpeg92", "jpeg85", "jpeg70", "png", "png", "webp",
    "webp-lossless",
)  # fmt: skip
_HARSH = ("jpeg5", "jpeg10", "jpeg15", "webp5")
_ODD = (
    "jpeg-turned", "jpeg-cmyk", "jpeg-grey", "png16", "png-palette", "png-as-jpg", "webp-animated",
    "gif-animated",
)  # fmt: skip
_ODD_PATHS = (
    "/odd/commas, and more, commas.jpg", '/odd/"double" and \'single\' quotes.jpg',
    "/odd/100%25.jpg", "/odd/percent%20encoded%20spaces.jpg", "/odd/café/Zürich, 東京.jpg",
    "/odd/caf%C3%A9/encoded.jpg", "/odd/show?id=7&size=large", "/odd/brackets[1](2){3}.jpg",
    "/odd/plus+plus&ampersand;semicolon.jpg", "/odd/no-extension", "/odd/a//double//slash.jpg",
    "/odd/" + "long-" * 40 + "name.jpg",
)  # fmt: skip


def catalogue(seed: int = 0) -> list[Entry]:
    """Return every entry of the site, in the order of its list.

    Good, flawed and misbehaving entries are mixed, as in a crawl.
    """
    rng = np.random.default_rng([seed, 0xC0A1])
    entries = [*_drawings(rng, 18), *_photographs(rng, 4)]
    entries += [*_flawed(rng, entries), *_oddities(rng), *_misbehaving()]
    return [entries[k] for k in rng.permutation(len(entries))]


def encode(picture: Picture) -> bytes:
    """Return the bytes that are served for a picture."""
    encoding, shown = ENCODINGS[picture.encoding], _show(picture)
    options = dict(encoding.options)
    if options.get("save_all"):
        options["append_images"] = [shown.rotate(turn) for turn in (4, 8, 12)]
    if encoding.prepare:
        shown = encoding.prepare(shown)
    file = io.BytesIO()
    shown.save(file, encoding.format, **options)
    return file.getvalue()


def _show(picture: Picture) -> Image.Image:
    if picture.photograph is None:
        shown = draw(picture.category, picture.seed, picture.size)
    else:
        photo = next(photo for photo in photographs() if photo.name == picture.photograph)
        shown = crop(photo, np.random.default_rng(picture.seed), picture.size)
    return shown.filter(ImageFilter.GaussianBlur(picture.blur)) if picture.blur else shown


def _size(rng: np.random.Generator) -> tuple[int, int]:
    """Return a random size: upright, square or wide; one in fourteen is large."""
    short = int(rng.integers(700, 1025) if rng.random() < 1 / 14 else rng.integers(272, 560))
    long = int(short * rng.choice([1, 1.25, 4 / 3, 1.5]))
    return (long, short) if rng.random() < 0.6 else (short, long)


def _drawing(
    rng: np.random.Generator,
    category: str,
    size: tuple[int, int],
    encoding: str,
    fate: str,
    seed: int | None = None,
) -> Entry:
    seed = int(rng.integers(1_000_000)) if seed is None else seed
    subject = scene_name(category, seed)
    name = f"{subject.replace(' ', '-')}-{int(rng.integers(10_000, 100_000))}-{seed}"
    folder = category.lower().replace(" ", "-")
    path = f"/gallery/{folder}/{name}{ENCODINGS[encoding].suffix}"
    picture = Picture(category, seed, size, encoding)
    return Entry(path, picture, f"A drawing of {subject}, {category.lower()}", "MIT", fate)


def _drawings(rng: np.random.Generator, per_category: int) -> Iterator[Entry]:
    """Yield good drawings, all different, `per_category` of each category."""
    for category in SCENES:
        start = int(rng.integers(1_000_000))
        for seed in range(start, start + per_category):
            yield _drawing(rng, category, _size(rng), str(rng.choice(_GOOD)), "good", seed)


def _photographs(rng: np.random.Generator, crops_each: int) -> Iterator[Entry]:
    """Yield every shipped photograph whole, and crops of it."""
    for photo in photographs():
        for k in range(crops_each + 1):
            width, height = (768, 768) if k == 0 else rng.integers(256, 420, 2).tolist()
            encoding = str(rng.choice(_GOOD))
            name = f"{photo.name}{f'-detail-{k}' if k else ''}{ENCODINGS[encoding].suffix}"
            seed = int(rng.integers(2**31))
            picture = Picture(photo.category, seed, (width, height), encoding, photo.name)
            caption = f"{photo.name}, {photo.credit}"
            yield Entry(f"/photographs/{name}", picture, caption, photo.licence, "good")


def _flawed(rng: np.random.Generator, good: list[Entry]) -> Iterator[Entry]:
    """Yield thumbnails, heavily compressed pictures, blurred pictures, and duplicates."""
    categories = list(SCENES)
    for k in range(28):
        size = (int(rng.integers(90, 255)), int(rng.integers(60, 200)))
        entry = _drawing(rng, categories[k % 16], size, "jpeg92", "small")
        yield replace(entry, path=entry.path.replace("/gallery/", "/thumbs/"))
    for k in range(24):
        yield _drawing(rng, categories[k % 16], _size(rng), _HARSH[k % len(_HARSH)], "compressed")
    for k in range(20):
        entry = _drawing(rng, categories[k % 16], _size(rng), str(rng.choice(_GOOD)), "blurred")
        yield replace(entry, picture=replace(entry.picture, blur=float(rng.uniform(2.5, 6))))
    for k in rng.choice(len(good), 24, replace=False):
        mirror = good[k].path.replace("/gallery/", "/mirror/").replace("/photographs/", "/mirror/")
        yield replace(good[k], path=mirror, fate="duplicate")


def _oddities(rng: np.random.Generator) -> Iterator[Entry]:
    """Yield good pictures in unusual files or under unusual names, and one behind robots.txt."""
    categories = list(SCENES)
    for encoding in _ODD:
        entry = _drawing(rng, categories[rng.integers(16)], (480, 360), encoding, "odd")
        yield replace(entry, path=f"/odd/{encoding}{ENCODINGS[encoding].suffix}")
    for path in _ODD_PATHS:
        entry = _drawing(rng, categories[rng.integers(16)], (400, 320), "jpeg92", "odd")
        yield replace(entry, path=path, caption=f'{entry.caption}, "quoted", and more')
    yield replace(
        _drawing(rng, "Text Scene", (400, 320), "jpeg92", "private"), path="/private/diary.jpg"
    )


def _misbehaving() -> Iterator[Entry]:
    """Yield one entry for each misbehaviour."""
    for k, name in enumerate(MISBEHAVIOURS):
        picture = Picture(list(SCENES)[k % 16], k, (360, 300), "jpeg92")
        yield Entry(f"/trouble/{name}.jpg", picture, name, "MIT", name, behaviour=name)


def fingerprint(picture: Picture) -> str:
    """Return the cache key of a picture's bytes: 32 hex digits."""
    key = f"{__version__} {_DRAWINGS} {picture!r}"
    return hashlib.sha256(key.encode()).hexdigest()[:32]
