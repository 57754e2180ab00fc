"""Real proxies on loopback: SOCKS5 (RFC 1928, 1929) and HTTP CONNECT, which write down what they were asked for."""

from __future__ import annotations

import base64
import contextlib
import select
import socket
import socketserver
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


class Relay(socketserver.ThreadingTCPServer):
    """What both kinds do: connect to where a name leads by the proxy's own table, and pass everything on.

    Attributes:
        asked: each target as the client named it.
        users: each user and password that was given, right or wrong.
    """

    allow_reuse_address = True
    daemon_threads = True

    def __init__(
        self,
        handler: type[socketserver.BaseRequestHandler],
        names: Mapping[str, str],
        password: str | None,
        refusing: int | None,
    ) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.names, self.password, self.refusing = names, password, refusing
        self.asked: list[str] = []
        self.users: list[tuple[str, str]] = []

    def reach(self, host: str, port: int) -> socket.socket:
        self.asked.append(f"{host}:{port}")
        return socket.create_connection((self.names.get(host, host), port), 5)


def pass_on(one: socket.socket, other: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            for line in select.select([one, other], [], [])[0]:
                data = line.recv(65_536)
                if not data:
                    return
                (other if line is one else one).sendall(data)


def exactly(line: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        piece = line.recv(size - len(found))
        if not piece:
            raise ConnectionResetError
        found += piece
    return found


class Socks5(socketserver.BaseRequestHandler):
    server: Relay

    def handle(self) -> None:
        line = self.request
        methods = exactly(line, exactly(line, 2)[1])
        wanted = 0 if self.server.password is None else 2
        if wanted not in methods:
            line.sendall(b"\x05\xff")
            return
        line.sendall(bytes([5, wanted]))
        if wanted == 2:
            exactly(line, 1)
            user = exactly(line, exactly(line, 1)[0]).decode()
            password = exactly(line, exactly(line, 1)[0]).decode()
            self.server.users.append((user, password))
            line.sendall(bytes([1, password != self.server.password]))
            if password != self.server.password:
                return
        kind = exactly(line, 4)[3]
        if kind == 3:
            host = exactly(line, exactly(line, 1)[0]).decode()
        else:
            host = socket.inet_ntop(
                *((socket.AF_INET, exactly(line, 4)) if kind == 1 else (socket.AF_INET6, exactly(line, 16)))
            )
        port = int.from_bytes(exactly(line, 2))
        if self.server.refusing is not None:
            self.server.asked.append(f"{host}:{port}")
            line.sendall(bytes([5, self.server.refusing, 0, 1]) + bytes(6))
            return
        with self.server.reach(host, port) as target:
            line.sendall(bytes([5, 0, 0, 3, 4]) + b"here" + bytes(2))  # bound to a name: its length must be read
            pass_on(line, target)


class Connect(socketserver.BaseRequestHandler):
    server: Relay

    def handle(self) -> None:
        line = self.request
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += exactly(line, 1)
        words, *fields = head.decode().split("\r\n")
        method, place, _ = words.split()
        assert method == "CONNECT"
        if self.server.password is not None:
            given = next(
                (each.split(" ", 2)[2] for each in fields if each.startswith("Proxy-Authorization: Basic ")), ""
            )
            user, _, password = base64.b64decode(given).decode().partition(":")
            self.server.users.append((user, password))
            if password != self.server.password:
                line.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
                return
        host, _, port = place.rpartition(":")
        host = host.strip("[]")
        if self.server.refusing is not None:
            self.server.asked.append(f"{host}:{port}")
            line.sendall(f"HTTP/1.1 {self.server.refusing} No\r\nContent-Length: 0\r\n\r\n".encode())
            return
        with self.server.reach(host, int(port)) as target:
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for piece in (b"HTTP/1.1 200 Conn", b"ection established\r\nVia: ", b"1.1 test\r\n\r", b"\n"):
                line.sendall(piece)  # an answer may come in pieces
            pass_on(line, target)


KINDS = {"socks5": Socks5, "socks5h": Socks5, "http": Connect}


@contextmanager
def proxy(
    kind: str, *, names: Mapping[str, str] | None = None, password: str | None = None, refusing: int | None = None
) -> Iterator[Relay]:
    """A proxy of this kind that is up.

    Args:
        names: where it finds hosts that only it knows.
        password: what it wants of any user.
        refusing: how it answers instead of connecting.
    """
    with Relay(KINDS[kind], names or {}, password, refusing) as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield made
        made.shutdown()
        thread.join()
