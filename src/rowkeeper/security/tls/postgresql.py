"""PostgreSQL and TLS: how it is asked for, and why a handshake failed that libpq made.

libpq has an OpenSSL of its own and tells of its errors in one sentence of text, or in none. What is wrong is found out
by a handshake of ours with the same server: it sends nothing, and ends before PostgreSQL would ask who is there.
"""

from __future__ import annotations

import contextlib
import socket
import struct

from rowkeeper.errors import ProtocolRefused, TLSError
from rowkeeper.resilience.deadline import seconds_left
from rowkeeper.security.tls.declaring import TLS
from rowkeeper.security.tls.peers import secure, telling

SSL_REQUEST = struct.pack("!II", 8, 80877103)  # PostgreSQL 18, 54.2.11 SSL Session Encryption
SECONDS_MAX = 10.0
ALERT_SECONDS = 0.5  # in TLS 1.3 a server says after the handshake what it thinks of a client's certificate


def ask_for_tls(connection: socket.socket, place: str) -> None:
    """Asks a PostgreSQL server to go on in TLS. Raises ProtocolRefused if it does not, and OSError."""
    connection.sendall(SSL_REQUEST)
    if connection.recv(1) != b"S":
        raise ProtocolRefused(f"PostgreSQL on {place} offers no TLS", hint="set ssl = on in its postgresql.conf")


def why_refused(host: str, address: str, port: int, tls: TLS) -> TLSError:
    """What is wrong with a server that libpq could not reach by TLS.

    Args:
        host: the name that its certificate must be for.
        address: where it is.
    """
    try:
        connection = socket.create_connection((address, port), timeout=seconds_left(SECONDS_MAX))
        with contextlib.closing(connection):
            ask_for_tls(connection, f"{host}:{port}")
            with secure(connection, host, tls) as secured, telling(host, tls):
                secured.settimeout(ALERT_SECONDS)
                with contextlib.suppress(TimeoutError):
                    secured.recv(1)
    except TLSError as error:
        return error
    except OSError:
        pass  # it hangs up: nothing more is to be learnt
    return TLSError(
        f"{host}:{port} could not be reached by TLS, and a second try did not say why",
        hint=f"rowkeeper certs check {host}:{port} --protocol postgresql says more",
    )
