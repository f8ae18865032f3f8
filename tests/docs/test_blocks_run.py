"""Every block of shell or Python on the pages runs, from the top of its page to the bottom."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import typer

from curate.cli import app
from tests import ROOT
from tests.docs.prepared import prepared, use_small_labeller
from tests.docs.snippets import PAGES, Snippet, logical_lines, read_snippets
from tests.docs.stand_ins import NOT_RUN, OPTIONAL, STAND_INS, WRITTEN

__all__ = ["prepared"]

READ = [page for page in PAGES if page.name == "README.md" or ROOT / "docs" in page.parents]
READ = [page for page in READ if page.parent.name not in ("decisions", "reference")]
BLOCKS = [block for page in READ for block in read_snippets(page)]
RUN = [block for block in BLOCKS if block.language in ("sh", "python")]
NAMES = sorted({str(block.page.relative_to(ROOT)) for block in RUN})
SHOWN = {"", "text", "yaml", "math"}
"""Languages of blocks that hold nothing to run."""

SHELL = """
set -eu
here() { printf '%q ' "${@//$'\\n'/@LINE@}" >&8; echo >&8; read -r code <&9; return "$code"; }
curate() { here curate "$@"; }
python() { here python "$@"; }
"""
"""Hands commands over to the process of the test: a fresh Python for each would take seconds."""


@pytest.fixture
def reader(page: str, prepared: Path, tmp_path: Path) -> Iterator[pytest.MonkeyPatch]:
    """The reader of a page, in a copy of the prepared folder."""
    folder = shutil.copytree(prepared, tmp_path / "reader")
    for name in WRITTEN.get(page, []):
        shutil.rmtree(folder / name)
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        use_small_labeller(patch)
        torch.set_num_threads(1)
        yield patch
    torch.set_num_threads(threads)


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # readers needn't close what they open
@pytest.mark.parametrize("page", NAMES)
def test_blocks_of_page_run_from_top_to_bottom(page: str, reader: pytest.MonkeyPatch) -> None:
    for block in RUN:
        if block.page == ROOT / page:
            if block.language == "sh":
                run_shell(block, reader)
            elif needs(block) <= installed() and not is_left_out(block.text):
                run_python(stand_in(block.text), str(block))


def run_shell(block: Snippet, reader: pytest.MonkeyPatch) -> None:
    """Run a block in bash, but its `curate` and `python` commands in this process."""
    asked_r, asked_w = os.pipe()
    answered_r, answered_w = os.pipe()
    lines = [":" if is_left_out(line) else line for line in logical_lines(block.text)]
    script = stand_in("\n".join(lines))
    pipes = f"exec 8>&{asked_w} 9<&{answered_r}\n"
    with (
        subprocess.Popen(["bash", "-c", pipes + SHELL + script], pass_fds=(asked_w, answered_r))
        as shell,
        os.fdopen(asked_r) as asked,
        os.fdopen(answered_w, "w", buffering=1) as answered,
    ):  # fmt: skip
        os.close(asked_w)
        os.close(answered_r)
        for line in asked:
            print(run_command(shlex.split(line.replace("@LINE@", "\n")), reader), file=answered)
    assert shell.returncode == 0, f"{block} ends with {shell.returncode}:\n{script}"


def run_command(words: list[str], reader: pytest.MonkeyPatch) -> int:
    """Run a command in this process, and return its exit code."""
    sys.stdout.write(f"$ {shlex.join(words)}\n")
    if words[:2] == ["python", "-c"]:
        run_python(words[2], "python -c")
        return 0
    if takes_scheduler(words[1:]) and "--scheduler" not in words:
        words = [*words, "--scheduler", "serial"]
    reader.setattr(sys, "argv", words)
    try:
        app.main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def run_python(code: str, name: str) -> None:
    exec(compile(code, name, "exec"), {"__name__": "block"})


def takes_scheduler(words: list[str]) -> bool:
    """Whether a command of `curate` has the option `--scheduler`."""
    command: Any = typer.main.get_command(app.app)
    for word in words:
        command = getattr(command, "commands", {}).get(word, command)
    return any("--scheduler" in parameter.opts for parameter in command.params)


def is_left_out(text: str) -> bool:
    return any(re.search(pattern, text) for pattern in NOT_RUN)


def stand_in(text: str) -> str:
    for pattern, replacement in STAND_INS.items():
        text = re.sub(pattern, replacement, text)
    return text


def needs(block: Snippet) -> set[str]:
    """Optional libraries that a block imports."""
    return set(re.findall(r"^(?:import|from) (\w+)", block.text, re.MULTILINE)) & OPTIONAL


def installed() -> set[str]:
    return {name for name in OPTIONAL if importlib.util.find_spec(name)}


def test_block_that_is_not_run_holds_no_command() -> None:
    assert {block.language for block in BLOCKS} <= SHOWN | {"sh", "python"}
    for block in BLOCKS:
        if block.language in SHOWN - {"text"}:  # text is what a terminal shows
            begins = re.search(r"^\s*(\$ )?(curate|python|pip|hf) ", block.text, re.MULTILINE)
            assert not begins, f"{block}: name the block's language, sh"


@pytest.mark.parametrize("pattern", STAND_INS)
def test_stand_in_stands_for_something_on_a_page(pattern: str) -> None:
    assert any(re.search(pattern, block.text) for block in RUN)


@pytest.mark.parametrize("pattern", NOT_RUN)
def test_line_that_is_left_out_stands_on_a_page(pattern: str) -> None:
    lines = [line for block in RUN for line in logical_lines(block.text)]
    assert any(re.search(pattern, line) for line in lines)


def test_optional_libraries_are_those_that_blocks_import() -> None:
    assert set().union(*map(needs, RUN)) == OPTIONAL
