"""The HTTP client of every connector: httpx, whose connections are the gateway's.

httpx (0.28) lets its connections be made by somebody else (`httpcore.ConnectionPool(network_backend=...)`), checks and
names the host in TLS and in the request whatever was connected to. urllib3 would have to be subclassed at methods that
are its own, aiohttp is for event loops only.

The client keeps to one host's redirects, and takes no proxy and no certificate from the environment.
"""

from __future__ import annotations

import select
import socket
import ssl
import typing
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec

from rowkeeper.endpoints import canonical_host
from rowkeeper.errors import ConfigurationError, DeclarationError, EgressRefused, RedirectRefused
from rowkeeper.protocols import WayOut
from rowkeeper.resilience.sockets import bounded_tls
from rowkeeper.security.tls import TLS, client_context, require_tls, secure

try:
    import httpcore
    import httpx
except ImportError as missing:
    raise ConfigurationError(
        "connections by HTTP need a library that is not installed", hint="pip install 'rowkeeper[http]'"
    ) from missing

REDIRECTS_MAX = 5
SECONDS_MAX = 30.0
H2_OR_1 = ("h2", "http/1.1")
NEVER_USED = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # httpcore wants one; which is used is decided at each connection


def http_client(
    way_out: WayOut,
    *,
    name: str,
    tls: TLS | None = None,
    plaintext: bool = False,
    plaintext_setting: str = "plaintext=True",
    base_url: str = "",
    headers: Mapping[str, str] | None = None,
    seconds_max: float = SECONDS_MAX,
    http2: bool = False,
) -> httpx.Client:
    """A client for what may be reached by a way out. Close it, or use it as a context manager.

    Args:
        name: what is asked, for people, such as `the vault`.
        tls: whose certificates are trusted, what is shown, which keys are known. None is this machine's store.
        plaintext: hosts off this machine may be reached without TLS.
        plaintext_setting: how a user says so, for the error.
        seconds_max: how long each step may take: to connect, to send, to wait for the next piece of an answer.
        http2: HTTP/2 is spoken with servers that do, which their TLS says; where `h2` is not installed, HTTP/1.1 is.

    Its calls raise EgressRefused and TLSError and what is derived from them, DeadlineExceeded, and otherwise httpx's
    own errors.
    """

    http2 = http2 and find_spec("h2") is not None

    def check(request: httpx.Request) -> None:
        _refuse_user(request)
        require_tls(str(request.url), plaintext=plaintext, name=name, setting=plaintext_setting)

    return httpx.Client(
        transport=_Transport(_Backend(way_out, tls, H2_OR_1 if http2 else ()), http2=http2),
        base_url=base_url,
        headers=headers,
        timeout=seconds_max,
        follow_redirects=True,
        max_redirects=REDIRECTS_MAX,
        trust_env=False,
        event_hooks={"request": [check], "response": [_check_redirect]},
    )


def _refuse_user(request: httpx.Request) -> None:
    if request.url.userinfo:
        raise EgressRefused(
            f"the URL of {request.url.host} holds a user or a password",
            hint="give them beside the URL: auth=, headers=, secrets by reference",
        )


def _check_redirect(response: httpx.Response) -> None:
    """Lets a redirect pass that stays at its host, and does not give up TLS."""
    if not response.has_redirect_location:
        return
    here = response.request.url
    try:
        there = here.join(response.headers["location"])
        same = canonical_host(there.host) == canonical_host(here.host)
    except (httpx.InvalidURL, DeclarationError):
        raise RedirectRefused(f"{here.host} redirects to what is no URL", hint="see to that server") from None
    if not same or there.userinfo:
        raise RedirectRefused(f"{here.host} redirects to another host", hint="declare and use the other one, if meant")
    if (here.scheme, there.scheme) == ("https", "http"):
        raise RedirectRefused(f"{here.host} redirects from https to http", hint="see to that server")
    if there.scheme == here.scheme and _port(there) != _port(here):
        raise RedirectRefused(f"{here.host} redirects to another port", hint="declare and use the other one, if meant")


def _port(url: httpx.URL) -> int:
    return url.port or (443 if url.scheme == "https" else 80)


class _Transport(httpx.BaseTransport):
    """httpx's own one would make its pool without our backend; this is the public part of it."""

    def __init__(self, backend: httpcore.NetworkBackend, *, http2: bool) -> None:
        self._pool = httpcore.ConnectionPool(
            ssl_context=NEVER_USED,
            network_backend=backend,
            keepalive_expiry=5.0,
            max_keepalive_connections=20,
            http2=http2,
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Implements httpx.BaseTransport."""
        assert isinstance(request.stream, httpx.SyncByteStream)
        asked = httpcore.Request(
            method=request.method,
            url=httpcore.URL(
                scheme=request.url.raw_scheme,
                host=request.url.raw_host,
                port=request.url.port,
                target=request.url.raw_path,
            ),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        with _in_httpx_words():
            answer = self._pool.handle_request(asked)
        assert isinstance(answer.stream, typing.Iterable)
        return httpx.Response(
            status_code=answer.status,
            headers=answer.headers,
            stream=_Body(answer.stream),
            extensions=answer.extensions,
        )

    def close(self) -> None:
        """Implements httpx.BaseTransport."""
        self._pool.close()


class _Body(httpx.SyncByteStream):
    def __init__(self, stream: Iterable[bytes]) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        with _in_httpx_words():
            yield from self._stream

    def close(self) -> None:
        if hasattr(self._stream, "close"):
            self._stream.close()


@contextmanager
def _in_httpx_words() -> Iterator[None]:
    """httpcore's errors have the names of httpx's."""
    try:
        yield
    except (
        httpcore.NetworkError,
        httpcore.TimeoutException,
        httpcore.ProtocolError,
        httpcore.UnsupportedProtocol,
    ) as e:
        raise getattr(httpx, type(e).__name__)(str(e)) from e


class _Backend(httpcore.NetworkBackend):
    """Where httpcore gets its connections: from the one way out, and from nowhere else."""

    def __init__(self, way_out: WayOut, tls: TLS | None, alpn: tuple[str, ...]) -> None:
        self._way_out = way_out
        self._tls = tls
        self._alpn = alpn

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Implements httpcore.NetworkBackend."""
        with _told(httpcore.ConnectTimeout, httpcore.ConnectError):
            line = self._way_out.connect(host, port, seconds_max=timeout)
        return _Stream(line, self._tls, self._alpn)


class _Stream(httpcore.NetworkStream):
    def __init__(self, line: socket.socket, tls: TLS | None, alpn: tuple[str, ...]) -> None:
        self._line = line
        self._tls = tls
        self._alpn = alpn

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with _told(httpcore.ReadTimeout, httpcore.ReadError):
            self._line.settimeout(timeout)
            return self._line.recv(max_bytes)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        with _told(httpcore.WriteTimeout, httpcore.WriteError):
            while buffer:
                self._line.settimeout(timeout)
                buffer = buffer[self._line.send(buffer) :]

    def close(self) -> None:
        self._line.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        bounded_tls(client_context(self._tls, self._alpn))  # the one that `secure` takes as well
        with _told(httpcore.ConnectTimeout, httpcore.ConnectError):
            self._line.settimeout(timeout)
            line = secure(self._line, canonical_host(server_hostname or ""), self._tls, self._alpn)
            return _Stream(line, self._tls, self._alpn)

    def get_extra_info(self, info: str) -> typing.Any:
        if info == "is_readable":  # asked of a connection that is kept: then the other side has closed it
            readable = select.poll()
            readable.register(self._line, select.POLLIN)
            return bool(readable.poll(0))
        if info == "ssl_object":
            return self._line if isinstance(self._line, ssl.SSLSocket) else None
        return {"socket": lambda: self._line, "server_addr": self._line.getpeername}.get(info, lambda: None)()


@contextmanager
def _told(timeout: type[Exception], error: type[Exception]) -> Iterator[None]:
    """What the system says, in httpcore's words; our own errors stay as they are."""
    try:
        yield
    except TimeoutError as raised:
        raise timeout(str(raised)) from raised
    except OSError as raised:
        raise error(str(raised)) from raised
