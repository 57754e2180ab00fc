"""The API source: what it declares, and what it finds."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

from rowkeeper.apis.asking import Client, Where, endpoint_of
from rowkeeper.apis.requests import Answer, Request
from rowkeeper.batch import BATCH_BYTES, Batch, InputMode, Partition
from rowkeeper.endpoints import Endpoint
from rowkeeper.errors import SourceError
from rowkeeper.protocols import Columns, Guarantee, Plan, Site
from rowkeeper.sources.api.increments import Incremental, Tide
from rowkeeper.sources.api.reading import Reading, Task
from rowkeeper.sources.api.walking import ChildWalk, PageWalk, Walk
from rowkeeper.sources.loads import newest, next_load

NOT_MODIFIED = 304


class Session:
    """An API at work: its client, opened when it is first needed, and the first answer that the plan was given."""

    def __init__(self, where: Where, site: Site) -> None:
        self._where, self._site = where, site
        self._client: Client | None = None
        self._first: Answer | None = None

    @property
    def client(self) -> Client:
        """The client, open."""
        if self._client is None:
            self._client = Client(self._where, self._site)
        return self._client

    def ask(self, request: Request) -> Answer:
        """The answer to a request; the first one that the plan was given is not asked for again."""
        kept, self._first = self._first, None
        return kept if kept is not None and kept.request == request else self.client.ask(request)

    def ask_ahead(self, request: Request) -> Answer:
        """The same, for the plan."""
        answer = self.client.ask(request)
        self._first = self._first or answer
        return answer

    def close(self) -> None:
        """Closes the connections; it can be used again."""
        if self._client is not None:
            self._client.close()
            self._client = None


@dataclasses.dataclass(frozen=True)
class ApiSource:
    """Records of an API. Guarantee: exactly once. Made by `api()`, which says what each attribute means.

    Each load is a partition. A load of everything replaces the rows of the one before; an incremental one adds to them,
    from the mark of the one before on. Where a run that died goes on, its records are checked to be those that it had
    staged; what the lookback brings a second time is told by its content, and counted as duplicate.
    """

    name: str
    where: Where
    calls: PageWalk
    parent: PageWalk | None = None
    bound: Mapping[str, str] = dataclasses.field(default_factory=dict)
    included: Mapping[str, str] = dataclasses.field(default_factory=dict)
    incremental: Incremental | None = None
    conditional: bool = True
    session: Session | None = dataclasses.field(default=None, compare=False, repr=False)
    guarantee = Guarantee.EXACTLY_ONCE
    mode = InputMode.JSON

    def describe(self) -> Mapping[str, Any]:
        """What decides which rows come out. Secrets are references here, too."""
        where = self.where
        return {
            "kind": "api",
            "name": self.name,
            "headers": dict(where.headers),
            "auth": None if where.auth is None else dict(where.auth.describe()),
            "call": _described(self.calls),
            "parent": None if self.parent is None else _described(self.parent),
            "bind": dict(self.bound),
            "include": dict(self.included),
            "incremental": None if self.incremental is None else dict(self.incremental.describe()),
        }

    def endpoints(self) -> Sequence[Endpoint]:
        """The API, and where its tokens come from."""
        auth = self.where.auth
        return (endpoint_of(self.where), *(auth.endpoints() if auth else ()))

    def at(self, site: Site) -> Self:
        """The same at work."""
        return dataclasses.replace(self, session=Session(self.where, site))

    def plan(self, loaded: Mapping[str, Partition], *, whole: bool) -> Plan:
        """One load, unless the API says that nothing is new.

        Of an incremental source the first pages are asked for, up to the first record that is new. Of a whole one it is
        asked by their validators (ETag, Last-Modified) whether the pages are as they were; without them it is read.
        """
        session = self._at_work
        with contextlib.ExitStack() as closing:
            closing.callback(session.close)
            former = newest(self.name, loaded)
            if self.incremental is None:
                unchanged = former is not None and self._is_unchanged(session, former)
            else:
                unchanged = not self._has_news(session, former)
            if unchanged:
                return Plan(unchanged=tuple(loaded.values()))
            closing.pop_all()  # the connections are of use in a moment
        return self._plan_of_load(former, whole=whole)

    def _plan_of_load(self, former: Partition | None, *, whole: bool) -> Plan:
        position = _position(former)
        tide = None if whole or self.incremental is None else position.get("tide")
        detail = {"shape": position.get("shape"), "tide": tide}
        partition = next_load(self.name, former, detail, grows=self.incremental is not None)
        replaces = former is not None and self.incremental is None and not whole
        return Plan(reload=(partition,)) if replaces else Plan(load=(partition,))

    def read(
        self, partition: Partition, *, start_row: int, batch_rows: int, columns: Columns, batch_bytes: int = BATCH_BYTES
    ) -> Iterator[Batch]:
        """Reads from a row on. Columns are the contract's business: a record is a document."""
        del columns
        session = self._at_work
        conditional = self.conditional and self.incremental is None and self.parent is None
        task = Task(
            self.name,
            self._walk,
            self.incremental,
            conditional,
            False,
            partition,
            batch_rows,
            batch_bytes,
            start_row,
        )
        try:
            yield from Reading(task, session.ask).batches()
        finally:
            session.close()

    @property
    def _at_work(self) -> Session:
        return at_work(self.session, self.name)

    def _walk(self, tide: Tide | None) -> Walk:
        calls = self.calls if tide is None else dataclasses.replace(self.calls, request=tide.asks(self.calls.request))
        return calls if self.parent is None else ChildWalk(self.parent, calls, self.bound, self.included)

    def _is_unchanged(self, session: Session, former: Partition) -> bool:
        """Whether each page of the last load is as it was, by the API's own word."""
        validators = _position(former).get("validators")
        if not self.conditional or not validators:
            return False
        return all(
            session.client.ask(Request.of(asked), known=(tag, modified)).status == NOT_MODIFIED
            for asked, tag, modified in validators
        )

    def _has_news(self, session: Session, former: Partition | None) -> bool:
        assert self.incremental is not None
        tide = Tide(self.incremental, _position(former).get("tide"))
        return any(
            tide.takes(record, self.name) is not False
            for page in self._walk(tide).pages(session.ask_ahead, None)
            for record in page.records
        )


def at_work(session: Session | None, name: str) -> Session:
    """The session of a source. Raises SourceError for one that is only declared."""
    if session is None:
        raise SourceError(f"{name} is read by a run only", hint="rowkeeper run FILE")
    return session


def _position(former: Partition | None) -> Mapping[str, Any]:
    return (former.position if former is not None else None) or {}


def _described(calls: PageWalk) -> dict[str, Any]:
    return {
        "request": calls.request.document(),
        "records": calls.records,
        "pagination": dict(calls.pagination.describe()),
        "errors": None if calls.errors is None else list(calls.errors),
    }
