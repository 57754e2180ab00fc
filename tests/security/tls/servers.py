"""Real servers on loopback, and a client of ours that says one word to them."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from rowkeeper.security.tls import TLS, secure
from rowkeeper.security.tls.peers import telling
from tests.security.tls.workshop import Made

WORD = b"ready"


def careless(made: Made, folder: Path, name: str = "server") -> ssl.SSLContext:
    """A server's context that lets itself be weak: what is refused, is refused by the client."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.load_cert_chain(*made.write(folder, name))
    return context


@contextlib.contextmanager
def listening(answer: Callable[[socket.socket], None], host: str = "127.0.0.1") -> Iterator[int]:
    """Hands each connection to `answer`, in a thread of its own. Yields the port."""
    with socket.create_server((host, 0)) as listener:
        threads: list[threading.Thread] = []

        def serve(client: socket.socket) -> None:
            with client, contextlib.suppress(OSError):
                answer(client)

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    client.settimeout(10)
                    threads.append(threading.Thread(target=serve, args=(client,)))
                    threads[-1].start()

        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            for thread in (accepting, *threads):
                thread.join()


@contextlib.contextmanager
def serving(context: ssl.SSLContext, host: str = "127.0.0.1") -> Iterator[int]:
    """A server that says a word to whoever gets through the handshake. Yields its port."""

    def answer(client: socket.socket) -> None:
        with context.wrap_socket(client, server_side=True) as secured:
            secured.sendall(WORD)
            secured.recv(1)  # until the client has gone

    with listening(answer, host) as port:
        yield port


def said(port: int, tls: TLS | None, host: str = "127.0.0.1") -> bytes:
    """Connects as our clients do, and hears the word. Returns the server's certificate (DER)."""
    with secure(socket.create_connection(("127.0.0.1", port), timeout=10), host, tls) as connection:
        with telling(host, tls):
            assert connection.recv(len(WORD)) == WORD
        certificate = connection.getpeercert(binary_form=True)
        assert certificate is not None
        return certificate
