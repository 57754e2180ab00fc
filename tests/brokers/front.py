"""A front before a broker: TLS, SASL of Kafka, and what networks do to connections.

To Kafka it is what `advertised.listeners` are: brokers' addresses in answers are replaced by the fronts'.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from typing import Any, Self

from rowkeeper.brokers.kafkawire import API_VERSIONS, SASL_HANDSHAKE, Answers, Requests

SASL_AUTHENTICATE = 36
PLAIN = b"\0loader\0sesame"


class Front:
    """Hands connections on to a port of this machine. Used as a context manager.

    Args:
        port: of the server behind it.
        context: TLS is spoken with clients.
        kafka: addresses are replaced.
        sasl: of Kafka: user `loader` and password `sesame` are asked for, by PLAIN.

    Attributes:
        cut_after: how many bytes of answers pass before a connection is cut; each cut uses it up.
        drop_next: the next answer to a request is not handed on, and every connection is ended instead.
        cuts, connections: how many there were.
    """

    def __init__(self, port: int, context: ssl.SSLContext | None = None, *, kafka: bool = False, sasl: bool = False):
        self._server_port, self._context, self._kafka, self._sasl = port, context, kafka, sasl
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._lock = threading.Lock()
        self._open: set[Any] = set()
        self.silent = self.drop_next = False
        self.cut_after: int | None = None
        self.cuts = self.connections = 0

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def __enter__(self) -> Self:
        self._accepting.start()
        return self

    def __exit__(self, *_: object) -> None:
        _end(self._listener)
        self._accepting.join()
        self._listener.close()
        self.drop()

    def drop(self) -> None:
        """Ends every connection there is."""
        with self._lock:
            for line in self._open:
                _end(line)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        self.connections += 1
        with contextlib.suppress(OSError), contextlib.ExitStack() as kept:
            client: Any = plain
            kept.callback(plain.close)
            if self._context is not None:
                client = self._context.wrap_socket(plain, server_side=True)
            server = socket.create_connection(("127.0.0.1", self._server_port))
            with self._lock:
                self._open |= {client, server}
            kept.callback(self._close, client, server)
            requests = Requests()
            answers = Answers(requests.asked, lambda _host, _port: self.port)
            if self._sasl and not _admitted(client, server):
                return
            there = threading.Thread(target=self._there, args=(client, server, requests), daemon=True)
            there.start()
            kept.callback(there.join)
            self._back(server, client, answers)

    def _close(self, client: Any, server: socket.socket) -> None:
        """When nobody is about to end them any more: that would end whoever has their descriptors by then."""
        with self._lock:
            self._open -= {client, server}
            client.close()
            server.close()

    def _there(self, client: Any, server: socket.socket, requests: Requests) -> None:
        with contextlib.suppress(OSError):
            while piece := client.recv(65536):
                if self.silent:
                    continue
                server.sendall(requests.feed(piece)[0] if self._kafka else piece)
        _end(server)

    def _back(self, server: socket.socket, client: Any, answers: Answers) -> None:
        with contextlib.suppress(OSError):
            while piece := server.recv(65536):
                if self.silent:
                    continue
                if self.drop_next:
                    self.drop_next = False
                    self.drop()
                    break
                answer = answers.feed(piece) if self._kafka else piece
                passed = self._passed(len(answer))
                client.sendall(answer[:passed])
                if passed is not None:
                    break
        _end(client)
        _end(server)

    def _passed(self, size: int) -> int | None:
        with self._lock:
            if self.cut_after is None:
                return None
            if self.cut_after >= size:
                self.cut_after -= size
                return None
            passed, self.cut_after = self.cut_after, None
            self.cuts += 1
            return passed


def _admitted(client: Any, server: socket.socket) -> bool:
    """SASL by PLAIN, as a broker asks for it; what may be asked is the server's, and SASL's two requests."""
    while True:
        frame = _frame(client)
        key, _, correlation = struct.unpack_from(">hhi", frame)
        if key == API_VERSIONS:
            server.sendall(struct.pack(">i", len(frame)) + frame)
            body = _frame(server)
            (count,) = struct.unpack_from(">i", body, 6)
            more = struct.pack(">hhhhhh", SASL_HANDSHAKE, 0, 1, SASL_AUTHENTICATE, 0, 0)
            _answer(client, body[:6] + struct.pack(">i", count + 2) + body[10:] + more)
        elif key == SASL_HANDSHAKE:
            _answer(client, struct.pack(">ihih", correlation, 0, 1, 5) + b"PLAIN")
        elif key == SASL_AUTHENTICATE:
            fits = frame.endswith(PLAIN)
            words = b"" if fits else b"no"
            _answer(client, struct.pack(">ihh", correlation, 0 if fits else 58, len(words)) + words + b"\0\0\0\0")
            return fits
        else:
            return False


def _answer(client: Any, body: bytes) -> None:
    client.sendall(struct.pack(">i", len(body)) + body)


def _frame(line: Any) -> bytes:
    (size,) = struct.unpack(">i", _exactly(line, 4))
    return _exactly(line, size)


def _exactly(line: Any, size: int) -> bytes:
    found = b""
    while len(found) < size:
        piece = line.recv(size - len(found))
        if not piece:
            raise ConnectionError("ended in the midst")
        found += piece
    return found


def _end(line: Any) -> None:
    with contextlib.suppress(OSError):
        line.shutdown(socket.SHUT_RDWR)
