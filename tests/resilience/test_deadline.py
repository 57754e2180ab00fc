"""A deadline only shrinks, and reaches threads, sockets and subprocesses."""

from __future__ import annotations

import datetime
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from rowkeeper.errors import DeadlineExceeded
from rowkeeper.resilience.deadline import carried, deadline, remaining, seconds_left, sql_seconds_left
from rowkeeper.resilience.sockets import bounded, bounded_tls
from rowkeeper.resilience.subprocesses import run_within
from tests.resilience.clocks import FakeClock
from tests.resilience.stalling import KINDS, overruns, p99

SLACK_SECONDS = 0.25


@given(st.lists(st.one_of(st.none(), st.floats(0, 1000)), min_size=1, max_size=8))
def test_nested_deadlines_only_shrink(seconds: list[float | None]):
    """However they are nested, what is left is the least of them, and outside it is as before."""
    clock = FakeClock()

    def nest(rest: list[float | None], least: float | None) -> None:
        if not rest:
            return
        with deadline(rest[0], clock):
            given = [each for each in (least, rest[0]) if each is not None]
            assert remaining() == (pytest.approx(min(given)) if given else None)
            nest(rest[1:], min(given) if given else None)
        assert remaining() == (None if least is None else pytest.approx(least))

    nest(seconds, None)


def test_what_is_left_runs_out():
    """A step gets the less of its own limit and of what is left; then DeadlineExceeded."""
    clock = FakeClock()
    assert seconds_left() is None
    assert seconds_left(7) == 7
    assert sql_seconds_left() is None
    with deadline(10, clock):
        assert (seconds_left(7), seconds_left(70), seconds_left()) == (7, 10, 10)
        assert sql_seconds_left() == pytest.approx(9.9)
        clock.sleep(9.9)
        assert 0 < (sql_seconds_left() or 0) < 0.1
        clock.sleep(0.2)
        assert remaining() == pytest.approx(-0.1)
        for ask in (seconds_left, sql_seconds_left):
            with pytest.raises(DeadlineExceeded):
                ask()


def test_threads_have_it_when_asked():
    """A thread starts without the deadline, and has it through `carried`, several at a time."""
    found: list[float | None] = []
    both = threading.Barrier(2)

    def look() -> None:
        both.wait(5)
        found.append(remaining())

    with deadline(100):
        told = carried(look)
        for pair in ((told, told), (look, look)):
            threads = [threading.Thread(target=each) for each in pair]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    assert [each is not None for each in found] == [True, True, False, False]


@pytest.mark.parametrize("kind", KINDS)
def test_real_sockets_keep_it(kind: str):
    """A server that accepts and is silent, sends a byte at a time, or does not accept: p99 of the overrun < 250 ms.

    A machine that has too much to do is late whatever we do, so it may try three times.
    """
    assert any(p99(overruns(kind, calls=24, seconds=0.5)) < SLACK_SECONDS for _ in range(3))


def test_without_a_deadline_a_socket_has_its_own_timeout():
    """A bounded socket is an ordinary one until there is a deadline, and again afterwards."""
    ours, theirs = socket.socketpair()
    with theirs, bounded(ours) as sock:
        sock.settimeout(3.0)
        theirs.sendall(b"ab")
        assert sock.recv(1) == b"a"
        assert sock.recv(1) == b"b"
        with deadline(0.05), pytest.raises(TimeoutError):
            sock.recv(1)
        assert sock.gettimeout() == 3.0
        theirs.sendall(b"c")
        assert sock.recv(1) == b"c"
        with deadline(5):
            sock.sendall(b"back")
        assert theirs.recv(10) == b"back"


def certificate(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "cert.pem", folder / "key.pem"


def test_tls_keeps_it(tmp_path: Path):
    """A handshake that never ends and a TLS answer that trickles end at the deadline; a prompt one comes through."""
    cert, key = certificate(tmp_path)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(cert, key)
    trusting = bounded_tls(ssl.create_default_context(cafile=str(cert)))
    over = threading.Event()

    def serve() -> None:
        with serving.wrap_socket(listener.accept()[0], server_side=True) as client:
            client.sendall(b"prompt")
            while not over.wait(0.02):
                client.sendall(b".")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=serve, daemon=True)
        server.start()
        with (
            socket.create_connection(listener.getsockname()) as plain,
            trusting.wrap_socket(plain, server_hostname="localhost") as client,
        ):
            assert client.recv(6) == b"prompt"
            began = time.monotonic()
            with deadline(0.3), pytest.raises((DeadlineExceeded, TimeoutError)):
                client.makefile("rb").read(1_000_000)
            assert 0.2 < time.monotonic() - began < 0.3 + SLACK_SECONDS
            over.set()
            server.join()
        began = time.monotonic()
        with (
            socket.create_connection(listener.getsockname()) as plain,
            deadline(0.3),
            pytest.raises((DeadlineExceeded, TimeoutError)),
        ):
            trusting.wrap_socket(plain, server_hostname="localhost")
        assert 0.2 < time.monotonic() - began < 0.3 + SLACK_SECONDS


def test_a_subprocess_and_its_children_end_at_the_deadline(tmp_path: Path):
    """A grandchild that holds the pipes neither outlives the deadline nor makes the caller wait."""
    note = tmp_path / "pid"
    script = f"sleep 60 & echo $! > {note}; sleep 60"
    began = time.monotonic()
    with pytest.raises(DeadlineExceeded), deadline(0.5):
        run_within(["/bin/sh", "-c", script])
    assert time.monotonic() - began < 0.5 + SLACK_SECONDS
    deadline_of_the_kill = time.monotonic() + 2
    pid = int(note.read_text())
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline_of_the_kill, "the grandchild lives on"
        time.sleep(0.01)


def test_a_subprocess_in_time_is_as_usual():
    """Its input, its output, its complaints and its status; and its own limit holds without a deadline."""
    script = "import sys; sys.stdout.write(sys.stdin.read().upper()); sys.stderr.write('hm'); sys.exit(3)"
    with deadline(30):
        done = run_within([sys.executable, "-c", script], input=b"abc")
    assert (done.stdout, done.stderr, done.returncode) == (b"ABC", b"hm", 3)
    with pytest.raises(DeadlineExceeded):
        run_within(["sleep", "60"], seconds_max=0.1)
    with pytest.raises(subprocess.CalledProcessError):
        run_within(["false"]).check_returncode()
