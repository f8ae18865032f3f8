"""A list of URLs, as img2dataset takes it: with the command that docs/how-to/publish-a-manifest.md gives."""

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


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Path]:
    """A folder that is served; its address stands in `address`."""
    folder = tmp_path / "site"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    (tmp_path / "address").write_text(f"http://127.0.0.1:{server.server_port}")
    yield folder
    server.shutdown()
    server.server_close()


def command() -> list[str]:
    """The guide's, for this interpreter."""
    text = GUIDE.read_text()
    line = text[text.index("img2dataset --url_list") :].partition("\n```")[0].replace("\\\n", " ")
    # by way of its module, since a script's name may not be on the path
    return [
        sys.executable,
        "-c",
        "from img2dataset.main import main; main()",
        *shlex.split(line)[1:],
    ]


def test_it_checks_the_hashes(pictures: Path, site: Path, tmp_path: Path) -> None:
    address = (tmp_path / "address").read_text()
    manifest = read_manifest(pictures / "manifest/train.parquet")
    table = manifest.table.set_column(
        1, "url", pa.array([f"{address}/{n}.jpg" for n in range(len(manifest))])
    )
    for row in range(len(manifest)):
        (site / f"{row}.jpg").write_bytes(manifest.read_bytes(row))
    (site / "2.jpg").write_bytes(
        manifest.read_bytes(0)
    )  # an image, and another one than the list says
    export_manifest(
        Manifest(manifest.path, table, manifest.metadata), tmp_path / "urls.parquet", "urls"
    )
    quiet = {**os.environ, "NO_ALBUMENTATIONS_UPDATE": "1", "WANDB_MODE": "disabled"}
    subprocess.run(
        [*command(), "--processes_count", "1"],
        cwd=tmp_path,
        env=quiet,
        check=True,
        capture_output=True,
    )
    told = pq.read_table(next((tmp_path / "mine").glob("*.parquet"))).to_pylist()
    assert {row["url"]: row["status"] for row in told} == {
        f"{address}/{n}.jpg": "failed_to_download" if n == 2 else "success" for n in range(4)
    }
    assert {row["error_message"] for row in told} == {None, "hash mismatch"}
    with tarfile.open(next((tmp_path / "mine").glob("*.tar"))) as tar:
        served = [
            tar.extractfile(name).read()
            for name in sorted(tar.getnames())
            if not name.endswith(("json", "txt"))
        ]
        texts = [
            json.loads(tar.extractfile(name).read())
            for name in sorted(tar.getnames())
            if name.endswith("json")
        ]
    assert served == [manifest.read_bytes(row) for row in (0, 1, 3)]
    assert [text["sha256"] for text in texts] == [
        manifest.column("sha256")[row] for row in (0, 1, 3)
    ]
