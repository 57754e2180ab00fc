"""A snapshot of a database, whichever it is, by the one way that calls go."""

from __future__ import annotations

from rowkeeper.databases import mysql, postgresql
from rowkeeper.protocols import Site
from rowkeeper.resilience.policy import Resilience, Retry
from rowkeeper.sources.database.access import Access
from rowkeeper.sources.database.described import Snapshot
from rowkeeper.sources.database.mysql import MySQLSnapshot
from rowkeeper.sources.database.postgresql import PostgresSnapshot
from rowkeeper.sources.database.sqlite import SQLiteSnapshot
from rowkeeper.sources.database.telling import CLASSIFIER

READING = Resilience(
    retry=Retry(attempts=5, wait_seconds_initial=0.25, wait_seconds_max=8.0, attempt_seconds_max=300.0),
    deadline_seconds=900.0,
)


def opened(access: Access, site: Site, parallel: int) -> Snapshot:
    """What is there now, to be read at leisure.

    Args:
        parallel: how many connections read at a time, where several can see the same.

    Raises what the drivers raise, and what the way out does.
    """
    place = access.place
    if place.backend == "sqlite":
        return SQLiteSnapshot(place.database)
    line = site.calls.to(place.name, "read", access.resilience or READING, CLASSIFIER)
    way_out = None if site.way_out is None else site.way_out.declaring(place.endpoints())
    tls = access.tls or site.default_tls
    if place.backend == "mysql":
        return MySQLSnapshot(
            lambda **more: mysql.connected(
                place,
                access.password,
                tls,
                way_out,
                secured=access.tls is not None,
                plaintext=access.plaintext,
                **more,
            ),
            line,
        )
    transport = postgresql.transport_of(tls, access.plaintext)
    return PostgresSnapshot(
        lambda: postgresql.connected(place, access.password, transport, way_out, autocommit=True), line, parallel
    )
