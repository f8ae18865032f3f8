"""Examples at the end of each command's help."""

import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from curate.cli.app import app
from curate.cli.examples import EXAMPLES

PAGES = Path(__file__).parents[2] / "docs/how-to"


@pytest.mark.parametrize("name", EXAMPLES)
def test_example_of_command_can_be_parsed_and_has_a_page(name: str) -> None:
    example, page = EXAMPLES[name]
    assert (PAGES / f"{page}.md").is_file()
    command: Any = typer.main.get_command(app)
    for word in name.split():
        command = command.commands[word]
    command.make_context(name, shlex.split(example))
    assert command.epilog.startswith(f"Example: curate {name} {example}")


def test_help_of_command_ends_with_example_and_page() -> None:
    text = CliRunner().invoke(app, ["verify", "--help"], env={"COLUMNS": "120"}).stdout.rstrip()
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    assert lines[-2:] == [
        "Example: curate verify runs/mine --sample 1000",
        "More: docs/how-to/verify-a-dataset.md",
    ]
