"""A web server on loopback whose files, headers and faults are the test's."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import http.server
import os
import re
import socket
import ssl
import threading
from collections.abc import Iterator

import trustme

RANGE = re.compile(r"bytes=(\d+)-(\d*)")


@dataclasses.dataclass
class Web:
    """What it serves, and how.

    Attributes:
        files: by path.
        ranges, etags, dates: what it does.
        faults: statuses that the next requests are answered with.
        cut_after: how many bytes of a body are sent before the connection is cut; once.
        token: which `Authorization` must be.
        asked: (method, path, Range) of each request.
    """

    files: dict[str, bytes] = dataclasses.field(default_factory=dict)
    ranges: bool = True
    etags: bool = True
    dates: bool = False
    sized: bool = True
    faults: list[int] = dataclasses.field(default_factory=list)
    cut_after: int | None = None
    token: str = ""
    no_head: bool = False
    asked: list[tuple[str, str, str]] = dataclasses.field(default_factory=list)
    port: int = 0
    scheme: str = "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    web: Web

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        web = self.web
        web.asked.append((self.command, self.path, self.headers.get("Range", "")))
        status = web.faults.pop(0) if web.faults else 0
        if web.no_head and not with_body:
            status = 405
        if web.token and self.headers.get("Authorization") != web.token:
            status = 401
        content = web.files.get(self.path.partition("?")[0])
        if content is None and not status:
            status = 404
        tag = f'"{hashlib.md5(content or b"").hexdigest()}"'
        if not status and web.etags and self.headers.get("If-Match") not in (None, tag):
            status = 412
        if status:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        assert content is not None
        self._send(content, tag, with_body=with_body)

    def _send(self, content: bytes, tag: str, *, with_body: bool) -> None:
        web, whole = self.web, len(content)
        wanted = RANGE.fullmatch(self.headers.get("Range", "")) if web.ranges else None
        if wanted:
            first, last = int(wanted[1]), min(int(wanted[2] or whole), whole - 1)
            content = content[first : last + 1]
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{whole}")
        else:
            self.send_response(200)
        headers = {
            "Content-Length": str(len(content)) if web.sized else "",
            "Accept-Ranges": "bytes" if web.ranges else "",
            "ETag": tag if web.etags else "",
            "Last-Modified": "Thu, 26 Nov 2026 12:00:00 GMT" if web.dates else "",
            "Connection": "" if web.sized else "close",
        }
        for name, text in headers.items():
            if text:
                self.send_header(name, text)
        self.end_headers()
        if not web.sized:
            self.close_connection = True
        if with_body:
            cut, web.cut_after = web.cut_after if len(content) > (web.cut_after or 0) else None, web.cut_after
            if cut is not None:
                web.cut_after = None
                self.wfile.write(content[:cut])
                self.close_connection = True
                return
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        return None


@contextlib.contextmanager
def served(web: Web, authority: trustme.CA | None = None) -> Iterator[Web]:
    """Starts it; with TLS where there is an authority."""
    handler = type("Handler", (_Handler,), {"web": web})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        web.port = server.server_address[1]
        if authority is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            authority.issue_cert("127.0.0.1").configure_cert(context)
            server.socket = context.wrap_socket(server.socket, server_side=True)
            web.scheme = "https"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield web
        except BaseException as error:
            error.add_note(_state(server, thread))
            raise
        finally:
            server.shutdown()
            thread.join()


def _state(server: http.server.ThreadingHTTPServer, thread: threading.Thread) -> str:
    """What there is to say of the listener when a test fails: whether anybody else has shut it down or closed it."""
    number = server.socket.fileno()
    try:
        with socket.socket(fileno=os.dup(number)) as same:
            listens = bool(same.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
            place = same.getsockname()
    except OSError as error:
        listens, place = False, f"descriptor {number} is no socket: {error}"
    return f"the server at {server.server_address}: {listens=}, bound to {place}, thread alive={thread.is_alive()}"
