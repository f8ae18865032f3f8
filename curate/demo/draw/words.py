"""Words for what is written: titles, sentences, names of places."""

from __future__ import annotations

import numpy as np

from curate.demo.draw.canvas import Canvas
from curate.demo.draw.colours import Colour

__all__ = ["place_name", "sentence", "set_lines", "title"]

_NOUNS = [
    "river",
    "harbour",
    "winter",
    "garden",
    "market",
    "island",
    "window",
    "letter",
    "engine",
    "mountain",
    "morning",
    "orchard",
    "lantern",
    "signal",
    "bridge",
    "station",
    "weather",
    "summer",
    "forest",
    "kettle",
    "village",
    "mirror",
    "journey",
    "machine",
    "silence",
    "paper",
    "copper",
    "evening",
    "ocean",
    "valley",
    "meadow",
    "theatre",
]
_VERBS = [
    "opens",
    "carries",
    "follows",
    "measures",
    "remembers",
    "crosses",
    "gathers",
    "answers",
    "leaves",
    "finds",
    "repairs",
    "turns",
    "holds",
    "paints",
    "counts",
]
_ADJECTIVES = [
    "quiet",
    "early",
    "narrow",
    "bright",
    "northern",
    "hollow",
    "patient",
    "distant",
    "golden",
    "common",
    "heavy",
    "clear",
    "second",
    "open",
    "small",
    "late",
]
_SMALL = ["and", "under", "with", "before", "near", "beyond", "after", "without", "over", "along"]
_STARTS = [
    "Ald",
    "Bren",
    "Carr",
    "Dun",
    "East",
    "Fal",
    "Glen",
    "Har",
    "Inver",
    "Kil",
    "Lang",
    "Mor",
    "North",
    "Oak",
    "Pen",
    "Quin",
    "Ross",
    "Stan",
    "Thorn",
    "Ull",
    "West",
    "Wyn",
]
_ENDS = [
    "ford",
    "ton",
    "by",
    "wick",
    "ham",
    "mouth",
    "bridge",
    "dale",
    "field",
    "haven",
    "stead",
    "worth",
    "minster",
    "ley",
    "combe",
    "pool",
]


def title(rng: np.random.Generator, most: int = 2) -> str:
    """One to `most` words, as on a poster."""
    words = [*rng.choice(_ADJECTIVES, rng.integers(0, most)), str(rng.choice(_NOUNS))]
    return " ".join(words)


def sentence(rng: np.random.Generator) -> str:
    """A sentence of six to a dozen words that means nothing in particular."""
    words = [
        "the",
        rng.choice(_ADJECTIVES),
        rng.choice(_NOUNS),
        rng.choice(_VERBS),
        "the",
        rng.choice(_NOUNS),
    ]
    while rng.random() < 0.5 and len(words) < 14:
        words += [rng.choice(_SMALL), "a", rng.choice(_ADJECTIVES), rng.choice(_NOUNS)]
    return " ".join(map(str, words)).capitalize() + "."


def place_name(rng: np.random.Generator) -> str:
    return str(rng.choice(_STARTS)) + str(rng.choice(_ENDS))


def set_lines(
    c: Canvas,
    box: tuple[float, float, float, float],
    height: float,
    colour: Colour,
    face: str,
    *,
    leading: float = 1.35,
    justify: bool = False,
) -> None:
    """Fill a box (left, top, right, bottom) with sentences set in lines, in paragraphs."""
    left, top, right, bottom = box
    y, words = top + height, sentence(c.rng).split()
    space = c.text_width(" ", height, face)
    while y < bottom - 0.3 * height:
        line: list[str] = []
        used, last = 0.0, False
        while not last:
            if not words:
                last = c.rng.random() < 0.12
                words = sentence(c.rng).split()
                continue
            width = c.text_width(words[0], height, face)
            if used + width > right - left:
                if not line:
                    return
                break
            line.append(words.pop(0))
            used += width + space
        gap = space
        if justify and len(line) > 1 and not last:
            gap += (right - left - used + space) / (len(line) - 1)
        x = left
        for word in line:
            c.text(x, y, word, height, colour, face, anchor="ls")
            x += c.text_width(word, height, face) + gap
        y += height * leading * (1.5 if last else 1)
