"""HTTP/2 is spoken with servers that do: a small one, of the library `h2`, by TLS with ALPN."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from urllib.parse import parse_qsl, urlsplit

import h2.config
import h2.connection
import h2.events
import pytest
import trustme

import rowkeeper as rk
from tests.sources.api.conftest import QUICK, Loader

ROWS = [{"id": number, "name": "x" * 2_000} for number in range(60)]


class Server:
    """Answers `/token` in pages of 20, each larger than a frame and than the first flow window of a stream.

    Attributes:
        spoken: by connection, what ALPN decided.
        paths: what was asked.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._context = context
        self.port = self._listener.getsockname()[1]
        self.spoken: list[str | None] = []
        self.paths: list[str] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(plain,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        with self._context.wrap_socket(plain, server_side=True) as line:
            self.spoken.append(line.selected_alpn_protocol())
            connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
            connection.initiate_connection()
            line.sendall(connection.data_to_send())
            waiting: dict[int, bytes] = {}
            while received := line.recv(65_536):
                for event in connection.receive_data(received):
                    if isinstance(event, h2.events.RequestReceived):
                        waiting[event.stream_id] = self._answer(connection, event)
                self._send(connection, waiting)
                line.sendall(connection.data_to_send())

    def _answer(self, connection: h2.connection.H2Connection, event: h2.events.RequestReceived) -> bytes:
        headers = {bytes(name).decode(): bytes(text).decode() for name, text in map(tuple, event.headers)}
        parts = urlsplit(headers[":path"])
        self.paths.append(headers[":path"])
        start = int(dict(parse_qsl(parts.query)).get("page_token", "0"))
        following = {"next_page_token": str(start + 20)} if start + 20 < len(ROWS) else {}
        connection.send_headers(event.stream_id, [(":status", "200"), ("content-type", "application/json")])
        return json.dumps({"items": ROWS[start : start + 20], **following}).encode()

    @staticmethod
    def _send(connection: h2.connection.H2Connection, waiting: dict[int, bytes]) -> None:
        """As much as the windows let through."""
        for stream in list(waiting):
            while size := min(connection.local_flow_control_window(stream), connection.max_outbound_frame_size):
                piece, waiting[stream] = waiting[stream][:size], waiting[stream][size:]
                connection.send_data(stream, piece, end_stream=not waiting[stream])
                if not waiting[stream]:
                    del waiting[stream]
                    break


@pytest.fixture
def server(authority: trustme.CA) -> Iterator[Server]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    context.set_alpn_protocols(["h2", "http/1.1"])
    opened = Server(context)
    yield opened
    opened.close()


def test_pages_come_by_http2(server: Server, tls: rk.TLS, loader: Loader):
    """By the pinned way out, with our own TLS: ALPN says h2, and each page comes once, whole."""
    made = rk.sources.api(
        f"https://localhost:{server.port}/token",
        records="$.items[*]",
        pagination=rk.sources.Token(),
        tls=tls,
        resilience=QUICK,
    )
    assert loader.load(made).ids == list(range(60))
    assert set(server.spoken) == {"h2"}
    assert server.paths == ["/token", "/token?page_token=20", "/token?page_token=40"]
