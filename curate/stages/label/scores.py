"""Scores by prompts: pairs of prompts, each side of which a CLIP model compares an image with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import yaml

from curate.config import load_yaml
from curate.errors import LabelError, RecipeError
from curate.recipe import SCORE, Label, Recipe, ScorePair, score_column
from curate.storage.places import open_file

__all__ = ["PromptPair", "check_scores", "load_pairs", "pairs_settings", "score_columns"]

SHIPPED = Path(__file__).with_name("scores.yaml")


@dataclass(frozen=True)
class PromptPair:
    """Prompts of both sides of a score, filled into their templates."""

    name: str
    positive: tuple[str, ...]
    negative: tuple[str, ...]


def load_pairs(config: Label) -> tuple[PromptPair, ...]:
    """Return the pairs of prompts that a recipe names or holds, in their order.

    Raises:
        LabelError: if their file can't be read, or a pair has a fault; names file and fault.
    """
    pairs = _read(config.scores) if isinstance(config.scores, str) else config.scores
    return tuple(_fill(name, pair) for name, pair in pairs.items())


def pairs_settings(pairs: Iterable[PromptPair]) -> list[Any]:
    """Return all that scores by prompts depend on beside the model, JSON-like."""
    return [astuple(pair) for pair in pairs]


def score_columns(config: Label) -> list[str]:
    """Return the columns of all scores: those by prompts, then those of heads.

    Raises:
        LabelError: see `load_pairs`; or if a head has the name of a pair.
    """
    names = [pair.name for pair in load_pairs(config)]
    for head in config.heads:
        if head in names:
            raise LabelError(f"label.heads names {head!r}, as {config.scores} does: rename it")
    return [score_column(name) for name in (*names, *config.heads)]


def check_scores(recipe: Recipe) -> None:
    """Check the recipe's rules on scores against the names that a file of pairs has.

    Raises:
        RecipeError: if a rule names a score that isn't there, or the list brings such a column.
        LabelError: see `score_columns`.
    """
    columns = score_columns(recipe.label)
    for name in columns:
        if name in recipe.candidates.keep:
            raise RecipeError(f"candidates.keep names {name}, which label.scores makes")
    prefer = recipe.select.prefer or ""
    rules = {
        "filters.min": [*recipe.filters.min],
        "filters.max": [*recipe.filters.max],
        "select.frequency.column": [recipe.select.frequency.column],
        "select.prefer": [prefer.removeprefix("-")],
    }
    known = {*columns, *recipe.candidates.keep}
    for where, names in rules.items():
        for name in names:
            if name.startswith(SCORE) and name not in known:
                listed = ", ".join(columns)
                raise RecipeError(f"{where} names {name!r}, which is no score; there are {listed}")


def _read(name: str) -> dict[str, ScorePair]:
    """Read a file of pairs, by its path or as `shipped`."""
    source = SHIPPED if name == "shipped" else Path(name)
    try:
        with open_file(source) as file:
            pairs = load_yaml(file.read().decode())
        if not isinstance(pairs, dict) or not pairs:
            raise LabelError(
                f"{source} must hold scores, as in `sharp: {{positive: [...], negative: [...]}}`"
            )
        scores = Label.parse({"scores": pairs}, where=str(source)).scores
    except OSError as error:
        raise LabelError(
            f"can't read label.scores {name}: {error}; give a YAML file of pairs, or shipped"
        ) from error
    except (yaml.YAMLError, ValueError) as error:  # a UnicodeDecodeError is a ValueError
        text = " ".join(str(error).split())
        raise LabelError(f"label.scores {source} is no valid YAML: {text}") from error
    except RecipeError as error:
        raise LabelError(str(error).replace("label.scores.", "").replace("scores.", "")) from error
    assert isinstance(scores, dict)
    return scores


def _fill(name: str, pair: ScorePair) -> PromptPair:
    sides = []
    for texts in (pair.positive, pair.negative):
        sides.append(tuple(t.replace("{}", text) for text in texts for t in pair.templates))
    return PromptPair(name, *sides)
