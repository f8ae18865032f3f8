import hashlib
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import ImageError, Reason
from curate.stages.candidates import candidate_id, normalise_url
from curate.stages.candidates.urls import redact, without_credentials

STEADY = settings(deadline=None, derandomize=True, max_examples=300)

hosts = st.sampled_from(
    ["example.com", "EXAMPLE.com", "exämple.com", "xn--exmple-cua.com", "127.0.0.1", "[::1]"]
    + ["a.b-c.de"]
)
tails = st.text(
    st.sampled_from("aZ09-._~/?#[]@!$&'()*+,;=%:äß漢€ \"<>\\^`{|}\t%2f%C3"), max_size=20
)
urls = st.builds(
    "{}://{}{}{}{}".format,
    st.sampled_from(["http", "https", "HTTP", "Https"]),
    st.sampled_from(["", "", "", "user:secret@"]),
    hosts,
    st.sampled_from(["", ":80", ":443", ":8080", ":"]),
    st.builds("{}{}".format, st.sampled_from(["", "/", "?", "#", "/a/"]), tails),
)


def spelling(url: str) -> str | None:
    try:
        return normalise_url(url)
    except ImageError as error:
        assert error.reason is Reason.BAD_URL
        return None


@STEADY
@given(st.one_of(urls, st.text(max_size=40)))
def test_normalised_url_is_its_own_normal_form(url: str) -> None:
    normal = spelling(url)
    assert normal is None or normalise_url(normal) == normal


@STEADY
@given(urls)
def test_normalised_url_is_plain_ascii(url: str) -> None:
    normal = spelling(url)
    if normal is not None:
        assert re.fullmatch(r"https?://[!-~]+", normal)
        assert "#" not in normal
        assert normal.count("/") >= 3


@STEADY
@given(urls)
def test_candidate_id_is_the_start_of_a_hash(url: str) -> None:
    normal = spelling(url)
    if normal is not None:
        assert candidate_id(normal) == hashlib.sha256(normal.encode()).hexdigest()[:16]


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("HTTPS://Example.COM", "https://example.com/"),
        ("http://example.com:80/", "http://example.com/"),
        ("https://example.com:443/", "https://example.com/"),
        ("https://example.com:80/", "https://example.com:80/"),
        ("http://example.com:/", "http://example.com/"),
        ("http://example.com/#top", "http://example.com/"),
        ("http://example.com?q=1#top", "http://example.com/?q=1"),
        ("http://example.com/Case/Stays", "http://example.com/Case/Stays"),
        ("http://example.com/?b=2&a=1", "http://example.com/?b=2&a=1"),
        ("http://example.com/%c3%a4", "http://example.com/%C3%A4"),
        ("http://example.com/ä?ö=ü", "http://example.com/%C3%A4?%C3%B6=%C3%BC"),
        ("http://example.com/a b.jpg", "http://example.com/a%20b.jpg"),
        ("http://example.com/100%25", "http://example.com/100%25"),
        ("http://example.com/a,b;c='d'", "http://example.com/a,b;c='d'"),
        ('http://example.com/"x"', "http://example.com/%22x%22"),
        ("  http://example.com/ \n", "http://example.com/"),
        ("http://exämple.com/", "http://xn--exmple-cua.com/"),
        ("http://EXÄMPLE.com/", "http://xn--exmple-cua.com/"),
        ("http://例え.jp/", "http://xn--r8jz45g.jp/"),
        ("http://straße.example/a", "http://xn--strae-oqa.example/a"),
        ("http://STRASSE.example/a", "http://strasse.example/a"),
        ("http://xn--strae-oqa.example/a", "http://xn--strae-oqa.example/a"),
        ("http://βόλος.example/", "http://xn--nxasmm1c.example/"),
        ("http://☃.example/", "http://xn--n3h.example/"),
        ("http://a。b.example/", "http://a.b.example/"),
        ("http://foo_bar.bücher.example/", "http://foo_bar.xn--bcher-kva.example/"),
        ("http://[2001:DB8::1]:80/", "http://[2001:db8::1]/"),
        ("http://example.com//double//slash", "http://example.com//double//slash"),
        ("file:pics/a b.jpg", "file:pics/a b.jpg"),
        ("ftp://example.com/a", "ftp://example.com/a"),
        ("data:image/png;base64,AAAA", "data:image/png;base64,AAAA"),
    ],
)
def test_normalise_url_gives_one_spelling(url: str, normal: str) -> None:
    assert normalise_url(url) == normal


@pytest.mark.parametrize(
    ("normal", "id_"),
    [  # printf %s URL | sha256sum | cut -c1-16
        ("https://example.com/", "0f115db062b7c0dd"),
        ("https://example.com/a%20b.jpg?x=1", "c9c941d9dd1a40aa"),
        ("http://xn--exmple-cua.com/%C3%A4", "e99d8ed4154b0215"),
        ("file:pics/a.jpg", "d60e98279de98c02"),
    ],
)
def test_candidate_ids_never_change(normal: str, id_: str) -> None:
    assert candidate_id(normal) == id_


@pytest.mark.parametrize(
    "line",
    [
        "",
        "example.com/a.jpg",
        "//example.com/a.jpg",
        "/etc/passwd",
        "http://",
        "http:///a.jpg",
        "http:a.jpg",
        "http://a b.com/",
        "http://exa<mple.com/",
        "http://example.com:99999/",
        "http://example.com:port/",
        "http://[::1/",
        "http://a%00.com/",
        "http://\uff41\uff05.com/",  # wide characters that IDNA makes narrow
        "http://\u00ad/",  # a soft hyphen, which it makes nothing of
        f"http://{'ä' * 70}.com/",
        "http://xn--a/",  # punycode of a control character
        "http://xn--/",
        "http://xn--straSSe-.example/",  # punycode of ASCII
        "http://\N{ACCOUNT OF}.example/",  # mapped to a/c
        "not a url",
    ],
)
def test_invalid_url_is_refused(line: str) -> None:
    with pytest.raises(ImageError) as caught:
        normalise_url(line)
    assert caught.value.reason is Reason.BAD_URL


@STEADY
@given(urls)
def test_without_credentials_removes_every_password(url: str) -> None:
    assert "secret" not in without_credentials(url)


@STEADY
@given(urls)
def test_without_credentials_keeps_other_urls(url: str) -> None:
    authority = re.split(r"[/\\?#]", url.partition("://")[2])[0]
    if "@" not in authority:
        assert without_credentials(url) == url


@pytest.mark.parametrize(
    ("url", "bare"),
    [
        ("http://user:secret@example.com/a@b", "http://example.com/a@b"),
        ("http://user@example.com/", "http://example.com/"),
        ("http://us@er:secret@example.com/", "http://example.com/"),
        ("ftp://user:secret@example.com", "ftp://example.com"),
        ("//user:secret@example.com/", "//example.com/"),
        ("user:secret@example.com/", "example.com/"),
        ("http://user:secret@[broken/", "http://[broken/"),
        ("http:\\\\user:secret@example.com", "http:\\\\example.com"),
        ("https://medium.com/@someone/x.jpg", "https://medium.com/@someone/x.jpg"),
        ("https://example.com?mail=me@example.com", "https://example.com?mail=me@example.com"),
        ("https://example.com/v1//photo@2x.png", "https://example.com/v1//photo@2x.png"),
    ],
)
def test_without_credentials_removes_only_text_before_the_host(url: str, bare: str) -> None:
    assert without_credentials(url) == bare


@pytest.mark.parametrize(
    "line",
    [
        "a caption,http://user:secret@example.com/x.jpg,640",
        '{"url": "http://user:secret@example.com"',
        "http:user:secret@a",
    ],
)
def test_redact_removes_passwords_of_broken_lines(line: str) -> None:
    assert "secret" not in redact(line)
    assert "user" not in redact(line)


@pytest.mark.parametrize(
    "line", ["[" * 10**6 + "/@", "@" * 10**6, "a/" * 10**6 + "@", "http:" * 10**6]
)
def test_hostile_lines_are_redacted_in_linear_time(line: str) -> None:
    # a pattern that backtracks would run for hours
    assert len(redact(line)) <= len(line)
    assert len(without_credentials(line)) <= len(line)


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("http://a.com/%7Euser/%41", "http://a.com/~user/A"),
        ("http://a.com/a/./b/../c", "http://a.com/a/c"),
        ("http://a.com/../..", "http://a.com/"),
        ("http://a.com/a/b/..", "http://a.com/a/"),
        ("http://a.com/a//b", "http://a.com/a//b"),
        ("http://a.com/%2e%2E/x", "http://a.com/x"),
        ("http://a.com/?q=%2e%2E/x", "http://a.com/?q=../x"),
    ],
)
def test_normalise_url_gives_one_spelling_of_a_path(url: str, normal: str) -> None:
    assert normalise_url(url) == normal
