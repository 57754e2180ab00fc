"""A connection to MySQL or MariaDB by PyMySQL, over a socket that the one way out has made."""

from __future__ import annotations

import socket
import ssl
from typing import Any

from rowkeeper.databases.place import Place
from rowkeeper.extras import library
from rowkeeper.protocols import WayOut
from rowkeeper.resilience.deadline import seconds_left
from rowkeeper.security.references import resolve
from rowkeeper.security.tls import TLS, client_context, is_local, secure
from rowkeeper.security.tls.plaintext import refuse_plaintext

STEP_SECONDS_MAX = 30.0
CONNECT_SECONDS_MAX = 10.0


def driver() -> Any:
    """The module pymysql. Raises ConfigurationError if it is not installed."""
    return library("pymysql", "mysql", "MySQL and MariaDB need a driver (PyMySQL)")


def connected(
    place: Place,
    password: str | None,
    tls: TLS | None,
    way_out: WayOut | None,
    *,
    secured: bool,
    plaintext: bool,
    **more: Any,
) -> Any:
    """A connection in autocommit. A host off this machine is asked for TLS, and checked, before it is told a password.

    Args:
        password: a reference.
        secured: TLS is wanted for a host on this machine as well.
        plaintext: the place says by name that it is reached without TLS.
        more: for `pymysql.connect`.

    Raises:
        pymysql.MySQLError: the server is not there, or does not let us in.
        EgressRefused, TLSError, SecretUnavailable: as they say.
    """
    mysql = driver()
    secured = not place.is_local and (secured or not is_local(place.host)) and not plaintext
    if not place.is_local:
        refuse_plaintext(place.host, secure=secured, plaintext=plaintext, name="the database", setting="plaintext=True")
    seconds = seconds_left(STEP_SECONDS_MAX)
    given: dict[str, Any] = {
        "host": place.host or "localhost",
        "port": place.port,
        "user": place.user,
        "password": resolve(password).reveal().encode() if password else b"",
        "database": place.database,
        "charset": "utf8mb4",
        "autocommit": True,
        "connect_timeout": seconds_left(CONNECT_SECONDS_MAX),
        "read_timeout": seconds,
        "write_timeout": seconds,
        "local_infile": False,
        "defer_connect": True,
        **more,
        **({"ssl": client_context(tls)} if secured else {"ssl_disabled": True}),
    }
    if place.is_local:
        given["unix_socket"] = place.host or None
    connection = mysql.connect(**given)
    if secured:
        connection.ctx = _Handshake(place.host, tls)
    line = None
    if not place.is_local:
        assert way_out is not None, "the source is not at work anywhere"
        line = way_out.connect(place.host, place.port, seconds_max=CONNECT_SECONDS_MAX)
    connection.connect(line)
    return connection


class _Handshake:
    """What PyMySQL takes for a context: makes our handshake, with its checks, before anything of ours is said."""

    def __init__(self, host: str, tls: TLS | None) -> None:
        self._host, self._tls = host, tls

    def wrap_socket(self, sock: socket.socket, server_hostname: str) -> ssl.SSLSocket:
        """Implements what is used of `ssl.SSLContext`."""
        del server_hostname
        return secure(sock, self._host, self._tls)
