"""HTTP/1.1 on one connection: uvicorn's protocol over llhttp, with what a connection may not do.

uvicorn bounds neither the head of a request nor the time for it, nor how long a client may take to read an answer; and
it does not hand on a client's certificate. All of that is here, in callbacks of the event loop: a client that is slow
on purpose holds a socket and a timer for some seconds, and nothing else.

llhttp refuses what requests are smuggled with: a length beside chunks, two lengths, white space before a colon, a bare
carriage return, characters that are none of a header's.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections import Counter
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from rowkeeper.errors import RequestRefused
from rowkeeper.web.problems import MEDIA_TYPE, encoded, problem

TLS_EXTENSION = "rowkeeper.tls"
ONE_ADDRESS_SHARE = 4  # one address has at most a quarter of the connections


@dataclasses.dataclass(frozen=True, slots=True)
class Bounds:
    """What one connection may take.

    Attributes:
        head_bytes_max: of the request line and all headers.
        headers_max: how many headers.
        head_seconds_max: from the first byte (or from the connection's begin) to the end of the headers.
        body_seconds_max: from there to the end of the body.
        read_seconds_max: how long a client may leave an answer unread while more of it waits.
        idle_seconds_max: between an answer and the next request.
        handshake_seconds_max: for the TLS handshake.
        connections_max: of all addresses together.
    """

    head_bytes_max: int = 16_384
    headers_max: int = 64
    head_seconds_max: float = 10.0
    body_seconds_max: float = 30.0
    read_seconds_max: float = 30.0
    idle_seconds_max: float = 20.0
    handshake_seconds_max: float = 10.0
    connections_max: int = 1024


class Connections:
    """How many there are, of each address. Asked in the event loop alone."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._most_of_one = max(1, most // ONE_ADDRESS_SHARE)
        self._by_address: Counter[str] = Counter()

    def __len__(self) -> int:
        return self._by_address.total()

    def admit(self, address: str) -> bool:
        """Takes one in, if there is room for it."""
        if len(self) >= self._most or self._by_address[address] >= self._most_of_one:
            return False
        self._by_address[address] += 1
        return True

    def leave(self, address: str) -> None:
        """One has gone."""
        self._by_address[address] -= 1
        if self._by_address[address] <= 0:
            del self._by_address[address]


class Refusal(Exception):  # noqa: N818 - reads as what happened
    """Raised from a callback of the parser: the request is not taken."""


class Wire(HttpToolsProtocol):
    """One connection.

    Args:
        bounds: what it may take.
        lines: all connections of the server.
    """

    def __init__(self, *args: Any, bounds: Bounds, lines: Connections, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._bounds = bounds
        self._lines = lines
        self._address: str | None = None
        self._head_open = True  # a head is awaited, or half there
        self._head_begun = False
        self._head_bytes = 0
        self._refused: tuple[HTTPStatus, str] | None = None
        self._timer: asyncio.TimerHandle | None = None  # for a head or a body
        self._reader_timer: asyncio.TimerHandle | None = None
        self._extensions: dict[str, dict[object, object]] = {}

    # ------------------------------------------------------------------------------------ the connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Lets it in, if there is room; else it is closed without a word."""
        super().connection_made(transport)
        address = self.client[0] if self.client else ""
        if not self._lines.admit(address):
            transport.abort()
            return
        self._address = address
        if (tls := transport.get_extra_info("ssl_object")) is not None:
            shown: dict[object, object] = {"certificate": tls.getpeercert(binary_form=True), "version": tls.version()}
            self._extensions = {TLS_EXTENSION: shown}
        self._time(self._bounds.head_seconds_max)

    def connection_lost(self, exc: Exception | None) -> None:
        """Gives its room back."""
        if self._address is not None:
            self._lines.leave(self._address)
            self._address = None
        self._untime()
        self._end_reading_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """What came; bounded while it is a head."""
        if self._refused is not None:
            return
        super().data_received(data)
        if self.parser is None or self.transport.is_closing() or not self._head_open:
            return
        if self._head_begun:
            self._head_bytes += len(data)
            if self._head_bytes > self._bounds.head_bytes_max:
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "the head of the request is too long")
                return
        idle = self.cycle is None or self.cycle.response_complete
        if self._timer is None and (self._head_begun or idle):  # also for bytes that are no request yet: line ends
            self._unset_keepalive_if_required()
            self._time(self._bounds.head_seconds_max)

    def pause_writing(self) -> None:
        """The client leaves the answer unread."""
        super().pause_writing()
        if self._reader_timer is None:
            self._reader_timer = self.loop.call_later(self._bounds.read_seconds_max, self.transport.abort)

    def resume_writing(self) -> None:
        """It reads again."""
        self._end_reading_timer()
        super().resume_writing()

    # ------------------------------------------------------------------------------------- the parser's callbacks

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._head_open, self._head_begun, self._head_bytes = True, True, 0
        self._counted = 0

    def on_url(self, url: bytes) -> None:
        """A part of the request line."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header."""
        self._count(len(name) + len(value) + 4)
        if len(self.headers) >= self._bounds.headers_max:
            self._stop(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "the request has too many headers")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is there: the request is taken."""
        if self.parser.should_upgrade():
            self._stop(HTTPStatus.BAD_REQUEST, "there is no other protocol to change to")
        self._head_open = self._head_begun = False
        self._untime()
        self.scope["extensions"] = self._extensions
        super().on_headers_complete()
        self._time(self._bounds.body_seconds_max)

    def on_message_complete(self) -> None:
        """The body is there, too; the next request may begin."""
        self._untime()
        self._head_open = True
        super().on_message_complete()

    # ---------------------------------------------------------------------------------------------------- ends

    def send_400_response(self, msg: str) -> None:
        """What the parser does not take. Implements what uvicorn calls."""
        status, what = self._refused or (HTTPStatus.BAD_REQUEST, "this is no HTTP request")
        self._refuse(status, what)

    def _count(self, more: int) -> None:
        self._counted += more
        if self._counted > self._bounds.head_bytes_max:
            self._stop(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "the head of the request is too long")

    def _stop(self, status: HTTPStatus, what: str) -> None:
        """Ends the parsing: the parser hands on what its callbacks raise. Raises Refusal."""
        self._refused = (status, what)
        raise Refusal(what)

    def _refuse(self, status: HTTPStatus, what: str) -> None:
        """Answers and closes. In the midst of another answer nothing can be said: it only closes."""
        self._refused = (status, what)
        self._untime()
        if self.cycle is not None and not self.cycle.response_complete:
            if self.cycle.response_started or self.pipeline:
                self.transport.abort()
                return
            self.cycle.disconnected = True  # what is being carried out has nobody to answer any more
            self.cycle.message_event.set()
        body = encoded(problem(RequestRefused(what, hint="see docs/server.md for what is taken"), status))
        lines = [
            STATUS_LINE[int(status)],
            b"content-type: " + MEDIA_TYPE.encode() + b"\r\n",
            b"content-length: " + str(len(body)).encode() + b"\r\n",
            b"cache-control: no-store\r\nx-content-type-options: nosniff\r\nconnection: close\r\n\r\n",
            body,
        ]
        self.transport.write(b"".join(lines))
        self.transport.close()

    def _time(self, seconds: float) -> None:
        self._untime()
        self._timer = self.loop.call_later(seconds, self._too_slow)

    def _untime(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end_reading_timer(self) -> None:
        if self._reader_timer is not None:
            self._reader_timer.cancel()
            self._reader_timer = None

    def _too_slow(self) -> None:
        self._timer = None
        if self.transport.is_closing():
            return
        if self._head_open and not self._head_begun:
            self.transport.close()  # nothing was asked
            return
        self._refuse(HTTPStatus.REQUEST_TIMEOUT, "the request took too long to arrive")
