"""The HTTP client of every connector, against servers that answer what they should not."""

from __future__ import annotations

import socket
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

pytest.importorskip("httpx", reason="httpx is not installed: pip install 'rowkeeper[http]'")
import httpcore
import httpx
import trustme

from rowkeeper.endpoints import Endpoint, literal
from rowkeeper.errors import (
    AddressForbidden,
    CertificateRefused,
    DeadlineExceeded,
    EgressRefused,
    PinMismatch,
    PlaintextRefused,
    RedirectRefused,
)
from rowkeeper.resilience.classifying import DEFAULT
from rowkeeper.resilience.deadline import deadline
from rowkeeper.resilience.outcomes import Effect, Outcome
from rowkeeper.security.egress.gateway import Gateway
from rowkeeper.security.egress.http import http_client
from rowkeeper.security.egress.lookup import Place, look_up
from rowkeeper.security.egress.policy import Egress
from tests.security.egress.servers import Answer, Server, redirect, say, serving, trusting

HOST = "api.example.com"


def at(address: str):
    """A name server that knows one address."""

    def look_up(_host: str, port: int, _seconds: float | None) -> list[Place]:
        return [(socket.AF_INET, (address, port))]

    return look_up


def only_literal(host: str, port: int, seconds: float | None) -> list[Place]:
    """A resolver that must not be asked for a name."""
    assert literal(host) is not None, host
    return look_up(host, port, seconds)


def way_to(server: Server, host: str = "localhost") -> Gateway:
    return Gateway(Egress((Endpoint(host, server.server_port),)))


def client(way: Gateway, **more) -> httpx.Client:
    return http_client(way, name="the API", **more)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def test_what_is_declared_is_asked():
    """Query, body and headers arrive as they were given; a connection is used again."""
    with serving(say("hello")) as server, client(way_to(server), headers={"X-A": "b"}) as http:
        url = f"http://localhost:{server.server_port}"
        assert http.get(f"{url}/a?b=c").text == "hello"
        assert http.post(f"{url}/d", json={"e": 1}).text == "hello"
        assert [(method, path, body) for method, path, _, body in server.asked] == [
            ("GET", "/a?b=c", b""),
            ("POST", "/d", b'{"e":1}'),
        ]
        assert server.connections == 1


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}/",
        "http://localhost:{port}/",
        "http://LOCALHOST.:{port}/",
        "http://2130706433:{port}/",
        "http://017700000001:{port}/",
        "http://0x7f.1:{port}/",
        "http://127.1:{port}/",
        "http://127.0.0.01:{port}/",
        "http://[::1]:{port}/",
        "http://[::ffff:127.0.0.1]:{port}/",
        "http://[::127.0.0.1]:{port}/",
        "http://[::ffff:0:127.0.0.1]:{port}/",
        "http://[64:ff9b::7f00:1]:{port}/",
        "http://[::1%25lo]:{port}/",
        "http://0:{port}/",
        "http://0.0.0.0:{port}/",
        "http://[::]:{port}/",
        "http://127。0。0。1:{port}/",
        "http://１２７.0.0.1:{port}/",  # noqa: RUF001
        "http://ⓛocalhost:{port}/",
        "http://api.example.com@127.0.0.1:{port}/",
        "http://api.example.com\\@127.0.0.1:{port}/",
        "http://api.example.com:{port}@localhost:{port}/",
        "http://127.0.0.1:{port}#@api.example.com/",
        "http://127.0.0.1:{port}?@api.example.com/",
        "http://127.0.0.1:{port}/@api.example.com",
        "http://127.0.0.1:{port}\\.api.example.com/",
        "http://local\thost:{port}/",
        "http://local\nhost:{port}/",
        "http://localhost%00.api.example.com:{port}/",
        "http://localhost%2eapi.example.com:{port}/",
        "http://api.example.com.localhost:{port}/",
        "file:///etc/passwd",
        "ftp://api.example.com/",
        "gopher://api.example.com:{port}/",
        "http+unix://%2fvar%2frun%2fdocker.sock/",
        "//api.example.com/",
    ],
)
def test_strange_urls_reach_nobody(url: str):
    """Whatever the parser makes of them: one public host is declared, and a server waits on loopback."""
    with serving(say("secret")) as server:
        way = Gateway(Egress((Endpoint(HOST, server.server_port), Endpoint(HOST, 80))), lookup=only_literal)
        http = client(way, plaintext=True)
        with http, pytest.raises((EgressRefused, httpx.InvalidURL, httpx.UnsupportedProtocol)):
            http.get(url.format(port=server.server_port))
        assert server.connections == 0


def test_a_user_in_a_url_is_refused():
    """Also for a declared host; and its password is not told."""
    with serving(say("hello")) as server, client(way_to(server)) as http:
        with pytest.raises(EgressRefused, match="holds a user or a password") as caught:
            http.get(f"http://ada:canary-password@localhost:{server.server_port}/")
        assert "canary" not in f"{caught.value} {caught.value.hint}"
        assert server.asked == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_at_home_is_followed(status: int):
    """To another path of the same host."""
    with serving(redirect("/end", status)) as server, client(way_to(server)) as http:
        assert http.get(f"http://localhost:{server.server_port}/").text == "end"


@pytest.mark.parametrize(
    "to",
    [
        "http://127.0.0.1:{other}/end",  # another host, although it is declared as well
        "http://localhost:{other}/end",  # another port is another server
        "https://evil.example/",
        "//evil.example/",
        "http://localhost:{port}@evil.example/",
        "http://ada@localhost:{port}/end",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::ffff:a9fe:a9fe]/",
        "http://2130706433:{port}/end",
        "file:///etc/passwd",
        "http://[/",
    ],
)
def test_a_redirect_to_another_host_is_refused(to: str):
    """Wherever it leads, and whatever is declared besides."""
    places: dict[str, int] = {}

    def answer(handler: BaseHTTPRequestHandler) -> None:
        redirect(to.format(**places))(handler)

    with serving(say("secret")) as other, serving(answer) as server:
        places |= {"port": server.server_port, "other": other.server_port}
        declared = [Endpoint(host, port) for host in ("localhost", "127.0.0.1") for port in places.values()]
        with client(Gateway(Egress(tuple(declared)))) as http, pytest.raises((RedirectRefused, httpx.HTTPError)):
            http.get(f"http://localhost:{server.server_port}/")
        assert (len(server.asked), other.connections) == (1, 0)


def test_a_redirect_that_gives_up_tls_is_refused(authority: trustme.CA, tmp_path: Path):
    """From https to http of the same host."""
    places: dict[str, int] = {}

    def answer(handler: BaseHTTPRequestHandler) -> None:
        redirect(f"http://localhost:{places['port']}/end")(handler)

    with serving(answer, authority) as server:
        places["port"] = server.server_port
        http = client(way_to(server), tls=trusting(authority, tmp_path))
        with http, pytest.raises(RedirectRefused, match="from https to http"):
            http.get(f"https://localhost:{server.server_port}/")
        assert len(server.asked) == 1


def test_redirects_have_an_end():
    """A server that points to itself for ever is left."""
    with serving(redirect("/again")) as server, client(way_to(server)) as http:
        with pytest.raises(httpx.TooManyRedirects):
            http.get(f"http://localhost:{server.server_port}/")
        assert len(server.asked) == 6


def test_the_environment_has_no_say(monkeypatch: pytest.MonkeyPatch):
    """Neither proxies nor certificates nor passwords are taken from it."""
    with serving(say("proxy")) as proxy, serving(say("hello")) as server:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://localhost:{proxy.server_port}")
        monkeypatch.setenv("NO_PROXY", "")
        monkeypatch.setenv("no_proxy", "")
        with client(way_to(server)) as http:
            assert http.get(f"http://localhost:{server.server_port}/").text == "hello"
        assert proxy.connections == 0


def test_tls_is_for_the_name(authority: trustme.CA, tmp_path: Path):
    """The certificate must be for the host that was asked for, whatever address it is at."""
    tls = trusting(authority, tmp_path)
    with serving(say("hello"), authority, HOST) as server:
        port = server.server_port
        declared = (Endpoint(HOST, port), Endpoint("127.0.0.1", port, private=True))
        with client(Gateway(Egress(declared), lookup=at("127.0.0.1")), tls=tls) as http:
            assert http.get(f"https://{HOST}:{port}/").text == "hello"
            assert http.get(f"https://{HOST.upper()}.:{port}/").text == "hello"
            with pytest.raises(CertificateRefused, match="is for other addresses"):
                http.get(f"https://127.0.0.1:{port}/")
        with client(Gateway(Egress(declared), lookup=at("127.0.0.1"))) as http, pytest.raises(CertificateRefused):
            http.get(f"https://{HOST}:{port}/")


def test_a_pin_is_looked_at(authority: trustme.CA, tmp_path: Path):
    """A server whose key is none of those that are pinned gets no request."""
    tls = trusting(authority, tmp_path, pins=["sha256/" + "A" * 43 + "="])
    with serving(say("hello"), authority) as server:
        with client(way_to(server), tls=tls) as http, pytest.raises(PinMismatch):
            http.get(f"https://localhost:{server.server_port}/")
        assert server.asked == []


def test_plaintext_is_for_this_machine():
    """Another machine is reached without TLS only where that is declared."""
    way = Gateway(Egress((Endpoint(HOST, 80, private=True), Endpoint("127.0.0.0/8", None, private=True))))
    with client(way, plaintext_setting="THE_SETTING=true") as http, pytest.raises(PlaintextRefused) as caught:
        http.get(f"http://{HOST}/")
    assert "THE_SETTING=true" in caught.value.hint


def test_plaintext_that_is_declared():
    """It is reached."""
    with serving(say("hello")) as server:
        declared = (Endpoint(HOST, server.server_port), Endpoint("127.0.0.1", server.server_port, private=True))
        with client(Gateway(Egress(declared), lookup=at("127.0.0.1")), plaintext=True) as http:
            assert http.get(f"http://{HOST}:{server.server_port}/").text == "hello"


def drip(handler: BaseHTTPRequestHandler) -> None:
    """An answer that never ends, a byte at a time: no read of it is ever late."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000000")
    handler.end_headers()
    while True:
        handler.wfile.write(b"x")
        time.sleep(0.02)


@pytest.mark.parametrize("secured", [False, True])
def test_a_dripping_server_is_left_at_the_deadline(secured: bool, authority: trustme.CA, tmp_path: Path):
    """The deadline is for the whole answer, not for each read."""
    tls = trusting(authority, tmp_path)
    with serving(drip, authority if secured else None) as server, client(way_to(server), tls=tls) as http:
        began = time.monotonic()
        with pytest.raises((DeadlineExceeded, httpx.ReadTimeout)), deadline(0.5):
            http.get(f"{'https' if secured else 'http'}://localhost:{server.server_port}/")
        assert time.monotonic() - began < 5


def test_a_server_that_is_down_is_tried_again():
    """Nothing was sent: the connection was never made."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with client(Gateway(Egress((Endpoint("127.0.0.1", port),)))) as http, pytest.raises(httpx.ConnectError) as caught:
        http.post(f"http://127.0.0.1:{port}/")
    assert DEFAULT.judge(caught.value, Effect.WRITE).outcome is Outcome.TRANSIENT


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    handler.close_connection = True


def test_a_server_that_hangs_up_may_have_done_it():
    """The request had arrived: what became of it is not known."""
    with serving(hang_up) as server, client(way_to(server)) as http, pytest.raises(httpx.RemoteProtocolError) as caught:
        http.post(f"http://localhost:{server.server_port}/")
    assert DEFAULT.judge(caught.value, Effect.WRITE).outcome is Outcome.AMBIGUOUS


def test_httpcores_errors_are_judged_as_httpxs():
    """Each of them, whichever of the two is met; none is unknown."""
    pairs = [(getattr(httpx, name), getattr(httpcore, name)) for name in vars(httpcore) if _is_error(name)]
    assert len(pairs) > 10
    for ours, below in pairs:
        judged = [DEFAULT.judge(each("x"), Effect.WRITE).outcome for each in (ours, below)]
        assert judged[0] is judged[1], (ours, judged)


def _is_error(name: str) -> bool:
    found = getattr(httpcore, name)
    return isinstance(found, type) and issubclass(found, Exception) and hasattr(httpx, name)


@pytest.mark.parametrize("error", [EgressRefused("no"), AddressForbidden("no"), RedirectRefused("no")])
def test_what_is_refused_is_not_tried_again(error: EgressRefused):
    """It would be refused again."""
    assert DEFAULT.judge(error, Effect.READ).outcome is Outcome.PERMANENT


def once_then_close() -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        say("hello")(handler)
        handler.close_connection = True

    return answer


def test_a_kept_connection_that_was_closed_is_not_used():
    """A server may close what it does not need; the next request has a new connection, checked anew."""
    with serving(once_then_close()) as server, client(way_to(server)) as http:
        url = f"http://localhost:{server.server_port}/"
        for _ in range(3):
            assert http.get(url).text == "hello"
            deadline_at = time.monotonic() + 5
            while not _closed(http) and time.monotonic() < deadline_at:
                time.sleep(0.005)
        assert server.connections == 3


def _closed(http: httpx.Client) -> bool:
    """Whether the server's end of every kept connection has arrived."""
    return all(each.has_expired() for each in http._transport._pool.connections)
