"""The classes that images are labelled with, and the prompts that stand for each."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml

from curate.config import fingerprint
from curate.errors import LabelError

__all__ = ["Category", "Taxonomy", "load_taxonomy"]

TEXT = "tag:yaml.org,2002:str"
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

    def others_of(self, index: int) -> int:
        """The category of the same broad class whose name ends in "others"; the given one where there is none."""
        broad = self.categories[index].broad
        members = (
            i
            for i, c in enumerate(self.categories)
            if c.broad == broad and c.name.endswith("others")
        )
        return next(members, index)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of classes and prompts: what labels depend on, wherever the file lies."""
        return fingerprint([asdict(category) for category in self.categories])


def load_taxonomy(path: str | Path | None = None) -> Taxonomy:
    """Read a taxonomy; the paper's 16 sub-categories by default.

    Raises:
        LabelError: if the file can't be read or a class of it is at fault; names file, line, class and fault.
    """
    source = Path(path) if path is not None else DEFAULT
    try:
        root = yaml.compose(source.read_text(encoding="utf-8"), yaml.SafeLoader)
    except (OSError, UnicodeDecodeError) as error:
        raise LabelError(f"can't read taxonomy {source}: {error}") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        hint = "; a text with braces within [ ] wants quotes" if "'{'" in str(error.problem) else ""
        raise LabelError(
            f"taxonomy {source}, line {line}: no valid YAML: {error.problem}{hint}"
        ) from error
    except yaml.YAMLError as error:  # a character that YAML doesn't allow
        raise LabelError(
            f"taxonomy {source} is no valid YAML: {' '.join(str(error).split())}"
        ) from error
    try:
        return Taxonomy(tuple(_categories(root)))
    except _Fault as fault:
        raise LabelError(f"taxonomy {source}, {fault}") from fault


class _Fault(Exception):  # noqa: N818 - never leaves this module
    """What is wrong with a class of a taxonomy, and where."""

    def __init__(self, node: yaml.Node | None, message: str) -> None:
        super().__init__(f"line {node.start_mark.line + 1 if node else 1}: {message}")


def _categories(root: yaml.Node | None) -> Iterator[Category]:
    lines: dict[str, int] = {}
    for broad, group in _items(
        root, "the file", "`Broad class: {templates: [...], categories: {...}}`"
    ):
        templates, categories = _parts(broad, group)
        for name, nouns in _items(categories, f"{broad.value}.categories", "`Name: [nouns]`"):
            if name.value in lines:
                where = f"line {lines[name.value]}"
                raise _Fault(
                    name,
                    f"{name.value} is on {where} already: names must be unique over all broad classes",
                )
            lines[name.value] = name.start_mark.line + 1
            texts = _texts(nouns, f"{broad.value}.{name.value}")
            yield Category(
                name.value,
                broad.value,
                tuple(t.replace("{}", noun) for noun in texts for t in templates),
            )
    if len(lines) < 2:
        raise _Fault(root, "at least two categories are needed to choose between")


def _parts(broad: yaml.ScalarNode, group: yaml.Node) -> tuple[list[str], yaml.Node]:
    """Templates and categories of a broad class."""
    known = ("templates", "categories")
    parts: dict[str, yaml.Node] = {}
    for key, node in _items(group, broad.value, "`templates` and `categories`"):
        if key.value not in known:
            near = difflib.get_close_matches(key.value, known, n=1)
            hint = f"did you mean {near[0]}?" if near else "it takes templates and categories"
            raise _Fault(key, f"{broad.value} holds {key.value!r}; {hint}")
        parts[key.value] = node
    for name in known:
        if name not in parts:
            raise _Fault(broad, f"{broad.value} has no `{name}`")
    where = f"{broad.value}.templates"
    templates = _texts(parts["templates"], where)
    for template, node in zip(templates, parts["templates"].value, strict=True):
        if template.count("{}") != 1:
            raise _Fault(
                node, f"{where}: {template!r} must hold {{}} exactly once, where the noun goes"
            )
    return templates, parts["categories"]


def _items(
    node: yaml.Node | None, where: str, form: str
) -> list[tuple[yaml.ScalarNode, yaml.Node]]:
    """The entries of a mapping, whose keys are texts, none of them twice."""
    if not isinstance(node, yaml.MappingNode) or not node.value:
        raise _Fault(node, f"{where} must hold {form}")
    names: set[str] = set()
    for key, _ in node.value:
        if key.tag != TEXT:
            raise _Fault(
                key, f"{where} holds the name {_shown(key)}, which is no text: put it in quotes"
            )
        if key.value in names:
            raise _Fault(key, f"{where} holds {key.value} twice")
        names.add(key.value)
    items: list[tuple[yaml.ScalarNode, yaml.Node]] = node.value
    return items


def _texts(node: yaml.Node, where: str) -> list[str]:
    if not isinstance(node, yaml.SequenceNode) or not node.value:
        raise _Fault(node, f"{where} must be a list of one text or more")
    for text in node.value:
        if text.tag != TEXT or not text.value.strip():
            raise _Fault(text, f"{where} holds {_shown(text)}, which is no text")
    return [text.value for text in node.value]


def _shown(node: yaml.Node) -> str:
    return (
        repr(node.value)
        if isinstance(node, yaml.ScalarNode)
        else f"a {node.tag.rpartition(':')[2]}"
    )
