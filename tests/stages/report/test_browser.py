"""The page in a real headless Chromium: skipped where none is installed, as on the CI's machine."""

import pytest

from benchmarks.chromium import find_chromium, layouts
from curate.engine import Shard

pytestmark = pytest.mark.skipif(find_chromium() is None, reason="no Chromium is installed")


def test_page_fits_every_width_and_shows_all_pictures(built_run: Shard) -> None:
    page = built_run.folder.read("report/index.html").decode()
    found = layouts(page, (320, 390, 1280, 3840))
    assert set(found) == {320, 390, 1280, 3840}
    for width, facts in found.items():
        assert facts["overflow"] <= 0, width
        assert not facts["cut"], width
        assert facts["shown"] == facts["images"] > 50
        assert facts["target"]
