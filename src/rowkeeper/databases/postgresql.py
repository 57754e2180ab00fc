"""A connection to PostgreSQL by psycopg: checked addresses, TLS that checks who answers, a password read each time."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rowkeeper.databases.place import Place
from rowkeeper.errors import FrameworkError
from rowkeeper.extras import library
from rowkeeper.ledger.securing import Transport, explained, secured
from rowkeeper.protocols import WayOut
from rowkeeper.resilience.deadline import seconds_left
from rowkeeper.security.references import resolve
from rowkeeper.security.tls import TLS

if TYPE_CHECKING:
    import psycopg

CONNECT_SECONDS_MAX = 10
CONNECT_SECONDS_MIN = 2  # libpq takes 1 for 2
DRIVER = "psycopg"


def driver() -> Any:
    """The module psycopg. Raises ConfigurationError if it is not installed."""
    return library("psycopg", "postgres", "PostgreSQL needs a driver (psycopg)")


def transport_of(tls: TLS | None, plaintext: bool) -> Transport:
    """What TLS demands of the way to a database that a pipeline declares."""
    return Transport(
        tls or TLS(),
        plaintext,
        what="database",
        url="its URL",
        authority="tls=rk.TLS(ca=...)",
        says_so="plaintext=True",
    )


def connected(
    place: Place, password: str | None, transport: Transport, way_out: WayOut | None, *, autocommit: bool
) -> psycopg.Connection[Any]:
    """A connection.

    Args:
        password: a reference; None leaves it to libpq (`.pgpass`, peer).
        way_out: leads to the place if it is on the network.

    Raises:
        psycopg.Error: the server is not there, or does not let us in.
        EgressRefused, TLSError, SecretUnavailable: as they say.
    """
    libpq = driver()
    options: dict[str, Any] = {
        "host": place.host,
        "port": str(place.port),
        "user": place.user,
        "dbname": place.database,
        "password": resolve(password).reveal() if password else "",
        **dict(place.options),
    }
    given = secured(DRIVER, {name: text for name, text in options.items() if text}, transport)
    if not place.is_local and way_out is not None:
        addresses = way_out.checked_addresses(place.host, place.port)
        given["host"] = ",".join([place.host] * len(addresses))
        given["hostaddr"] = ",".join(addresses)
        given["port"] = ",".join([str(place.port)] * len(addresses))
    left = seconds_left(CONNECT_SECONDS_MAX)
    given["connect_timeout"] = max(CONNECT_SECONDS_MIN, math.ceil(left or CONNECT_SECONDS_MAX))
    given |= {"application_name": "rowkeeper", "client_encoding": "utf8", "keepalives_idle": "30"}
    with _told(libpq, given, transport):
        connection: psycopg.Connection[Any] = libpq.connect(**given, autocommit=autocommit)
    if not place.is_local and way_out is not None:
        try:
            way_out.keep(place.host, place.port, connection)
        except FrameworkError:
            connection.close()
            raise
    return connection


@contextlib.contextmanager
def _told(libpq: Any, given: dict[str, Any], transport: Transport) -> Iterator[None]:
    try:
        yield
    except libpq.OperationalError as error:
        told = explained(error, DRIVER, given, transport)
        if told is not None:
            raise told from error
        raise
