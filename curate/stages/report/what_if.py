"""Effect of each bound: images that it takes alone, and those that looser values bring back."""

from __future__ import annotations

import json
import math
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.errors import Reason
from curate.recipe import Bound

__all__ = ["BoundEffect", "Looser", "add_effects"]

_STEPS = (0.05, 0.1, 0.25, 0.5)
"""Parts of a bound's value by which it is loosened."""
_VALUES = 4
"""Values of a column that the table offers to allow."""
_OF_FILTERS = [str(reason) for reason in Reason if reason.stage == "filter"]


class Looser(NamedTuple):
    """A looser value of a bound."""

    value: str
    back: int
    """Images that pass every bound with it."""
    setting: str
    """Option of the command line that sets it."""


@dataclass
class BoundEffect:
    """Effect of one bound on the rows seen so far."""

    bound: Bound
    broken: int = 0
    """Measured images that break it."""
    alone: int = 0
    """Images among them that break no other bound."""
    farthest: float | None = None
    """Value of these that is farthest from the bound."""
    back: Counter[Any] = field(default_factory=Counter)
    """Images that come back, by looser value; for allowed values, by the value that they have."""

    @property
    def name(self) -> str:
        """The rule in words: width at least 1,024."""
        column, test, value = self.bound.column, self.bound.test, self.bound.value
        if column == "animated":
            return "one frame only"
        if test == "in":
            return f"{column} one of {', '.join(map(str, value))}"
        return f"{column} at {'least' if test == 'min' else 'most'} {_plain(value)}"

    @property
    def ladder(self) -> list[float]:
        """Looser values, from the nearest to the farthest."""
        low = self.bound.test == "min"
        start = float(self.bound.value)
        if self.bound.test == "in" or start <= 0:
            return []
        return [_round(start * (1 - step if low else 1 + step), low) for step in _STEPS]

    def add(self, values: pa.ChunkedArray, broken: pa.ChunkedArray, alone: pa.ChunkedArray) -> None:
        """Count the values of a part of the ledger, which break the bound, and do so alone."""
        self.broken += pc.sum(broken).as_py() or 0
        only = values.filter(alone)
        self.alone += len(only)
        if not len(only):
            return
        if self.bound.test == "in":
            for row in only.value_counts().to_pylist():
                self.back[row["values"]] += row["counts"]
            return
        numbers = only.cast(pa.float64()).to_numpy()
        low = self.bound.test == "min"
        for value in self.ladder:
            self.back[value] += int(np.sum(numbers >= value if low else numbers <= value))
        ends = [numbers.min() if low else numbers.max()]
        ends += [] if self.farthest is None else [self.farthest]
        self.farthest = float(min(ends) if low else max(ends))

    @property
    def looser(self) -> list[Looser]:
        """Looser values that bring images back, each more than the one before."""
        bound = self.bound
        if bound.column == "animated":
            found = [Looser("any number of frames", self.alone, "--set filters.animated=true")]
            return found if self.alone else []
        if bound.test == "in":
            largest = sorted(self.back.items(), key=lambda item: (-item[1], str(item[0])))
            return [
                Looser(f"{value}, too", count, _setting("allow", bound, [*bound.value, value]))
                for value, count in largest[:_VALUES]
            ]
        steps = [(value, self.back[value]) for value in self.ladder]
        if self.farthest is not None:
            steps.append((_round(self.farthest, bound.test == "min"), self.alone))
        found, before = [], 0
        for value, count in steps:
            if count > before:
                found.append(Looser(_plain(value), count, _setting(bound.test, bound, value)))
                before = count
        return found


def add_effects(effects: Sequence[BoundEffect], table: pa.Table) -> None:
    """Count a part of the ledger for each bound."""
    rows = table.filter(pc.is_valid(table["hf_ratio"]))
    effects = [effect for effect in effects if effect.bound.column in rows.column_names]
    masks = [effect.bound.broken_rows(rows[effect.bound.column]) for effect in effects]
    times = np.zeros(len(rows), int)
    for mask in masks:
        times += pc.fill_null(mask, False).to_numpy().astype(int)
    of_filters = pc.is_in(rows["reason"], pa.array(_OF_FILTERS))
    once = pc.and_(of_filters, pa.array(times == 1))
    for effect, mask in zip(effects, masks, strict=True):
        effect.add(rows[effect.bound.column], mask, pc.and_(mask, once))


def _round(value: float, low: bool) -> float:
    """Round to three digits, away from the bound: whole numbers from 100 on."""
    if value == 0:
        return 0
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    scale = 10**digits
    rounded = (math.floor if low else math.ceil)(round(value * scale, 6)) / scale
    return int(rounded) if rounded == int(rounded) else rounded


def _plain(value: float) -> str:
    """Format a number without an exponent, in groups of thousands."""
    whole, _, rest = np.format_float_positional(float(value), trim="-").partition(".")
    return f"{int(whole):,}.{rest}" if rest else f"{int(whole):,}"


def _setting(kind: str, bound: Bound, value: Any) -> str:
    """Return the option that sets a bound; YAML reads some exponents as text, so it has none."""
    text = _plain(value).replace(",", "") if kind != "allow" else json.dumps(value)
    return f"--set {shlex.quote(f'filters.{kind}.{bound.column}={text}')}"
