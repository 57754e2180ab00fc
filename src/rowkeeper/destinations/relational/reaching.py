"""The way to PostgreSQL: checked addresses, TLS that checks who answers, a password that is read at each connect."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from rowkeeper.destinations.relational.place import Place
from rowkeeper.errors import FrameworkError
from rowkeeper.ledger.securing import Transport, explained, secured
from rowkeeper.protocols import WayOut
from rowkeeper.resilience.deadline import seconds_left
from rowkeeper.security.references import resolve
from rowkeeper.security.tls import TLS

CONNECT_SECONDS_MAX = 10
CONNECT_SECONDS_MIN = 2  # libpq takes 1 for 2
DRIVER = "psycopg"


@dataclasses.dataclass(frozen=True, slots=True)
class Reach:
    """How a database is reached.

    Attributes:
        password: a reference; None leaves it to libpq (`.pgpass`, peer).
        way_out: leads to declared hosts; None where there is no network in it.
    """

    place: Place
    password: str | None
    transport: Transport
    way_out: WayOut | None


def connected(driver: Any, reach: Reach) -> Any:
    """A connection of psycopg.

    Raises:
        psycopg.OperationalError: the server is not there, or does not let us in.
        EgressRefused, TLSError, SecretUnavailable: as they say.
    """
    place = reach.place
    options: dict[str, Any] = {
        "host": place.host,
        "port": str(place.port),
        "user": place.user,
        "dbname": place.database,
        "password": resolve(reach.password).reveal() if reach.password else "",
        **dict(place.options),
    }
    given = secured(DRIVER, {name: text for name, text in options.items() if text}, reach.transport)
    if not place.is_socket and reach.way_out is not None:
        addresses = reach.way_out.checked_addresses(place.host, place.port)
        given["host"] = ",".join([place.host] * len(addresses))
        given["hostaddr"] = ",".join(addresses)
        given["port"] = ",".join([str(place.port)] * len(addresses))
    left = seconds_left(CONNECT_SECONDS_MAX)
    given["connect_timeout"] = max(CONNECT_SECONDS_MIN, math.ceil(left or CONNECT_SECONDS_MAX))
    given["keepalives_idle"] = "30"
    try:
        connection = driver.connect(**given)
    except driver.OperationalError as error:
        told = explained(error, DRIVER, given, reach.transport)
        if told is not None:
            raise told from error
        raise
    if not place.is_socket and reach.way_out is not None:
        try:
            reach.way_out.keep(place.host, place.port, connection)
        except FrameworkError:
            connection.close()
            raise
    return connection


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
