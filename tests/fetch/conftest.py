import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "site"))

from hostile import HostileSite


@pytest.fixture
def site() -> Iterator[HostileSite]:
    with HostileSite() as running:
        yield running
