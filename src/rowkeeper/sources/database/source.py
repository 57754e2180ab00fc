"""The database source: what it declares, and what it finds."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

from rowkeeper.batch import BATCH_BYTES, Batch, InputMode, Partition
from rowkeeper.endpoints import Endpoint
from rowkeeper.errors import SourceError, TableMissing
from rowkeeper.protocols import Columns, Guarantee, Plan, Site
from rowkeeper.sources.database.access import Access
from rowkeeper.sources.database.described import Asked, Sizes, Snapshot
from rowkeeper.sources.database.increments import Increment, Mark
from rowkeeper.sources.database.reading import Reading, Task, has_news
from rowkeeper.sources.database.telling import telling
from rowkeeper.sources.loads import newest, next_load

LOOK = Sizes(rows=10_000, size_bytes=4 << 20)
SMALL_BYTES = 8 << 20  # of a batch: then memory counts more than speed


@dataclasses.dataclass(frozen=True)
class DatabaseSource:
    """Rows of a database. Guarantee: exactly once. Made by `database()`, which says what each attribute means.

    Each load of a table is a partition, all of whose rows are as they were at one moment. A load of everything takes
    the place of the one before; an incremental one adds to it, from its mark on. Where a run that died goes on, its
    rows are checked to be those that it had staged; what the lookback brings a second time is told by its key and its
    cursor, and counted as duplicate.
    """

    name: str
    access: Access
    asked: Asked
    pattern: str = ""
    increment: Increment | None = None
    site: Site | None = dataclasses.field(default=None, compare=False, repr=False)
    guarantee = Guarantee.EXACTLY_ONCE
    mode = InputMode.PYTHON

    def describe(self) -> Mapping[str, Any]:
        """What decides which rows come out."""
        return {
            "kind": "database",
            "name": self.name,
            "place": self.access.place.name,
            "asked": {each: text for each, text in dataclasses.asdict(self.asked).items() if text},
            "pattern": self.pattern,
            "incremental": None if self.increment is None else dict(self.increment.describe()),
        }

    def endpoints(self) -> Sequence[Endpoint]:
        """The database's server, if it has one."""
        return self.access.place.endpoints()

    def at(self, site: Site) -> Self:
        """The same at work."""
        return dataclasses.replace(self, site=site)

    def plan(self, loaded: Mapping[str, Partition], *, whole: bool) -> Plan:
        """One load of each table, unless it is incremental and has nothing new."""
        load: list[Partition] = []
        reload: list[Partition] = []
        unchanged: list[Partition] = []
        with telling(self.access.place.name), contextlib.closing(self._opened()) as snapshot:
            for name, asked in self._relations(snapshot).items():
                former = newest(name, loaded)
                tide = None if whole or self.increment is None else _position(former).get("tide")
                with telling(self.access.place.name, asked.name):
                    if tide is not None and not self._has_news(snapshot, asked, tide):
                        unchanged += [each for each in loaded.values() if each.detail.get("source") == name]
                        continue
                detail = {"tide": tide, "schema": asked.schema, "table": asked.table}
                partition = next_load(name, former, detail, grows=self.increment is not None)
                is_in_place = former is not None and self.increment is None and not whole
                (reload if is_in_place else load).append(partition)
        return Plan(load=tuple(load), reload=tuple(reload), unchanged=tuple(unchanged))

    def reach(self) -> None:
        """Connects."""
        with telling(self.access.place.name):
            self._opened().close()

    def read(
        self, partition: Partition, *, start_row: int, batch_rows: int, columns: Columns, batch_bytes: int = BATCH_BYTES
    ) -> Iterator[Batch]:
        """Reads from a row on."""
        asked = dataclasses.replace(self.asked, schema=partition.detail["schema"], table=partition.detail["table"])
        sizes = Sizes(batch_rows, max(1, batch_bytes // 2))
        parallel = 1 if batch_bytes < SMALL_BYTES else self.access.parallel
        task = Task(lambda: self._opened(parallel), asked, self.increment, columns, partition, sizes, start_row)
        with telling(self.access.place.name, asked.name):
            yield from Reading(task).batches()

    def _relations(self, snapshot: Snapshot) -> dict[str, Asked]:
        """What is read, by the name under which its loads are known."""
        if not self.pattern:
            return {self.name: self.asked}
        found = snapshot.relations(self.pattern)
        if not found:
            raise TableMissing(
                f"{self.access.place.name} has no table that fits {self.pattern}",
                hint="schema.name, in which * stands for anything; tables that we may not see are not there for us",
            )
        return {
            f"{self.name} {schema}.{table}" if schema else f"{self.name} {table}": dataclasses.replace(
                self.asked, schema=schema, table=table
            )
            for schema, table in found
        }

    def _has_news(self, snapshot: Snapshot, asked: Asked, tide: Mapping[str, Any]) -> bool:
        known = Mark.of(tide)
        assert known is not None
        assert self.increment is not None
        return has_news(snapshot, snapshot.describe(asked), self.increment, known, LOOK)

    def _opened(self, parallel: int = 1) -> Snapshot:
        if self.site is None:
            raise SourceError(f"{self.name} is read by a run only", hint="rowkeeper run FILE")
        from rowkeeper.sources.database.opening import opened  # noqa: PLC0415 - the ledger's drivers come along

        return opened(self.access, self.site, parallel)


def _position(former: Partition | None) -> Mapping[str, Any]:
    return (former.position if former is not None else None) or {}
