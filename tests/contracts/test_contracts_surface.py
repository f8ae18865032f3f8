import json

import pytest

from tests.contracts.contracts_surface import PARTS, SURFACE, read_off

PINNED = json.loads(SURFACE.read_text())


@pytest.mark.parametrize("part", [part for part in PARTS if part != "commands"])
def test_surface_stays_as_pinned(part: str) -> None:
    """Surface equals its pin; if a decision record changes it, run contracts_surface.py."""
    assert read_off(part) == PINNED[part], (
        "a public contract changed: if a decision record says so, "
        f"run {SURFACE.parent}/contracts_surface.py"
    )


@pytest.mark.parametrize("command", PINNED["commands"])
def test_command_keeps_its_options(command: str) -> None:
    """Further options may come; none goes, or changes its names or its default."""
    assert set(PINNED["commands"][command]) <= set(read_off("commands")[command])
