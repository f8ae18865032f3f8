from ipaddress import IPv4Address
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from yarl import URL

from curate.errors import ImageError, Reason
from curate.stages.candidates.urls import normalise_url
from curate.stages.fetch.guard import ForbiddenAddress, Guard
from curate.stages.fetch.open_requests import OpenRequests
from curate.stages.fetch.outcome import Failure

FORBIDDEN = """
127.0.0.1 0.0.0.0 0.1.2.3 10.0.0.1 172.16.0.1 192.168.0.1 100.64.0.1 255.255.255.255
169.254.169.254 192.0.0.1 192.0.2.1 192.88.99.1 198.18.0.1 224.0.0.1 239.1.1.1 240.0.0.1
:: ::1 fe80::1 fe80::1%eth0 fc00::1 fd00:ec2::254 fec0::1 ff02::1 ff0e::1
::ffff:127.0.0.1 ::127.0.0.1 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe 64:ff9b:1::1 2001:db8::1
2002:7f00:1:: 2002:808:808:: 2001:0:808:808::1 100::1 3fff::1 4000::1
localhost 127.1 0x7f000001 2130706433 008.8.8.8
"""


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "93.184.215.14", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_public_addresses_are_permitted(address: str) -> None:
    assert Guard().permits(address)


@pytest.mark.parametrize("address", [*FORBIDDEN.split(), "", "8.8.8.8 "])
def test_private_and_malformed_addresses_are_refused(address: str) -> None:
    assert not Guard().permits(address)


@given(st.integers(0, 2**32 - 1).map(IPv4Address))
def test_ipv4_address_inside_ipv6_is_checked_alike(inner: IPv4Address) -> None:
    permitted = Guard().permits(str(inner))
    assert permitted <= inner.is_global
    assert Guard().permits(f"::ffff:{inner}") == permitted
    assert Guard().permits(f"64:ff9b::{int(inner) >> 16:x}:{int(inner) & 0xFFFF:x}") == permitted
    assert not Guard().permits(f"::{inner}")


def test_guard_opens_only_the_networks_of_the_recipe() -> None:
    guard = Guard(["127.0.0.1/32", "fd00::/8"])
    assert guard.permits("127.0.0.1")
    assert guard.permits("::ffff:127.0.0.1")
    assert guard.permits("fd12::1")
    assert not guard.permits("127.0.0.2")
    assert not guard.permits("64:ff9b::7f00:1")  # there it is another machine's


def test_guard_refuses_a_socket_to_a_forbidden_address() -> None:
    with pytest.raises(ForbiddenAddress, match=r"127\.0\.0\.2"):
        Guard(["127.0.0.1/32"]).open_socket((2, 1, 6, "", ("127.0.0.2", 80)))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("http://127.0.0.1/", Reason.FORBIDDEN_ADDRESS),
        ("http://127.1/", Reason.FORBIDDEN_ADDRESS),
        ("http://0x7f.1/", Reason.FORBIDDEN_ADDRESS),
        ("http://017700000001:8080/", Reason.FORBIDDEN_ADDRESS),
        ("https://[::ffff:7f00:1]/", Reason.FORBIDDEN_ADDRESS),
        ("http://[fe80::1%25eth0]/", Reason.FORBIDDEN_ADDRESS),
        ("http://169.254.169.254/latest/meta-data", Reason.FORBIDDEN_ADDRESS),
        ("http://user@example.com/", Reason.CREDENTIALS),
        ("http://@example.com/", Reason.CREDENTIALS),
        ("http://example.com@127.0.0.1/", Reason.CREDENTIALS),
        ("HTTP://u:p@example.com/", Reason.CREDENTIALS),
        ("FILE:///etc/passwd", Reason.FORBIDDEN_SCHEME),
        ("javascript:alert(1)", Reason.FORBIDDEN_SCHEME),
        ("//example.com/x", Reason.BAD_URL),
        ("http:example.com", Reason.BAD_URL),
        ("http://example.com:x/", Reason.BAD_URL),
        ("http://exam ple.com/", Reason.BAD_URL),
        ("http://\0/", Reason.BAD_URL),
        (f"http://{'ä' * 70}.com/", Reason.BAD_URL),
        ("http://xn--a/", Reason.BAD_URL),
        ("http://\N{ACCOUNT OF}.example/", Reason.BAD_URL),
        ("http://\uff11\uff12\uff17.0.0.1/", Reason.FORBIDDEN_ADDRESS),
    ],
)
def test_refused_url_has_a_reason(text: str, reason: Reason) -> None:
    with pytest.raises(Failure) as failure:
        Guard().url(text)
    assert failure.value.reason == reason


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("HTTP://Example.COM/a%2Fb;c?d=%41&e=a+b", "http://Example.COM/a%2Fb;c?d=%41&e=a+b"),
        ("https://example.com:8443/x#part", "https://example.com:8443/x"),
        ("http://Straße.example:81/a", "http://xn--strae-oqa.example:81/a"),
        ("http://☃.example/", "http://xn--n3h.example/"),
        ("http://münchen.de/ä b.jpg", "http://xn--mnchen-3ya.de/%C3%A4%20b.jpg"),
        ('http://example.com/a,"b".jpg', "http://example.com/a,%22b%22.jpg"),
    ],
)
def test_permitted_url_stays_as_it_is(text: str, sent: str) -> None:
    assert str(Guard().url(text)) == sent


def test_relative_redirect_is_resolved_against_its_page() -> None:
    base = URL("https://example.com/a/b")
    assert str(Guard().url("../c", base)) == "https://example.com/c"
    assert str(Guard().url("//example.org/c", base)) == "https://example.org/c"
    assert str(Guard().url("//faß.example/c", base)) == "https://xn--fa-hia.example/c"


@given(st.text() | st.text(alphabet="/?#[]@!:%.\\ \0aA0-xé。①v"))
@example("[]@")
def test_any_text_gives_a_url_or_a_reason(text: str) -> None:
    for candidate in (text, f"http://{text}", f"http://example.com/{text}"):
        try:
            url = Guard().url(candidate)
        except Failure:
            continue
        assert url.scheme in ("http", "https")
        assert str(url).isascii()
        assert url.raw_host
        assert str(Guard().url(str(url))) == str(url)  # img2dataset parses it twice
        # whatever a request does with its URL must not raise
        requests = OpenRequests()
        with requests.track(url):
            assert requests.slowest()
        assert (url.origin() / "robots.txt").raw_host == url.raw_host


@given(st.text("aßςé☃.-x1", max_size=12), st.sampled_from(["", "xn--"]))
def test_any_host_is_the_same_for_ids_and_requests(name: str, start: str) -> None:
    text = f"http://{start}{name}.example/a"
    try:
        url = Guard().url(text)
    except Failure:
        with pytest.raises(ImageError):
            normalise_url(text)
    else:
        assert (url.raw_host or "").lower() == urlsplit(normalise_url(text)).hostname
