"""Where rows go: each destination states its guarantee.

Names are looked up when they are first used: the engine's host, which imports this package on its way, must stay small.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rowkeeper.destinations.embedded.inspection import engine_pid, engine_status
    from rowkeeper.destinations.embedded.reading import read_client
    from rowkeeper.destinations.file.declaring import FilesDestination, files
    from rowkeeper.destinations.file.reading import TableFiles, read_manifest
    from rowkeeper.destinations.mergetree.destination import ClickHouseDestination, clickhouse
    from rowkeeper.destinations.streams.declaring import StreamDestination, stream

__all__ = [
    "ClickHouseDestination",
    "FilesDestination",
    "StreamDestination",
    "TableFiles",
    "clickhouse",
    "engine_pid",
    "engine_status",
    "files",
    "read_client",
    "read_manifest",
    "stream",
]

_HOMES = {
    "ClickHouseDestination": "mergetree.destination",
    "FilesDestination": "file.declaring",
    "TableFiles": "file.reading",
    "clickhouse": "mergetree.destination",
    "engine_pid": "embedded.inspection",
    "engine_status": "embedded.inspection",
    "files": "file.declaring",
    "read_client": "embedded.reading",
    "StreamDestination": "streams.declaring",
    "read_manifest": "file.reading",
    "stream": "streams.declaring",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
