"""Typed settings from YAML: one way to read a file, override a key and report a mistake."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, ClassVar, Self, get_args

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from curate.errors import RecipeError

__all__ = [
    "KINDS",
    "UNION",
    "Config",
    "find_recipe",
    "fingerprint",
    "load_yaml",
    "override_key",
    "shipped_files",
]


KINDS = {
    "curate run RECIPE --input URLS": frozenset(
        {"candidates", "fetch", "measure", "filters", "label", "select"}
    ),
    "curate train RECIPE --manifest FILE": frozenset(
        {"model", "settings", "degradations", "data", "phases", "losses", "optimiser"}
    ),
}
"""Command -> settings that only its recipes have."""

UNION = "|"
"""First character of a tag that tells members of a union apart, and that no message shows."""


class Config(BaseModel):
    """A group of settings: immutable, with every key known in advance.

    Subclasses give each field a default where one is sensible and a one-line description.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    incidental: ClassVar[frozenset[str]] = frozenset()
    """Settings that may change how long a result takes, never what it is."""
    optional: ClassVar[frozenset[str]] = frozenset()
    """Settings that are written only where they differ from their default: recipes that are older
    than they are keep their text and their fingerprints."""

    @classmethod
    def load(cls, path: str | Path, overrides: Iterable[str] = ()) -> Self:
        """Read a YAML file, apply `a.b=c` overrides (values are YAML) and check everything.

        Raises:
            RecipeError: if the file can't be read, or a key or value is wrong; names the nearest
                known key.
        """
        source = find_recipe(path)
        try:
            data = load_yaml(source.read_text(encoding="utf-8")) or {}
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError(f"can't read recipe {source}: {error}") from error
        except (yaml.YAMLError, ValueError) as error:  # a ValueError is a date such as 2026-13-01
            raise RecipeError(
                f"{source} is no valid YAML: {' '.join(str(error).split())}"
            ) from error
        if not isinstance(data, dict):
            raise RecipeError(f"{source} must hold `key: value` pairs, not a {type(data).__name__}")
        cls._refuse_other_kind(data, str(source))
        for override in overrides:
            override_key(data, override)
        return cls.parse(data, where=str(source))

    @classmethod
    def _refuse_other_kind(cls, data: Mapping[str, Any], where: str) -> None:
        """Refuse a recipe that is for another command, in one line instead of one for each key."""
        if any(keys & data.keys() & cls.model_fields.keys() for keys in KINDS.values()):
            return
        for command, keys in KINDS.items():
            if keys & data.keys():
                raise RecipeError(f"{where} is a recipe for another command: {command}")

    def override(self, overrides: Iterable[str]) -> Self:
        """Return the settings with `a.b=c` overrides applied.

        Raises:
            RecipeError: see `load`.
        """
        data = self.model_dump(mode="json")
        for override in overrides:
            override_key(data, override)
        return self.parse(data, where="--set")

    @classmethod
    def parse(cls, data: Mapping[str, Any], where: str) -> Self:
        """Check settings that were read already; `where` names them in errors."""
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise RecipeError(
                f"{where}: {'; '.join(_explain(cls, dict(e)) for e in error.errors())}"
            ) from error

    def essence(self) -> dict[str, Any]:
        """Return the settings that results depend on, as JSON-like values."""
        values = self.model_dump(mode="json", exclude=set(self.incidental))
        for name in values:
            if isinstance(group := getattr(self, name), Config):
                values[name] = group.essence()
        return values

    @model_serializer(mode="wrap")
    def _without_unused(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Return the settings without optional ones that have their default."""
        values: dict[str, Any] = serialize(self)
        fields = type(self).model_fields
        for name in self.optional:
            if getattr(self, name) == fields[name].default:
                values.pop(name, None)
        return values

    def to_yaml(self) -> str:
        """Return the settings in the order of their definition, without unused optional ones."""
        return yaml.safe_dump(
            self.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=120
        )


def fingerprint(value: Any) -> str:
    """Return the SHA-256 of a value's canonical JSON, whatever the order of its keys."""
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return hashlib.sha256(text.encode()).hexdigest()


def shipped_files(folder: str) -> dict[str, Traversable]:
    """Return the data files that ship with the package, wherever it is installed.

    Args:
        folder: `pipelines` (recipes) or `benchmarks` (lists of benchmark images).

    Returns:
        Path within the folder, without its suffix -> file, sorted.
    """
    waiting = [("", resources.files("curate").joinpath("shipped", folder))]
    found = {}
    while waiting:
        prefix, place = waiting.pop()
        for entry in place.iterdir():
            if entry.is_dir():
                waiting.append((f"{prefix}{entry.name}/", entry))
            else:
                found[f"{prefix}{entry.name.rpartition('.')[0]}"] = entry
    return dict(sorted(found.items()))


def find_recipe(path: str | Path) -> Traversable:
    """Return the file that a recipe's path or bare name (`hq50k`, `train/moe_ir_30g`) means.

    Raises:
        RecipeError: if there is none; lists the recipes that ship with the package.
    """
    with suppress(OSError, ValueError):  # no file can have that name: it is empty, or too long
        if Path(path).is_file():
            return Path(path)
    known = shipped_files("pipelines")
    name = str(path).removesuffix(".yaml")
    if name in known:
        return known[name]
    raise RecipeError(f"no recipe {str(path)!r}: give a YAML file, or one of {', '.join(known)}")


class _Loader(yaml.SafeLoader):
    """YAML loader that refuses duplicate keys, of which YAML silently keeps the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key in [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)]:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key.value!r} is there twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def load_yaml(text: str) -> Any:
    """Return the value of a YAML text; a key that is there twice is an error.

    Raises:
        yaml.YAMLError, ValueError: if it is no valid YAML.
    """
    return yaml.load(text, _Loader)


def override_key(data: dict[str, Any], override: str) -> None:
    """Set the key that `a.b=value` names; the value is YAML.

    Raises:
        RecipeError: if it has another form, or a group on the way is a value.
    """
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise RecipeError(f"--set wants key=value, as in --set select.train=60, not {override!r}")
    *parents, last = key.split(".")
    for parent in parents:
        node = data.get(parent)
        if node is None:
            node = data[parent] = {}
        if not isinstance(node, dict):
            raise RecipeError(f"--set {override}: {parent!r} is a value, not a group of settings")
        data = node
    try:
        data[last] = load_yaml(text)
    except (yaml.YAMLError, ValueError) as error:
        raise RecipeError(f"--set {override}: the value is no valid YAML") from error


def _explain(cls: type[BaseModel], error: dict[str, Any]) -> str:
    # a tag of a union, and pydantic's mark of a mapping's key, are no settings
    path = [str(p) for p in error["loc"] if p != "[key]" and not str(p).startswith(UNION)]
    key = ".".join(path)
    if error["type"] != "extra_forbidden":
        message = error["msg"].removeprefix("Value error, ")
        message = message[:1].lower() + message[1:]
        if error["type"] == "string_type" and isinstance(
            error["input"], int | float
        ):  # YAML's 4:2:0 is 14520
            message += "; put it in quotes"
        if not path:  # a rule about several keys, which it names itself
            return message
        return (
            f"{key}: {message}"
            if error["type"] == "missing"
            else f"{key}: {message} (got {error['input']!r})"
        )
    known = _fields_at(cls, path[:-1])
    near = difflib.get_close_matches(path[-1], known, n=1, cutoff=0.5)
    hint = (
        f"did you mean {'.'.join([*path[:-1], near[0]])!r}?"
        if near
        else f"known here: {', '.join(known)}"
    )
    return f"unknown key {key!r}; {hint}"


def _fields_at(cls: type[BaseModel], path: list[str]) -> list[str]:
    """Return the names of the settings in the group at `path`."""
    for part in path:
        # a part that is no setting is a place in a list, or a key that the user has chosen
        field = cls.model_fields.get(part)
        cls = next(_groups_in(field.annotation), cls) if field else cls
    return list(cls.model_fields)


def _groups_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the groups of settings that an annotation names, however deep in it."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _groups_in(inner)
