from pathlib import Path

import pytest

from curate.errors import InputError
from curate.review.server import serve
from tests.review.conftest import HOST, TOKEN, Reviewing


@pytest.mark.parametrize("path", ["/", "/api/state", "/wrong/api/state", f"/{TOKEN}x/", "//"])
def test_request_without_the_token_is_refused(path: str, reader: Reviewing) -> None:
    answer = reader.client.get(path)
    assert answer.status_code == 403
    assert "its token is missing" in answer.text


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "10.0.0.1:8000"])
def test_request_under_a_foreign_host_name_is_refused(host: str, reader: Reviewing) -> None:
    answer = reader.client.get(f"/{TOKEN}/api/state", headers={"host": host})
    assert answer.status_code == 403


@pytest.mark.parametrize("host", ["localhost:9000", "[::1]:8000", "127.0.0.1"])
def test_request_under_a_loopback_name_is_answered_on_any_port(
    host: str, reader: Reviewing
) -> None:
    assert reader.client.get(f"/{TOKEN}/api/state", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("origin", [None, "null", "http://evil.example", "http://127.0.0.1:1"])
def test_write_of_another_origin_is_refused(origin: str | None, desk: Reviewing) -> None:
    headers = {} if origin is None else {"origin": origin}
    body = {"id": desk.ids()[0], "verdict": "drop"}
    answer = desk.client.post(f"/{TOKEN}/api/verdicts", json=body, headers=headers)
    assert answer.status_code == 403
    assert desk.review.verdicts.count == 0


def test_every_answer_forbids_foreign_content(reader: Reviewing) -> None:
    for path in ("/", f"/{TOKEN}/", f"/{TOKEN}/api/state", f"/{TOKEN}/api/none"):
        headers = reader.client.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"


def test_page_names_no_address_elsewhere(reader: Reviewing) -> None:
    for path in ("", "page/review.js", "page/review.css"):
        answer = reader.client.get(f"/{TOKEN}/{path}")
        assert answer.status_code == 200
        assert "http://" not in answer.text
        assert "https://" not in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "page/..%2fserver.py",
        "page/%2e%2e%2f%2e%2e%2fsetup.cfg",
        "api/images/..%2f..%2fetc%2fpasswd",
        "api/images/%2e%2e/thumbnail",
        "api/images/x'%20OR%20'1'='1/picture",
    ],
)
def test_names_that_lead_elsewhere_reach_nothing(path: str, reader: Reviewing) -> None:
    answer = reader.client.get(f"/{TOKEN}/{path}")
    assert answer.status_code in (400, 403, 404)
    assert "root:" not in answer.text


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"[" * 5000, b'"' + b"x" * 20_000])
def test_body_that_is_no_verdict_is_refused(body: bytes, desk: Reviewing) -> None:
    headers = {"origin": f"http://{HOST}"}
    answer = desk.client.post(f"/{TOKEN}/api/verdicts", content=body, headers=headers)
    assert answer.status_code == 400
    assert "a verdict" in answer.json()["error"]


def test_server_listens_on_loopback_with_a_new_token_each_time(reader: Reviewing) -> None:
    with serve(reader.review) as (first, _), serve(reader.review) as (second, _):
        assert first.startswith("http://127.0.0.1:")
        assert first.split("/")[3] != second.split("/")[3]
        assert len(first.split("/")[3]) >= 32


def test_port_that_is_taken_is_reported_in_one_line(reader: Reviewing) -> None:
    with serve(reader.review) as (url, _):
        port = int(url.split(":")[2].split("/")[0])
        with (
            pytest.raises(InputError, match=f"can't listen on port {port}"),
            serve(reader.review, port),
        ):
            pass


def test_page_is_package_data() -> None:
    import curate.review

    files = {path.name for path in Path(curate.review.__file__).with_name("page").iterdir()}
    assert files == {"index.html", "review.css", "review.js"}
