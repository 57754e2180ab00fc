"""A shop's API on loopback, by TLS: every way of paging, of saying who one is, and of going wrong."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import hashlib
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import trustme


@dataclasses.dataclass
class Asked:
    """A request as it arrived; header names in lower case."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclasses.dataclass
class Said:
    """An answer; a document becomes JSON."""

    document: Any = None
    status: int = 200
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    content: bytes | None = None

    @property
    def body(self) -> bytes:
        return json.dumps(self.document).encode() if self.content is None else self.content


Answer = Callable[[Asked], Said | None]


class Shop(ThreadingHTTPServer):
    """Answers from `rows`, a page of `size` at a time.

    Attributes:
        asked: all requests, in order.
        first: asked before the shop's own routes; None leaves the answer to those.
        connections: how many were made.
    """

    daemon_threads = True
    request_queue_size = 50

    def __init__(self, rows: list[dict[str, Any]], size: int = 10) -> None:
        self.rows, self.size = rows, size
        self.asked: list[Asked] = []
        self.first: Answer = lambda _asked: None
        self.connections = 0
        shop = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                asked = Asked(
                    self.command,
                    parts.path,
                    dict(parse_qsl(parts.query)),
                    {name.lower(): text for name, text in self.headers.items()},
                    self.rfile.read(int(self.headers.get("content-length") or 0)),
                )
                shop.asked.append(asked)
                said = shop.first(asked) or shop.answer(asked)
                body = said.body
                self.send_response(said.status)
                for name, text in said.headers.items():
                    self.send_header(name, text)
                if not {"Content-Length", "Transfer-Encoding"} & said.headers.keys():
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if said.status != 304:
                    self.wfile.write(body)

            do_POST = do_GET  # noqa: N815 - http.server's names

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)

    def get_request(self):
        self.connections += 1
        return super().get_request()

    def handle_error(self, *_: object) -> None:
        """A client that goes away in the middle is what the tests are about."""

    @property
    def url(self) -> str:
        return f"https://localhost:{self.server_port}"

    @property
    def paths(self) -> list[str]:
        return [each.path for each in self.asked]

    def answer(self, asked: Asked) -> Said:
        """By path: `/page`, `/offset`, `/after`, `/token`, `/next`, `/link`, `/search`, `/since`, `/all`, `/lines`."""
        kind = asked.path.split("/")[1]
        return getattr(self, f"_{kind}", _unknown)(asked)

    def _slice(self, start: int) -> list[dict[str, Any]]:
        return self.rows[start : start + self.size]

    def _page(self, asked: Asked) -> Said:
        start = (int(asked.query["page"]) - 1) * self.size
        return Said({"items": self._slice(start), "total": len(self.rows)})

    def _offset(self, asked: Asked) -> Said:
        return Said({"items": self._slice(int(asked.query["offset"])), "total": len(self.rows)})

    def _after(self, asked: Asked) -> Said:
        after = int(asked.query.get("after", -1))
        left = [row for row in self.rows if row["id"] > after]
        return Said({"items": left[: self.size], "more": len(left) > self.size})

    def _token(self, asked: Asked) -> Said:
        start = int(asked.query.get("page_token", "t0")[1:])
        since = asked.query.get("since")
        rows = self.rows if since is None else [row for row in self.rows if row["id"] >= int(since)]
        more = {"next_page_token": f"t{start + self.size}"} if start + self.size < len(rows) else {}
        return Said({"items": rows[start : start + self.size], **more})

    def _search(self, asked: Asked) -> Said:
        start = int(asked.json.get("page_token", "t0")[1:])
        following = f"t{start + self.size}" if start + self.size < len(self.rows) else None
        return Said({"items": self._slice(start), "next_page_token": following, "asked": asked.json})

    def _next(self, asked: Asked) -> Said:
        start = int(asked.query.get("from", 0))
        link = f"/next?from={start + self.size}" if start + self.size < len(self.rows) else None
        return Said({"items": self._slice(start), "next": link})

    def _link(self, asked: Asked) -> Said:
        start = int(asked.query.get("from", 0))
        link = f'<{self.url}/link?from={start + self.size}>; rel="next", <{self.url}/link>; rel="first"'
        headers = {"Link": link} if start + self.size < len(self.rows) else {}
        return Said(self._slice(start), headers=headers)

    def _since(self, asked: Asked) -> Said:
        since = asked.query.get("since", "")
        found = sorted((row for row in self.rows if row["at"] >= since), key=lambda row: row["at"])
        start = int(asked.query.get("page_token", "t0")[1:])
        more = {"next_page_token": f"t{start + self.size}"} if start + self.size < len(found) else {}
        return Said({"items": found[start : start + self.size], **more})

    def _all(self, asked: Asked) -> Said:
        said = Said({"items": self.rows})
        tag = '"' + hashlib.sha256(said.body).hexdigest()[:16] + '"'
        if asked.headers.get("if-none-match") == tag:
            return Said(status=304, headers={"ETag": tag})
        return Said({"items": self.rows}, headers={"ETag": tag})

    def _lines(self, asked: Asked) -> Said:
        return Said(content=b"".join(json.dumps(row).encode() + b"\n" for row in self.rows))

    def _orders(self, asked: Asked) -> Said:
        """`/orders` in pages; `/orders/7/lines` are two of each."""
        if asked.path == "/orders":
            return self._token(asked)
        number = int(asked.path.split("/")[2])
        return Said({"lines": [{"line": each, "sku": f"{number}-{each}"} for each in range(2)]})


def _unknown(asked: Asked) -> Said:
    return Said({"message": "no such thing"}, status=404)


def zipped(document: Any) -> Said:
    return Said(content=gzip.compress(json.dumps(document).encode()), headers={"Content-Encoding": "gzip"})


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def rows(count: int, first: int = 0) -> list[dict[str, Any]]:
    return [{"id": number, "name": f"n{number}", "price": number + 0.5} for number in range(first, first + count)]


@contextmanager
def open_shop(shop: Shop, authority: trustme.CA, not_after: datetime | None = None) -> Iterator[Shop]:
    """A shop that answers by TLS as localhost, with a certificate until then."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost", not_after=not_after).configure_cert(context)
    shop.socket = context.wrap_socket(shop.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=shop.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield shop
    finally:
        shop.shutdown()
        thread.join()
        shop.server_close()
