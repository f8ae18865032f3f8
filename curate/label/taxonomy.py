"""The classes that images are labelled with, and the prompts that stand for each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from curate.config import fingerprint
from curate.errors import LabelError

__all__ = ["Category", "Taxonomy", "load_taxonomy"]

DEFAULT = Path(__file__).with_name("taxonomy.yaml")


@dataclass(frozen=True)
class Category:
    """One sub-category."""

    name: str
    broad: str
    """The broad class that it belongs to."""
    prompts: tuple[str, ...]
    """Every template filled with every noun."""


@dataclass(frozen=True)
class Taxonomy:
    """The sub-categories, in the order of the file."""

    categories: tuple[Category, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the sub-categories."""
        return tuple(category.name for category in self.categories)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of classes and prompts: what labels depend on, wherever the file lies."""
        return fingerprint([asdict(category) for category in self.categories])


def load_taxonomy(path: str | Path | None = None) -> Taxonomy:
    """Read a taxonomy; the paper's 16 sub-categories by default.

    Raises:
        LabelError: if the file can't be read or a class of it is at fault; names file, class and fault.
    """
    source = Path(path) if path is not None else DEFAULT
    try:
        data = yaml.safe_load(source.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise LabelError(f"can't read taxonomy {source}: {error}") from error
    except yaml.YAMLError as error:
        raise LabelError(f"taxonomy {source} is no valid YAML: {' '.join(str(error).split())}") from error
    try:
        taxonomy = Taxonomy(tuple(_categories(data)))
        _check_names(taxonomy.names)
    except _Fault as fault:
        raise LabelError(f"taxonomy {source}: {fault}") from fault
    return taxonomy


class _Fault(Exception):  # noqa: N818 - never leaves this module
    """What is wrong with a class of a taxonomy."""


def _categories(data: Any) -> Iterator[Category]:
    if not isinstance(data, dict) or not data:
        raise _Fault("must hold `Broad class: {templates: [...], categories: {...}}`")
    for broad, group in data.items():
        if not isinstance(group, dict) or set(group) != {"templates", "categories"}:
            raise _Fault(f"{broad} must hold exactly `templates` and `categories`")
        templates = _texts(f"{broad}.templates", group["templates"])
        for template in templates:
            if template.count("{}") != 1:
                raise _Fault(f"{broad}.templates: {template!r} must hold {{}} exactly once, where the noun goes")
        if not isinstance(group["categories"], dict) or not group["categories"]:
            raise _Fault(f"{broad}.categories must hold `Name: [nouns]`")
        for name, nouns in group["categories"].items():
            if not isinstance(name, str):
                raise _Fault(f"{broad}.{name} is no text: put the name in quotes")
            filled = tuple(t.replace("{}", noun) for noun in _texts(f"{broad}.{name}", nouns) for t in templates)
            yield Category(name, str(broad), filled)


def _texts(where: str, value: Any) -> list[str]:
    if not isinstance(value, list) or not value:
        raise _Fault(f"{where} must be a list of one text or more")
    for text in value:
        if not isinstance(text, str) or not text.strip():
            raise _Fault(f"{where} holds {text!r}, which is no text")
    return value


def _check_names(names: tuple[str, ...]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise _Fault(f"{twice[0]} is there twice: names must be unique over all broad classes")
    if len(names) < 2:
        raise _Fault("at least two categories are needed to choose between")
