"""Outdoor, others: gravel, walls of rough stone, bark, clouds, stars and fireworks."""

from __future__ import annotations

import numpy as np
from PIL import Image

from curate.demo.draw import fields
from curate.demo.draw.canvas import Canvas, Paint, finish, shaded
from curate.demo.draw.colours import Colour, choose_palette, jitter, mix
from curate.demo.draw.nature import close
from curate.demo.draw.shapes import blob, ribbon, ridge, smooth, xy

__all__ = ["bark", "clouds", "fireworks", "gravel", "rubble", "stars", "tinted"]


def tinted(field: fields.Field, dark: Colour, light: Colour) -> Image.Image:
    """A field as a picture between two colours, reached at minus and plus two deviations."""
    share = np.clip(field / 4 + 0.5, 0, 1)[..., None]
    pixels = (
        np.asarray(dark, dtype=np.float32) * (1 - share)
        + np.asarray(light, dtype=np.float32) * share
    )
    return Image.fromarray(pixels.astype(np.uint8))


def gravel(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Pebbles on the ground, from sand to cobbles."""
    shape, spacing = (size[1], size[0]), float(np.exp(rng.uniform(np.log(5), np.log(60))))
    number, distance, border = fields.cells(rng, shape, spacing, rng.uniform(1, 1.6))
    base = jitter(
        rng, ((150, 140, 128), (170, 140, 104), (112, 112, 120), (190, 180, 160))[rng.integers(4)]
    )
    colours = np.clip(
        np.asarray(base)
        + rng.normal(0, 26, (number.max() + 1, 1))
        + rng.normal(0, 7, (number.max() + 1, 3)),
        10,
        245,
    )
    dome = np.clip(border / spacing * 4, 0, 1) ** 0.5 * (1.1 - 0.5 * distance / spacing)
    light = 0.25 + 0.8 * dome + 0.25 * np.gradient(dome, axis=0) * spacing / 6
    rough = fields.noise(rng, shape, 0.6) * rng.uniform(2, 14)
    return finish(
        rng,
        Image.fromarray(
            np.clip(colours[number] * light[..., None] + rough[..., None], 0, 255).astype(np.uint8)
        ),
    )


def rubble(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """A wall of rough stones with moss."""
    shape, spacing = (size[1], size[0]), rng.uniform(30, 90)
    number, _, border = fields.cells(rng, shape, spacing, rng.uniform(1.4, 2.4))
    base = jitter(rng, ((140, 132, 122), (168, 144, 112), (116, 110, 116))[rng.integers(3)])
    colours = (
        np.asarray(base)
        + rng.normal(0, 16, (number.max() + 1, 1))
        + rng.normal(0, 6, (number.max() + 1, 3))
    )
    edge = np.clip(border / 6, 0, 1)[..., None]
    grain = fields.noise(rng, shape, rng.uniform(0.4, 1.1))
    relief = grain - np.roll(grain, (2, 2), (0, 1))
    pixels = colours[number] * (0.35 + 0.65 * edge) + relief[..., None] * rng.uniform(6, 20)
    moss = np.clip(fields.noise(rng, shape, 1.7) - rng.uniform(0.3, 1.5), 0, 1)[..., None]
    pixels += moss * (np.asarray(jitter(rng, (84, 104, 52))) - pixels) * 0.8
    return finish(rng, Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)))


def bark(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Furrowed bark."""
    shape = (size[1], size[0])
    plates = fields.hatching(
        rng, shape, np.pi / 2 + rng.normal(0, 0.05), rng.uniform(16, 60), rng.uniform(2.5, 7)
    )
    furrows = (
        1.6 * (np.abs(plates) - 0.6)
        + 0.5 * fields.noise(rng, shape, 0.9)
        + 0.3 * fields.hatching(rng, shape, np.pi / 2, 8)
    )
    base = jitter(rng, ((120, 92, 70), (150, 140, 126), (96, 76, 66))[rng.integers(3)])
    return finish(
        rng, tinted(furrows, mix(base, (16, 12, 14), 0.75), mix(base, (250, 240, 220), 0.4))
    )


def clouds(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """A sky full of clouds, from wisps to a front."""
    palette = choose_palette(rng)
    height, width = size[1], size[0]
    body = fields.noise(rng, (height, width), rng.uniform(1.3, 1.9))
    cover = np.clip(body - rng.uniform(-0.8, 0.6), 0, None)
    share = (1 - np.exp(-1.6 * cover))[..., None]
    lit = np.clip(0.75 + 0.12 * (body - np.roll(body, height // 40 + 1, axis=0)), 0.3, 1)[..., None]
    high, low = (
        mix((52, 104, 176), palette.dark, 0.3 * rng.random()),
        mix((186, 208, 222), palette.pick(rng), 0.4),
    )
    ramp = np.linspace(0, 1, height)[:, None, None]
    blue = np.asarray(high) * (1 - ramp) + np.asarray(low) * ramp
    white = mix((255, 252, 246), palette.colours[4], 0.25)
    return finish(
        rng,
        Image.fromarray(
            np.clip(blue * (1 - share) + np.asarray(white) * lit * share, 0, 255).astype(np.uint8)
        ),
    )


def stars(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """The night sky: stars of all magnitudes, a milky way, a dark horizon."""
    night = jitter(rng, ((14, 18, 44), (22, 14, 42), (8, 26, 40))[rng.integers(3)], 5)
    c = Canvas(rng, size, Paint(night, mix(night, (90, 70, 110), 0.5), "cloud", 0.03))
    foot, tilt = rng.uniform(0.2, 0.8) * c.wide, rng.normal(0, 0.5)
    for t in np.linspace(-0.1, 1.1, 60):
        at = (foot + tilt * (t - 0.5) + rng.normal(0, 0.04), t)
        c.glow(*xy(at), rng.uniform(0.08, 0.24), mix(night, (190, 180, 220), 0.6), 0.16)
    for _ in range(rng.integers(150, 1500)):
        band = rng.random() < 0.4
        y = rng.random()
        x = foot + tilt * (y - 0.5) + rng.normal(0, 0.09) if band else rng.uniform(0, c.wide)
        r = 0.0006 + 0.0008 * rng.pareto(2.2)
        c.fill(
            blob(rng, x, y, min(r, 0.006)),
            jitter(rng, ((255, 250, 236), (200, 216, 255), (255, 220, 180))[rng.integers(3)], 8),
        )
    c.fill(
        close(c, ridge(rng, c.wide, rng.uniform(0.82, 0.95), 0.03)),
        Paint(mix(night, (0, 0, 0), 0.5), texture="stone", contrast=0.02),
    )
    return c.finish()


def fireworks(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Bursts of sparks over a dark town."""
    palette = choose_palette(rng)
    c = Canvas(rng, size, Paint((14, 14, 34), (52, 38, 70), "cloud", 0.03))
    for _ in range(rng.integers(2, 9)):
        x, y, r = (
            rng.uniform(0.1, 0.9) * c.wide,
            rng.uniform(0.1, 0.65),
            rng.uniform(0.08, 0.32) * c.unit,
        )
        colour = jitter(rng, mix(palette.colours[rng.integers(2, 6)], (255, 240, 200), 0.3), 20)
        c.glow(x, y, 1.6 * r, colour, 0.35)
        for _ in range(rng.integers(20, 90)):
            angle, reach = rng.uniform(0, 2 * np.pi), r * rng.uniform(0.5, 1.05)
            tip = np.array([np.cos(angle), np.sin(angle)]) * reach
            path = smooth(
                [[x, y], [x + 0.6 * tip[0], y + 0.6 * tip[1]], [x + tip[0], y + tip[1] + 0.15 * r]],
                closed=False,
            )
            c.fill(ribbon(path, [0.0005, 0.004]), jitter(rng, colour, 20))
            c.fill(blob(rng, *xy(path[-1]), 0.004), (255, 250, 230))
    c.fill(close(c, ridge(rng, c.wide, 0.92, 0.02, 0.8)), (8, 8, 18))
    for _ in range(rng.integers(20, 120)):
        c.fill(
            blob(rng, rng.uniform(0, c.wide), rng.uniform(0.92, 1), 0.004), shaded((255, 210, 130))
        )
    return c.finish()
