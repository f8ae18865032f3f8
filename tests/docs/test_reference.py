import importlib.util
from types import ModuleType

import pytest

from tests import ROOT

DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_reference_is_up_to_date(generator: ModuleType) -> None:
    behind = [
        name
        for name, text in generator.pages().items()
        if not (DOCS / "reference" / name).exists()
        or (DOCS / "reference" / name).read_text(encoding="utf-8") != text
    ]
    assert not behind, (
        f"run  python docs/generate.py  and commit docs/reference/: {', '.join(behind)}"
    )


def test_reference_has_only_generated_pages(generator: ModuleType) -> None:
    assert {path.name for path in (DOCS / "reference").iterdir()} == set(generator.pages())
