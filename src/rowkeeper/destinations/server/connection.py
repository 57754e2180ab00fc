"""A connection to a server: each statement goes the one way that calls go, to the replica that was chosen.

A run stays with one replica. When no connection can be made to it, nobody heard the statement, and it is said to the
next replica: reads and writes alike. When the connection breaks in mid-statement, a read is said again, and a write is
looked up *at the same replica*: another one could only tell what it has heard of by then. Where that one does not come
back, the outcome is not known, and the run ends; the next one fences off what the dead one may still do, as after any
crash, and asks then.
"""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
from clickhouse_connect.driver.client import Client

from rowkeeper.destinations.embedded.client import close, is_answer
from rowkeeper.destinations.mergetree.engine import Layout, RowsAsSource
from rowkeeper.destinations.mergetree.types import literal
from rowkeeper.destinations.server.client import connected
from rowkeeper.destinations.server.errors import CLASSIFIER, REFUSALS, NoReplica, is_unreachable, told_in_our_words
from rowkeeper.destinations.server.place import Place, Server
from rowkeeper.errors import LayoutError, NameUnresolved
from rowkeeper.logs import logger
from rowkeeper.protocols import Site
from rowkeeper.resilience.calls import Line
from rowkeeper.resilience.outcomes import Effect, Happened
from rowkeeper.resilience.policy import CircuitBreaker, Resilience, Retry

T = TypeVar("T")
log = logger("network")

# A statement takes as long as it takes. A server that has too many parts wants to be left alone for some time.
SERVER = Resilience(
    retry=Retry(attempts=8, wait_seconds_initial=0.1, wait_seconds_max=15.0, attempt_seconds_max=None),
    breaker=CircuitBreaker(slow_seconds=24 * 3600.0, slow_rate=1.0),
    deadline_seconds=None,
)
# Nobody but the server can make durable what it writes: it does so at each part. Merged parts, too: those that they
# were made of go. Not needed, and harmless, where the disks are an object store.
DURABLE = ("fsync_after_insert = 1", "fsync_part_directory = 1", "min_rows_to_fsync_after_merge = 1")
# As the embedded engine is told, and what replicas need besides: a block that looks like one before it must not be left
# out (rows of a batch that was taken out and is staged again), and a statement ends when its work is done.
WRITING: Mapping[str, int | str] = {
    "async_insert": 0,
    "insert_allow_materialized_columns": 1,
    "max_partitions_per_insert_block": 0,
    "max_insert_threads": 1,
    "insert_deduplicate": 0,
    "mutations_sync": 2,
    "lightweight_deletes_sync": 2,
    "alter_sync": 2,
    "input_format_null_as_default": 0,
    "fsync_metadata": 1,
    "distributed_ddl_output_mode": "throw",
}


class ServerConnection:
    """Speaks to a server by one of its replicas. For one thread at a time. Implements `mergetree.engine.Engine`.

    Args:
        writes: as whoever may write; otherwise each statement is told to be one that only reads.
        policy: how its statements survive.

    Raises:
        ServerDown: no replica can be reached.
        ServerUnauthorised: our credentials are refused.
        SecurityError: TLS, egress, or the reference to the password.
        RetryError: there is no time for it, or it failed so often that it is left alone.
    """

    def __init__(self, site: Site, server: Server, *, writes: bool, policy: Resilience = SERVER) -> None:
        self.server = server
        self._site = site
        self._writes_allowed = writes
        self._read_line = self._line("read", policy)
        self._write_line = self._line("write", policy)
        self._places = [*server.places]
        random.shuffle(self._places)
        self._client: Client | None = None
        self._place: Place | None = None
        self._stays = False
        self._layouts: dict[str, Layout] = {}
        self.read(lambda _client: None)  # connects

    def _line(self, operation: str, policy: Resilience) -> Line:
        return self._site.calls.to(self.server.name, operation, policy, CLASSIFIER)

    def read(self, said: Callable[[Client], T]) -> T:
        """A statement that changes nothing, or nothing more when it is said twice."""
        with told_in_our_words(self.server.name):
            return self._read_line.call(lambda: self._say(said), effect=Effect.READ)

    def write(self, said: Callable[[Client], T], happened: Callable[[], Happened[T] | None] | None = None) -> T:
        """A statement that must not take effect twice. What is not known is looked up at the replica that heard it."""

        def looked() -> Happened[T] | None:
            assert happened is not None
            with self.staying():
                return happened()

        with told_in_our_words(self.server.name):
            return self._write_line.call(
                lambda: self._say(said), effect=Effect.WRITE, happened=None if happened is None else looked
            )

    def _say(self, said: Callable[[Client], T]) -> T:
        client = self._client
        if client is None:
            client = self._connect()
        try:
            return said(client)
        except REFUSALS as error:
            if not is_answer(error):
                self.close()
            if is_unreachable(error):  # it was told to nobody: the next try asks another
                self._leave()
            raise

    def _connect(self) -> Client:
        """To the replica that we are with; else to the first that answers.

        Raises what the last of them raised.
        """
        refusal: Exception | None = None
        for place in [self._place] if self._stays and self._place else self._places:
            try:
                client = connected(self._site, self.server, place, self._settings())
            except (*REFUSALS, NameUnresolved) as error:
                if is_answer(error) or not (is_unreachable(error) or isinstance(error, NameUnresolved)):
                    raise
                refusal = error
                continue
            if self._place not in (None, place):
                log.warning("another replica is asked", host=str(place), former=str(self._place))
            self._place, self._client = place, client
            self._places.remove(place)
            self._places.insert(0, place)
            return client
        raise refusal or NoReplica(f"no replica of {self.server.name} answers")

    def _settings(self) -> dict[str, Any]:
        if not self._writes_allowed:
            return {}
        return {**WRITING, **({} if self.server.quorum is None else {"insert_quorum": self.server.quorum})}

    def _leave(self) -> None:
        if self._place is not None and not self._stays and len(self._places) > 1:
            self._places.remove(self._place)
            self._places.append(self._place)

    @contextmanager
    def staying(self) -> Iterator[None]:
        """With the replica that is asked now."""
        before, self._stays = self._stays, True
        try:
            yield
        finally:
            self._stays = before

    # ------------------------------------------------------------------------------------------ tables

    def layout(self, database: str) -> Layout:
        """By the database's engine: one that is Replicated runs statements on all of its replicas by itself."""
        found = self._layouts.get(database)
        if found is None:
            sql = f"SELECT engine FROM system.databases WHERE name = {literal(database)}"
            rows = self.read(lambda client: client.query(sql).result_rows)
            found = self._layout_in(database, rows[0][0] if rows else None)
            if rows:
                self._layouts[database] = found
        return found

    def _layout_in(self, database: str, kind: str | None) -> Layout:
        server = self.server
        if kind == "Replicated":
            return Layout(DURABLE, replicated=True, every_replica=database)
        if kind == "Shared":  # a cloud's: it keeps parts in a store of its own, and shows them to every replica
            return Layout()
        return Layout(DURABLE, cluster=server.cluster, replicated=server.replicated, every_replica=server.cluster)

    def check_database(self, database: str, kind: str) -> None:
        """Replicated tables need a path for each of them, which only ON CLUSTER and Replicated databases give; and
        several replicas need replicated tables.
        """
        server = self.server
        self._check_shards(database if kind == "Replicated" else server.cluster)
        if kind in ("Replicated", "Shared"):
            if server.cluster is not None:
                raise LayoutError(
                    f"the database {database} is {kind}, and runs statements on all of its replicas by itself",
                    hint="leave out cluster= (ROWKEEPER_CLICKHOUSE_CLUSTER)",
                )
        elif server.replicated and server.cluster is None:
            raise LayoutError(
                f"the database {database} is {kind}: nobody would make the tables on the other replicas",
                hint='make it with ENGINE = Replicated, or name the cluster: cluster="..."',
            )
        elif len(server.places) > 1 and not server.replicated:
            raise LayoutError(
                f"the database {database} is {kind}: several replicas are named, and what one holds the others do not",
                hint="make it with ENGINE = Replicated; or replicated=True with a cluster; or name one server only",
            )

    def _check_shards(self, cluster: str | None) -> None:
        """Over several shards no publish is one step: readers would see one shard before the run and another after."""
        if cluster is None:
            return
        sql = f"SELECT uniqExact(shard_num) FROM system.clusters WHERE cluster = {literal(cluster)}"
        shards = int(self.read(lambda client: client.query(sql).result_rows)[0][0])
        if shards != 1:
            raise LayoutError(
                f"the cluster {cluster} has {shards} shards, and a run can be published to one in one step"
                if shards
                else f"there is no cluster {cluster}",
                hint="a pipeline for each shard, with a Distributed table over them: docs/clickhouse-server.md"
                if shards
                else "SELECT DISTINCT cluster FROM system.clusters lists them",
            )

    @contextmanager
    def rows_as_source(self, rows: pa.Table, structure: str) -> Iterator[RowsAsSource]:
        """Sent with the statement, as an Arrow file whose columns are compressed."""
        sink = io.BytesIO()
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        with pa.ipc.new_file(sink, rows.schema, options=options) as writer:
            writer.write_table(rows)
        yield RowsAsSource(f"input({literal(structure)}) FORMAT Arrow", sink.getvalue())

    @contextmanager
    def native_as_source(self, data: bytes, structure: str) -> Iterator[RowsAsSource]:
        """Sent with the statement, as they are."""
        yield RowsAsSource(f"input({literal(structure)})", data, ending=" FORMAT Native")

    def is_written(self, _database: str, _table: str, _data: Path) -> bool:
        """Its disk cannot be seen from here; it answers for it (`fsync_metadata`)."""
        return True

    def sync(self) -> None:
        """The server has done it with each part that it wrote (`DURABLE`)."""

    @contextmanager
    def syncing(self) -> Iterator[None]:
        """As `sync`."""
        yield

    def close(self) -> None:
        """Gives back what it holds of the server."""
        client, self._client = self._client, None
        if client is not None:
            close(client)
