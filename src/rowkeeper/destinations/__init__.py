"""Where rows go: each destination states its guarantee.

Names are looked up when they are first used: the engine's host, which imports this package on its way, must stay small.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rowkeeper.destinations.embedded.inspection import engine_pid, engine_status
    from rowkeeper.destinations.mergetree.destination import ClickHouseDestination, clickhouse
    from rowkeeper.destinations.mergetree.health import table_health
    from rowkeeper.destinations.mergetree.reading import read_client
    from rowkeeper.destinations.server.inspection import server_status
    from rowkeeper.destinations.server.place import reader_of, server_of, settled_on

__all__ = [
    "ClickHouseDestination",
    "clickhouse",
    "engine_pid",
    "engine_status",
    "read_client",
    "reader_of",
    "server_of",
    "server_status",
    "settled_on",
    "table_health",
]

_HOMES = {
    "ClickHouseDestination": "mergetree.destination",
    "clickhouse": "mergetree.destination",
    "engine_pid": "embedded.inspection",
    "engine_status": "embedded.inspection",
    "read_client": "mergetree.reading",
    "reader_of": "server.place",
    "server_of": "server.place",
    "server_status": "server.inspection",
    "settled_on": "server.place",
    "table_health": "mergetree.health",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
