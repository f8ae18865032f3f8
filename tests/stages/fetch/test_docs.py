import re

from tests import ROOT
from tests.site.hostile import ROUTES

DOCS = ROOT / "docs" / "fetching.md"


def test_routes_and_tests_of_the_table_exist() -> None:
    table = DOCS.read_text(encoding="utf-8").partition("## How it is tested")[2]
    rows = [line.split("|")[1:4] for line in table.splitlines() if line.startswith("| ")][2:]
    routes = {name for row in rows for name in re.findall(r"`([\w-]+)`", row[0])}
    assert routes == set(ROUTES)
    tests = "\n".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")
    )
    for name in {name for row in rows for name in re.findall(r"`(test_\w+)`", row[2])}:
        assert f"def {name}(" in tests
