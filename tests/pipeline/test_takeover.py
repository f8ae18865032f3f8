"""A run over an img2dataset download equals a crawl, with fewer requests."""

import functools
import hashlib
import json
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import curate
from curate import Recipe


class Counting(SimpleHTTPRequestHandler):
    asked: Counter[str]

    def do_GET(self) -> None:
        self.asked[self.path.removeprefix("/")] += 1
        super().do_GET()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(pictures: Path) -> Iterator[ThreadingHTTPServer]:
    handler = type("Handler", (Counting,), {"asked": Counter()})
    running = ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(handler, directory=str(pictures))
    )
    running.asked = handler.asked
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield running
    running.shutdown()
    running.server_close()


def save(
    folder: Path, number: int, form: str, site: str, pictures: list[Path]
) -> tuple[int, set[str]]:
    """Write a shard as img2dataset does; return its size, and the names that only a crawl gives."""
    rows, images, lacking = [], [], set()
    for i, path in enumerate(pictures):
        data = path.read_bytes()
        failed, encoded = i % 5 == 2, i % 5 == 4
        row = {"url": f"{site}/{path.name}", "key": f"{1000 * number + i:09d}"}
        row["status"] = "failed_to_download" if failed else "success"
        row |= dict.fromkeys(
            ("width", "height", "original_width", "original_height"), 64 if encoded else None
        )
        rows.append(row | {"sha256": None if failed else hashlib.sha256(data).hexdigest()})
        images.append(None if failed else b"encoded anew" if encoded else data)
        if failed or encoded:
            lacking.add(path.name)
    folder.mkdir(exist_ok=True)
    table = pa.Table.from_pylist(rows)
    if form == "parquet":
        table = table.append_column("jpg", pa.array(images, pa.binary()))
    else:
        (folder / f"{number:05d}").mkdir()
        for row, image in zip(rows, images, strict=True):
            if image is not None:
                (folder / f"{number:05d}/{row['key']}.jpg").write_bytes(image)
    pq.write_table(table, folder / f"{number:05d}.parquet")
    count = sum(image is not None for image in images)
    (folder / f"{number:05d}_stats.json").write_text(
        json.dumps({"count": len(rows), "successes": count})
    )
    return count, lacking


def test_run_over_img2dataset_download_equals_crawl(
    recipe: Path, pictures: Path, server: ThreadingHTTPServer, tmp_path: Path
) -> None:
    site = f"http://127.0.0.1:{server.server_port}"
    paths = sorted(path for path in pictures.iterdir() if path.name != "empty.png")
    halves = {"files": paths[:12], "parquet": paths[12:]}
    saved = [
        save(tmp_path / "x", n, form, site, part) for n, (form, part) in enumerate(halves.items())
    ]
    (tmp_path / "urls.txt").write_text("".join(f"{site}/{path.name}\n" for path in paths))
    config = Recipe.load(
        recipe, ["fetch.allow_networks=[127.0.0.1/32]", "fetch.robots=false", "fetch.probe=false"]
    )
    config = config.override(["candidates.source=x"])

    outcome = curate.run(config, [tmp_path / "x"], tmp_path / "taken", scheduler="serial")
    lacking = saved[0][1] | saved[1][1]
    assert server.asked == dict.fromkeys(lacking, 1)
    assert outcome.passed_over["taken from disk"] == saved[0][0] + saved[1][0]

    curate.run(config, [tmp_path / "urls.txt"], tmp_path / "crawled", scheduler="serial")
    for result in ("ledger", "manifest/train.parquet", "manifest/test.parquet"):
        taken, crawled = (pq.read_table(tmp_path / run / result) for run in ("taken", "crawled"))
        assert not any(name.startswith("local") for name in taken.column_names)
        own = [
            "claimed_width",
            "claimed_height",
        ]  # what the table of a download tells, and a list of URLs doesn't
        names = [name for name in taken.column_names if name not in own]
        assert names == [name for name in crawled.column_names if name not in own]
        differing = {name for name in names if taken[name].to_pylist() != crawled[name].to_pylist()}
        assert differing <= {"final_url", "http_status"}
