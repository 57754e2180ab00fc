"""What `rowkeeper doctor` asks the embedded engine."""

from __future__ import annotations

import dataclasses

from rowkeeper.destinations.embedded.client import time_limit
from rowkeeper.destinations.embedded.connection import EngineConnection
from rowkeeper.destinations.embedded.places import EnginePlaces
from rowkeeper.destinations.embedded.starting import peer_pid
from rowkeeper.protocols import Site

MOST_PARTS = (
    "SELECT max(parts) FROM (SELECT count() AS parts FROM system.parts WHERE active "
    "GROUP BY database, table, partition_id)"
)
BROKEN = "SELECT database, table, count() FROM system.detached_parts WHERE reason LIKE 'broken%' GROUP BY 1, 2"


@dataclasses.dataclass(frozen=True, slots=True)
class EngineStatus:
    """A look at the engine.

    Attributes:
        pid: of the host process.
        faults: what is wrong, a sentence each.
        parts_most: in one partition.
    """

    version: str
    pid: int
    faults: tuple[str, ...]
    parts_most: int = 0


def engine_pid(site: Site) -> int | None:
    """The host process that holds the engine's socket, whether or not it answers; None if there is none."""
    try:
        return peer_pid(EnginePlaces.under(site.home))
    except OSError:
        return None


def engine_status(site: Site) -> EngineStatus:
    """Starts the host if need be, and looks for parts that ClickHouse has set aside as broken.

    Raises DatabaseError if the engine cannot be reached.
    """
    engine = EngineConnection(site, writes=True)
    try:
        broken = engine.read(lambda client: client.query(BROKEN, settings=time_limit()))
        version = str(engine.read(lambda client: client.command("SELECT version()", settings=time_limit())))
        parts = engine.read(lambda client: client.query(MOST_PARTS, settings=time_limit()).result_rows)[0][0]
    finally:
        engine.close()
    faults = tuple(f"{database}.{table}: {count} broken parts" for database, table, count in broken.result_rows)
    return EngineStatus(version, peer_pid(EnginePlaces.under(site.home)), faults, int(parts or 0))
