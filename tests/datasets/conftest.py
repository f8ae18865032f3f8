from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.datasets.samples import Pack, picture


@pytest.fixture
def pack(tmp_path: Path) -> Pack:
    """Writes pictures of these names into a folder of this name."""

    def make(
        name: str, paths: Iterable[str], size: tuple[int, int] = (24, 16), mode: str = "RGB"
    ) -> Path:
        folder = tmp_path / name
        for path in paths:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(picture(path, size, mode))
        return folder

    return make
