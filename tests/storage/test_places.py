"""Places: only regular files are opened, and names from files stay inside their folder."""

import os
import socket
import threading
import zipfile
from pathlib import Path

import fsspec
import pytest

from curate.errors import InputError
from curate.storage import atomic, places


def content(place: places.Place) -> bytes:
    with place.open() as file:
        return file.read()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one file, beside a secret."""
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "a.jpg").write_bytes(b"inside")
    (tmp_path / "secret").write_bytes(b"secret")
    return inside


def test_place_inside_its_folder_is_read(folder: Path) -> None:
    place = places.resolve(str(folder), "a.jpg")
    assert (place.read(2, 3), content(place)) == (b"sid", b"inside")
    assert place.read(4, 2**62) == b"de"
    assert place.read(100, 5) == b""


@pytest.mark.parametrize(
    "name",
    ["../secret", "a/../../secret", "/etc/passwd", "~/x", "", "a\0b", "file:///etc/passwd", "link"]
    + ["linked/secret", "reference::refs.json", "simplecache::http://127.0.0.1/"]
    + ["http://127.0.0.1"],
)  # fmt: skip
def test_place_that_leads_out_is_refused(folder: Path, name: str) -> None:
    (folder / "link").symlink_to(folder.parent / "secret")
    (folder / "linked").symlink_to(folder.parent)
    with pytest.raises(InputError, match=r"inside|leads out of"):
        places.resolve(str(folder), name)


def test_link_that_stays_inside_is_followed(folder: Path) -> None:
    (folder / "b.jpg").symlink_to("a.jpg")
    assert content(places.resolve(str(folder), "b.jpg")) == b"inside"


def test_place_outside_is_read_if_the_environment_names_its_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(places.FOLDERS, f"memory://elsewhere:{folder.parent}")
    assert content(places.resolve(str(folder), "../secret")) == b"secret"
    monkeypatch.setenv(places.FOLDERS, f"{folder.parent}/sec")
    with pytest.raises(InputError, match=r"leads out of"):
        places.resolve(str(folder), "../secret")


def test_url_of_the_same_store_is_read_and_of_another_refused() -> None:
    with fsspec.open("memory://places-own/x.tar", "wb") as file:
        file.write(b"bytes")
    root = "memory://places-own/run"
    assert content(places.resolve(root, "memory://places-own/x.tar")) == b"bytes"
    elsewhere = ["memory://places-other/x.tar", "memory://places-own/../places-other/x.tar"]
    for name in (*elsewhere, "s3://places-own/x.tar", "../x.tar"):
        with pytest.raises(InputError):
            places.resolve(root, name)


def test_name_with_two_colons_is_no_chain_of_file_systems(tmp_path: Path) -> None:
    for name in ("a::b.jpg", "zip::c.jpg", "d*[1]?#.jpg", "e.jpg "):
        (tmp_path / name).write_bytes(name.encode())
        for url in (tmp_path / name, f"file://{tmp_path}/{name}"):
            with places.open_file(url) as file:
                assert file.read() == name.encode()


def test_chain_of_file_systems_is_followed_where_the_user_names_it(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "lists.zip", "w") as archive:
        archive.writestr("list.txt", "http://a/1\n")
    assert content(places.locate(f"zip://list.txt::{tmp_path}/lists.zip")) == b"http://a/1\n"


@pytest.mark.parametrize("kind", ["fifo", "socket", "device", "link to a device", "folder"])
def test_open_of_no_regular_file_raises_at_once(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.jpg"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
    elif kind == "folder":
        path.mkdir()
    else:
        path = Path("/dev/zero") if kind == "device" else path
        if kind != "device":
            path.symlink_to("/dev/zero")
    for read in (lambda: places.open_file(path), lambda: places.locate(path).read(0, 10)):
        with pytest.raises(OSError, match=r"no regular file|Is a directory"):
            read()


def test_disk_that_does_not_answer_is_given_up(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = threading.Event()

    def hang(path: str) -> int:
        answer.wait()
        raise OSError

    monkeypatch.setattr(places, "DEADLINE", 0.01)
    monkeypatch.setattr(places, "_open_regular", hang)
    with pytest.raises(TimeoutError, match=r"answer within 0\.01 s"):
        places.open_file(folder / "a.jpg")
    monkeypatch.undo()
    answer.set()
    assert content(places.locate(folder / "a.jpg")) == b"inside"


def test_reads_go_on_in_a_forked_process(folder: Path) -> None:
    assert content(places.locate(folder / "a.jpg")) == b"inside"  # its helper doesn't fork
    child = os.fork()
    if child == 0:
        os._exit(content(places.locate(folder / "a.jpg")) != b"inside")
    assert os.waitpid(child, 0)[1] == 0


def test_listing_follows_links_and_reads_each_folder_once(folder: Path) -> None:
    elsewhere = folder.parent / "elsewhere"
    (elsewhere / "deep").mkdir(parents=True)
    (elsewhere / "deep/b.jpg").write_bytes(b"four")
    (folder / "album").symlink_to(elsewhere)
    (folder / "c.jpg").symlink_to(elsewhere / "deep/b.jpg")
    (folder / "again").symlink_to(folder)
    (elsewhere / "deep/up").symlink_to(elsewhere)
    (folder / "gone.jpg").symlink_to("nowhere")
    (folder / "self.jpg").symlink_to("self.jpg")
    assert atomic.list_files(str(folder)) == [
        ("a.jpg", 6), ("album/deep/b.jpg", 4), ("c.jpg", 4), ("gone.jpg", 0), ("self.jpg", 0),
    ]  # fmt: skip


def test_notes_of_own_files_hold_for_later_processes() -> None:
    assert not places.is_remembered("f" * 64)
    places.remember("f" * 64)
    places.remember("f" * 64)
    for digest in map(str, range(50)):  # faster than the clock of the file system
        places.remember(digest)
        assert places.is_remembered(digest)
    notes = Path(os.environ["XDG_STATE_HOME"], "curate/own").read_text().splitlines()
    assert notes.count("f" * 64) == 1


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1/x", "reference::x.json", "sftp://h/x", "foo://x", "dir::http://h"]
)
def test_recorded_url_that_chooses_a_server_is_refused(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="the recipe names"):
        places.check_recorded(url, "the recipe")
    monkeypatch.setenv(places.FOLDERS, "memory://x")
    with pytest.raises(InputError, match="the recipe names"):
        places.check_recorded(url, "the recipe")


@pytest.mark.parametrize("url", ["shipped", "/data/x", "file:///data/x", "s3://bucket/x"])
def test_recorded_file_and_object_of_a_store_pass(url: str) -> None:
    places.check_recorded(url, "the recipe")


def test_files_below_a_url_of_the_user_may_be_recorded() -> None:
    places.remember("http://places.example/pics")
    places.check_recorded("http://places.example/pics/a.jpg", "a candidate")
    for url in ("http://places.example/pics2/a.jpg", "http://places.example/"):
        with pytest.raises(InputError, match="a candidate names"):
            places.check_recorded(url, "a candidate")
