"""`rowkeeper query`: SQL that people type, at the engine that the settings name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rowkeeper.destinations.embedded.reading import ReadClient, embedded_read_client
from rowkeeper.destinations.mergetree.destination import ClickHouseDestination
from rowkeeper.protocols import Destination, Site


@contextmanager
def read_client(site: Site, destination: Destination | None = None) -> Iterator[ReadClient]:
    """A client for typed SQL, closed when the block is left.

    Args:
        destination: where the tables are that are asked; None is where the settings say that tables are.
    """
    server = site.clickhouse_reader
    if isinstance(destination, ClickHouseDestination):
        own = destination.placed().server or None
        server = own if own != site.clickhouse else server
    if server is None:
        with embedded_read_client(site) as client:
            yield client
        return
    from rowkeeper.destinations.server.connection import ServerConnection  # noqa: PLC0415 - few have a server
    from rowkeeper.destinations.server.reading import ServerReadClient  # noqa: PLC0415

    engine = ServerConnection(site, server, writes=False)
    try:
        yield ServerReadClient(engine, site)
    finally:
        engine.close()
