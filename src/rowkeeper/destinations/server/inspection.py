"""What `rowkeeper doctor` asks a ClickHouse server: whether each of its replicas answers, and what is wrong there."""

from __future__ import annotations

import dataclasses

from rowkeeper.destinations.server.connection import ServerConnection
from rowkeeper.destinations.server.place import Server
from rowkeeper.errors import FrameworkError
from rowkeeper.protocols import Site

BROKEN = "SELECT database, table, count() FROM system.detached_parts WHERE reason LIKE 'broken%' GROUP BY 1, 2"
REPLICAS = (
    "SELECT database, table, is_readonly, absolute_delay, queue_size FROM system.replicas "
    "WHERE is_readonly OR absolute_delay > 300"
)


@dataclasses.dataclass(frozen=True, slots=True)
class ServerStatus:
    """A look at one replica.

    Attributes:
        place: host and port.
        version: of ClickHouse; None where it could not be asked.
        faults: what is wrong, a sentence each.
        hint: the mend of what keeps it from answering.
    """

    place: str
    version: str | None
    faults: tuple[str, ...]
    hint: str = ""


def server_status(site: Site, server: Server) -> list[ServerStatus]:
    """Looks at every replica, each by itself: those that do not answer are told, and keep none from being looked at."""
    return [_status(site, dataclasses.replace(server, places=(place,))) for place in server.places]


def _status(site: Site, server: Server) -> ServerStatus:
    try:
        engine = ServerConnection(site, server, writes=False)
    except FrameworkError as error:
        return ServerStatus(server.name, None, (error.what,), error.hint)
    try:
        version = str(engine.read(lambda client: client.command("SELECT version()")))
        broken = engine.read(lambda client: client.query(BROKEN).result_rows)
        lagging = engine.read(lambda client: client.query(REPLICAS).result_rows)
    except FrameworkError as error:
        return ServerStatus(server.name, None, (error.what,), error.hint)
    finally:
        engine.close()
    faults = [f"{database}.{table}: {count} broken parts" for database, table, count in broken]
    faults += [
        f"{database}.{table}: " + ("this replica is read only" if readonly else f"{delay} s behind, {queue} to do")
        for database, table, readonly, delay, queue in lagging
    ]
    return ServerStatus(server.name, version, tuple(faults))
