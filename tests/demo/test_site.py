import asyncio
import contextlib
import io
import json
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from PIL import Image
from yarl import URL

from curate.demo.misbehaviour import MISBEHAVIOURS, Visit
from curate.demo.pictures import Entry, Picture, catalogue, encode
from curate.demo.site import CANARY_HOST, Canary, DemoSite
from curate.errors import CurateError


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as session:
        yield session


def trouble(site: DemoSite, name: str) -> str:
    return f"{site.url}/trouble/{name}.jpg"


def body_of(site: DemoSite, path: str) -> bytes:
    return encode(next(entry.picture for entry in site.entries if entry.path == path))


async def test_site_serves_pictures_as_the_catalogue_lists_them(
    site: DemoSite, client: aiohttp.ClientSession
) -> None:
    for url, entry in list(zip(site.urls(), site.entries, strict=True))[:3]:
        async with client.get(url) as response:
            assert response.status == 200
            assert response.content_type == "image/jpeg"
            assert await response.read() == encode(entry.picture)
            assert response.content_length == len(encode(entry.picture))


@pytest.mark.parametrize(
    "path", [entry.path for entry in catalogue(0) if entry.fate == "odd" and "/odd/" in entry.path]
)
async def test_site_serves_every_odd_path(path: str, client: aiohttp.ClientSession) -> None:
    entry = Entry(path, Picture("Comic", 1, (40, 30), "png"), "a comic", "MIT", "odd")
    with DemoSite(port=0, entries=[entry]) as site:
        async with client.get(site.urls()[0]) as response:
            assert response.status == 200
            assert await response.read() == encode(entry.picture)


async def test_site_counts_requests_by_path(site: DemoSite, client: aiohttp.ClientSession) -> None:
    for path in ("/good/0.jpg", "/good/0.jpg", "/good/1.jpg", "/nowhere?a=b"):
        async with client.get(site.url + path):
            pass
    assert site.requests == {"/good/0.jpg": 2, "/good/1.jpg": 1, "/nowhere?a=b": 1}


async def test_site_answers_head_without_a_body_and_refuses_post(
    site: DemoSite, client: aiohttp.ClientSession
) -> None:
    for path in ("good/0", "trouble/slow", "trouble/endless", "trouble/truncated"):
        async with client.head(f"{site.url}/{path}.jpg") as response:
            assert response.status == 200
            assert await response.read() == b""
    async with client.post(site.urls()[0]) as response:
        assert response.status == 405


async def test_robots_txt_forbids_only_the_private_folder(
    site: DemoSite, client: aiohttp.ClientSession
) -> None:
    async with client.get(f"{site.url}/robots.txt") as response:
        assert (await response.text()).splitlines() == ["User-agent: *", "Disallow: /private/"]
    private = [url for url in site.urls() if URL(url).path.startswith("/private/")]
    assert len(private) == 1
    async with client.get(private[0]) as response:
        assert response.status == 200, "a courtesy, not a lock"


@pytest.mark.parametrize(
    ("name", "statuses"),
    [
        ("not-found", [404, 404]), ("gone", [410]), ("refused", [403]),
        ("recovering", [500, 200, 200]), ("busy", [429, 200]),
        ("unavailable", [503, 503, 503, 503]),
    ],
)  # fmt: skip
async def test_misbehaviours_answer_with_their_statuses(
    site: DemoSite, client: aiohttp.ClientSession, name: str, statuses: list[int]
) -> None:
    seen = []
    for _ in statuses:
        async with client.get(trouble(site, name)) as response:
            seen.append(response.status)
            if response.status == 200:
                assert await response.read() == body_of(site, f"/trouble/{name}.jpg")
    assert seen == statuses


async def test_busy_sends_retry_after(site: DemoSite, client: aiohttp.ClientSession) -> None:
    async with client.get(trouble(site, "busy")) as response:
        assert response.headers["Retry-After"] == "1"


async def test_slow_sends_one_byte_and_then_waits(
    site: DemoSite, client: aiohttp.ClientSession
) -> None:
    async with client.get(trouble(site, "slow")) as response:
        assert response.content_length is None
        assert await response.content.read(100) == body_of(site, "/trouble/slow.jpg")[:1]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(response.content.read(100), 0.2)


async def test_endless_sends_zeros_after_the_picture(
    site: DemoSite, client: aiohttp.ClientSession
) -> None:
    body = body_of(site, "/trouble/endless.jpg")
    async with client.get(trouble(site, "endless")) as response:
        assert await response.content.readexactly(len(body)) == body
        assert await response.content.readexactly(3 << 20) == bytes(3 << 20)


async def test_truncated_promises_more_than_it_sends(
    site: DemoSite, client: aiohttp.ClientSession
) -> None:
    async with client.get(trouble(site, "truncated")) as response:
        assert response.content_length == len(body_of(site, "/trouble/truncated.jpg"))
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()


async def test_damaged_sends_its_length_but_only_half_a_picture(
    site: DemoSite, client: aiohttp.ClientSession
) -> None:
    async with client.get(trouble(site, "damaged")) as response:
        data = await response.read()
    assert len(data) == response.content_length
    with pytest.raises(OSError, match="truncated"):
        Image.open(io.BytesIO(data)).load()


async def test_empty_and_disguised_send_no_picture(
    site: DemoSite, client: aiohttp.ClientSession
) -> None:
    async with client.get(trouble(site, "empty")) as response:
        assert (response.status, await response.read()) == (200, b"")
    async with client.get(trouble(site, "disguised")) as response:
        assert response.content_type == "image/jpeg"
        assert (await response.read()).startswith(b"<!doctype html>")


async def test_mislabelled_and_opted_out_send_their_headers(
    site: DemoSite, client: aiohttp.ClientSession
) -> None:
    async with client.get(trouble(site, "mislabelled")) as response:
        assert response.content_type == "text/html"
        assert await response.read() == body_of(site, "/trouble/mislabelled.jpg")
    async with client.get(trouble(site, "opted-out")) as response:
        assert "noai" in response.headers["X-Robots-Tag"]


async def test_redirects_lead_to_their_targets(
    site: DemoSite, client: aiohttp.ClientSession
) -> None:
    async with client.get(trouble(site, "moved")) as response:
        assert await response.read() == body_of(site, "/good/0.jpg")
    with pytest.raises(aiohttp.TooManyRedirects):
        await client.get(trouble(site, "looping"))
    for name, target in (
        ("to-private", f"http://{CANARY_HOST}:{site.port}/canary.jpg"),
        ("to-file", "file:///etc/passwd"),
    ):
        async with client.get(trouble(site, name), allow_redirects=False) as response:
            assert (response.status, response.headers["Location"]) == (302, target)


def test_every_misbehaviour_has_a_docstring() -> None:
    assert all(handler.__doc__ for handler in MISBEHAVIOURS.values())


async def test_site_accepts_further_misbehaviours(client: aiohttp.ClientSession) -> None:
    async def teapot(visit: Visit) -> web.StreamResponse:
        return web.Response(status=418, text=str(visit.number))

    entry = Entry(
        "/pot", Picture("Comic", 1, (40, 30), "png"), "a pot", "MIT", "teapot", behaviour="teapot"
    )
    with DemoSite(port=0, entries=[entry], handlers={"teapot": teapot}) as site:
        async with client.get(site.urls()[0]) as response:
            assert (response.status, await response.text()) == (418, "1")


async def test_site_caches_pictures_in_its_folder(
    tmp_path: Path, client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = Entry("/a.png", Picture("Comic", 1, (40, 30), "png"), "a comic", "MIT", "good")
    bodies = []
    for _ in range(2):
        with DemoSite(port=0, folder=tmp_path, entries=[entry]) as site:
            async with client.get(site.urls()[0]) as response:
                bodies.append(await response.read())
        monkeypatch.setattr("curate.demo.site.encode", None)
    assert bodies[0] == bodies[1] == encode(entry.picture)


async def test_prepare_draws_each_picture_once_before_any_request(
    client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = Picture("Comic", 1, (40, 30), "png")
    entries = [Entry(path, picture, "a comic", "MIT", "good") for path in ("/a.png", "/same.png")]
    steps: list[tuple[int, int]] = []
    with DemoSite(port=0, entries=entries) as site:
        site.prepare(lambda done, total: steps.append((done, total)))
        monkeypatch.setattr("curate.demo.site.encode", None)
        for url in site.urls():
            async with client.get(url) as response:
                assert await response.read() == encode(picture)
    assert steps == [(1, 1)], "the same picture is drawn once"


def test_write_list_as_text_has_one_url_a_line_in_order(tmp_path: Path) -> None:
    site = DemoSite(port=8000)
    site.write_list(tmp_path / "urls.txt")
    lines = (tmp_path / "urls.txt").read_text(encoding="utf-8").splitlines()
    assert lines == site.urls() == [f"http://127.0.0.1:8000{entry.path}" for entry in catalogue()]


def test_write_list_as_jsonl_has_captions_and_licences(tmp_path: Path) -> None:
    site = DemoSite(port=8000)
    site.write_list(tmp_path / "urls.jsonl")
    lines = (tmp_path / "urls.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["url"] for row in rows] == site.urls()
    for row, entry in zip(rows, site.entries, strict=True):
        assert (row["caption"], row["licence"]) == (entry.caption, entry.licence)


def test_site_on_a_used_port_raises_and_leaves_no_thread() -> None:
    before = threading.active_count()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        message = rf"127\.0\.0\.1:{port}: Address already in use; .*another one"
        with pytest.raises(CurateError, match=message):
            DemoSite(port=port, entries=[]).__enter__()
    assert threading.active_count() == before


@pytest.mark.parametrize("name", ["slow", "endless"])
def test_close_ends_responses_in_flight(name: str) -> None:
    entry = Entry("/x", Picture("Comic", 1, (40, 30), "png"), "x", "MIT", name, behaviour=name)
    before = threading.active_count()
    with DemoSite(port=0, entries=[entry]) as site:
        connection = socket.create_connection(("127.0.0.1", site.port), timeout=10)
        connection.sendall(b"GET /x HTTP/1.1\r\nHost: here\r\n\r\n")
        assert connection.recv(20).startswith(b"HTTP/1.1 200")
        closing = threading.Thread(target=site.close, daemon=True)
        closing.start()
        closing.join(10)
        assert not closing.is_alive()
    with connection, contextlib.suppress(ConnectionResetError):
        while connection.recv(1 << 20):  # the end comes, whatever was on its way
            pass
    assert threading.active_count() == before


def test_site_listens_on_one_loopback_address_only(site: DemoSite) -> None:
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((CANARY_HOST, site.port), timeout=2)


def test_canary_counts_connections() -> None:
    with Canary() as canary:
        assert canary.connections == 0
        for _ in range(2):
            with socket.create_connection((CANARY_HOST, canary.port), timeout=5) as connection:
                assert connection.recv(1) == b""
        assert canary.connections == 2


async def test_canary_counts_a_followed_redirect(
    site: DemoSite, client: aiohttp.ClientSession
) -> None:
    with Canary(site.port) as canary:
        with pytest.raises(aiohttp.ClientError):
            await client.get(trouble(site, "to-private"))
        assert canary.connections >= 1, "aiohttp tries again when a connection breaks"


def test_importing_the_demo_opens_no_connection_and_loads_no_heavy_library() -> None:
    code = (
        "import socket, sys; socket.socket.connect = None\n"
        "import curate.demo; assert 'PIL' not in sys.modules\n"
        "import curate.demo.site\n"
        "heavy = {'torch', 'matplotlib', 'skimage', 'sklearn', 'open_clip'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
