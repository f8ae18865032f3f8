"""A manifest of others opens no file outside of its folder, asks no server and names no path."""

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from curate.errors import CurateError, ManifestError
from curate.manifest import read_manifest, write_manifest
from curate.manifest.check import find_faults
from curate.manifest.combine import merge, sample
from curate.manifest.export import export_manifest
from curate.manifest.query import query
from curate.manifest.table import encode_manifest
from curate.restore.data.pictures import open_pictures
from curate.storage import places

SECRET = b"the bytes of image 0"  # what row 0 promises, so that nothing but its place is wrong


class Canary:
    """A server on loopback that notes whether it was asked."""

    def __init__(self) -> None:
        self.asked = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection = self._socket.accept()[0]
            except OSError:
                return
            self.asked += 1
            connection.close()

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(scope="module")
def canary() -> Iterator[Canary]:
    server = Canary()
    yield server
    server.close()


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory, run: Any) -> Path:
    """Somebody's dataset folder, with a link out, a FIFO and a link to a device."""
    folder = tmp_path_factory.mktemp("foreign")
    outside = folder / "outside"
    outside.mkdir()
    (outside / "secret.tar").write_bytes(SECRET)
    run(folder / "set")
    images = folder / "set/images"
    (images / "link.tar").symlink_to(outside / "secret.tar")
    (images / "away").symlink_to(outside)
    (images / "zero.tar").symlink_to("/dev/zero")
    os.mkfifo(images / "pipe.tar")
    (folder / "set/reference.json").write_text("{}")
    return folder


def rewrite(foreign: Path, root: str = "..", **columns: Any) -> str:
    """Write the dataset's manifest with other values in its first row."""
    path = foreign / "set/manifest/train.parquet"
    known = read_manifest(path).table
    table = pa.Table.from_pylist([known.to_pylist()[0] | columns], known.schema)
    named = foreign / "set/manifest/foreign.parquet"
    named.write_bytes(encode_manifest(table, {}, root=root))
    return str(named)


@pytest.fixture
def watched(foreign: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Paths outside of the dataset that were opened."""
    opened: list[str] = []
    real = os.open

    def watch(path: Any, *args: Any, **kwargs: Any) -> int:
        if isinstance(path, str) and "outside" in os.path.realpath(path):
            opened.append(path)
        return real(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", watch)
    return opened


def places_of(address: str) -> list[str]:
    """Places that a hostile manifest may name."""
    return [
        "../outside/secret.tar", "images/../../outside/secret.tar", "images/link.tar",
        "images/away/secret.tar", "/etc/passwd", "/dev/zero", "images/zero.tar", "images/pipe.tar",
        f"http://{address}/x", f"reference::http://{address}/x.json",
        f"simplecache::http://{address}", f"zip://x::http://{address}/x.zip", "file:///etc/passwd",
        "local:///etc/passwd", "reference::../reference.json", "images", "",
        "images/part-00000.tar\0", "data:,x", "~root/x", "memory://x/y",
    ]  # fmt: skip


@pytest.mark.parametrize("number", range(21))
def test_place_in_a_foreign_manifest_never_leads_out(
    foreign: Path, canary: Canary, watched: list[str], tmp_path: Path, number: int
) -> None:
    path = rewrite(foreign, tar=places_of(canary.address)[number], offset=0)
    with pytest.raises(ManifestError):
        read_manifest(path).read_bytes(0)
    assert list(find_faults(read_manifest(path), check_bytes=True))
    with pytest.raises(ManifestError):
        export_manifest(path, tmp_path / "out", "folder")
    assert not watched
    assert not canary.asked
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("root", ["../..", "/", "/etc", "../../outside", "http://127.0.0.1/", "a"])
def test_root_of_a_foreign_manifest_is_its_own_folder(foreign: Path, root: str) -> None:
    path = rewrite(foreign, root=root, tar="secret.tar", offset=0)
    with pytest.raises(ManifestError, match="which is not its own folder"):
        read_manifest(path).read_bytes(0)


def test_root_above_a_folder_of_another_name_is_refused(tmp_path: Path, run: Any) -> None:
    table, _ = run(tmp_path / "set")
    (tmp_path / "set/images").rename(tmp_path / "images")
    write_manifest(tmp_path / "set/train.parquet", table, {}, root="..")
    with pytest.raises(ManifestError, match="which is not its own folder"):
        read_manifest(tmp_path / "set/train.parquet").read_bytes(0)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("id", "../../../outside/x"), ("id", "/etc/x"), ("id", ""), ("id", "a/b"), ("id", "x\0"),
        ("id", "é"), ("id", "a" * 300), ("id", ".."), ("split", "../../outside"), ("split", ""),
        ("split", "train: {}\n"),
    ],
)  # fmt: skip
def test_id_or_split_that_can_not_name_a_file_is_refused(
    foreign: Path, tmp_path: Path, column: str, value: str
) -> None:
    path = rewrite(foreign, **{column: value})
    for kind in ("folder", "webdataset", "hf", "lmdb", "crops"):
        with pytest.raises(ManifestError, match=r"id|split"):
            export_manifest(path, tmp_path / "out", kind)
    with pytest.raises(ManifestError, match=r"id|split"):
        open_pictures(path)


@pytest.mark.parametrize(
    "category", ["../../x", "/etc", "..", "a" * 500, "é" * 200, "CON\\x", "\n", ". ."]
)
def test_category_names_one_folder_inside_an_export(
    foreign: Path, tmp_path: Path, category: str
) -> None:
    path = rewrite(foreign, split="test", category=category)
    export_manifest(path, tmp_path / "out", "folder")
    (folder,) = filter(Path.is_dir, (tmp_path / "out/val").iterdir())
    assert len(list(folder.iterdir())) == 1


@pytest.mark.parametrize(
    "range_", [(-1, 5), (0, -5), (0, 0), (0, 2**62), (2**62, 1), (None, 5), (0, None)]
)
def test_range_that_can_be_no_image_is_refused(foreign: Path, range_: Any) -> None:
    manifest = read_manifest(rewrite(foreign))
    manifest.column("offset")[0], manifest.column("nbytes")[0] = range_
    with pytest.raises(ManifestError, match=r"can't be an image's|ends before byte"):
        manifest.read_bytes(0)


def test_column_of_another_type_is_refused(foreign: Path, tmp_path: Path) -> None:
    path = Path(rewrite(foreign))
    table = read_manifest(path).table.drop_columns(["id"])
    metadata = pq.read_schema(path).metadata
    pq.write_table(table.append_column("id", [[7]]).replace_schema_metadata(metadata), path)
    with pytest.raises(ManifestError, match="column id holds no text"):
        export_manifest(str(path), tmp_path / "out", "folder")


def test_text_that_is_no_text_is_refused(foreign: Path) -> None:
    path = Path(rewrite(foreign, caption="a caption"))
    path.write_bytes(path.read_bytes().replace(b"a caption", b"a \xff\xffption"))
    with pytest.raises(ManifestError, match="no readable Parquet file"):
        read_manifest(path)


def test_card_beside_a_foreign_manifest_leads_nowhere(foreign: Path, tmp_path: Path) -> None:
    path = rewrite(foreign)
    manifest, folder = read_manifest(path), foreign / "set/manifest"
    (foreign / "outside/card.md").write_text(f"{manifest.fingerprint} secret")
    (folder / "figures").mkdir()
    (folder / "figures/x.svg").symlink_to(foreign / "outside/secret.tar")
    (folder / "README.md").symlink_to(foreign / "outside/card.md")
    export_manifest(path, tmp_path / "linked", "hf")
    (folder / "README.md").unlink()
    (folder / "README.md").write_text(manifest.fingerprint)
    export_manifest(path, tmp_path / "own", "hf")
    (folder / "README.md").unlink()
    os.mkfifo(folder / "README.md")
    export_manifest(path, tmp_path / "fifo", "hf")
    (folder / "README.md").unlink()
    for out in ("linked", "own", "fifo"):
        assert "secret" not in (tmp_path / out / "README.md").read_text()
        assert not (tmp_path / out / "figures").exists()


def test_manifests_that_the_user_merges_point_out_of_their_folder(tmp_path: Path, run: Any) -> None:
    run(tmp_path / "set")
    source = read_manifest(tmp_path / "set/manifest/train.parquet")
    out = tmp_path / "merged/all.parquet"
    merge([source], out)
    sample([read_manifest(out)], 2, tmp_path / "deep/er/some.parquet")
    for path, rows in ((out, 4), (tmp_path / "deep/er/some.parquet", 2)):
        assert list(find_faults(read_manifest(path), check_bytes=True)) == []
        assert len(read_manifest(path)) == rows
    # nobody else's manifest may point there, not even at the same places
    copy = tmp_path / "merged/foreign.parquet"
    copy.write_bytes(encode_manifest(read_manifest(out).table, {}, root="."))
    with pytest.raises(ManifestError, match=f"leads out of .*{places.FOLDERS}"):
        read_manifest(copy).read_bytes(0)


def test_manifest_that_leads_out_can_not_be_merged_into_an_own_one(
    foreign: Path, tmp_path: Path
) -> None:
    manifest = read_manifest(rewrite(foreign, tar="../outside/secret.tar", offset=0))
    for act in (
        lambda: merge([manifest], tmp_path / "all.parquet"),
        lambda: sample([manifest], 1, tmp_path / "all.parquet"),
        lambda: query("SELECT * FROM images", [manifest], out=tmp_path / "all.parquet"),
    ):
        with pytest.raises(ManifestError, match="leads out of"):
            act()


hostile = st.one_of(
    st.text(max_size=30),
    st.lists(
        st.sampled_from(
            ["..", "/", ".", "::", "://", "images", "outside", "secret.tar", "link.tar", "away"]
            + ["part-00000.tar", "pipe.tar", "zero.tar", "reference", "http", "file", "ADDRESS"]
        ),
        max_size=7,
    ).map("".join),
)  # fmt: skip


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tar=hostile, id_=hostile, split=hostile, category=hostile, root=hostile)
@example("reference::http://ADDRESS/x", "a", "train", "x", "..")
@example("../outside/secret.tar", "a", "train", "x", "..")
def test_fields_of_a_foreign_manifest_touch_nothing_outside(
    foreign: Path,
    canary: Canary,
    watched: list[str],
    tmp_path_factory: pytest.TempPathFactory,
    tar: str,
    id_: str,
    split: str,
    category: str,
    root: str,
) -> None:
    tar, root = (text.replace("ADDRESS", canary.address) for text in (tar, root))
    texts = [text.encode(errors="ignore").decode() for text in (tar, id_, split, category, root)]
    plain = ["images/part-00000.tar", "0" * 16, "train", "Animals", ".."]
    outside = sorted((foreign / "outside").iterdir())
    # each field alone, so that none hides behind the fault of another
    for number, text in enumerate(texts):
        values = [*plain[:number], text, *plain[number + 1 :]]
        columns = dict(zip(("tar", "id", "split", "category"), values[:4], strict=True))
        path = rewrite(foreign, root=values[4], **columns)
        target = tmp_path_factory.mktemp("exports")
        for act in (
            lambda path=path: list(find_faults(read_manifest(path), check_bytes=True)),
            lambda path=path, out=target / "out": export_manifest(path, out, "folder"),
        ):
            try:
                act()
            except CurateError:
                continue
        assert {*target.iterdir()} <= {target / "out"}
    assert not watched
    assert not canary.asked
    assert sorted((foreign / "outside").iterdir()) == outside
