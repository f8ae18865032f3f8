import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import curate
from curate.manifest import read_manifest
from curate.manifest.verdicts import Sidecar, Verdicts
from tests.review.chromium import CHROMIUM, Tab, chromium, opened

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium isn't installed")


@pytest.fixture
def server(run: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command as users start it, and the URL that it prints."""
    command = [sys.executable, "-m", "curate", "review", str(run), "--by", "ann"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        yield process, url
        process.kill()


def test_image_dropped_with_a_key_is_out_of_the_next_manifest(
    server: tuple[subprocess.Popen[str], str], run: Path, tmp_path: Path
) -> None:
    process, url = server
    train = read_manifest(run / "manifest/train.parquet").column("id")

    async def judge(tab: Tab) -> str:
        shown = "document.getElementById('picture').naturalWidth"
        await tab.wait("typeof choose === 'function' && state !== null")
        await tab.evaluate("choose([['split', 'train']])")
        await tab.wait(f"list.total === {len(train)} && {shown} > 0")
        dropped = await tab.evaluate("list.rows[list.current].id")
        await tab.press("d")
        await tab.wait("list.current === 1 && list.rows[0].verdict === 'drop'")
        await tab.press("d")
        await tab.wait("list.current === 2 && list.rows[1].verdict === 'drop'")
        await tab.press("u")
        await tab.wait("list.current === 1 && list.rows[1].verdict === null")
        errors = [event for event in tab.events if event["method"] == "Runtime.exceptionThrown"]
        assert errors == []
        requested = [e["params"] for e in tab.events if e["method"] == "Network.requestWillBeSent"]
        addresses = [one["request"]["url"] for one in requested]
        assert len(addresses) > 5
        assert [a for a in addresses if not a.startswith((url, "data:", "about:"))] == []
        return str(dropped)

    with chromium(tmp_path / "profile") as address, opened(address, url) as in_tab:
        dropped = in_tab(judge)

    assert dropped in train
    assert Verdicts.read(Sidecar.of(str(run))).essence == [[dropped, "drop", None, "ann"]]
    process.send_signal(signal.SIGINT)
    assert process.stdout is not None
    rest = process.stdout.read().strip().splitlines()
    assert process.wait(30) == 0
    assert rest[1:] == ["", f"1 verdict given, in {run}/verdicts"]

    curate.run(None, out=run, scheduler="serial", stages=("select",))
    assert dropped not in read_manifest(run / "manifest/train.parquet").column("id")
    row = next(r for r in pq.read_table(run / "ledger").to_pylist() if r["id"] == dropped)
    assert (row["reason"], row["verdict_by"]) == ("dropped_by_review", "ann")
