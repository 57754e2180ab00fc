"""HTTP servers on loopback whose answers a test decides."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import trustme

from rowkeeper.security.tls import TLS

Answer = Callable[[BaseHTTPRequestHandler], None]


def say(text: str) -> Answer:
    """Answers with a text."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(text)))
        handler.end_headers()
        handler.wfile.write(text.encode())

    return answer


def redirect(to: str, status: int = 302) -> Answer:
    """Points elsewhere, from every path but `/end`."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        if handler.path == "/end":
            say("end")(handler)
            return
        handler.send_response(status)
        handler.send_header("Location", to)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


class Server(ThreadingHTTPServer):
    """Counts connections, and keeps what it was asked.

    Attributes:
        asked: method, path, Host and body of each request.
    """

    daemon_threads = True

    def __init__(self, answer: Answer) -> None:
        self.connections = 0
        self.asked: list[tuple[str, str, str, bytes]] = []
        asked = self.asked

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                asked.append((self.command, self.path, self.headers["host"], body))
                answer(self)

            do_POST = do_GET  # noqa: N815 - http.server's names

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)

    def get_request(self):
        self.connections += 1
        return super().get_request()

    def handle_error(self, *_: object) -> None:
        """A client that refuses a certificate is no fault of the server's."""


@contextmanager
def serving(answer: Answer, authority: trustme.CA | None = None, host: str = "localhost") -> Iterator[Server]:
    """A server that is up; with TLS where there is an authority."""
    server = Server(answer)
    if authority is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert(host).configure_cert(context)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def trusting(authority: trustme.CA, folder: Path, **more: object) -> TLS:
    """What trusts an authority and nobody else."""
    path = folder / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return TLS(ca=path, **more)
