"""NATS JetStream by nats-py, over connections that the one way out makes.

nats-py is asynchronous: its loop has a thread of its own, and callers wait. It gets a transport of ours, and no
reconnecting of its own: a connection that broke is an error of the call, and the next try makes a new one.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import ParseResult

from rowkeeper.brokers.calling import Caller, missing, refused, unauthorised, unavailable
from rowkeeper.brokers.credentials import Nkey, Signer
from rowkeeper.brokers.declaring import Broker
from rowkeeper.errors import FrameworkError, ProtocolRefused
from rowkeeper.protocols import Site, WayOut
from rowkeeper.resilience.deadline import seconds_left
from rowkeeper.resilience.outcomes import Effect, Happened
from rowkeeper.security.httpauth import Basic, Bearer
from rowkeeper.security.references import resolve
from rowkeeper.security.tls import TLS, client_context, verify_peer
from rowkeeper.security.tls.peers import telling
from rowkeeper.security.tls.plaintext import refuse_plaintext

if TYPE_CHECKING:
    import ssl

    import nats.aio.client
    import nats.js

T = TypeVar("T")
Ask = Callable[["nats.js.JetStreamContext"], Awaitable[T]]
CLOSING_SECONDS = 2.0


class NatsClient:
    """A client of a NATS server, connected when it is first asked and after it broke; close it.

    `client.ask(lambda stream: stream.stream_info("ORDERS"))` gives what the coroutine gives.

    Args:
        operation: what its calls are counted as: `read`, `write`.

    Raises DeclarationError if the library is not installed, PlaintextRefused.
    """

    def __init__(self, broker: Broker, site: Site, operation: str = "read") -> None:
        try:
            import nats.aio.client  # noqa: F401, PLC0415 - of an extra
        except ModuleNotFoundError:
            raise missing(broker) from None
        for host, _ in broker.hosts:
            refuse_plaintext(
                host, secure=broker.secure, plaintext=broker.plaintext, name=broker.place, setting="plaintext=True"
            )
        assert site.way_out is not None, "the broker is not reached from anywhere"
        self._broker = broker
        self._way_out = site.way_out.declaring(broker.endpoints())
        self._tls: TLS | None = broker.tls or site.default_tls
        self._calls = Caller(broker, site, operation, self._told)
        self.step_seconds_max = self._calls.step_seconds_max
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="rowkeeper-nats", daemon=True)
        self._thread.start()
        self._connected: nats.aio.client.Client | None = None

    def ask(self, ask: Ask[T], *, effect: Effect = Effect.READ, happened: Ask[Happened[T] | None] | None = None) -> T:
        """What JetStream answers; again if that is right. Raises as `Caller.call`."""
        return self._calls.call(
            lambda: self._asked(ask),
            effect=effect,
            happened=None if happened is None else lambda: self._asked(happened),
        )

    def close(self) -> None:
        """Closes the connection and ends the thread."""
        if self._loop.is_closed():
            return
        if self._connected is not None:
            # What nats-py raises at a connection that is broken already is nobody's business any more.
            with contextlib.suppress(OSError, asyncio.TimeoutError, FrameworkError, *_errors()):
                self._waited(self._connected.close(), CLOSING_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _asked(self, ask: Ask[T]) -> T:
        return self._waited(self._asked_within(ask), self._calls.step_seconds_max)

    def _waited(self, work: Coroutine[Any, Any, T], seconds_max: float) -> T:
        future: Future[T] = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(seconds_left(seconds_max))
        except BaseException:
            future.cancel()
            raise

    async def _asked_within(self, ask: Ask[T]) -> T:
        if self._connected is None or not self._connected.is_connected:
            self._connected = await self._connect()
        return await ask(self._connected.jetstream(timeout=self._calls.step_seconds_max))

    async def _connect(self) -> nats.aio.client.Client:
        import nats.aio.client  # noqa: PLC0415

        client = nats.aio.client.Client()
        transport = _transport(self._way_out, self._tls, self._broker)
        client._transport = transport  # nats-py makes its own only where there is none
        credentials = self._credentials(client)
        try:
            await client.connect(
                servers=[f"nats://{f'[{host}]' if ':' in host else host}:{port}" for host, port in self._broker.hosts],
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                connect_timeout=max(1, int(self._calls.step_seconds_max)),
                error_cb=_unheard,
                name="rowkeeper",
                **credentials,
            )
        except BaseException:
            transport.close()
            if transport.trouble is not None:
                raise transport.trouble from None
            raise
        return client

    def _credentials(self, client: nats.aio.client.Client) -> dict[str, Any]:
        auth = self._broker.auth
        if isinstance(auth, Basic):
            return {"user": auth.user, "password": resolve(auth.password).reveal()}
        if isinstance(auth, Bearer):
            return {"token": resolve(auth.token).reveal()}
        if isinstance(auth, Nkey):
            signer = Signer(auth)
            client._public_nkey = signer.public
            jwt = signer.jwt
            if jwt is None:
                return {"signature_cb": signer.sign}
            return {"signature_cb": signer.sign, "user_jwt_cb": lambda: jwt.reveal().strip().encode()}
        return {}

    def _told(self, error: Exception) -> FrameworkError | None:
        from nats import errors  # noqa: PLC0415
        from nats.js import errors as js  # noqa: PLC0415

        kind = type(error).__name__
        words = str(error).lower()
        if "authorization violation" in words or "authentication" in words or "permissions violation" in words:
            return unauthorised(self._broker, kind)
        if isinstance(error, (js.ServiceUnavailableError, js.NoStreamResponseError)):
            return unavailable(self._broker, kind)
        if isinstance(error, js.APIError):
            return refused(self._broker, f"{kind} {error.err_code or error.code}")
        if isinstance(error, (errors.Error, OSError, TimeoutError, asyncio.TimeoutError, EOFError)):
            return unavailable(self._broker, kind)
        return None


def _errors() -> tuple[type[Exception], ...]:
    from nats import errors  # noqa: PLC0415

    return (errors.Error,)


async def _unheard(error: Exception) -> None:
    """nats-py would log it with a traceback; it is the call's to raise."""


def _transport(way_out: WayOut, tls: TLS | None, broker: Broker) -> Any:  # noqa: C901 - a class, of an extra's base
    """A transport of nats-py whose connections are made by the way out, and secured by our rules."""
    from nats.aio.transport import TcpTransport  # noqa: PLC0415

    class Transport(TcpTransport):
        """Of one connection.

        Attributes:
            trouble: what kept it from being made; nats-py tries on, and then says something else.
        """

        def __init__(self) -> None:
            super().__init__()
            self.trouble: FrameworkError | None = None
            self._secured = False

        def __bool__(self) -> bool:
            return True

        async def connect(self, uri: ParseResult, buffer_size: int, connect_timeout: int) -> None:
            host, port = uri.hostname or "", uri.port or 0
            try:
                line = await asyncio.to_thread(way_out.connect, host, port, seconds_max=float(connect_timeout))
            except FrameworkError as error:
                self.trouble = error
                raise
            plain = socket.socket(line.family, line.type, line.proto, fileno=line.detach())
            plain.setblocking(False)
            reader, writer = await asyncio.open_connection(sock=plain, limit=buffer_size)
            self._bare_io_reader = self._io_reader = reader
            self._bare_io_writer = self._io_writer = writer

        async def connect_tls(
            self, uri: str | ParseResult, ssl_context: ssl.SSLContext, buffer_size: int, connect_timeout: int
        ) -> None:
            host = uri if isinstance(uri, str) else uri.hostname or ""
            try:
                with telling(host, tls):
                    await super().connect_tls(host, client_context(tls), buffer_size, connect_timeout)
                assert self._io_writer is not None
                verify_peer(self._io_writer.get_extra_info("ssl_object"), tls, host)
            except FrameworkError as error:
                self.trouble = error
                raise
            self._secured = True

        async def readline(self) -> bytes:
            """In TLS 1.3 a server says in its first answer what it thinks of a client's certificate."""
            with telling(broker.hosts[0][0], tls):
                return bytes(await super().readline())

        def write(self, payload: bytes) -> None:
            """The first thing that is written tells who we are: never without TLS where it was demanded."""
            if broker.secure and not self._secured:
                self.trouble = ProtocolRefused(
                    f"{broker.place} offers no TLS", hint="let the server speak TLS, or name the port on which it does"
                )
                raise self.trouble
            super().write(payload)

        def close(self) -> None:
            if self._io_writer is not None:
                self._io_writer.close()

    return Transport()
