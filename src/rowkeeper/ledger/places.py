"""Where a ledger's URL leads: the hosts and ports that its driver connects to."""

from __future__ import annotations

import os
from collections.abc import Iterator

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from rowkeeper.endpoints import Endpoint, Via
from rowkeeper.errors import ConfigurationError

BY_LIBPQ = ("psycopg", "psycopg2", "psycopg_async")
PORTS = {"postgresql": 5432, "mysql": 3306, "mariadb": 3306, "oracle": 1521, "mssql": 1433}


def ledger_endpoints(url: str | None, via: str | None = None) -> tuple[Endpoint, ...]:
    """The hosts of a ledger's URL; none for SQLite and for a Unix socket.

    Args:
        via: the interface by which alone they are reached, as `Via.parse` takes it.

    They are the words of whoever set the URL up, so an address in a private network is meant.

    Raises ConfigurationError if it is no SQLAlchemy URL.
    """
    if url is None:
        return ()
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ConfigurationError(
            "the ledger's URL cannot be used: ArgumentError",
            hint="ROWKEEPER_LEDGER_URL is a SQLAlchemy URL; its driver must be installed",
        ) from error
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        return ()
    default = PORTS.get(backend)
    return tuple(
        Endpoint(host, port or default, private=True, why="the ledger", via=None if via is None else Via.parse(via))
        for host, port in _places(parsed)
        if not host.startswith(("/", "@"))  # a Unix socket
    )


def _places(url: URL) -> Iterator[tuple[str, int | None]]:
    """Of one host, or of several: `?host=a:5432&host=b:5432`, `?host=a,b&port=5432,5433`. Addresses go before names."""
    addresses = _listed(url, "hostaddr")
    if url.host and not addresses:
        yield url.host, url.port
        return
    ports = _listed(url, "port") or ([str(url.port)] if url.port else [])
    for number, given in enumerate(addresses or _listed(url, "host") or _unsaid(url)):
        host, _, port = given.partition(":") if given.count(":") == 1 else (given, "", "")
        port = port or next(iter(ports[number:] or ports[-1:]), "")  # one port is for all of them
        yield host, int(port) if port.isdecimal() else None


def _unsaid(url: URL) -> list[str]:
    """Where a URL without a host leads: libpq's to its variable, or else to a Unix socket."""
    if url.get_driver_name() not in BY_LIBPQ:
        return ["localhost"]
    return [each for each in os.environ.get("PGHOST", "").split(",") if each]


def _listed(url: URL, name: str) -> list[str]:
    values = url.query.get(name, ())
    return [each for value in ([values] if isinstance(values, str) else values) for each in value.split(",") if each]
