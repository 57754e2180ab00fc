"""What a connection may take: heads, bodies, time, room; and what requests are smuggled with. Asked on raw sockets."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from queue import Queue

import pytest

from rowkeeper.web.serving import Serving
from rowkeeper.web.wire import Bounds
from tests.arena import Arena
from tests.web.site import Site

BOUNDS = Bounds(
    head_bytes_max=4096,
    headers_max=20,
    head_seconds_max=0.5,
    body_seconds_max=0.5,
    read_seconds_max=0.5,
    idle_seconds_max=1,
    handshake_seconds_max=0.5,
    connections_max=32,
)
GET = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST /api/v1/query HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer nonsense\r\n"


@pytest.fixture(scope="module")
def strict(tmp_path_factory) -> Iterator[Site]:
    """A server with narrow bounds, in a thread of this process."""
    made = Site(Arena(tmp_path_factory.mktemp("strict")))
    made.arena.env |= {"ROWKEEPER_SERVER_ADDRESS": "127.0.0.1:0", "ROWKEEPER_SERVER_BODY_BYTES_MAX": "2048"}
    made.arena.env |= {"ROWKEEPER_SERVER_ADDRESS_RATE": "10000"}
    with made.opened() as space:
        heard: Queue[str] = Queue()
        serving = Serving(space, [], heard.put, BOUNDS)
        thread = threading.Thread(target=serving.serve)
        thread.start()
        made.url = heard.get(timeout=60)
        yield made
        serving.stop()
        thread.join(30)
        assert not thread.is_alive()


def connected(site: Site) -> ssl.SSLSocket:
    line = socket.create_connection(("127.0.0.1", site.port), timeout=10)
    return site.context().wrap_socket(line, server_hostname="localhost")


def answered(site: Site, *pieces: bytes, pause: float = 0.0) -> bytes:
    """All that the server says before it closes; the pieces are sent one by one."""
    with connected(site) as line:
        for piece in pieces:
            try:
                line.sendall(piece)
            except OSError:
                break
            if pause:
                time.sleep(pause)
        return read(line)


def read(line: socket.socket) -> bytes:
    said = b""
    try:
        while piece := line.recv(65536):
            said += piece
    except (ConnectionResetError, ssl.SSLEOFError):
        pass
    return said


def status(said: bytes) -> int:
    return int(said.split(b" ")[1]) if said else 0


def test_a_connection_is_kept_alive_and_used_again(strict: Site):
    """HTTP/1.1: two requests on one connection, the second of which ends it."""
    said = answered(strict, GET + b"\r\n" + GET + b"Connection: close\r\n\r\n")
    assert said.count(b"HTTP/1.1 200 OK") == 2


def test_slowloris_a_head_that_comes_by_the_byte_is_cut_off(strict: Site):
    """Each byte comes in time, the whole does not."""
    begun = time.monotonic()
    said = answered(strict, GET, *([b"X-A: b\r\n"] * 40), pause=0.05)
    assert status(said) == 408
    assert time.monotonic() - begun < 3


def test_slowloris_line_ends_before_a_request_keep_no_connection(strict: Site):
    """llhttp skips them, so that no request begins; the time runs all the same."""
    assert answered(strict, *([b"\r\n"] * 40), pause=0.05) == b""


def test_slowloris_after_a_first_request(strict: Site):
    """A connection that has asked properly once has earned nothing."""
    said = answered(strict, GET + b"\r\n", b"GET /", *([b"a"] * 40), pause=0.05)
    assert said.startswith(b"HTTP/1.1 200")
    assert said.count(b"HTTP/1.1 ") == 2
    assert b"HTTP/1.1 408 " in said


def test_a_silent_connection_is_closed(strict: Site):
    """Nothing is ever said on it."""
    with connected(strict) as line:
        assert read(line) == b""


def test_a_connection_that_begins_no_handshake_is_closed(strict: Site):
    """TLS itself is bounded in time."""
    with socket.create_connection(("127.0.0.1", strict.port), timeout=10) as line:
        assert read(line) == b""


def test_a_slow_body_is_cut_off(strict: Site):
    """It says how long it is, and does not come."""
    head = POST + b"Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
    begun = time.monotonic()
    answered(strict, head, *([b" "] * 60), pause=0.05)
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("one long header", GET + b"X-Long: " + b"a" * 8000 + b"\r\n\r\n"),
        ("one header without an end", GET + b"X-Long: " + b"a" * 8000),
        ("a long path", b"GET /" + b"a" * 8000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        ("many headers", GET + b"".join(b"X-%d: a\r\n" % number for number in range(30)) + b"\r\n"),
    ],
)
def test_heads_are_bounded(strict: Site, name: str, sent: bytes):
    """By their bytes, and by the number of their headers."""
    assert status(answered(strict, sent)) == 431, name


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("a length and chunks", POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET"),
        ("chunks and a length", POST + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\nGET"),
        ("two lengths", POST + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde"),
        ("a length with a sign", POST + b"Content-Length: +4\r\n\r\nabcd"),
        ("chunks that are not last", POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
        ("an unknown coding", POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
        ("white space before the colon", POST + b"Content-Length : 4\r\n\r\nabcd"),
        ("a folded header", POST + b"X-A: b\r\n Content-Length: 4\r\n\r\nabcd"),
        ("a bare line feed in a header", GET + b"X-A: b\nX-B: c\r\n\r\n"),
        ("a bare carriage return", GET + b"X-A: b\rX-B: c\r\n\r\n"),
        ("a null in a header", GET + b"X-A: b\0c\r\n\r\n"),
        ("a chunk size that is none", POST + b"Transfer-Encoding: chunked\r\n\r\n0x4\r\nabcd\r\n0\r\n\r\n"),
        ("no request", b"nonsense\r\n\r\n"),
        ("HTTP/2 without leave", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        ("TLS in TLS", b"\x16\x03\x01\x02\x00\x01\x00"),
    ],
)
def test_requests_are_not_smuggled(strict: Site, name: str, sent: bytes):
    """What two programs could read in two ways is refused, and what follows it on the connection is not read."""
    said = answered(strict, sent + b"\r\n\r\n" + GET + b"\r\n")
    assert status(said) in (400, 401), name
    assert said.count(b"HTTP/1.1") == 1, said
    assert b'"alive"' not in said


@pytest.mark.parametrize(
    "host",
    [b"evil.example", b"localhost.evil.example", b"localhost@evil.example", b"169.254.169.254", b"", b"localhost/../x"],
)
def test_a_request_names_a_host_of_ours(strict: Site, host: bytes):
    """DNS rebinding: a page whose name leads here by now asks by its own name, and is told nothing."""
    said = answered(strict, b"GET /health/live HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n")
    assert status(said) == 421


def test_two_hosts_or_none_are_refused(strict: Site):
    """Which of them is meant, two programs could see in two ways."""
    assert status(answered(strict, GET + b"Host: localhost\r\n\r\n")) == 421
    assert status(answered(strict, b"GET /health/live HTTP/1.1\r\nConnection: close\r\n\r\n")) == 421


def test_bodies_are_bounded(strict: Site):
    """Whether they say how long they are or not; nothing of the rest is read."""
    told = POST + b"Content-Type: application/json\r\nContent-Length: 3000\r\n\r\n"
    assert status(answered(strict, told)) == 413
    chunk = b"%x\r\n" % 1000 + b" " * 1000 + b"\r\n"
    untold = POST + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk * 3
    assert status(answered(strict, untold, b"0\r\n\r\n")) in (401, 413)


def test_one_address_has_a_share_of_the_connections(strict: Site):
    """The ninth of 32 is closed at once; when others have gone, there is room again."""
    lines = [connected(strict) for _ in range(BOUNDS.connections_max // 4)]
    try:
        with socket.create_connection(("127.0.0.1", strict.port), timeout=10) as line:
            try:
                one_more = strict.context().wrap_socket(line, server_hostname="localhost")
                one_more.sendall(GET + b"\r\n")
                assert read(one_more) == b""
            except (ConnectionError, ssl.SSLError):
                pass  # closed in the midst of the handshake
    finally:
        for each in lines:
            each.close()
    until = time.monotonic() + 5
    while status(answered(strict, GET + b"Connection: close\r\n\r\n")) != 200:
        assert time.monotonic() < until


def test_upgrades_are_refused(strict: Site):
    """There is no other protocol to change to."""
    upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n\r\n"
    assert status(answered(strict, GET + upgrade)) == 400


def test_old_tls_is_refused(strict: Site):
    """TLS 1.2 is the oldest that is spoken."""
    context = strict.context()
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with (
        socket.create_connection(("127.0.0.1", strict.port), timeout=10) as line,
        pytest.raises((ssl.SSLError, ConnectionError)),
    ):
        context.wrap_socket(line, server_hostname="localhost")
