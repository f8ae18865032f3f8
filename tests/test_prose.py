"""Prose of the code: how docstrings begin."""

import ast
import re
from pathlib import Path

import pytest

from tests import ROOT

MODULES = sorted([*(ROOT / "curate").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")])


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_docstring_of_any_object_begins_with_a_verb_or_its_noun(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = [ast.get_docstring(n) or "" for n in ast.walk(tree) if isinstance(n, nodes)]
    # the string below a field or constant documents it
    expressions = [n.value for n in ast.walk(tree) if isinstance(n, ast.Expr)]
    strings = [value.value for value in expressions if isinstance(value, ast.Constant)]
    headless = re.compile(r"(What|Those|Such|Of|The same)\b")
    assert [s for s in [*docstrings, *strings] if isinstance(s, str) and headless.match(s)] == []
