"""Taxonomy: the classes that images are labelled with, and the prompts of each."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml

from curate.config import fingerprint
from curate.errors import LabelError
from curate.storage.places import open_file

__all__ = ["Category", "Taxonomy", "load_taxonomy"]

TEXT = "tag:yaml.org,2002:str"
DEFAULT = Path(__file__).with_name("taxonomy.yaml")


@dataclass(frozen=True)
class Category:
    """Sub-category of a broad class."""

    name: str
    broad: str
    prompts: tuple[str, ...]
    """Every template filled with every noun."""


@dataclass(frozen=True)
class Taxonomy:
    """Sub-categories, in the order of the file."""

    categories: tuple[Category, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the sub-categories."""
        return tuple(category.name for category in self.categories)

    def others_of(self, index: int) -> int:
        """Return the category of the same broad class named "... others", or the given one."""
        broad = self.categories[index].broad
        for other, category in enumerate(self.categories):
            if category.broad == broad and category.name.endswith("others"):
                return other
        return index

    @property
    def fingerprint(self) -> str:
        """SHA-256 of classes and prompts, on which labels depend; the file's path doesn't count."""
        return fingerprint([asdict(category) for category in self.categories])


def load_taxonomy(path: str | Path | None = None) -> Taxonomy:
    """Read a taxonomy; the paper's 16 sub-categories by default.

    Raises:
        LabelError: if the file can't be read, or a class has a fault; names file, line and fault.
    """
    source = Path(path) if path is not None else DEFAULT
    try:
        with open_file(source) as file:
            root = yaml.compose(file.read().decode(), yaml.SafeLoader)
        return Taxonomy(tuple(_categories(root)))
    except _Fault as fault:
        raise LabelError(f"taxonomy {source}, {fault}") from fault
    except (OSError, UnicodeDecodeError) as error:
        raise LabelError(f"can't read taxonomy {source}: {error}") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        hint = "; a text with braces within [ ] wants quotes" if "'{'" in str(error.problem) else ""
        raise LabelError(
            f"taxonomy {source}, line {line}: no valid YAML: {error.problem}{hint}"
        ) from error
    except yaml.YAMLError as error:  # a character that YAML doesn't allow
        text = " ".join(str(error).split())
        raise LabelError(f"taxonomy {source} is no valid YAML: {text}") from error


class _Fault(Exception):  # noqa: N818 - never leaves this module
    """Fault of a class of a taxonomy, and its line."""

    def __init__(self, node: yaml.Node | None, message: str) -> None:
        super().__init__(f"line {node.start_mark.line + 1 if node else 1}: {message}")


def _categories(root: yaml.Node | None) -> Iterator[Category]:
    """Yield the categories of all broad classes, checking that names are unique."""
    lines: dict[str, int] = {}
    form = "`Broad class: {templates: [...], categories: {...}}`"
    for broad, group in _items(root, "the file", form):
        templates, categories = _parts(broad, group)
        for name, nouns in _items(categories, f"{broad.value}.categories", "`Name: [nouns]`"):
            if name.value in lines:
                fault = f"{name.value} is on line {lines[name.value]} already"
                raise _Fault(name, f"{fault}: names must be unique over all broad classes")
            lines[name.value] = name.start_mark.line + 1
            texts = _texts(nouns, f"{broad.value}.{name.value}")
            prompts = tuple(t.replace("{}", noun) for noun in texts for t in templates)
            yield Category(name.value, broad.value, prompts)
    if len(lines) < 2:
        raise _Fault(root, "at least two categories are needed to choose between")


def _parts(broad: yaml.ScalarNode, group: yaml.Node) -> tuple[list[str], yaml.Node]:
    """Return the templates of a broad class, and the node of its categories."""
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
            fault = f"{template!r} must hold {{}} exactly once, where the noun goes"
            raise _Fault(node, f"{where}: {fault}")
    return templates, parts["categories"]


def _items(
    node: yaml.Node | None, where: str, form: str
) -> list[tuple[yaml.ScalarNode, yaml.Node]]:
    """Return the entries of a mapping; its keys must be distinct texts."""
    if not isinstance(node, yaml.MappingNode) or not node.value:
        raise _Fault(node, f"{where} must hold {form}")
    names: set[str] = set()
    for key, _ in node.value:
        if key.tag != TEXT:
            fault = f"the name {_describe(key)}, which is no text: put it in quotes"
            raise _Fault(key, f"{where} holds {fault}")
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
            raise _Fault(text, f"{where} holds {_describe(text)}, which is no text")
    return [text.value for text in node.value]


def _describe(node: yaml.Node) -> str:
    kind = node.tag.rpartition(":")[2]
    return repr(node.value) if isinstance(node, yaml.ScalarNode) else f"a {kind}"
