"""Links, recipes, tests and `curate` commands that the pages show must exist."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import torch
import typer
import yaml

from curate.cli.app import app
from curate.config import override_key
from curate.errors import Reason
from curate.recipe import Recipe
from curate.restore.models import build_model
from curate.restore.recipe import TrainRecipe
from curate.stages.label.taxonomy import load_taxonomy
from tests import ROOT
from tests.docs.snippets import PAGES, Snippet, logical_lines, read_snippets

TESTS = {
    name
    for path in (ROOT / "tests").rglob("test_*.py")
    for name in re.findall(r"def (test_\w+)", path.read_text(encoding="utf-8"))
}
SHELL = {"sh", "bash", "console", ""}


SNIPPETS = [snippet for page in PAGES for snippet in read_snippets(page)]


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives a page's headings."""
    outside = re.sub(
        r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )
    headings = re.findall(r"^#+ (.+)$", outside, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_within_repository_have_targets(page: Path) -> None:
    text = re.sub(r"```.*?```|`[^`\n]+`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|href)="([^"]+)"', text):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = unquote(link).partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page}: {link} is not there"
        assert not anchor or anchor in anchors(target), f"{page}: {link} names no heading"


@pytest.mark.parametrize("snippet", [s for s in SNIPPETS if s.language == "yaml"], ids=str)
def test_yaml_snippets_are_recipes_or_taxonomies(snippet: Snippet, tmp_path: Path) -> None:
    data = yaml.safe_load(snippet.text)
    if set(data) <= set(Recipe.model_fields):
        Recipe.parse({"name": "snippet", **data}, str(snippet))
    elif set(data) <= set(TrainRecipe.model_fields):
        TrainRecipe.load("train/moe_ir_30g", [f"{key}={value!r}" for key, value in data.items()])
    else:
        (tmp_path / "taxonomy.yaml").write_text(snippet.text)
        load_taxonomy(tmp_path / "taxonomy.yaml")


def commands(snippet: Snippet) -> Iterator[list[str]]:
    """Yield the words of each `curate` command, without comments, prompts and pipes."""
    for line in logical_lines(snippet.text):
        line = re.sub(r"^\$ ", "", line.strip())
        if line.startswith("curate ") and "[OPTIONS]" not in line:
            words = shlex.split(line, comments=True)
            end = next(
                (place for place, word in enumerate(words) if word in ("|", ">", "&&", "...")),
                len(words),
            )
            yield words[1:end]


def parse(group: Any, words: list[str]) -> dict[str, Any]:
    """Parse words as the command line does; raises for unknown commands and options."""
    command = group.commands.get(words[0])
    assert command, f"no command {words[0]}"
    if hasattr(command, "commands"):
        return parse(command, words[1:])
    parameters: dict[str, Any] = command.make_context(words[0], list(words[1:])).params
    return {"command": words[0], **parameters}


@pytest.mark.parametrize(
    "snippet", [s for s in SNIPPETS if s.language in SHELL and any(commands(s))], ids=str
)  # fmt: skip
def test_commands_of_pages_exist_with_options_and_settings(snippet: Snippet) -> None:
    for words in commands(snippet):
        if "--help" in words or words == ["--version"]:
            continue
        given = parse(typer.main.get_command(app), words)
        settings = given.get("set_") or []
        if given["command"] == "train":
            named = (
                given["recipe"]
                if (ROOT / "pipelines" / f"{given['recipe']}.yaml").exists()
                else "train/demo"
            )
            TrainRecipe.load(named, settings)
        elif given["command"] == "convert":
            chosen: dict[str, Any] = {}
            for setting in settings:
                override_key(chosen, setting)
            with torch.device("meta"):
                build_model(given["model"], **chosen)
        elif settings:
            named = given.get("recipe") or "hq50k"
            Recipe.load(
                named if (ROOT / "pipelines" / f"{named}.yaml").exists() else "hq50k", settings
            )


def test_checks_find_snippets_of_each_kind() -> None:
    shown = [
        words for snippet in SNIPPETS if snippet.language in SHELL for words in commands(snippet)
    ]
    assert len(PAGES) > 10
    assert len(shown) > 20
    with pytest.raises(Exception, match="--no-such-option"):
        parse(typer.main.get_command(app), ["run", "hq50k", "--no-such-option"])


def test_every_reason_has_advice_in_docs() -> None:
    page = (ROOT / "docs" / "how-to" / "when-something-fails.md").read_text(encoding="utf-8")
    table = page.partition("| reason | what to do |")[2].partition("\n\n")[0]
    advised = [
        name
        for row in table.splitlines()
        if row
        for name in re.findall(r"`(\w+)`", row.split("|")[1])
    ]
    assert sorted(advised) == sorted(reason.value for reason in Reason)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_tests_that_pages_name_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for path in re.findall(r"`((?:tests|benchmarks|curate)/[\w/]+\.py)", text):
        assert (ROOT / path).exists(), path
    assert set(re.findall(r"`(test_\w+)`", text)) <= TESTS
