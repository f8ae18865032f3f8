from pathlib import Path

import pytest

from curate.manifest import find_faults, read_manifest
from tests import ROOT

PUBLISHED = sorted((ROOT / "manifests").glob("*.parquet"))


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.name)
def test_shipped_manifest_is_valid_and_names_no_place(path: Path) -> None:
    manifest = read_manifest(path)
    assert list(find_faults(manifest)) == []
    assert manifest.table["tar"].null_count == len(manifest) > 0


def test_shipped_manifests_exist() -> None:
    assert PUBLISHED
