"""A proxy on loopback that does to connections what networks do: it cuts them in the middle, or lets them trickle."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Self

PIECE_BYTES = 16_384


class Cutter:
    """Hands connections on to a port of this machine. Used as a context manager.

    Args:
        port: of the server behind it, on 127.0.0.1.

    Attributes:
        cut_after: how many bytes of the server's answers pass, over all connections, before the one that carries them
            is cut; None cuts nothing. Each cut uses it up.
        cuts: how many connections were cut.
    """

    def __init__(self, port: int) -> None:
        self._server_port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._silent = False
        self.cut_after: int | None = None
        self.cuts = 0

    @property
    def port(self) -> int:
        """Where it listens, on 127.0.0.1."""
        return int(self._listener.getsockname()[1])

    def fall_silent(self) -> None:
        """From now on connections are taken, and nothing passes."""
        self._silent = True

    @contextlib.contextmanager
    def cutting(self, after: int) -> Iterator[None]:
        """In the body one connection is cut, after so many bytes of answers. Raises AssertionError if none was."""
        before = self.cuts
        self.cut_after = after
        yield
        self.cut_after = None
        assert self.cuts == before + 1, "nothing was cut"

    def __enter__(self) -> Self:
        self._accepting.start()
        return self

    def __exit__(self, *_: object) -> None:
        _end(self._listener)
        self._accepting.join()
        self._listener.close()
        with self._lock:
            for line in self._open:
                _end(line)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server_port))
                with self._lock:
                    self._open |= {client, server}
                threading.Thread(target=self._carry, args=(client, server), daemon=True).start()

    def _carry(self, client: socket.socket, server: socket.socket) -> None:
        """Both ways of a connection. It is closed when nobody is about to end it any more: else that would end another
        one, which has been given the number of its descriptor.
        """
        back = threading.Thread(target=self._hand_on, args=(server, client, True), daemon=True)
        back.start()
        self._hand_on(client, server, False)
        back.join()
        with self._lock:
            self._open -= {client, server}
            client.close()
            server.close()

    def _hand_on(self, one: socket.socket, other: socket.socket, counts: bool) -> None:
        with contextlib.suppress(OSError):
            while piece := one.recv(PIECE_BYTES):
                if self._silent:
                    continue
                passed = self._passed(len(piece)) if counts else None
                other.sendall(piece[:passed])
                if passed is not None:
                    break
        _end(one)
        _end(other)

    def _passed(self, size: int) -> int | None:
        """How many bytes of a piece still pass; None if nothing is cut here."""
        with self._lock:
            if self.cut_after is None:
                return None
            if self.cut_after >= size:
                self.cut_after -= size
                return None
            passed, self.cut_after = self.cut_after, None
            self.cuts += 1
            return passed


def _end(line: socket.socket) -> None:
    with contextlib.suppress(OSError):
        line.shutdown(socket.SHUT_RDWR)
