"""Where rows go: each destination states its guarantee.

Names are looked up when they are first used: the engine's host, which imports this package on its way, must stay small.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rowkeeper.destinations.embedded.inspection import engine_pid, engine_status
    from rowkeeper.destinations.file.declaring import FilesDestination, files
    from rowkeeper.destinations.file.reading import TableFiles, read_manifest
    from rowkeeper.destinations.mergetree.destination import ClickHouseDestination, clickhouse
    from rowkeeper.destinations.mergetree.reading import read_client
    from rowkeeper.destinations.relational.declaring import DatabaseDestination, database
    from rowkeeper.destinations.server.inspection import server_status
    from rowkeeper.destinations.server.place import reader_of, server_of, settled_on, settled_server
    from rowkeeper.destinations.streams.declaring import StreamDestination, stream
    from rowkeeper.destinations.webapi.declaring import ApiDestination, api
    from rowkeeper.destinations.webapi.outcomes import ItemErrors, ItemResults

__all__ = [
    "ApiDestination",
    "ClickHouseDestination",
    "DatabaseDestination",
    "FilesDestination",
    "ItemErrors",
    "ItemResults",
    "StreamDestination",
    "TableFiles",
    "api",
    "clickhouse",
    "database",
    "engine_pid",
    "engine_status",
    "files",
    "read_client",
    "read_manifest",
    "reader_of",
    "server_of",
    "server_status",
    "settled_on",
    "settled_server",
    "stream",
]

_HOMES = {
    "ApiDestination": "webapi.declaring",
    "ClickHouseDestination": "mergetree.destination",
    "DatabaseDestination": "relational.declaring",
    "FilesDestination": "file.declaring",
    "ItemErrors": "webapi.outcomes",
    "ItemResults": "webapi.outcomes",
    "TableFiles": "file.reading",
    "api": "webapi.declaring",
    "clickhouse": "mergetree.destination",
    "database": "relational.declaring",
    "engine_pid": "embedded.inspection",
    "engine_status": "embedded.inspection",
    "files": "file.declaring",
    "read_client": "mergetree.reading",
    "read_manifest": "file.reading",
    "reader_of": "server.place",
    "server_of": "server.place",
    "server_status": "server.inspection",
    "settled_on": "server.place",
    "settled_server": "server.place",
    "StreamDestination": "streams.declaring",
    "stream": "streams.declaring",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
