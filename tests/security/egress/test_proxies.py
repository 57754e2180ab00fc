"""SOCKS5 and HTTP proxies: the client goes by them, with and without a password, and what can be checked is checked."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

pytest.importorskip("httpx", reason="httpx is not installed: pip install 'rowkeeper[http]'")
import trustme

from rowkeeper.endpoints import DIRECT, Endpoint, Proxy
from rowkeeper.errors import (
    AddressForbidden,
    DeadlineExceeded,
    EgressRefused,
    ProxyRefused,
    SecretLiteral,
    SecretUnavailable,
)
from rowkeeper.resilience.classifying import DEFAULT
from rowkeeper.resilience.deadline import deadline
from rowkeeper.resilience.outcomes import Effect, Outcome
from rowkeeper.runs.reaching import gateway_of
from rowkeeper.security.egress.gateway import Gateway
from rowkeeper.security.egress.http import http_client
from rowkeeper.security.egress.lookup import Place, look_up
from rowkeeper.security.egress.policy import Egress
from rowkeeper.security.secret import Secret
from rowkeeper.security.tls import TLS
from rowkeeper.settings import Settings
from tests.security.egress.proxies import KINDS, Relay, proxy

HOST = "api.example.com"  # only the proxy knows where it is
PASSWORD = "pröxy-canary-password"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def server(authority: trustme.CA) -> Iterator[ThreadingHTTPServer]:
    """Speaks TLS as `api.example.com`, on loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.headers["host"].encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(HOST).configure_cert(context)
    made.socket = context.wrap_socket(made.socket, server_side=True)
    thread = threading.Thread(target=made.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def gateway(kind: str, relay: Relay, *endpoints: Endpoint, user: str = "", lookup=look_up) -> Gateway:
    given = Proxy(
        f"{kind}://{user + '@' if user else ''}127.0.0.1:{relay.server_address[1]}",
        password="env:PROXY_PASSWORD" if user else None,
    )
    return Gateway(Egress(endpoints), given, lambda _: Secret(PASSWORD), lookup)


def at_public(host: str, port: int, _seconds: float | None) -> list[Place]:
    """What this machine's name server says of the host; a proxy is an address already."""
    return [(socket.AF_INET, ("93.184.216.34" if host == HOST else host, port))]


@pytest.fixture(scope="module")
def tls(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> TLS:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return TLS(ca=path)


@pytest.mark.parametrize("user", ["", "ada"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_host_is_reached_by_the_proxy(kind: str, user: str, server: ThreadingHTTPServer, tls: TLS):
    """The proxy is asked for the host, or for the address that was checked; TLS and Host keep the host's name."""
    port = server.server_port
    names = {HOST: "127.0.0.1", "93.184.216.34": "127.0.0.1"}
    with proxy(kind, names=names, password=PASSWORD if user else None) as relay:
        way = gateway(kind, relay, Endpoint(HOST, port), user=user, lookup=at_public)
        with http_client(way, name="the API", tls=tls) as http:
            assert http.get(f"https://{HOST}:{port}/").text == f"{HOST}:{port}"
        assert relay.asked == [f"{'93.184.216.34' if kind == 'socks5' else HOST}:{port}"]
        assert relay.users == ([(user, PASSWORD)] if user else [])


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_password_is_one_clear_error(kind: str):
    """It names the proxy's password, and does not hold it."""
    with proxy(kind, password="another") as relay:
        way = gateway(kind, relay, Endpoint(HOST, 443), user="ada", lookup=at_public)
        with pytest.raises(ProxyRefused, match="does not know this user") as caught:
            way.connect(HOST, 443, seconds_max=5)
        assert "canary" not in f"{caught.value} {caught.value.hint}"
        assert "ROWKEEPER_PROXY_PASSWORD" in caught.value.hint
        assert relay.asked == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_user_is_one_clear_error(kind: str):
    """A proxy that wants one says so."""
    with proxy(kind, password="another") as relay:
        way = gateway(kind, relay, Endpoint(HOST, 443), lookup=at_public)
        with pytest.raises(ProxyRefused):
            way.connect(HOST, 443, seconds_max=5)


@pytest.mark.parametrize("kind", KINDS)
def test_undeclared_hosts_are_not_asked_for(kind: str):
    """The proxy hears nothing of them."""
    with proxy(kind) as relay:
        with pytest.raises(EgressRefused, match=r"evil\.example:443 is not declared"):
            gateway(kind, relay, Endpoint(HOST, 443)).connect("evil.example", 443)
        assert relay.asked == []


@pytest.mark.parametrize("kind", KINDS)
def test_addresses_are_checked_before_a_proxy_is_asked(kind: str):
    """A target that is an address is judged as if there were no proxy; so a proxy is no way to metadata."""
    with proxy(kind) as relay:
        way = gateway(
            kind, relay, Endpoint("169.254.169.254", 80), Endpoint("10.0.0.5", 80), Endpoint("2002:a9fe:a9fe::", 80)
        )
        for target in ("169.254.169.254", "10.0.0.5", "2002:a9fe:a9fe::"):
            with pytest.raises(AddressForbidden):
                way.connect(target, 80)
        assert relay.asked == []


def test_a_name_that_is_looked_up_here_is_checked_here():
    """socks5:// looks names up on this machine: a rebound one does not reach the proxy."""

    def rebound(host: str, port: int, _seconds: float | None) -> list[Place]:
        return [(socket.AF_INET, ("10.0.0.5" if host == HOST else host, port))]

    with proxy("socks5") as relay:
        with pytest.raises(AddressForbidden, match=r"is at 10\.0\.0\.5"):
            gateway("socks5", relay, Endpoint(HOST, 443), lookup=rebound).connect(HOST, 443)
        assert relay.asked == []


def test_the_proxy_itself_is_checked():
    """Its name must lead to where a proxy may be, like any other."""

    def at_metadata(_host: str, port: int, _seconds: float | None) -> list[Place]:
        return [(socket.AF_INET, ("169.254.169.254", port))]

    way = Gateway(Egress((Endpoint(HOST, 443),)), Proxy("socks5h://proxy.internal"), lookup=at_metadata)
    with pytest.raises(AddressForbidden, match=r"proxy\.internal is at 169\.254\.169\.254"):
        way.connect(HOST, 443)


@pytest.mark.parametrize("kind", KINDS)
def test_the_house_is_reached_directly(kind: str):
    """The proxy of the settings is for public hosts: loopback, what is private, and what says so, go without it."""
    with proxy(kind) as relay, socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        loopback = Endpoint("127.0.0.1", port)
        with gateway(kind, relay, loopback).connect("127.0.0.1", port) as line:
            assert line.getpeername() == ("127.0.0.1", port)
        private = Endpoint("127.0.0.1", port, private=True, proxy=DIRECT)
        gateway(kind, relay, private).connect("127.0.0.1", port).close()
        assert relay.asked == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_declaration_has_a_proxy_of_its_own(kind: str, server: ThreadingHTTPServer):
    """It goes before the proxy of the settings."""
    port = server.server_port
    names = {HOST: "127.0.0.1", "93.184.216.34": "127.0.0.1"}
    with proxy(kind, names=names) as own, proxy(kind) as general:
        declared = Endpoint(HOST, port, proxy=Proxy(f"{kind}://127.0.0.1:{own.server_address[1]}"))
        gateway(kind, general, declared, lookup=at_public).connect(HOST, port).close()
        assert (len(own.asked), general.asked) == (1, [])


@pytest.mark.parametrize(
    ("kind", "answer", "outcome"),
    [
        ("socks5h", 2, None),  # not allowed by its rules
        ("socks5h", 7, None),
        ("socks5h", 8, None),
        ("socks5h", 9, None),
        ("socks5h", 1, Outcome.TRANSIENT),
        ("socks5h", 4, Outcome.TRANSIENT),
        ("socks5h", 5, Outcome.TRANSIENT),
        ("http", 403, None),
        ("http", 400, None),
        ("http", 302, None),
        ("http", 502, Outcome.TRANSIENT),
        ("http", 504, Outcome.TRANSIENT),
    ],
)
def test_what_the_proxy_answers(kind: str, answer: int, outcome: Outcome | None):
    """What it does not allow is refused for good; what it cannot reach at present is tried again, as without it."""
    with proxy(kind, refusing=answer) as relay:
        way = gateway(kind, relay, Endpoint(HOST, 443))
        with pytest.raises((ProxyRefused, OSError)) as caught:
            way.connect(HOST, 443, seconds_max=5)
        assert isinstance(caught.value, OSError) is (outcome is not None)
        assert DEFAULT.judge(caught.value, Effect.WRITE).outcome is (outcome or Outcome.PERMANENT)


@pytest.mark.parametrize(("kind", "other"), [("socks5h", "http"), ("http", "socks5h")])
def test_a_proxy_of_the_other_kind(kind: str, other: str):
    """Who mixes them up is told so, and does not wait for ever."""
    with proxy(other) as relay, pytest.raises((ProxyRefused, OSError)):
        gateway(kind, relay, Endpoint(HOST, 443)).connect(HOST, 443, seconds_max=1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_silent_proxy_is_left_at_the_deadline(kind: str):
    """It takes the connection and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        given = Proxy(f"{kind}://127.0.0.1:{listening.getsockname()[1]}")
        way = Gateway(Egress((Endpoint(HOST, 443),)), given, lookup=at_public)
        with pytest.raises((DeadlineExceeded, TimeoutError)), deadline(0.3):
            way.connect(HOST, 443)


def test_a_proxy_that_is_down_is_an_error_of_the_network():
    """It is tried again, as any server that is down."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    way = Gateway(Egress((Endpoint(HOST, 443),)), Proxy(f"socks5h://127.0.0.1:{port}"))
    with pytest.raises(ConnectionRefusedError) as caught:
        way.connect(HOST, 443)
    assert DEFAULT.judge(caught.value, Effect.WRITE).outcome is Outcome.TRANSIENT


def test_the_proxy_of_the_settings(server: ThreadingHTTPServer, tls: TLS, monkeypatch: pytest.MonkeyPatch):
    """Its URL and the reference to its password lead a connector's client by it; no password stands in either."""
    monkeypatch.setenv("THE_PASSWORD", PASSWORD)
    with proxy("http", names={HOST: "127.0.0.1"}, password=PASSWORD) as relay:
        settings = Settings(proxy=f"http://ada@127.0.0.1:{relay.server_address[1]}", proxy_password="env:THE_PASSWORD")
        way = gateway_of(settings).declaring([Endpoint(HOST, server.server_port)])
        with http_client(way, name="the API", tls=tls) as http:
            assert http.get(f"https://{HOST}:{server.server_port}/").status_code == 200
        assert relay.users == [("ada", PASSWORD)]
        assert "canary" not in f"{settings!r} {way!r} {settings.model_dump()}"


def test_a_reference_that_leads_to_nothing():
    """One clear error, before the proxy is asked."""
    with proxy("socks5h", password=PASSWORD) as relay:
        settings = Settings(proxy=f"socks5h://ada@127.0.0.1:{relay.server_address[1]}", proxy_password="env:IS_NOT_SET")
        way = gateway_of(settings).declaring([Endpoint(HOST, 443)])
        with pytest.raises(SecretUnavailable, match="IS_NOT_SET"):
            way.connect(HOST, 443)
        assert relay.users == []


def test_a_literal_password_is_refused():
    """In a declaration, too."""
    with pytest.raises(SecretLiteral):
        Proxy("socks5h://ada@proxy", password="canary-password")
