"""Text scenes: book pages, newspapers, signs, screens of code, receipts and notes on a board."""

from __future__ import annotations

import numpy as np
from PIL import Image

from curate.demo.draw.canvas import Canvas, Paint, shaded
from curate.demo.draw.colours import choose_palette, jitter, mix
from curate.demo.draw.shapes import ellipse, place, rectangle, ridge, rounded, xy
from curate.demo.draw.words import place_name, sentence, set_lines, title

__all__ = ["blackboards", "book_pages", "code", "newspapers", "receipts", "signs"]


def book_pages(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """One or two pages of a book, flat or a little turned."""
    palette = choose_palette(rng)
    paper, ink = jitter(rng, (242, 234, 214), 6), mix(palette.dark, (20, 18, 18), 0.7)
    c = Canvas(
        rng,
        size,
        Paint(
            paper,
            mix(paper, (150, 120, 80), rng.uniform(0, 0.25)),
            "paper",
            0.02,
            rng.uniform(0, 1.5),
        ),
    )
    face, height = (
        ("book", "serif", "bookbold", "plain")[rng.integers(4)],
        rng.uniform(0.018, 0.042),
    )
    columns = 2 if c.wide > 1.1 else 1
    for k in range(columns):
        left, right = (k + 0.1) * c.wide / columns, (k + 0.9) * c.wide / columns
        c.text(
            (left + right) / 2, 0.055, title(rng).upper(), 0.7 * height, mix(ink, paper, 0.3), face
        )
        top = 0.1
        if rng.random() < 0.5:
            c.text(
                (left + right) / 2, 0.17, f"Chapter {rng.integers(1, 40)}", 1.7 * height, ink, face
            )
            top = 0.24
        set_lines(c, (left, top, right, 0.92), height, ink, face, justify=True)
        c.text((left + right) / 2, 0.955, str(rng.integers(1, 400)), 0.8 * height, ink, face)
    if columns == 2:
        for dx in np.linspace(0, 0.07, 24):
            for side in (-1, 1):
                c.shadow(
                    rectangle(c.wide / 2, 0, c.wide / 2 + side * (0.075 - dx) + 0.002, 1),
                    0,
                    0,
                    0.004,
                    0.03,
                )
    return c.finish()


def newspapers(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """A front page: title, headlines, columns, a picture in halftone."""
    paper, ink = jitter(rng, (228, 222, 208), 8), (34, 32, 34)
    c = Canvas(rng, size, Paint(paper, texture="paper", contrast=0.03))
    name = f"The {place_name(rng)} {('Post', 'Times', 'Herald', 'Echo')[rng.integers(4)]}"
    c.text(
        c.wide / 2,
        0.06,
        name,
        min(0.085, 0.09 * c.wide / c.text_width(name, 0.1, "serifbold")),
        ink,
        "serifbold",
    )
    for y in (0.11, 0.135):
        c.line([[0.03, y], [c.wide - 0.03, y]], ink, 0.003)
    month = ("March", "July", "October")[rng.integers(3)]
    issue = f"No {rng.integers(100, 9999)}    {rng.integers(1, 29)} {month}    Price {rng.integers(1, 9)}d"
    c.text(c.wide / 2, 0.123, issue, 0.015, ink, "serif")
    _, adjective, subject, verb, _, thing, *_ = sentence(rng).rstrip(".").split()
    head = f"{adjective} {subject} {verb} {thing}".title()
    c.text(
        c.wide / 2,
        0.185,
        head,
        min(0.065, 0.092 * c.wide / c.text_width(head, 0.1, "bookbold")),
        ink,
        "bookbold",
    )
    columns = max(2, round(c.wide * rng.uniform(3, 5)))
    wide, height = (c.wide - 0.06) / columns, rng.uniform(0.012, 0.02)
    picture = (
        (int(rng.integers(columns - 1)), rng.uniform(0.24, 0.5))
        if rng.random() < 0.8
        else (-9, 0.0)
    )
    for k in range(columns):
        left, right, top = 0.03 + k * wide + 0.01, 0.03 + (k + 1) * wide - 0.01, 0.24
        if k in (picture[0], picture[0] + 1):
            if picture[1] - top > 0.06:
                set_lines(
                    c,
                    (left, top, right, picture[1] - 0.01),
                    height,
                    ink,
                    "serif",
                    leading=1.2,
                    justify=True,
                )
            top = picture[1] + 0.3
        if rng.random() < 0.5:
            c.text((left + right) / 2, top + 0.02, title(rng, 1).upper(), 0.025, ink, "bookbold")
            top += 0.045
        set_lines(c, (left, top, right, 0.98), height, ink, "serif", leading=1.2, justify=True)
        if k:
            c.line([[0.03 + k * wide, 0.24], [0.03 + k * wide, 0.97]], mix(ink, paper, 0.5), 0.0015)
    if picture[0] >= 0:
        left, right = 0.03 + picture[0] * wide + 0.01, 0.03 + (picture[0] + 2) * wide - 0.01
        hills, pitch = ridge(rng, 1, 0.6, 0.1)[:, 1], rng.uniform(0.006, 0.011)
        for y in np.arange(picture[1], picture[1] + 0.26, pitch):
            for x in np.arange(left, right, pitch):
                u, v = (x - left) / (right - left), (y - picture[1]) / 0.26
                tone = 0.85 - 0.4 * v if v > hills[min(int(u * 159), 159)] else 0.15 + 0.3 * v
                c.fill(ellipse(x, y, 0.6 * pitch * np.sqrt(tone), points=9), ink)
        set_lines(c, (left, picture[1] + 0.265, right, picture[1] + 0.29), 0.011, ink, "italic")
    return c.finish()


def signs(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Shop signs, street names and notices on a wall."""
    palette = choose_palette(rng)
    wall = jitter(rng, mix(palette.pick(rng), (200, 190, 176), 0.4))
    c = Canvas(rng, size, shaded(wall, ("stone", "wood", "stone")[rng.integers(3)], 0.08))
    rows = int(rng.integers(1, 4))
    for row in range(rows):
        words = (
            place_name(rng) + " Street",
            title(rng).title() + " & Co",
            "No Parking",
            "Bakery",
            "OPEN",
            "To the " + title(rng, 1),
            "Way Out",
            "Café",
            "Hotel " + place_name(rng),
        )[rng.integers(9)]
        y, face = (row + 0.5) / rows, ("bold", "serifbold", "bookbold", "plain")[rng.integers(4)]
        height = min(0.38 / rows, 0.078 * c.wide / c.text_width(words, 0.1, face))
        half = c.text_width(words, height, face) / 2 + 0.4 * height
        ground, ink = (
            (palette.dark, palette.light) if rng.random() < 0.5 else (palette.light, palette.dark)
        )
        if rng.random() < 0.4:
            ground, ink = palette.pick(rng), (255, 252, 244)
        x = c.wide / 2 + rng.uniform(-0.3, 0.3) * max(c.wide / 2 - half, 0)
        board = rounded(
            x - half, y - 0.75 * height, x + half, y + 0.75 * height, rng.uniform(0, 0.4) * height
        )
        c.shadow(board, 0.012, 0.018, 0.012, 0.5)
        c.fill(board, shaded(ground, ("paper", "wood", "brush")[rng.integers(3)], 0.04))
        inner = (board - (x, y)) * (1 - 0.12 * height / half, 0.86) + (x, y)
        c.line(np.concatenate([inner, inner[:2]]), ink, 0.025 * height)
        c.text(
            x + 0.03 * height,
            y + 0.03 * height,
            words,
            height,
            mix(ground, (10, 10, 14), 0.4),
            face,
        )
        c.text(x, y, words, height, ink, face)
        for side in (-1, 1):
            c.fill(
                ellipse(x + side * (half - 0.18 * height), y, 0.05 * height),
                shaded((180, 180, 176), "paper", 0.03, 0.6),
            )
    return c.finish()


def code(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """A screen of code in an editor's colours."""
    palette, dark = choose_palette(rng), rng.random() < 0.7
    ground = mix(palette.dark, (24, 26, 34), 0.7) if dark else (250, 248, 242)
    inks = [
        mix(palette.colours[k], (240, 240, 240) if dark else (20, 20, 30), 0.35)
        for k in (2, 3, 4, 1)
    ]
    c = Canvas(rng, size, ground)
    height = rng.uniform(0.02, 0.036)
    c.fill(rectangle(0, 0, c.wide, 0.05), mix(ground, inks[0], 0.2))
    for k, colour in enumerate(((230, 90, 80), (230, 180, 70), (100, 190, 90))):
        c.fill(ellipse(0.03 + 0.03 * k, 0.025, 0.009), colour)
    c.text(c.wide / 2, 0.025, f"{title(rng, 1)}.py", 0.022, inks[2], "sans")
    indent, plain = 0, (226, 226, 220) if dark else (40, 40, 46)
    for n, y in enumerate(np.arange(0.07 + height, 1, 1.4 * height)):
        c.text(0.045, y, str(n + 1), height, mix(ground, plain, 0.4), "mono", anchor="rs")
        if rng.random() < 0.12:
            indent = 0
            continue
        x = 0.065 + indent * 4 * 0.6 * height
        a, b, f = (title(rng, 1) for _ in range(3))
        kind = int(rng.integers(5))
        line = (
            (("def ", 0), (f, 1), (f"({a}, {b}):", 4)),
            ((f"{a} = ", 4), (f, 1), (f"({b}, {rng.integers(99)})", 4)),
            (("if ", 0), (f"{a} > {rng.integers(9)}:", 4)),
            ((f"# {sentence(rng)}", 3),),
            (("return ", 0), (f'"{a}"', 2)),
        )[kind]
        for words, ink in line:
            c.text(x, y, words, height, plain if ink == 4 else inks[ink], "mono", anchor="ls")
            x += c.text_width(words, height, "mono")
        indent = min(indent + 1, 4) if kind in (0, 2) else max(indent - (kind == 4), 0)
    return c.finish(clean=rng.random() < 0.6)


def receipts(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """A till receipt or a ticket on a table."""
    palette = choose_palette(rng)
    c = Canvas(
        rng,
        size,
        shaded(jitter(rng, palette.pick(rng)), ("wood", "weave", "stone")[rng.integers(3)], 0.08),
    )
    ink, half, x = (44, 44, 52), 0.3 * c.unit, c.wide / 2 + rng.uniform(-0.1, 0.1)
    top, bottom = 0.04, 0.97
    teeth = np.linspace(x - half, x + half, 33)
    paper = np.concatenate(
        [
            [[x - half, top], [x + half, top]],
            np.stack([teeth[::-1], bottom + 0.01 * (np.arange(33) % 2)], 1),
        ]
    )
    c.shadow(paper, 0.012, 0.02, 0.02, 0.5)
    c.fill(paper, Paint((252, 251, 246), (226, 224, 218), "cloud", 0.015, 0.4))
    height = rng.uniform(0.022, 0.034) * c.unit
    c.text(x, top + 0.06, f"{place_name(rng)} STORES", 1.5 * height, ink, "mono")
    c.text(
        x,
        top + 0.1,
        f"{rng.integers(1, 28):02d}/{rng.integers(1, 12):02d}  {rng.integers(8, 20):02d}:{rng.integers(60):02d}",
        height,
        ink,
        "mono",
    )
    total, y = 0.0, top + 0.15
    while y < bottom - 0.2:
        price = float(rng.integers(30, 2400)) / 100
        total += price
        c.text(
            x - 0.86 * half,
            y,
            f"{rng.integers(1, 5)} {title(rng, 1)}",
            height,
            ink,
            "mono",
            anchor="ls",
        )
        c.text(x + 0.86 * half, y, f"{price:.2f}", height, ink, "mono", anchor="rs")
        y += 1.5 * height
    c.line([[x - 0.86 * half, y], [x + 0.86 * half, y]], ink, 0.003)
    c.text(x - 0.86 * half, y + 2 * height, "TOTAL", 1.5 * height, ink, "bold", anchor="ls")
    c.text(x + 0.86 * half, y + 2 * height, f"{total:.2f}", 1.5 * height, ink, "bold", anchor="rs")
    left = x - 0.8 * half
    while left < x + 0.8 * half:
        bar = rng.integers(1, 5) * 0.004 * c.unit
        c.fill(rectangle(left, bottom - 0.09, min(left + bar, x + 0.8 * half), bottom - 0.03), ink)
        left += bar + rng.integers(1, 4) * 0.004 * c.unit
    return c.finish()


def blackboards(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Chalk on a board, or pinned notes on cork."""
    palette = choose_palette(rng)
    if rng.random() < 0.55:
        slate = jitter(rng, ((40, 54, 48), (44, 46, 54), (34, 58, 62))[rng.integers(3)], 5)
        c = Canvas(rng, size, Paint(slate, mix(slate, (90, 100, 96), 0.3), "cloud", 0.05))
        y = 0.07
        while y < 0.85:
            height = rng.uniform(0.045, 0.11)
            words = (
                title(rng, 3),
                sentence(rng),
                f"{rng.integers(2, 99)} + {rng.integers(2, 99)} = ?",
                f"{title(rng, 1)}  {rng.integers(2, 20)}.50",
            )[rng.integers(4)]
            height = min(height, 0.088 * c.wide / c.text_width(words, 0.1, "italic"))
            colour = mix(
                ((240, 240, 232), (240, 214, 140), (236, 170, 160), (160, 206, 226))[
                    rng.integers(4)
                ],
                slate,
                0.1,
            )
            c.text(
                c.wide * rng.uniform(0.05, 0.08),
                y + height,
                words,
                height,
                colour,
                "italic",
                anchor="ls",
            )
            y += 1.5 * height
        c.roughen("stone", 0.03)
        frame = jitter(rng, (150, 104, 62))
        for edge in (
            rectangle(0, 0, c.wide, 0.035),
            rectangle(0, 0.96, c.wide, 1),
            rectangle(0, 0, 0.035, 1),
            rectangle(c.wide - 0.035, 0, c.wide, 1),
        ):
            c.fill(edge, shaded(frame, "wood", 0.08))
        return c.finish()
    c = Canvas(rng, size, Paint(jitter(rng, (196, 150, 100)), texture="stone", contrast=0.12))
    for _ in range(int(rng.integers(4, 12))):
        x, y, r, turn = (
            rng.uniform(0.12, 0.88) * c.wide,
            rng.uniform(0.12, 0.88),
            rng.uniform(0.1, 0.19) * c.unit,
            rng.normal(0, 0.09),
        )
        note = place(rectangle(-1, -1, 1, 1), x, y, r, turn=turn)
        c.shadow(note, 0.006, 0.012, 0.01, 0.4)
        c.fill(
            note,
            shaded(
                mix(palette.colours[rng.integers(2, 6)], (255, 250, 220), 0.4), "paper", 0.02, 0.12
            ),
        )
        for k in range(5):
            words = title(rng, 2)
            height = min(0.3 * r, 0.17 * r / max(c.text_width(words, 0.1, "italic"), 1e-6))
            at = place([[0, -0.62 + 0.33 * k]], x, y, r, turn=turn)[0]
            c.text(
                at[0], at[1], words, height, palette.dark, "italic", turn=float(-np.degrees(turn))
            )
        c.fill(
            ellipse(*xy(place([[0, -0.85]], x, y, r, turn=turn)[0]), 0.012),
            shaded((200, 60, 50), "paper", 0.02, 0.6),
        )
    return c.finish()
