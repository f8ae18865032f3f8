"""Words for everything that is written, by the kind of text."""

from __future__ import annotations

import re
import textwrap

import numpy as np

from curate.demo.draw.canvas import Canvas

__all__ = ["KINDS", "write"]

_LISTS = {
    "noun": (
        "river harbour winter garden market island window letter engine mountain morning lantern "
        "signal bridge station weather summer forest kettle village mirror journey machine paper "
        "orchard"
    ),
    "verb": (
        "opens carries follows measures remembers crosses gathers answers repairs paints counts"
    ),
    "adjective": (
        "quiet early narrow bright northern hollow patient distant golden common heavy small"
    ),
    "start": "Ald Bren Carr Dun East Fal Glen Har Inver Kil Lang Mor North Oak Pen Quin Ross Stan",
    "end": "ford ton by wick ham mouth bridge dale field haven stead worth minster ley combe pool",
    "digit": "1 2 3 4 5 6 7 8 9",
    "label": "OLIO TEA GIN MEL SALT OAT RUM JAM",
    "letter": "A B C D E G H K M P R S T W Z",
    "shout": (
        "RUN! OH_NO! LOOK_OUT! HA_HA! NOT_AGAIN... TOO_LATE! WHO? SHHH... THIS_WAY! I_KNEW_IT"
    ),
    "sign": "OPEN Bakery Café Exit Parking Hotel Taxi Museum Closed Tickets",
    "sound": "POW! ZAP! BOOM! CRASH! WHAM! SPLASH! KRAK! VROOM!",
}
KINDS = {
    **{name: f"{{{name}}}" for name in _LISTS},
    "code": "{noun} = {verb}({noun}, {digit})",
    "column": "The {adjective} {noun} {verb} the {noun} near a {adjective} {noun}. ",
    "item": "{digit} {noun}  {digit}{digit}.{digit}0",
    "number": "{digit}{digit}",
    "place": "{start}{end}",
    "title": "{adjective} {noun}",
}
"""Kinds of text with their patterns."""


def write(c: Canvas, kind: str, paint: str, numbers: list[float]) -> None:
    """Write a text on a view; within a motif it is the same again, unless the paint has a `~`.

    Args:
        kind: a key of `KINDS`; a column is a block of sentences.
        paint: a paint of the canvas.
        numbers: x, y, height of the letters, and optionally a width to fit; for a column its left,
            top, right, bottom and height of the letters.
    """
    if "~" in paint or kind not in c.words:
        pattern = KINDS[kind] * (40 if kind == "column" else 1)
        text = re.sub("{(.+?)}", lambda found: c.pick(_LISTS[found[1]].split()), pattern)
        c.words[kind] = text.replace("_", " ")
    face = "DejaVuSansMono" if kind in ("code", "item") else c.words["face"]
    if kind != "column":
        x, y, height, fit = [*numbers, np.inf][:4]
        anchor = "lm" if kind in ("code", "item") else "mm"
        c.text(x, y, c.words[kind], height, paint, face=face, anchor=anchor, fit=fit)
        return
    left, top, right, bottom, height = numbers
    lines = textwrap.wrap(c.words[kind], int((right - left) * c.wide / height * 2))
    for y, line in zip(np.arange(top, bottom, 1.35 * height), lines, strict=False):
        c.text(left, y, line, height, paint, face=face, anchor="lt", fit=right - left)
