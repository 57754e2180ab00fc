"""The way out of a client that makes its own connections: a proxy on loopback, in this process, for it alone.

obstore's HTTP client (Rust's reqwest) would look hosts up and connect by itself, past every check. So it is given this
proxy, and a URL without TLS; what it sends goes on from here by the one way out, with the TLS that was declared: to one
store, and to nothing else. A redirect to another host, or a question to a metadata service, ends here.

Requests are followed as far as it takes to know where each begins and ends (RFC 9112; obstore says a body's length
beforehand), answers are passed on as they come. What goes wrong on this side is kept (`fault`), and told in the answer
by a number, so that whoever asked raises the very error.
"""

from __future__ import annotations

import base64
import collections
import contextlib
import dataclasses
import hmac
import re
import secrets
import select
import socket
import ssl
import threading
from collections.abc import Iterator

from rowkeeper.endpoints import place_of_url
from rowkeeper.errors import DeclarationError, FrameworkError, RedirectRefused
from rowkeeper.protocols import WayOut
from rowkeeper.resilience.sockets import bounded_tls
from rowkeeper.security.tls import TLS, client_context, secure
from rowkeeper.security.tls.explaining import explained

STEP_SECONDS_MAX = 30.0
HEAD_BYTES_MAX = 64 << 10
PIECE_BYTES = 256 << 10
FAULT_STATUS, STRANGER_STATUS = 499, 407
FAULT = re.compile(r"rowkeeper-fault:(\d+)")
FAULTS_KEPT = 64
LINGER_BYTES_MAX = 16 << 20
USER = "rowkeeper"
DROPPED = (b"proxy-authorization:", b"proxy-connection:")


@dataclasses.dataclass(frozen=True, slots=True)
class Origin:
    """The store behind a relay.

    Attributes:
        url: its own, with the scheme that is really spoken: `https://host:port`.
        tls: how connections are secured.
    """

    url: str
    tls: TLS | None

    @property
    def inside(self) -> str:
        """The URL that the client is given: without TLS, which begins at the relay."""
        return "http://" + self.url.partition("://")[2]

    @property
    def target(self) -> tuple[bool, str, int]:
        """Whether TLS is spoken, and with whom."""
        scheme, host, port = place_of_url(self.url)
        return scheme == "https", host, port

    @property
    def authority(self) -> tuple[str, int]:
        """Host and port as the client names them."""
        _, host, port = place_of_url(self.inside)
        return host, port


class Relay:
    """A proxy for one client and one store; it listens until `close`.

    Args:
        way_out: how connections are made.

    Attributes:
        led: where the client was led to last by a redirect, as the error that says so.
    """

    def __init__(self, way_out: WayOut, origin: Origin) -> None:
        self._way_out, self._origin = way_out, origin
        self._password = secrets.token_urlsafe(32)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._faults: collections.OrderedDict[int, Exception] = collections.OrderedDict()
        self._closed = False
        self.led: RedirectRefused | None = None
        self._accepting = threading.Thread(target=self._accept, name="rowkeeper-store-relay", daemon=True)
        self._accepting.start()

    @property
    def url(self) -> str:
        """Where the client finds it. It holds a password: other users of this machine have no use for the relay."""
        return f"http://{USER}:{self._password}@127.0.0.1:{self._listener.getsockname()[1]}"

    def fault(self, told: str | None) -> Exception | None:
        """What went wrong on this side, by what an answer said of it; the last one if that was lost."""
        match = FAULT.search(told or "")
        with self._lock:
            if match is not None:
                return self._faults.get(int(match[1]))
            return next(reversed(self._faults.values()), None)

    def close(self) -> None:
        """Ends all connections.

        Nothing is closed here that another thread may be about to use: the number of its descriptor could be that of a
        new socket, somebody else's, before the other's call has reached the system.
        """
        with self._lock:
            self._closed = True
            for line in self._open:
                with contextlib.suppress(OSError):
                    line.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes `accept`
        self._accepting.join()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), name="rowkeeper-store-line", daemon=True).start()

    @contextlib.contextmanager
    def _kept(self, line: socket.socket) -> Iterator[None]:
        """Keeps a connection where `close` finds it, and closes it when `close` does not look at it."""
        with self._lock:
            closed = self._closed
            if not closed:
                self._open.add(line)
        try:
            if closed:
                raise ConnectionAbortedError("the relay is closed")
            yield
        finally:
            with self._lock:
                self._open.discard(line)
                line.close()

    def _serve(self, client: socket.socket) -> None:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.settimeout(STEP_SECONDS_MAX)
        requests = _Requests(self._password, self._origin.authority)
        with contextlib.suppress(OSError), self._kept(client):
            try:
                first = requests.first(client)
                if first:
                    upstream = self._connected()
                    with self._kept(upstream):
                        _Exchange(client, upstream, requests).run(first)
            except _Unanswered as error:
                self._tell(client, error.cause)
            except _NotOurs as stranger:
                self.led = stranger.led
                client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            except (FrameworkError, OSError) as error:
                self.led = error if isinstance(error, RedirectRefused) else self.led
                self._tell(client, error)

    def _connected(self) -> socket.socket:
        is_secure, host, port = self._origin.target
        line: socket.socket = self._way_out.connect(host, port, seconds_max=STEP_SECONDS_MAX)
        if is_secure:
            bounded_tls(client_context(self._origin.tls, ("http/1.1",)))
            line = secure(line, host, self._origin.tls, ("http/1.1",))
        line.setblocking(False)
        return line

    def _tell(self, client: socket.socket, error: Exception) -> None:
        """Answers a request with the number of a fault. What is still being sent is taken, or the answer is lost."""
        if isinstance(error, ssl.SSLError):
            _, host, port = self._origin.target
            error = explained(error, f"{host}:{port}", self._origin.tls) or error
        with self._lock:
            number = next(reversed(self._faults), 0) + 1
            self._faults[number] = error
            while len(self._faults) > FAULTS_KEPT:
                self._faults.popitem(last=False)
        body = f"rowkeeper-fault:{number}".encode()
        head = f"HTTP/1.1 {FAULT_STATUS} Fault\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
        with contextlib.suppress(OSError):
            client.setblocking(True)
            client.settimeout(STEP_SECONDS_MAX)
            client.sendall(head + body)
            client.shutdown(socket.SHUT_WR)
            left = LINGER_BYTES_MAX
            while left > 0 and (taken := client.recv(PIECE_BYTES)):
                left -= len(taken)


class _NotOurs(Exception):  # noqa: N818 - handled here, never seen outside
    """Somebody else's connection, which does not know the password; or the client's own after a redirect, as it does
    not tell the password to where it is led.
    """

    def __init__(self, led: RedirectRefused | None) -> None:
        super().__init__()
        self.led = led


class _Unanswered(Exception):  # noqa: N818 - handled here, never seen outside
    """The store went away before it answered a request at all."""

    def __init__(self, cause: Exception) -> None:
        super().__init__()
        self.cause = cause


class _Requests:
    """What a client sends on one connection, told apart into heads and bodies; heads are rewritten on the way."""

    def __init__(self, password: str, authority: tuple[str, int]) -> None:
        self._expected = b"Basic " + base64.b64encode(f"{USER}:{password}".encode())
        self._authority = authority
        self._pending = bytearray()
        self._body_left = 0

    def first(self, client: socket.socket) -> bytes:
        """The first request, as far as it has come. Empty if there is none."""
        while piece := client.recv(PIECE_BYTES):
            if out := self.feed(piece):
                return out
        return b""

    def feed(self, piece: bytes) -> bytes:
        """What goes on to the store, of what came."""
        out = []
        self._pending += piece
        while self._pending:
            if self._body_left:
                part = bytes(self._pending[: self._body_left])
                del self._pending[: len(part)]
                self._body_left -= len(part)
                out.append(part)
                continue
            end = self._pending.find(b"\r\n\r\n")
            if end < 0:
                if len(self._pending) > HEAD_BYTES_MAX:
                    raise DeclarationError("a request's head has no end")
                break
            head = bytes(self._pending[:end])
            del self._pending[: end + 4]
            out.append(self._rewritten(head))
        return b"".join(out)

    def _rewritten(self, head: bytes) -> bytes:
        line, *fields = head.split(b"\r\n")
        method, target, version = line.split(b" ", 2)
        shown = next((each.partition(b":")[2].strip() for each in fields if each.lower().startswith(DROPPED[0])), b"")
        led = self._led(method, target)
        if not hmac.compare_digest(shown, self._expected):
            raise _NotOurs(led)
        if led is not None:
            raise led
        if any(each.lower().startswith(b"transfer-encoding:") for each in fields):
            raise DeclarationError("a request has a body of unknown length")
        lengths = [each.partition(b":")[2].strip() for each in fields if each.lower().startswith(b"content-length:")]
        self._body_left = int(lengths[0]) if lengths else 0
        path = b"/" + target.partition(b"://")[2].partition(b"/")[2]
        kept = [each for each in fields if not each.lower().startswith(DROPPED)]
        return b"\r\n".join((b" ".join((method, path, version)), *kept, b"", b""))

    def _led(self, method: bytes, target: bytes) -> RedirectRefused | None:
        """The error for a request that is not for the store; None for one that is."""
        url = target.decode("latin-1")
        try:
            scheme, host, port = place_of_url(url if method != b"CONNECT" else f"connect://{url}")
        except DeclarationError:
            scheme, host, port = "", "what is no host", 0
        if (scheme, host, port) != ("http", *self._authority):
            return RedirectRefused(
                f"the store {self._authority[0]} leads to {host}",
                hint="a redirect to another host, or to a metadata service, is not followed; see endpoint= and region=",
                context={"host": host},
            )
        return None


class _Exchange:
    """Bytes to and fro, in one thread: an SSL connection is not read and written by two at a time."""

    def __init__(self, client: socket.socket, upstream: socket.socket, requests: _Requests) -> None:
        self._client, self._upstream, self._requests = client, upstream, requests
        self._answered = False
        self._buffer = bytearray(PIECE_BYTES)

    def run(self, first: bytes) -> None:
        poll = select.poll()
        poll.register(self._client, select.POLLIN)
        poll.register(self._upstream, select.POLLIN)
        self._send(first)
        while True:
            waiting = isinstance(self._upstream, ssl.SSLSocket) and self._upstream.pending()
            ready = {} if waiting else dict(poll.poll(STEP_SECONDS_MAX * 1000))
            if not waiting and not ready:
                if self._answered:
                    return
                raise _Unanswered(TimeoutError("the store did not answer"))
            if (waiting or self._upstream.fileno() in ready) and not self._answer():
                return
            if self._client.fileno() in ready and not self._ask():
                return

    def _ask(self) -> bool:
        piece = self._client.recv(PIECE_BYTES)
        if out := self._requests.feed(piece):
            self._send(out)
        return bool(piece)

    def _answer(self) -> bool:
        """Passes on a piece of an answer. False if the store has ended the connection."""
        try:
            size = self._upstream.recv_into(self._buffer)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
            return True
        except OSError as error:
            if self._answered:
                return False
            raise _Unanswered(error) from error
        if size:
            self._answered = True
            self._client.sendall(memoryview(self._buffer)[:size])
        return bool(size)

    def _send(self, data: bytes) -> None:
        self._answered = False
        view = memoryview(data)
        while view:
            try:
                view = view[self._upstream.send(view) :]
            except (ssl.SSLWantWriteError, BlockingIOError):
                self._wait(select.POLLOUT)
            except ssl.SSLWantReadError:
                self._wait(select.POLLIN)
            except OSError as error:
                raise _Unanswered(error) from error

    def _wait(self, what: int) -> None:
        poll = select.poll()
        poll.register(self._upstream, what)
        if not poll.poll(STEP_SECONDS_MAX * 1000):
            raise _Unanswered(TimeoutError("the store does not take what is sent"))
