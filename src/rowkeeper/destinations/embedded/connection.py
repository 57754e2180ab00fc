"""A connection to the engine that outlives the engine's host: each statement goes the one way that calls go.

A statement that only reads, or that may be said twice, is said again to the next host when its host dies. One that
changes something once is looked up first; where nobody can look, the error is raised, and the run goes on another time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
from clickhouse_connect.driver.client import Client

from rowkeeper.destinations.embedded.bulk import shared_arrow_file, shared_file
from rowkeeper.destinations.embedded.client import (
    CODE_AUTHENTICATION,
    ENGINE,
    HOST,
    REFUSALS,
    close,
    connected,
    engine_client,
    is_answer,
    judge_speaking,
    told_in_our_words,
)
from rowkeeper.destinations.embedded.configuration import STORAGE_POLICY
from rowkeeper.destinations.embedded.durable import sync, written_back
from rowkeeper.destinations.embedded.places import EnginePlaces
from rowkeeper.destinations.embedded.written import is_written
from rowkeeper.destinations.mergetree.engine import Layout, RowsAsSource
from rowkeeper.destinations.mergetree.types import literal
from rowkeeper.protocols import Site
from rowkeeper.resilience.calls import Line
from rowkeeper.resilience.classifying import Classifier
from rowkeeper.resilience.outcomes import Effect, Happened
from rowkeeper.resilience.policy import Resilience

T = TypeVar("T")
LAYOUT = Layout(settings=(f"storage_policy = {literal(STORAGE_POLICY)}",), clones=True)


class EngineConnection:
    """Speaks to the embedded engine through one client, made anew when its host has gone. For one thread at a time.

    Implements `mergetree.engine.Engine`.

    Args:
        writes: as the user who may write; otherwise read only for good.
        policy: how its statements survive.

    Raises:
        DatabaseError: the engine cannot be started or reached.
        RetryError: there is no time for it, or it failed so often that it is left alone.
    """

    def __init__(self, site: Site, *, writes: bool, policy: Resilience = ENGINE) -> None:
        self._site = site
        self._may_write = writes
        classifier = Classifier((judge_speaking,))
        self._reads = site.calls.to(HOST, "read", policy, classifier)
        self._writes = site.calls.to(HOST, "write", policy, classifier)
        self._client: Client | None = engine_client(site, writes=writes, policy=policy)

    def read(self, said: Callable[[Client], T]) -> T:
        """A statement that changes nothing, or nothing more when it is said twice.

        Raises EngineDied if the engine went away each time, DatabaseError for what it refused.
        """
        return self._call(self._reads, said, Effect.READ, None)

    def write(self, said: Callable[[Client], T], happened: Callable[[], Happened[T] | None] | None = None) -> T:
        """A statement that must not take effect twice.

        Args:
            happened: looks whether it did, and takes back what is there of it if it did only in part.

        Raises as `read`; EngineDied also where it is not known whether it took effect.
        """
        return self._call(self._writes, said, Effect.WRITE, happened)

    def _call(
        self, line: Line, said: Callable[[Client], T], effect: Effect, happened: Callable[[], Happened[T] | None] | None
    ) -> T:
        with told_in_our_words():
            return line.call(lambda: self._say(said), effect=effect, happened=happened)

    def _say(self, said: Callable[[Client], T]) -> T:
        client = self._client
        if client is None:
            client = self._client = connected(self._site, writes=self._may_write)
        try:
            return said(client)
        except REFUSALS as error:
            if not is_answer(error) or getattr(error, "code", None) == CODE_AUTHENTICATION:
                self.close()  # the next host has another secret
            raise

    def layout(self, _database: str) -> Layout:
        """On the encrypted disk."""
        return LAYOUT

    def check_database(self, _database: str, _kind: str) -> None:
        """Whatever can exchange tables will do."""

    @contextmanager
    def rows_as_source(self, rows: pa.Table, structure: str) -> Iterator[RowsAsSource]:
        """An Arrow file in memory, which the engine maps."""
        with shared_arrow_file(rows) as path:
            yield RowsAsSource(f"file({literal(path)}, 'Arrow', {literal(structure)})")

    @contextmanager
    def native_as_source(self, data: bytes, structure: str) -> Iterator[RowsAsSource]:
        """A file in memory."""
        with shared_file(data) as path:
            yield RowsAsSource(f"file({literal(path)}, 'Native', {literal(structure)})")

    def staying(self) -> AbstractContextManager[None]:
        """There is one engine."""
        return nullcontext()

    def is_written(self, database: str, table: str, data: Path) -> bool:
        """Looks at the files."""
        return is_written(EnginePlaces.under(self._site.home), database, table, data)

    def sync(self) -> None:
        """Everything on the volume of the state folder."""
        sync(self._site.home)

    def syncing(self) -> AbstractContextManager[None]:
        """The same, in a thread."""
        return written_back(self._site.home)

    def close(self) -> None:
        """Gives back what it holds of the engine."""
        client, self._client = self._client, None
        if client is not None:
            close(client)
