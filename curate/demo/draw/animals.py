"""Animals: grazing herds, birds, fish, butterflies and faces."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from curate.demo.draw.canvas import Canvas, Paint, shaded
from curate.demo.draw.colours import Colour, Palette, choose_palette, jitter, mix
from curate.demo.draw.nature import grass, leaf, sky
from curate.demo.draw.shapes import Points, blob, ellipse, place, ribbon, smooth

__all__ = ["birds", "faces", "herd"]

_BLACK = (26, 22, 26)
_COATS: tuple[Colour, ...] = (
    (120, 78, 48),
    (60, 46, 42),
    (206, 176, 132),
    (232, 226, 214),
    (168, 98, 52),
    (110, 108, 112),
)


@dataclass(frozen=True)
class _Build:
    """Proportions of an animal on four legs, in units of its body's length."""

    body: float
    legs: float
    neck: tuple[float, float]
    head: float
    muzzle: float
    ears: float
    tail: float
    horns: float
    texture: str


_BUILDS = (
    _Build(0.27, 0.55, (0.28, 0.42), 0.10, 0.20, 0.08, 0.45, 0, "fur"),  # horse
    _Build(0.31, 0.40, (0.20, 0.14), 0.12, 0.17, 0.09, 0.40, 0.10, "fur"),  # cow
    _Build(0.33, 0.30, (0.12, 0.10), 0.11, 0.13, 0.08, 0.10, 0, "knit"),  # sheep
    _Build(0.20, 0.58, (0.22, 0.38), 0.08, 0.14, 0.11, 0.10, 0.34, "fur"),  # deer
    _Build(0.17, 0.30, (0.14, 0.14), 0.10, 0.15, 0.12, 0.50, 0, "fur"),  # fox
    _Build(0.24, 0.32, (0.12, 0.16), 0.12, 0.12, 0.09, 0.30, 0, "fur"),  # dog
)


def herd(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """One to seven animals of a kind on a meadow."""
    level = rng.uniform(0.35, 0.6)
    c = Canvas(rng, size, (255, 255, 255))
    sky(c, level + 0.02)
    grass(
        c, level, jitter(rng, ((96, 128, 60), (140, 136, 70), (80, 112, 76))[rng.integers(3)]), 500
    )
    build, count = _BUILDS[rng.integers(len(_BUILDS))], int(rng.choice([1, 2, 3, 5, 7]))
    coat = _COATS[rng.integers(len(_COATS))]
    big = {1: 0.5, 2: 0.36, 3: 0.32}.get(count, 0.22) * c.unit
    slots = rng.permutation(count)
    for k, y in enumerate(np.sort(rng.uniform(max(level + 0.1, 0.6), 0.95, count))):
        x = (slots[k] + rng.uniform(0.35, 0.65)) / count * c.wide
        _four_legged(
            c,
            x,
            float(y),
            big * (0.35 + 0.75 * float(y)),
            build,
            jitter(rng, coat, 14),
            bool(rng.random() < 0.5),
        )
    return c.finish()


def _four_legged(
    c: Canvas, x: float, y: float, long: float, build: _Build, coat: Colour, flip: bool
) -> None:
    rng, dark = c.rng, mix(coat, _BLACK, 0.45)
    at = (x, y - (build.legs + build.body / 2) * long)

    def put(shape: Points, paint: Colour | Paint) -> None:
        c.fill(place(shape, *at, long, flip=flip), paint)

    c.shadow(place(ellipse(0, build.legs + build.body / 2, 0.55, 0.05), *at, long), 0, 0, 0.01)
    hair = shaded(coat, build.texture, 0.1, 0.35)
    half, reach = build.body / 2, build.legs + build.body / 2
    for hip, colour in ((-0.36, dark), (0.3, dark), (-0.44, coat), (0.38, coat)):
        step = rng.normal(0, 0.05)
        leg = smooth(
            [[hip, 0], [hip + 0.02, 0.5 * reach], [hip + step, 0.97 * reach]], closed=False
        )
        put(ribbon(leg, [0.16, 0.08, 0.055]), shaded(colour, build.texture, 0.08))
        put(ellipse(hip + step + 0.015, reach - 0.01, 0.045, 0.022), mix(dark, _BLACK, 0.6))
    tail = smooth(
        [[-0.48, -half * 0.6], [-0.6, 0], [-0.55 - build.tail / 3, build.tail * 0.7]], closed=False
    )
    put(
        ribbon(tail, [0.05, 0.04 + build.tail / 6, 0.02]),
        shaded(dark if build.tail > 0.2 else coat, "fur", 0.1),
    )
    back = [
        [-0.5, -half * 0.6],
        [-0.2, -half * 0.95],
        [0.2, -half * 0.9],
        [0.5, -half],
        [0.55, 0.2 * half],
        [0.3, half],
        [-0.1, half * 0.85],
        [-0.45, half],
    ]
    put(smooth(back), hair)
    if rng.random() < 0.4 and build.texture == "fur":
        for _ in range(rng.integers(3, 8)):
            put(
                blob(
                    rng, rng.uniform(-0.38, 0.38), rng.uniform(-0.55, 0.45) * half, 0.07, 0.05, 0.5
                ),
                shaded(mix(coat, (250, 246, 240), 0.75), "fur"),
            )
    nx, ny = 0.46 + build.neck[0], -half * 0.5 - build.neck[1]
    put(
        ribbon(
            [[0.38, -half * 0.2], [(0.42 + nx) / 2, (ny - half * 0.4) / 2], [nx, ny]],
            [build.body * 0.95, build.body * 0.6, build.head * 1.5],
        ),
        hair,
    )
    for side in (-1, 1):
        ear = place(
            [[0, 0], [0.035, -build.ears], [0.06, 0]],
            nx - 0.04 + 0.03 * side,
            ny - 0.6 * build.head,
            turn=0.35 * side,
        )
        put(ear, dark if side < 0 else hair)
        if build.horns:
            horn = smooth(
                [
                    [nx, ny - build.head * 0.7],
                    [nx - 0.05 * side, ny - build.head - build.horns / 2],
                    [nx + 0.12 * side, ny - build.head - build.horns],
                ],
                closed=False,
            )
            put(ribbon(horn, [0.03, 0.012]), (222, 206, 176))
    put(ellipse(nx, ny, build.head, build.head * 0.9), hair)
    put(
        ribbon(
            [[nx, ny], [nx + build.muzzle, ny + 0.6 * build.muzzle]],
            [build.head * 1.7, build.head * 0.95],
        ),
        hair,
    )
    put(
        ellipse(nx + build.muzzle, ny + 0.6 * build.muzzle, 0.35 * build.head, 0.45 * build.head),
        mix(dark, (90, 60, 60), 0.3),
    )
    put(ellipse(nx + 0.3 * build.head, ny - 0.15 * build.head, 0.16 * build.head), _BLACK)


def birds(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Round birds on twigs among leaves."""
    palette = choose_palette(rng)
    c = Canvas(
        rng,
        size,
        Paint(
            mix(palette.light, palette.pick(rng), 0.25),
            mix(palette.light, palette.pick(rng), 0.6),
            "cloud",
            0.03,
        ),
    )
    green = jitter(rng, (84, 118, 70))
    for _ in range(rng.integers(1, 4)):
        y, slope = rng.uniform(0.45, 0.9), rng.normal(0, 0.12)
        twig = smooth(
            [
                [-0.05, y],
                [0.3 * c.wide, y + slope],
                [0.7 * c.wide, y + 0.5 * slope],
                [c.wide * 1.05, y + slope],
            ],
            closed=False,
        )
        c.fill(ribbon(twig, [0.035, 0.012]), shaded((92, 66, 50), "brush", 0.12))
        for knot in twig[rng.integers(0, len(twig), rng.integers(8, 40))]:
            c.fill(
                place(leaf(0.1 * c.unit, 0.045 * c.unit), *knot, turn=rng.uniform(0, 6.3)),
                shaded(jitter(rng, green), "fur", 0.06),
            )
        for k in rng.choice(np.arange(3, len(twig) - 3), rng.integers(1, 4), replace=False):
            _bird(
                c,
                twig[k, 0],
                twig[k, 1],
                rng.uniform(0.1, 0.2) * c.unit,
                palette,
                bool(rng.random() < 0.5),
            )
    return c.finish()


def _bird(c: Canvas, x: float, y: float, r: float, palette: Palette, flip: bool) -> None:
    coat, breast = (
        jitter(c.rng, palette.pick(c.rng)),
        jitter(c.rng, palette.colours[c.rng.integers(3, 6)]),
    )

    def put(shape: Points, paint: Colour | Paint) -> None:
        c.fill(place(shape, x, y - 0.95 * r, r, flip=flip), paint)

    for foot in (-0.15, 0.15):
        put(ribbon([[foot, 0.7], [foot + 0.05, 1.02]], 0.06), (150, 96, 60))
    put(
        place([[0, -0.12], [1.1, -0.1], [1.15, 0.12], [0, 0.2]], -0.6, 0.35, turn=np.pi - 0.5),
        shaded(mix(coat, _BLACK, 0.3), "fur", 0.1),
    )
    put(
        smooth(
            [
                [-0.9, 0.35],
                [-0.6, -0.35],
                [0.1, -0.75],
                [0.65, -0.75],
                [0.85, -0.3],
                [0.75, 0.3],
                [0.3, 0.8],
                [-0.4, 0.8],
            ]
        ),
        shaded(coat, "fur", 0.1),
    )
    put(
        smooth([[0.25, -0.1], [0.8, -0.2], [0.72, 0.35], [0.3, 0.78], [-0.25, 0.75], [0, 0.3]]),
        shaded(breast, "fur", 0.08),
    )
    wing = smooth([[0.15, -0.15], [0.1, 0.35], [-0.45, 0.6], [-1.05, 0.62], [-0.5, 0.05]])
    put(wing, shaded(mix(coat, _BLACK, 0.35), "brush", 0.14))
    for k in range(4):
        put(
            ribbon([[-0.9 + 0.12 * k, 0.56 - 0.06 * k], [-0.25 + 0.1 * k, 0.32 - 0.08 * k]], 0.025),
            mix(coat, (255, 250, 235), 0.4),
        )
    put(np.array([[0.8, -0.55], [1.12, -0.42], [0.8, -0.33]]), (226, 150, 54))
    put(ellipse(0.6, -0.5, 0.09), _BLACK)
    put(ellipse(0.63, -0.53, 0.03), (255, 255, 255))


def faces(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """The face of a cat, a bear, a fox or an owl, hair by hair."""
    palette = choose_palette(rng)
    c = Canvas(
        rng,
        size,
        Paint(palette.pick(rng), mix(palette.dark, palette.pick(rng), 0.4), "cloud", 0.04),
    )
    kind, coat, r = (
        int(rng.integers(4)),
        jitter(rng, _COATS[rng.integers(len(_COATS))], 14),
        0.33 * c.unit,
    )
    at, pale = (c.wide / 2 + rng.normal(0, 0.03), 0.52), mix(coat, (255, 246, 232), 0.6)

    def put(shape: Points, paint: Colour | Paint) -> None:
        c.fill(place(shape, *at, r), paint)

    put(blob(rng, 0, 1.5, 1.25, 0.95, 0.06), shaded(coat, "fur", 0.12, 0.5))
    for flip in (False, True):
        ear = (
            ellipse(0.72, -0.75, 0.32)
            if kind == 1
            else np.array([[0.25, -0.8], [0.8, -1.45 + 0.25 * (kind == 3)], [0.95, -0.4]])
        )
        c.fill(place(ear, *at, r, flip=flip), shaded(coat, "fur", 0.1))
        c.fill(place(ear * 0.7 + (0.2, -0.2), *at, r, flip=flip), mix(coat, (190, 120, 110), 0.6))
    put(blob(rng, 0, 0, 1.05, 0.95, 0.04), shaded(coat, "fur", 0.12))
    angle = rng.uniform(0, 2 * np.pi, 900)
    for a, reach in zip(angle, np.sqrt(rng.uniform(0.12, 1, 900)), strict=True):
        root, out = (
            np.array([np.cos(a), 0.92 * np.sin(a)]) * reach,
            np.array([np.cos(a), np.sin(a) + 0.3]),
        )
        put(ribbon([root, root + 0.09 * out], [0.018, 0.004]), jitter(rng, coat, 20))
    for flip in (False, True):
        c.fill(place(ellipse(0.42, -0.12, 0.34 if kind == 3 else 0.24), *at, r, flip=flip), pale)
        c.fill(place(ellipse(0.42, -0.12, 0.24 if kind == 3 else 0.16), *at, r, flip=flip), _BLACK)
        iris = palette.colours[4] if kind != 1 else (110, 70, 40)
        c.fill(
            place(ellipse(0.42, -0.12, 0.2 if kind == 3 else 0.14), *at, r, flip=flip),
            shaded(iris, "fur", 0.1),
        )
        c.fill(place(ellipse(0.42, -0.12, 0.1 if kind else 0.04, 0.12), *at, r, flip=flip), _BLACK)
        c.fill(place(ellipse(0.46, -0.18, 0.035), *at, r), (255, 255, 255))
    if kind == 3:
        put(np.array([[-0.12, 0.1], [0.12, 0.1], [0, 0.45]]), shaded((220, 160, 60), "paper"))
        return c.finish()
    put(blob(rng, 0, 0.45, 0.42, 0.34, 0.05), shaded(pale, "fur", 0.08))
    put(
        smooth([[-0.15, 0.25], [0.15, 0.25], [0, 0.42]]),
        mix(_BLACK, (190, 110, 110), 0.5 * (kind == 0)),
    )
    for flip in (False, True):
        c.line(
            place(smooth([[0, 0.42], [0.1, 0.58], [0.27, 0.52]], closed=False), *at, r, flip=flip),
            _BLACK,
            0.03 * r,
        )
        for k in range(4 * (kind != 1)):
            whisker = [[0.25, 0.42 + 0.05 * k], [0.7, 0.34 + 0.1 * k], [1.2, 0.32 + 0.16 * k]]
            c.line(
                place(smooth(whisker, closed=False), *at, r, flip=flip), (250, 248, 240), 0.012 * r
            )
    return c.finish()
