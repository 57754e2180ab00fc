"""What a table asks of the ClickHouse that holds it: all that differs between the embedded engine and a server.

Everything else, staging, sealing, publishing, verifying, rolling back, is one and the same, in SQL.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, TypeVar

import pyarrow as pa
from clickhouse_connect.driver.client import Client

from rowkeeper.resilience.outcomes import Happened

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, slots=True)
class RowsAsSource:
    """Rows that a statement can select from.

    Attributes:
        sql: what stands after FROM.
        data: what is sent with the statement; None where the engine gets at the rows otherwise.
        ending: what stands at the end of the statement.
    """

    sql: str
    data: bytes | None = None
    ending: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Layout:
    """How tables are made in an engine.

    Attributes:
        settings: of every MergeTree table, as SQL, such as `storage_policy = 'encrypted'`.
        clones: a table can be cloned in one statement, which databases of the engine Replicated refuse.
        cluster: the cluster on all of whose hosts statements that make or change tables are run; None is one host, or
            a database that sees to it by itself.
        replicated: tables are replicated ones, and what one replica holds the others come to hold.
        every_replica: the table of all replicas' parts is asked by this cluster; None where there are no others.
    """

    settings: tuple[str, ...] = ()
    clones: bool = False
    cluster: str | None = None
    replicated: bool = False
    every_replica: str | None = None

    @property
    def engine(self) -> str:
        """The table engine. A replicated one has the path that the server gives it: with the table's own UUID in it."""
        return "ReplicatedMergeTree" if self.replicated else "MergeTree"


class Engine(Protocol):
    """A ClickHouse, connected to. For one thread at a time.

    Its statements raise DatabaseError in our words: EngineDied if it went away, EngineMemory and DiskFull if it has no
    room; what it refused has ClickHouse's own name of the error in its context, under `clickhouse`.
    """

    def layout(self, database: str) -> Layout:
        """How the tables of a database are made."""
        ...

    def check_database(self, database: str, kind: str) -> None:
        """Whether tables can be made as they are declared in a database of this engine. Raises LayoutError."""
        ...

    def read(self, said: Callable[[Client], T]) -> T:
        """A statement that changes nothing, or nothing more when it is said twice."""
        ...

    def write(self, said: Callable[[Client], T], happened: Callable[[], Happened[T] | None] | None = None) -> T:
        """A statement that must not take effect twice.

        Args:
            happened: looks whether it did, and takes back what is there of it if it did only in part.
        """
        ...

    def rows_as_source(self, rows: pa.Table, structure: str) -> AbstractContextManager[RowsAsSource]:
        """What a statement in the block can select these rows from.

        Args:
            structure: their columns, in ClickHouse's words.
        """
        ...

    def native_as_source(self, data: bytes, structure: str) -> AbstractContextManager[RowsAsSource]:
        """The same for rows in ClickHouse's own format (Native)."""
        ...

    def staying(self) -> AbstractContextManager[None]:
        """In the block all statements are for the same replica: its parts, and the places of rows in them, are its own.

        They raise DatabaseError if it goes away and does not come back.
        """
        ...

    def is_written(self, database: str, table: str, data: Path) -> bool:
        """Whether a table that was made or altered is on the disk as it should be, as far as can be seen from here.

        Args:
            data: the table's folder, in ClickHouse's own words.
        """
        ...

    def sync(self) -> None:
        """Makes durable what was written, as far as it is not by itself. Raises DiskFull."""
        ...

    def syncing(self) -> AbstractContextManager[None]:
        """Does so while the block does its work, so that the next `sync` has little left to do."""
        ...

    def close(self) -> None:
        """Gives the connection back."""
        ...
