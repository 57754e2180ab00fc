"""Valkey and Redis by valkey-py, over connections that the one way out makes."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from rowkeeper.brokers.calling import Caller, missing, refused, unauthorised, unavailable
from rowkeeper.brokers.declaring import Broker
from rowkeeper.errors import FrameworkError
from rowkeeper.protocols import Site
from rowkeeper.security.httpauth import Basic
from rowkeeper.security.references import resolve
from rowkeeper.security.tls import secure
from rowkeeper.security.tls.peers import telling
from rowkeeper.security.tls.plaintext import refuse_plaintext

if TYPE_CHECKING:
    import valkey

REFUSALS = {"NOAUTH", "WRONGPASS", "NOPERM"}


class ValkeyClient:
    """A client of one server; close it.

    Args:
        operation: what its calls are counted as: `read`, `write`.

    Attributes:
        calls: each command goes through it: `client.calls.call(lambda: client.redis.xlen(key))`.
        redis: valkey-py's own client, of bytes; without retries of its own.

    Raises DeclarationError if the library is not installed, PlaintextRefused.
    """

    def __init__(self, broker: Broker, site: Site, operation: str = "read") -> None:
        try:
            import valkey  # noqa: PLC0415 - of an extra
        except ModuleNotFoundError:
            raise missing(broker) from None
        host, port = broker.hosts[0]
        refuse_plaintext(
            host, secure=broker.secure, plaintext=broker.plaintext, name=broker.place, setting="plaintext=True"
        )
        self.calls = Caller(broker, site, operation, lambda error: _told(broker, error))
        auth = broker.auth
        user, password = (auth.user, resolve(auth.password)) if isinstance(auth, Basic) else (None, None)
        self.redis: valkey.Valkey = valkey.Valkey(
            connection_pool=valkey.ConnectionPool(
                connection_class=_connection_class(broker, site),
                host=host,
                port=port,
                db=int(broker.parameters.get("db", "0")),
                username=user,
                password=None if password is None else password.reveal(),
                socket_timeout=self.calls.step_seconds_max,
                lib_name=None,
                lib_version=None,
            )
        )

    def close(self) -> None:
        """Closes its connections."""
        self.redis.close()
        self.redis.connection_pool.disconnect()


def _connection_class(broker: Broker, site: Site) -> type[valkey.Connection]:
    import valkey  # noqa: PLC0415

    assert site.way_out is not None, "the broker is not reached from anywhere"
    way_out = site.way_out.declaring(broker.endpoints())
    tls = broker.tls or site.default_tls

    class Connection(valkey.Connection):
        """One of ours: looked up, checked and connected by the way out, TLS by our rules."""

        def _connect(self) -> socket.socket:
            line = way_out.connect(self.host, self.port, seconds_max=self.socket_connect_timeout)
            if not broker.secure:
                return line
            secured = secure(line, self.host, tls)
            secured.settimeout(self.socket_timeout)
            return secured

        def on_connect(self) -> None:
            """In TLS 1.3 a server says in its first answer what it thinks of a client's certificate."""
            with telling(self.host, tls):
                super().on_connect()

    return Connection


def _told(broker: Broker, error: Exception) -> FrameworkError | None:
    from valkey import exceptions  # noqa: PLC0415

    kind = type(error).__name__
    if isinstance(error, (exceptions.AuthenticationError, exceptions.NoPermissionError)):
        return unauthorised(broker, kind)
    if isinstance(error, (exceptions.ConnectionError, exceptions.TimeoutError, OSError)):
        return unavailable(broker, kind)
    if isinstance(error, exceptions.ResponseError):
        word = str(error).partition(" ")[0]
        if word in REFUSALS:
            return unauthorised(broker, word)
        if word in ("LOADING", "MASTERDOWN", "TRYAGAIN", "CLUSTERDOWN", "BUSY", "READONLY"):
            return unavailable(broker, word)
        return refused(broker, word if word.isupper() and word.isalpha() else kind)
    return None


def said(error: Exception) -> Any:
    """The first word of what a server answered, such as `NOGROUP`; empty for others."""
    return str(error).partition(" ")[0]
