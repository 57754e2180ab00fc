"""obstore connects to nothing but the store that was declared, and by the one way out."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import http.server
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from rowkeeper.errors import (
    AddressForbidden,
    CertificateRefused,
    DeclarationError,
    EgressRefused,
    FrameworkError,
    PlaintextRefused,
    RedirectRefused,
)
from rowkeeper.protocols import Site
from rowkeeper.resilience.policy import Resilience, Retry
from rowkeeper.security.egress.gateway import Gateway
from rowkeeper.security.egress.policy import Egress
from rowkeeper.security.tls import TLS
from rowkeeper.stores import GCS, S3, Azure, google
from rowkeeper.stores.objects import ObjectStore
from rowkeeper.stores.relay import Origin, Relay
from tests.stores.seaweed import Seaweed

ONCE = Resilience(retry=Retry(attempts=1), breaker=None)


@dataclasses.dataclass
class Answering:
    """A server whose answers are the test's."""

    port: int
    asked: list[str] = dataclasses.field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextlib.contextmanager
def answering(answer: Callable[[http.server.BaseHTTPRequestHandler], None]) -> Iterator[Answering]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            found.asked.append(self.path)
            answer(self)

        do_HEAD = do_PUT = do_GET  # noqa: N815 - as the server calls them

        def log_message(self, *_: object) -> None:
            return None

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found = Answering(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield found
        finally:
            server.shutdown()
            thread.join()


def redirecting(to: str) -> Callable[[http.server.BaseHTTPRequestHandler], None]:
    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(307)
        handler.send_header("Location", to)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def of(site: Site, url: str, **options: object) -> ObjectStore:
    return ObjectStore(S3(anonymous=True, endpoint=url, **options), "bucket", site, ONCE)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "to",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://other.example/bucket/a",
        "https://other.example/bucket/a",
        "http://127.0.0.1:1/bucket/a",
    ],
)
def test_a_redirect_to_elsewhere_is_refused(site: Site, to: str) -> None:
    """Whatever a store answers, the client is not led to another host, port or metadata service."""
    with answering(redirecting(to)) as server, of(site, server.url) as store, pytest.raises(RedirectRefused) as caught:
        store.read("a", size=5)
    assert caught.value.code == "RK-6052"


def test_only_what_is_declared_is_reached(site: Site) -> None:
    """The relay asks the way out, which refuses an address that a declared name may not have."""
    lookup = lambda host, port, seconds: [(socket.AF_INET, ("169.254.169.254", port))]  # noqa: E731
    site = dataclasses.replace(site, way_out=Gateway(Egress(), lookup=lookup))  # type: ignore[arg-type]
    with of(site, "http://store.example", plaintext=True) as store, pytest.raises(AddressForbidden):
        store.read("a", size=5)


def test_the_relay_serves_its_client_alone(site: Site, s3: Seaweed) -> None:
    """Another program of this machine that finds the relay gets nothing from it: it does not know the password."""
    assert site.way_out is not None
    relay = Relay(site.way_out, Origin(s3.url, None))
    port = int(relay.url.rpartition(":")[2])
    try:
        with socket.create_connection(("127.0.0.1", port)) as line:
            line.sendall(f"GET {s3.url}/ HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert line.recv(1000).startswith(b"HTTP/1.1 407")
    finally:
        relay.close()


def test_without_credentials_nobody_is_asked_for_them() -> None:
    """A declaration says who we are, or that we are nobody: there is no third way that would look around."""
    with pytest.raises(DeclarationError):
        S3()
    with pytest.raises(FrameworkError) as caught:
        S3(access_key="AKIAIOSFODNN7EXAMPLE", secret_key="env:KEY")
    assert caught.value.code == "RK-6010"
    assert "AKIA" not in str(caught.value)


def test_credentials_come_by_reference_and_no_metadata_service_is_asked(site: Site) -> None:
    """Signed requests go to the store; nothing else is connected to."""
    places: list[tuple[str, int]] = []

    class Watched(Gateway):
        def connect(self, host: str, port: int, *, seconds_max: float | None = None):  # type: ignore[no-untyped-def]
            places.append((host, port))
            return super().connect(host, port, seconds_max=seconds_max)

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(206)
        for name, text in {"Content-Length": "5", "Content-Range": "bytes 0-4/5", "ETag": '"x"'}.items():
            handler.send_header(name, text)
        handler.send_header("Last-Modified", "Thu, 26 Nov 2026 12:00:00 GMT")
        handler.end_headers()
        handler.wfile.write(b"hello")

    with answering(answer) as server:
        way_out = Watched(Egress())
        access = S3(access_key="env:TEST_S3_ID", secret_key="env:TEST_S3_KEY", endpoint=server.url)
        with ObjectStore(access, "bucket", dataclasses.replace(site, way_out=way_out), ONCE) as store:
            assert store.read("a", size=5) == b"hello"
        assert set(places) == {("127.0.0.1", server.port)}


def test_tls_is_ours(s3: Seaweed, site: Site, access: S3, bucket: str, ca: Path) -> None:
    """The settings' authority is trusted, and no other; pins are looked at."""
    secure = dataclasses.replace(access, endpoint=f"https://localhost:{s3.tls_port}")
    with ObjectStore(secure, bucket, site, ONCE) as store:
        store.put("a", b"1" * 3_000_000)
        assert store.read("a") == b"1" * 3_000_000
    with ObjectStore(dataclasses.replace(secure, tls=TLS()), bucket, site, ONCE) as store:
        with pytest.raises(CertificateRefused) as caught:
            store.head("a")
        assert caught.value.code == "RK-6041"
    pinned = dataclasses.replace(secure, tls=TLS(ca=ca, pins=["sha256/" + "A" * 43 + "="]))
    with ObjectStore(pinned, bucket, site, ONCE) as store, pytest.raises(FrameworkError) as refused:
        store.head("a")
    assert refused.value.code == "RK-6042"


def test_another_machine_is_not_reached_without_tls(site: Site) -> None:
    """A store off this machine without TLS has to be declared so."""
    with of(site, "http://store.example") as store, pytest.raises(PlaintextRefused):
        store.head("a")


def test_an_undeclared_place_is_no_place(site: Site, s3: Seaweed) -> None:
    """What leads nowhere leads nowhere: a relay without a declared store connects to nothing."""
    relay = Relay(Gateway(Egress()), Origin("http://undeclared.example", None))
    try:
        with pytest.raises(EgressRefused):
            relay._connected()
    finally:
        relay.close()


class _Watched(socket.socket):
    """A connection that looks whether somebody closes it while somebody else is about to end it."""

    is_ending = threading.Event()
    wants_to_go = threading.Event()
    was_open = False

    def shutdown(self, how: int) -> None:
        self.is_ending.set()
        self.wants_to_go.wait(0.3)  # it must not come: whoever closes it has to wait until this is over
        _Watched.was_open = self.fileno() >= 0
        super().shutdown(how)

    def close(self) -> None:
        self.wants_to_go.set()
        super().close()


def test_a_relay_that_is_closed_ends_no_connection_but_its_own() -> None:
    """A line is not closed while it is being ended: by then its descriptor could be that of somebody else's socket."""
    with socket.create_server(("127.0.0.1", 0)) as store:
        port = store.getsockname()[1]

        class Way:
            def connect(self, host: str, port: int, *, seconds_max: float | None = None) -> socket.socket:
                line = _Watched(socket.AF_INET, socket.SOCK_STREAM)
                line.connect((host, port))
                return line

        relay = Relay(Way(), Origin(f"http://127.0.0.1:{port}", None))  # type: ignore[arg-type]
        user, _, place = relay.url.removeprefix("http://").partition("@")
        with socket.create_connection(("127.0.0.1", int(place.partition(":")[2]))) as client:
            shown = base64.b64encode(user.encode()).decode()
            head = f"GET http://127.0.0.1:{port}/ HTTP/1.1\r\nProxy-Authorization: Basic {shown}\r\n\r\n"
            client.sendall(head.encode())
            upstream, _ = store.accept()
            with upstream:
                assert upstream.recv(65_536)
                closing = threading.Thread(target=relay.close)
                closing.start()
                assert _Watched.is_ending.wait(10)
        closing.join()
    assert _Watched.was_open


def test_google_and_azure_are_asked_through_the_relay_alone(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests that are signed as each cloud wants it, to the declared place and to nowhere else."""
    monkeypatch.setenv("TEST_TOKEN", "a-token-of-google")
    monkeypatch.setenv("TEST_KEY", base64.b64encode(b"0" * 32).decode())
    monkeypatch.setenv("TEST_SAS", "sv=2023-11-03&sig=c2ln%2Bbg%3D")
    said: list[tuple[str, str]] = []

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        said.append((handler.path, handler.headers.get("Authorization", "")))
        handler.send_response(206)
        for name, text in {"Content-Length": "5", "Content-Range": "bytes 0-4/5", "ETag": '"x"'}.items():
            handler.send_header(name, text)
        handler.send_header("Last-Modified", "Thu, 26 Nov 2026 12:00:00 GMT")
        handler.end_headers()
        handler.wfile.write(b"hello")

    with answering(answer) as server:
        for access in (
            GCS(token="env:TEST_TOKEN", endpoint=server.url),
            Azure(account="acc", account_key="env:TEST_KEY", endpoint=server.url),
            Azure(account="acc", sas_token="env:TEST_SAS", endpoint=server.url),
        ):
            with ObjectStore(access, "bucket", site, ONCE) as store:
                assert store.read("in/a", size=5) == b"hello"
    assert [way.partition(" ")[0] for _, way in said] == ["Bearer", "SharedKey", ""]
    assert said[0] == ("/bucket/in%2Fa", "Bearer a-token-of-google")
    assert said[1][1].startswith("SharedKey acc:")
    assert "sig=c2ln%2Bbg%3D" in said[2][0]


def test_a_service_account_signs_what_google_checks() -> None:
    """An assertion by RFC 7523, with a signature that its public key verifies."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    key = {"client_email": "me@project.iam.gserviceaccount.com", "private_key": pem.decode(), "private_key_id": "7"}
    head, claims, signature = google.assertion(key, 1_700_000_000).split(".")
    padded = lambda text: base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))  # noqa: E731
    private.public_key().verify(padded(signature), f"{head}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256())
    assert json.loads(padded(claims))["iss"] == key["client_email"]
    assert json.loads(padded(claims))["exp"] == 1_700_003_600
