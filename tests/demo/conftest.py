from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from curate.demo.pictures import Entry, Picture, catalogue
from curate.demo.site import DemoSite

SMALL = (48, 40)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture(scope="session")
def entries() -> list[Entry]:
    return catalogue(0)


@pytest.fixture
def site(entries: list[Entry]) -> Iterator[DemoSite]:
    """Site of one test: three good pictures and every misbehaviour, drawn small and fast."""
    good = [
        Entry(f"/good/{k}.jpg", Picture("Map", k, SMALL, "jpeg92"), "a map", "MIT", "good")
        for k in range(3)
    ]
    trouble = [entry for entry in entries if entry.behaviour or entry.fate == "private"]
    small = [replace(entry, picture=replace(entry.picture, size=SMALL)) for entry in trouble]
    with DemoSite(port=0, entries=good + small) as site:
        yield site
