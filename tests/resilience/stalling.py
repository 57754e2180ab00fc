"""A real TCP server in trouble, and HTTP calls to it within a deadline, in real time.

silent     takes the request and never answers
trickling  answers a byte at a time, for ever: no single read is ever late
deaf       never accepts: its queue is full, so that connecting hangs
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from rowkeeper.errors import RetryError
from rowkeeper.resilience.calls import Calls
from rowkeeper.resilience.deadline import deadline
from rowkeeper.resilience.outcomes import Effect
from rowkeeper.resilience.policy import Resilience, Retry
from rowkeeper.resilience.sockets import BoundedSocket

KINDS = ("silent", "trickling", "deaf")
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"


@contextlib.contextmanager
def stalling(kind: str) -> Iterator[tuple[str, int]]:
    """The address of such a server."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0 if kind == "deaf" else 128)
    over = threading.Event()
    address = listener.getsockname()
    fillers = [_fill(address) for _ in range(2)] if kind == "deaf" else []
    if kind != "deaf":
        threading.Thread(target=_serve, args=(listener, kind, over), daemon=True).start()
    try:
        yield address
    finally:
        over.set()
        for each in (listener, *fillers):
            each.close()


def _fill(address: tuple[str, int]) -> socket.socket:
    filler = socket.socket()
    filler.setblocking(False)
    filler.connect_ex(address)
    return filler


def _serve(listener: socket.socket, kind: str, over: threading.Event) -> None:
    with contextlib.suppress(OSError):
        while True:
            client, _ = listener.accept()
            threading.Thread(target=_answer, args=(client, kind, over), daemon=True).start()


def _answer(client: socket.socket, kind: str, over: threading.Event) -> None:
    with client, contextlib.suppress(OSError):
        client.recv(65536)
        if kind == "trickling":
            client.sendall(ANSWER)
        while not over.wait(0.05):
            if kind == "trickling":
                client.sendall(b"x")


def get(address: tuple[str, int]) -> bytes:
    """An HTTP GET on a bounded socket."""
    connection = http.client.HTTPConnection(*address)
    connection.sock = BoundedSocket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        connection.sock.connect(address)
        connection.request("GET", "/")
        return connection.getresponse().read()
    finally:
        connection.close()


def overruns(kind: str, *, calls: int, seconds: float, threads: int = 8) -> list[float]:
    """By how many seconds each call went beyond its deadline; all of them have retries to spare."""
    policy = Resilience(retry=Retry(attempts=5, attempt_seconds_max=seconds / 2), breaker=None, deadline_seconds=None)

    def one(_: int) -> float:
        began = time.monotonic()
        with deadline(seconds):
            try:
                line.call(lambda: get(address), effect=Effect.READ)
            except RetryError:
                left = seconds - (time.monotonic() - began)
                return max(0.0, -left)
        raise AssertionError("it answered")

    with stalling(kind) as address, ThreadPoolExecutor(threads) as pool:
        line = Calls().to("local", "get", policy)
        return sorted(pool.map(one, range(calls)))


def p99(values: list[float]) -> float:
    """The 99th percentile."""
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.99))]
