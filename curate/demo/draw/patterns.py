"""Artificial, others: fractals, charts, mosaics, gradients, rosettes and boards of circuits."""

from __future__ import annotations

import numpy as np
from PIL import Image

from curate.demo.draw import fields
from curate.demo.draw.canvas import Canvas, finish
from curate.demo.draw.colours import Palette, choose_palette, jitter, mix
from curate.demo.draw.shapes import ellipse, rectangle, ribbon, ridge, smooth, xy
from curate.demo.draw.words import title

__all__ = ["charts", "circuits", "fractals", "mosaics", "rosettes", "spectra", "washes"]


def _coloured(share: np.ndarray, palette: Palette, order: np.ndarray) -> np.ndarray:
    """Map values from 0 to 1 onto the palette's colours in the given order, (h, w, 3)."""
    stops = np.asarray(palette.colours, dtype=np.float32)[order]
    return np.stack(
        [np.interp(share, np.linspace(0, 1, len(stops)), stops[:, k]) for k in range(3)], axis=-1
    )


def fractals(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """A Julia set."""
    palette, (width, height) = choose_palette(rng), size
    seeds = (
        -0.8 + 0.156j,
        -0.4 + 0.6j,
        0.285 + 0.01j,
        -0.70176 - 0.3842j,
        -0.835 - 0.2321j,
        -0.1 + 0.651j,
    )
    seed, zoom = seeds[rng.integers(6)] + complex(*rng.normal(0, 0.004, 2)), rng.uniform(0.35, 1.4)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / height - 0.5
    z = ((x - 0.5 * (width / height - 1)) * 2.4 * zoom + 1j * y * 2.4 * zoom).astype(np.complex64)
    z *= np.exp(1j * rng.uniform(0, 2 * np.pi)).astype(np.complex64)
    count = np.zeros(z.shape, np.float32)
    inside = np.ones(z.shape, bool)
    for step in range(90):
        z[inside] = z[inside] ** 2 + np.complex64(seed)
        gone = inside & (np.abs(z) > 8)
        count[gone] = step + 1 - np.log2(np.log2(np.abs(z[gone])) / 3)
        inside &= ~gone
    count[inside] = 90
    share = np.clip(np.log1p(count) / np.log(91), 0, 1)
    return Image.fromarray(
        _coloured((share * rng.uniform(1, 3)) % 1.0001, palette, rng.permutation(6)).astype(
            np.uint8
        )
    )


def charts(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Bars, curves, points or a pie, with axes and numbers."""
    palette = choose_palette(rng)
    c = Canvas(rng, size, (252, 252, 250))
    ink, grey, kind = (40, 40, 48), (214, 214, 214), int(rng.integers(4))
    c.text(
        c.wide / 2,
        0.05,
        title(rng).capitalize() + f", {rng.integers(1900, 2020)}",
        0.045,
        ink,
        "sans",
    )
    left, right, top, bottom = 0.1, c.wide - 0.05, 0.12, 0.88
    if kind == 3:
        shares, angle = rng.dirichlet(np.ones(int(rng.integers(4, 9))) * 2), 0.0
        for k, share in enumerate(shares):
            wedge = [
                [c.wide / 2, 0.52],
                *ellipse(c.wide / 2, 0.52, 0.34 * c.unit, start=angle, end=angle + share),
            ]
            c.outlined(np.array(wedge), jitter(rng, palette.colours[k % 6]), (252, 252, 250), 0.005)
            at = ellipse(c.wide / 2, 0.52, 0.4 * c.unit, start=angle + share / 2, end=1, points=1)[
                0
            ]
            c.text(*xy(at), f"{100 * share:.0f}%", 0.03, ink, "sans")
            angle += share
        return c.finish(clean=True)
    for k in range(11):
        y = bottom - k * (bottom - top) / 10
        c.line([[left, y], [right, y]], grey, 0.0015)
        c.text(left - 0.012, y, str(k * 10), 0.022, ink, "sans", anchor="rm")
    series, n = int(rng.integers(1, 5)), int(rng.integers(6, 24))
    for s in range(series):
        colour = jitter(rng, palette.colours[s % 5])
        t = np.linspace(left + 0.03, right - 0.03, n)
        v = np.clip(ridge(rng, 1, 0.5, 0.2, 1.2, n)[:, 1], 0.03, 0.97)
        heights = bottom - v * (bottom - top)
        if kind == 0:
            w = 0.8 * (t[1] - t[0]) / series
            for x, h in zip(t, heights, strict=True):
                c.fill(
                    rectangle(x + (s - series / 2) * w, h, x + (s + 1 - series / 2) * w, bottom),
                    colour,
                )
        elif kind == 1:
            c.line(np.stack([t, heights], 1), colour, 0.006)
            for x, h in zip(t, heights, strict=True):
                c.fill(ellipse(x, h, 0.009), colour)
        else:
            cloud = (
                rng.normal(size=(120, 2))
                @ np.array([[1.0, rng.uniform(-1, 1)], [0, 0.6]])
                * (0.12 * c.wide, 0.1)
            )
            for x, h in cloud + (rng.uniform(0.4, 0.7) * c.wide, rng.uniform(0.35, 0.65)):
                if left < x < right and top < h < bottom:
                    c.fill(ellipse(x, h, 0.007), colour)
    c.line([[left, top], [left, bottom], [right, bottom]], ink, 0.004)
    for k in range(7):
        x = left + (k + 0.5) * (right - left) / 7
        c.line([[x, bottom], [x, bottom + 0.012]], ink, 0.003)
        c.text(x, bottom + 0.035, title(rng, 1), 0.022, ink, "sans")
    return c.finish(clean=True)


def mosaics(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Cells of glass in one colour each over a hidden gradient."""
    palette, shape = choose_palette(rng), (size[1], size[0])
    spacing = float(np.exp(rng.uniform(np.log(6), np.log(50))))
    number, _, border = fields.cells(rng, shape, spacing)
    hidden = fields.noise(rng, shape, 2.2)
    total = np.bincount(number.ravel(), hidden.ravel()) / np.maximum(np.bincount(number.ravel()), 1)
    tint = np.clip(total / 4 + 0.5 + rng.normal(0, 0.06, total.shape), 0, 1)
    pixels = _coloured(tint, palette, rng.permutation(6))[number]
    lead = np.clip(border - rng.uniform(0, 1.6), 0, 1)[..., None]
    pixels = pixels * lead + np.asarray(palette.dark) * (1 - lead)
    return finish(rng, Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)))


def rosettes(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Line upon line of a turning curve, as on banknotes."""
    palette = choose_palette(rng)
    dark = rng.random() < 0.4
    c = Canvas(rng, size, palette.dark if dark else palette.light)
    t = np.linspace(0, 2 * np.pi, 720)
    for _ in range(int(rng.integers(1, 5))):
        x, y, r = (
            rng.uniform(0.2, 0.8) * c.wide,
            rng.uniform(0.2, 0.8),
            rng.uniform(0.25, 0.6) * c.unit,
        )
        lobes, deep, colour = (
            int(rng.integers(3, 13)),
            rng.uniform(0.1, 0.5),
            palette.colours[rng.integers(2, 5) if dark else rng.integers(0, 4)],
        )
        for k in range(int(rng.integers(10, 46))):
            radius = r * (1 - k / 60) * (1 + deep * np.cos(lobes * t + 0.12 * k)) / (1 + deep)
            c.line(
                np.stack([x + radius * np.cos(t), y + radius * np.sin(t)], 1),
                jitter(rng, colour, 6),
                rng.uniform(0.001, 0.003),
            )
    return c.finish(clean=rng.random() < 0.5)


def circuits(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """A printed circuit with tracks, pads and chips."""
    base = jitter(rng, ((20, 84, 60), (24, 60, 110), (110, 30, 34), (36, 36, 42))[rng.integers(4)])
    c = Canvas(rng, size, base)
    track, gold, step = mix(base, (150, 220, 170), 0.3), (214, 184, 110), rng.uniform(0.014, 0.026)
    for _ in range(int(rng.integers(60, 200))):
        at, path = (rng.uniform(0, (c.wide, 1)) / step).round() * step, []
        path.append(at)
        for _ in range(int(rng.integers(1, 5))):
            at = at + step * rng.integers(1, 9) * np.array([[1, 0], [0, 1], [1, 1], [1, -1]])[
                rng.integers(4)
            ] * rng.choice([-1, 1])
            path.append(at)
        c.line(path, track, 0.3 * step)
        for end in (path[0], path[-1]):
            c.fill(ellipse(*xy(end), 0.42 * step), gold)
            c.fill(ellipse(*xy(end), 0.18 * step), (20, 20, 20))
    for _ in range(int(rng.integers(2, 10))):
        x, y, w, h = (
            *(rng.uniform(0, (c.wide, 1)) / step).round() * step,
            step * rng.integers(4, 14),
            step * rng.integers(4, 9),
        )
        for u in np.arange(x + step / 2, x + w, step):
            c.fill(
                rectangle(u, y - 0.7 * step, u + 0.45 * step, y + h + 0.7 * step), (200, 200, 204)
            )
        c.fill(rectangle(x, y, x + w, y + h), (34, 34, 38))
        c.fill(ellipse(x + 0.8 * step, y + 0.8 * step, 0.3 * step), (70, 70, 74))
        c.text(
            x + w / 2,
            y + h / 2,
            f"{title(rng, 1)[:3].upper()}{rng.integers(100, 9999)}",
            min(0.9 * step, h / 3),
            (190, 190, 190),
            "mono",
        )
    return c.finish()


def washes(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Soft gradients and ribbons: almost no fine detail."""
    palette, shape = choose_palette(rng), (size[1], size[0])
    share = (
        fields.noise(rng, shape, rng.uniform(2.5, 3.5), 6) / 5
        + np.linspace(0.1, 0.9, shape[0])[:, None]
    )
    c = Canvas(rng, size, palette.light)
    c.cover(
        Image.fromarray(
            _coloured(np.clip(share, 0, 1), palette, rng.permutation(6)).astype(np.uint8)
        )
    )
    for _ in range(int(rng.integers(0, 5))):
        path = smooth(
            [
                [-0.1, rng.random()],
                [0.35 * c.wide, rng.random()],
                [0.7 * c.wide, rng.random()],
                [c.wide + 0.1, rng.random()],
            ],
            closed=False,
            steps=30,
        )
        for width in np.linspace(0.2, 0.02, 7):
            c.fill(
                ribbon(path, [width, 0.4 * width, width]),
                mix(palette.pick(rng), palette.light, 1 - 4 * width),
            )
    return c.finish(clean=True)


def spectra(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Noise with a 1/f^a spectrum, a from 0.2 to 2.5, in three related channels."""
    shape, slope = (size[1], size[0]), rng.uniform(0.2, 2.5)
    shared, colour = fields.noise(rng, shape, slope), rng.uniform(0, 0.8)
    channels = [(1 - colour) * shared + colour * fields.noise(rng, shape, slope) for _ in range(3)]
    pixels = (
        np.asarray(choose_palette(rng).pick(rng)) * 0.5
        + 64
        + rng.uniform(14, 46) * np.stack(channels, axis=-1)
    )
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
