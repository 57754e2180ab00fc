"""A pipeline for tests whose source and destination ask another machine, each over the interface that it demands.

Rows come from files and go to the embedded table; before every batch that is read, and every one that is staged, the
other machine is asked over a connection that stays open, and no answer is a broken connection.
"""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

import rowkeeper as rk
from rowkeeper.batch import Batch
from rowkeeper.destinations.mergetree.destination import ClickHouseDestination
from rowkeeper.protocols import Site, WayOut
from rowkeeper.sources.file import FilesSource

Hook = Callable[[int], None]
"""Called before each question with its number, from 1: where a test breaks things."""


class Order(BaseModel):
    """A row."""

    id: int


@dataclasses.dataclass
class Line:
    """An open connection to the other machine, asked in turn."""

    way_out: WayOut
    place: rk.Endpoint
    before: Hook
    asked: int = 0
    line: socket.socket | None = None

    def ask(self) -> None:
        if self.line is None:
            assert self.place.port is not None
            self.line = self.way_out.declaring([self.place]).connect(self.place.host, self.place.port, seconds_max=60)
        self.asked += 1
        self.before(self.asked)
        self.line.sendall(b"next\n")
        if not self.line.recv(100):
            raise ConnectionResetError("the other machine is gone")


@dataclasses.dataclass(frozen=True)
class RemoteFiles(FilesSource):
    """Files that another machine has to release, batch by batch."""

    place: rk.Endpoint | None = dataclasses.field(default=None, compare=False)
    before: Hook = dataclasses.field(default=lambda number: None, compare=False)
    way_out: WayOut | None = dataclasses.field(default=None, compare=False)

    def endpoints(self) -> Sequence[rk.Endpoint]:
        return [self.place] if self.place else []

    def at(self, site: Site) -> RemoteFiles:
        return dataclasses.replace(super().at(site), way_out=site.way_out)

    def read(self, *args: Any, **options: Any) -> Iterator[Batch]:
        assert self.way_out is not None
        line = Line(self.way_out, self.place, self.before) if self.place else None
        for batch in super().read(*args, **options):
            if line:
                line.ask()
            yield batch


class _Session:
    def __init__(self, session: Any, line: Line) -> None:
        self._session = session
        self._line = line

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def stage(self, table: Any) -> None:
        self._line.ask()
        self._session.stage(table)


@dataclasses.dataclass(frozen=True)
class RemoteTable(ClickHouseDestination):
    """A table that asks another machine before it takes rows."""

    place: rk.Endpoint | None = dataclasses.field(default=None, compare=False)
    before: Hook = dataclasses.field(default=lambda number: None, compare=False)

    def endpoints(self) -> Sequence[rk.Endpoint]:
        return [self.place] if self.place else []

    def connect(self, site: Site, schema: Any) -> Any:
        session = super().connect(site, schema)
        if self.place is None:
            return session
        assert site.way_out is not None
        line = Line(site.way_out, self.place, lambda number: None)
        try:
            line.ask()
        except BaseException:
            session.close()
            raise
        line.asked, line.before = 0, self.before
        return _Session(session, line)


def orders(
    folder: Path,
    *,
    source_place: rk.Endpoint | None = None,
    table_place: rk.Endpoint | None = None,
    before: Hook = lambda number: None,
    fallback: str | None = None,
) -> rk.Pipeline:
    """The pipeline, with whichever part is remote; `before` breaks things there."""
    source = rk.sources.files(str(folder / "*.csv"))
    table = rk.destinations.clickhouse("orders", order_by=["id"], fallback=fallback)
    return rk.Pipeline(
        "orders",
        source=RemoteFiles(**_fields(source), place=source_place, before=before),
        contract=Order,
        destination=RemoteTable(**_fields(table), place=table_place, before=before),
    )


def _fields(made: Any) -> dict[str, Any]:
    return {each.name: getattr(made, each.name) for each in dataclasses.fields(made)}
