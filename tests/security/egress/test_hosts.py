"""Texts that name a host: one spelling for each, and none that two programs read as two hosts."""

from __future__ import annotations

import socket

import pytest

from rowkeeper.endpoints import Endpoint, Proxy, canonical_host, endpoint_from, place_of_url
from rowkeeper.errors import DeclarationError, EgressRefused
from rowkeeper.security.egress.policy import Egress

SAME = [
    ("api.example.com", "api.example.com"),
    ("API.Example.COM", "api.example.com"),
    ("api.example.com.", "api.example.com"),
    ("xn--bcher-kva.example", "xn--bcher-kva.example"),
    ("db_1", "db_1"),
    ("a", "a"),
    ("1.2.3.example", "1.2.3.example"),
    ("127.0.0.1", "127.0.0.1"),
    ("127.0.0.1.", "127.0.0.1"),
    ("::1", "::1"),
    ("[::1]", "::1"),
    ("[2001:DB8:0:0::1]", "2001:db8::1"),
    ("0:0:0:0:0:ffff:7f00:0001", "::ffff:7f00:1"),
]
DISGUISED = [  # what the C library takes for an address, and who compares texts for a name
    "0177.0.0.1",
    "0x7f.0.0.1",
    "0x7f.1",
    "0x7f000001",
    "0X7F000001",
    "2130706433",
    "017700000001",
    "127.1",
    "127.0.1",
    "127.0.0.01",
    "0",
    "0x0",
    "169.254.43518",
    "0xa9fea9fe",
    "2852039166",
    "169.0xfe.169.254",
    "1.2.3.4.5",
    "256.1.1.1",
    "example.0x7f",
    "127.0.0.1%00",
    "0x7f.1.",
]
STRANGE = [
    "",
    ".",
    "..",
    "a..b",
    ".example.com",
    "example.com..",
    "exa mple.com",
    "example.com\n",
    "example.com\t",
    " example.com",
    "127.0.0.1 example.com",
    "127.0.0.1\tx",
    "exam\x00ple.com",
    "good@evil",
    "good\\evil",
    "good/evil",
    "good?evil",
    "good#evil",
    "good:80",
    "[::1",
    "::1]",
    "[::1]:80",
    "[127.0.0.1]",
    "[example.com]",
    "fe80::1%eth0",
    "::1%lo",
    "::ffff:127.0.0.1.1",
    "1::2::3",
    "*.example.com",
    "-a.example",
    "a-.example",
    "x" * 64 + ".example",
    ".".join(["abcdefgh"] * 30),
    "１２７.0.0.1",  # noqa: RUF001 - full-width digits
    "127。0。0。1",  # ideographic dots
    "⑯⑨.254.169.254",
    "ｌocalhost",  # noqa: RUF001 - a full-width letter
    "bücher.example",
    "exa\u00admple.com",  # a soft hyphen, which vanishes
    "ex\u200bample.com",
    "раypal.com",  # noqa: RUF001 - Cyrillic
]


@pytest.mark.parametrize(("text", "canonical"), SAME)
def test_one_spelling(text: str, canonical: str):
    """However a host is written, it is compared and looked up in one spelling, which stays as it is."""
    assert canonical_host(text) == canonical
    assert canonical_host(canonical) == canonical


@pytest.mark.parametrize("text", [*DISGUISED, *STRANGE])
def test_what_is_refused(text: str):
    """Neither a declaration nor a connection may have it, with an error that tells what to write."""
    with pytest.raises(DeclarationError) as caught:
        canonical_host(text)
    assert caught.value.hint
    with pytest.raises(DeclarationError):
        Endpoint(text, 80)
    with pytest.raises(EgressRefused):
        Egress((Endpoint("localhost", 80), Endpoint("0.0.0.0/0", None, private=True))).place(text, 80)


@pytest.mark.parametrize("text", ["0177.0.0.1", "2130706433", "127.1", "0x7f.1"])
def test_the_disguises_work(text: str):
    """That is why: the C library does take them for loopback."""
    found = socket.getaddrinfo(text, 80, type=socket.SOCK_STREAM)
    assert found[0][4][0] == "127.0.0.1"


@pytest.mark.parametrize(
    "url",
    [
        "http://good@evil/",
        "http://good:80@evil/",
        "http://good%40evil/",
        "http://user:password@good/",
        "http://good\\@evil/",
        "http://good\\.evil/",
        "http://evil\t.good/",
        "http://go\nod/",
        "http://go\rod/",
        "http://good /",
        "http://good:80:90/",
        "http://good:port/",
        "http://good:65536/",
        "http://good:-1/",
        "http://good:0/",
        "http://good:８０/",  # noqa: RUF001 - full-width digits
        "http://[::1/",
        "http://[::1%25lo]/",
        "http://[good]/",
        "http:///path",
        "http:good",
        "//good/",
        "good",
        "http://",
        "http://?good",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://127。0。0。1/",
    ],
)
def test_urls_that_are_refused(url: str):
    """Whatever some program reads otherwise; and a password in it is not told."""
    with pytest.raises(DeclarationError) as caught:
        place_of_url(url)
    assert "password" not in f"{caught.value.what}".replace("a user or a password", "")


def test_urls_that_are_read():
    """Scheme, host and port, with the usual port of the scheme."""
    assert place_of_url("https://API.example.com/v1?x=1#y") == ("https", "api.example.com", 443)
    assert place_of_url("http://[::1]:8200") == ("http", "::1", 8200)
    assert place_of_url("https://api.example.com./") == ("https", "api.example.com", 443)


def test_what_can_be_typed():
    """Hosts, addresses and networks, with and without a port, and URLs."""
    assert [
        str(endpoint_from(text)) for text in ("10.1.2.0/24", "10.1.2.3:80", "[fd00::1]:5", "fd00::1", "db:5432")
    ] == [
        "10.1.2.0/24:*",
        "10.1.2.3:80",
        "[fd00::1]:5",
        "[fd00::1]:*",
        "db:5432",
    ]
    assert str(endpoint_from("https://api.example.com/v1")) == "api.example.com:443"


@pytest.mark.parametrize("text", ["10.1.2.3/24", "10.1.2.0/33", "10.1.2.0/", "db:0", "db:65536", "db:x", ":80", "/"])
def test_what_is_no_endpoint(text: str):
    """A network whose rest is not zeros is a mistake, and so is a port that cannot be."""
    with pytest.raises(DeclarationError):
        endpoint_from(text)


@pytest.mark.parametrize(
    "url", ["socks5h://user:password@proxy", "https://proxy:1", "socks4://proxy:1", "proxy:1080", "socks5://", ""]
)
def test_what_is_no_proxy(url: str):
    """A password stands nowhere but behind a reference, and is not told."""
    with pytest.raises(DeclarationError) as caught:
        Proxy(url)
    assert "user:password" not in f"{caught.value} {caught.value.hint}"


def test_a_proxy_is_of_three_kinds():
    """With the usual ports; only the first looks names up here."""
    found = [Proxy(f"{scheme}://ada@proxy.internal") for scheme in ("socks5", "socks5h", "http")]
    assert [(str(each), each.user, each.looks_up) for each in found] == [
        ("socks5://proxy.internal:1080", "ada", False),
        ("socks5h://proxy.internal:1080", "ada", True),
        ("http://proxy.internal:8080", "ada", True),
    ]


def test_loopback_goes_by_no_proxy():
    """`localhost` to a proxy is the proxy itself."""
    with pytest.raises(DeclarationError, match="cannot be reached by a proxy"):
        Endpoint("localhost", 80, proxy=Proxy("socks5h://proxy:1080"))
