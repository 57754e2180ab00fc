"""Sockets that know the deadline: no operation on them waits longer than what is left of it.

A timeout for each read does not bound a whole answer: a server that sends one byte a second never runs into it. These
sockets look at the deadline anew before each operation. Give them to an HTTP library where it makes its connection,
`bounded(socket)`; for TLS let its context make them, `bounded_tls(context)`.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rowkeeper.resilience.deadline import seconds_left


class _Bounded:
    """For a socket class: each blocking operation gets the less of the socket's own timeout and of what is left."""

    @contextmanager
    def _within(self) -> Iterator[None]:
        own = self.gettimeout()  # type: ignore[attr-defined]
        left = seconds_left(own)
        if left == own:
            yield
            return
        self.settimeout(left)  # type: ignore[attr-defined]
        try:
            yield
        finally:
            if self.fileno() >= 0:  # type: ignore[attr-defined]
                self.settimeout(own)  # type: ignore[attr-defined]

    def connect(self, *args: Any) -> None:
        """`socket.connect`."""
        with self._within():
            super().connect(*args)  # type: ignore[misc]

    def recv(self, *args: Any) -> bytes:
        """`socket.recv`."""
        with self._within():
            return super().recv(*args)  # type: ignore[misc,no-any-return]

    def recv_into(self, *args: Any) -> int:
        """`socket.recv_into`, which files made of the socket read by."""
        with self._within():
            return super().recv_into(*args)  # type: ignore[misc,no-any-return]

    def send(self, *args: Any) -> int:
        """`socket.send`."""
        with self._within():
            return super().send(*args)  # type: ignore[misc,no-any-return]

    def sendall(self, *args: Any) -> None:
        """`socket.sendall`, whose timeout is for all of the data."""
        with self._within():
            super().sendall(*args)  # type: ignore[misc]


class BoundedSocket(_Bounded, socket.socket):
    """A plain socket within the deadline."""


class BoundedTlsSocket(_Bounded, ssl.SSLSocket):
    """A TLS socket within the deadline, its handshake too."""

    def do_handshake(self, block: bool = False) -> None:
        """`SSLSocket.do_handshake`."""
        with self._within():
            super().do_handshake(block)


def bounded(plain: socket.socket) -> BoundedSocket:
    """The same connection within the deadline; the socket given is used up."""
    timeout = plain.gettimeout()
    made = BoundedSocket(plain.family, plain.type, plain.proto, fileno=plain.detach())
    made.settimeout(timeout)
    return made


def bounded_tls(context: ssl.SSLContext) -> ssl.SSLContext:
    """The same context; what it wraps from now on stays within the deadline."""
    context.sslsocket_class = BoundedTlsSocket
    return context
