"""Everything that an installation holds, opened as far as its keys open it, to look for what should not be there."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from rowkeeper.destinations import read_client
from rowkeeper.runs.rejects import open_rejects
from rowkeeper.runs.workspace import Workspace
from rowkeeper.settings import Settings
from tests.arena import Arena


def everything(arena: Arena) -> Iterator[tuple[str, bytes]]:
    """Files as they lie there; sealed files and tables opened: what a thief of disk and keys would read."""
    for path in sorted(arena.home.rglob("*")):
        if path.is_file() and not path.is_socket():
            yield str(path.relative_to(arena.home)), path.read_bytes()
    for path in sorted((arena.folder / ".output").glob("*")):
        yield f"printed {path.name}", path.read_bytes()
    with Workspace.open(Settings(home=arena.home)) as space:
        for name in _names(arena.home / "quarantine"):
            yield f"opened quarantine/{name}", _flat(open_rejects(space.quarantine, name))
        for name in _names(arena.home / "samples"):
            yield f"opened samples/{name}", space.samples.read(name)
        for name in _names(arena.home / "spool"):
            if not name.endswith("schema.sealed"):
                with pa.ipc.open_stream(space.spool.read(name)) as stream:
                    yield f"opened spool/{name}", _flat(stream.read_all())
        with read_client(space.site) as client:
            tables = client.query(
                "SELECT database, name FROM system.tables WHERE database NOT IN "
                "('system', 'INFORMATION_SCHEMA', 'information_schema')"
            )
            for database, table in tables.rows:
                rows = client.query(f"SELECT * FROM `{database}`.`{table}`").rows
                yield f"table {database}.{table}", json.dumps(rows, ensure_ascii=False).encode()


def _names(folder: Path) -> list[str]:
    return sorted(str(each.relative_to(folder)) for each in folder.rglob("*.sealed"))


def _flat(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return sink.getvalue()


def leaks(arena: Arena, canaries: dict[str, str]) -> list[tuple[str, str]]:
    """(canary, where it was found)."""
    found = []
    for where, data in everything(arena):
        found += [(name, where) for name, canary in canaries.items() if canary.encode() in data]
    return found
