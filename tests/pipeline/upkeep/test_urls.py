"""`curate export --to urls`: img2dataset's downloader verifies and keeps unchanged images."""

import importlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from curate.manifest import export_manifest
from tests.pipeline.upkeep.ageing import FATES, STATES, fates

pytestmark = pytest.mark.skipif(
    find_spec("img2dataset") is None, reason="img2dataset is not installed"
)


@pytest.fixture(scope="module")
def img2dataset() -> tuple[type, type]:
    """Its Reader and Downloader, without the 600 MB that its package imports for resizing."""
    from curate.stages.fetch.img2dataset import _load_downloader

    downloader = _load_downloader().Downloader
    return importlib.import_module("curate.stages.fetch.img2dataset.reader").Reader, downloader


class Written:
    """Sample writer for img2dataset's Downloader that keeps samples in memory."""

    def __init__(self) -> None:
        self.rows: dict[int, tuple[bytes | None, dict[str, Any]]] = {}

    def __call__(self, *settings: object) -> "Written":
        return self

    def write(self, image: bytes | None, key: str, caption: None, meta: dict[str, Any]) -> None:
        (place,) = fates([meta["url"]])
        self.rows[place] = image, meta

    def close(self) -> None:
        pass


@pytest.mark.parametrize("suffix", ["parquet", "tsv"])
def test_img2dataset_accepts_lists_with_published_hashes(
    dataset: Path, tmp_path: Path, img2dataset: tuple[Any, Any], suffix: str
) -> None:
    """URLs with spaces and commas too: it sends a URL as it is, and urllib refuses spaces."""
    export_manifest(str(dataset), tmp_path / f"urls.{suffix}", "urls")
    reader, downloader = img2dataset
    listing = reader(
        url_list=str(tmp_path / f"urls.{suffix}"), input_format=suffix, url_col="url",
        caption_col=None, verify_hash_col="sha256", verify_hash_type="sha256",
        save_additional_columns=["split", "category"],
        number_sample_per_shard=100, done_shards=set(), tmp_path=str(tmp_path),
    )  # fmt: skip
    written = Written()
    run = downloader(
        sample_writer_class=written,
        resizer=lambda stream, boxes=None: (stream.read(), 1, 1, 1, 1, None),
        thread_count=4, save_caption=False, extract_exif=False, output_folder=str(tmp_path),
        column_list=listing.column_list, timeout=20, number_sample_per_shard=100, oom_shard_count=1,
        compute_hash="sha256", verify_hash_type="sha256", encode_format="jpg", retries=0,
        user_agent_token=None,
        disallowed_header_directives=["noai"],
    )  # fmt: skip
    for shard in listing:
        run.download_shard(shard)
    assert sorted(written.rows) == list(range(len(FATES)))
    for place, (image, row) in written.rows.items():
        assert (image is not None) == (STATES[place] == "same"), row["error_message"]
        if FATES[place] in ("recoded", "lossless", "resized", "replaced", "damaged", "disguised"):
            assert row["error_message"] == "hash mismatch"
        assert row["category"] == f"Food {place}"
