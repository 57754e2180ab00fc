"""PostgreSQL at the addresses that were checked: libpq gets them as `hostaddr`, and looks nothing up itself.

The host stays beside it, for the certificate and for `.pgpass`.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping
from typing import Any

from sqlalchemy.engine import Dialect

from rowkeeper.errors import FrameworkError
from rowkeeper.ledger.places import BY_LIBPQ, PORTS
from rowkeeper.protocols import WayOut

UNIX_SOCKET = ("/", "@")


def pinned(dialect: Dialect, options: Mapping[str, Any], way_out: WayOut | None) -> dict[str, Any]:
    """What a driver is given to connect, with addresses beside each host, tried in turn.

    Other drivers than libpq's are given what they were: those in Python connect where the process's guard sees it.

    Raises:
        EgressRefused: a host is not declared, or has an address that may not be reached.
        dialect.loaded_dbapi.OperationalError: a host cannot be looked up.
    """
    given = dict(options)
    if way_out is None or dialect.driver not in BY_LIBPQ:
        return given
    hosts = str(given.get("hostaddr") or given.get("host") or os.environ.get("PGHOST") or "").split(",")
    ports = str(given.get("port") or os.environ.get("PGPORT") or PORTS["postgresql"]).split(",")
    if not all(port.isdecimal() for port in ports):
        return given  # libpq refuses it before it connects
    triples: list[tuple[str, str, str]] = []
    for host, port in zip(hosts, ports if len(ports) > 1 else itertools.repeat(ports[0]), strict=False):
        if not host or host.startswith(UNIX_SOCKET):
            triples.append((host, "", port))
            continue
        try:
            addresses = way_out.checked_addresses(host, int(port))
        except OSError as error:
            raise dialect.loaded_dbapi.OperationalError(f"the ledger's host cannot be looked up: {error}") from error
        triples += [(host, address, port) for address in addresses]
    if given.get("hostaddr"):  # given in the URL, and not refused
        return given
    if any(address for _, address, _ in triples):
        for name, values in zip(("host", "hostaddr", "port"), zip(*triples, strict=True), strict=True):
            given[name] = ",".join(values)
    return given


def kept(dialect: Dialect, connection: Any, way_out: WayOut | None) -> Any:
    """The connection that a driver made, bound to the interface that its host demands.

    Raises VpnRefused, the connection closed, if the way changed while libpq was connecting.
    """
    if way_out is None or dialect.driver not in BY_LIBPQ or not connection.info.host:
        return connection
    host, port = str(connection.info.host), int(connection.info.port)
    if host.startswith(UNIX_SOCKET):
        return connection
    try:
        way_out.keep(host, port, connection)
    except FrameworkError:
        connection.close()
        raise
    return connection
