"""img2dataset on a list of URLs, with the command of docs/how-to/publish-a-manifest.md."""

import functools
import json
import os
import shlex
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.manifest import Manifest, export_manifest, read_manifest
from tests import ROOT

pytestmark = pytest.mark.skipif(
    find_spec("img2dataset") is None, reason="img2dataset is not installed"
)
GUIDE = ROOT / "docs/how-to/publish-a-manifest.md"
# the command's own main(), in one process: workers and the logger would import everything again.
# webdataset can do without torch, and wandb is only for those who ask for it; both take seconds.
MAIN = """
import sys
from unittest.mock import MagicMock
sys.modules |= {"torch": None, "wandb": MagicMock()}
import img2dataset
command = sys.modules["img2dataset.main"]
command.LoggerProcess = MagicMock()
command.multiprocessing_distributor = lambda _, downloader, shards, *rest: all(
    [downloader(shard)[0] for shard in shards]
)
command.main()
"""


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder that is served, and its address."""
    folder = tmp_path / "site"
    folder.mkdir()
    handler = functools.partial(QuietHandler, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def command() -> list[str]:
    """Return the guide's command for this interpreter."""
    text = GUIDE.read_text()
    line = text[text.index("img2dataset --url_list") :].partition("\n```")[0].replace("\\\n", " ")
    return [sys.executable, "-c", MAIN, *shlex.split(line)[1:]]


def test_img2dataset_refuses_images_with_other_hashes(
    pictures: Path, site: tuple[Path, str], tmp_path: Path
) -> None:
    folder, address = site
    manifest = read_manifest(pictures / "manifest/train.parquet")
    urls = [f"{address}/{n}.jpg" for n in range(len(manifest))]
    table = manifest.table.set_column(1, "url", pa.array(urls))
    for row in range(len(manifest)):
        # the third URL serves an image, but another one than the list says
        (folder / f"{row}.jpg").write_bytes(manifest.read_bytes(0 if row == 2 else row))
    listed = Manifest(manifest.path, table, manifest.metadata)
    export_manifest(listed, tmp_path / "urls.parquet", "urls")
    environment = {**os.environ, "NO_ALBUMENTATIONS_UPDATE": "1"}
    subprocess.run(command(), cwd=tmp_path, env=environment, check=True, capture_output=True)
    results = pq.read_table(next((tmp_path / "mine").glob("*.parquet"))).to_pylist()
    statuses = ["success", "success", "failed_to_download", "success"]
    assert {row["url"]: row["status"] for row in results} == dict(zip(urls, statuses, strict=True))
    assert {row["error_message"] for row in results} == {None, "hash mismatch"}
    served, hashes = [], []
    with tarfile.open(next((tmp_path / "mine").glob("*.tar"))) as tar:
        for name in sorted(tar.getnames()):
            data = tar.extractfile(name).read()
            if name.endswith("json"):
                hashes.append(json.loads(data)["sha256"])
            elif not name.endswith("txt"):
                served.append(data)
    assert served == [manifest.read_bytes(row) for row in (0, 1, 3)]
    assert hashes == [manifest.column("sha256")[row] for row in (0, 1, 3)]
