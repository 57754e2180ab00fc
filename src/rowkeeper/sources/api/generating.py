"""A generator of the user's own as a source: for whatever a declaration cannot say.

def orders(api, cursor):
    after = cursor or 0
    while found := api.get("/orders", after=after).json()["orders"]:
        after = found[-1]["id"]
        yield rk.sources.Records(found, cursor=after)

source = rk.sources.python(orders, base="https://api.example.com/v1", auth=rk.sources.Bearer("env:TOKEN"))
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import inspect
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Self
from urllib.parse import urljoin

import msgspec

from rowkeeper.apis.asking import Client, Where, endpoint_of
from rowkeeper.apis.requests import Answer, Request
from rowkeeper.apis.selecting import WRITER, Document, Unreadable, as_line
from rowkeeper.batch import BATCH_BYTES, Batch, InputMode, Partition
from rowkeeper.endpoints import Endpoint
from rowkeeper.errors import AnswerUnreadable, TransformError
from rowkeeper.protocols import Columns, Guarantee, Plan, Site
from rowkeeper.sources.api.increments import Tide
from rowkeeper.sources.api.reading import Reading, Task
from rowkeeper.sources.api.source import Session, at_work
from rowkeeper.sources.api.walking import Ask, Page, State, Walk
from rowkeeper.sources.loads import newest, next_load
from rowkeeper.usercode import users_own

NOWHERE = Answer(Request(""), 0, {}, b"")


@dataclasses.dataclass(frozen=True, slots=True)
class Records:
    """What a generator yields: some records, and from where it would go on after them.

    Args:
        records: dicts (or whatever msgspec writes as JSON; `Decimal` as a number), or bytes that are JSON already.
        cursor: a JSON value; called with it, the generator yields what follows.
    """

    records: Iterable[Any]
    cursor: Any


class Api:
    """What a generator asks an API by: retries, limits, credentials and the way out are seen to.

    Args:
        client: asks.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    def get(self, path: str, **params: str | int) -> Reply:
        """Asks for a path (or a whole URL of the same host), with parameters. Raises SourceError."""
        request = self._request(path)
        for name, value in params.items():
            request = request.with_value(name, value)
        return Reply(self._client.ask(request))

    def post(self, path: str, body: Mapping[str, Any]) -> Reply:
        """Asks by a JSON body: for a search, which may be repeated. Raises SourceError."""
        return Reply(self._client.ask(dataclasses.replace(self._request(path), body=dict(body))))

    def _request(self, path: str) -> Request:
        base = self._client.where.base
        return Request(base).linked(path if "://" in path else urljoin(base.rstrip("/") + "/", path.lstrip("/")))


@dataclasses.dataclass(frozen=True, slots=True)
class Reply:
    """An answer, for a generator."""

    answer: Answer

    @property
    def headers(self) -> Mapping[str, str]:
        """Names in lower case."""
        return self.answer.headers

    @property
    def content(self) -> bytes:
        """The body, unpacked."""
        return self.answer.body

    def json(self) -> Any:
        """The body as Python values, numbers with a point as `Decimal`. Raises AnswerUnreadable."""
        try:
            return Document(self.answer.body).decoded
        except Unreadable as error:
            raise AnswerUnreadable(
                f"{self.answer.request.place} answers with what is not JSON: {error}", hint="ask it by hand"
            ) from None


Generate = Callable[..., Iterator[Records]]


@dataclasses.dataclass(frozen=True)
class GeneratorWalk:
    """What a generator yields, as pages."""

    generate: Callable[[Any], Iterator[Records]]
    name: str
    start: Any

    def pages(self, ask: Ask, state: State | None) -> Iterator[Page]:
        """Implements Walk; the state is the cursor."""
        del ask
        cursor = self.start if state is None else state["cursor"]
        with self._users_own():
            yields = iter(self.generate(cursor))
        while True:
            with self._users_own():
                found = next(yields, None)
                if found is None:
                    return
                page = self._page(found, cursor)
            yield page
            cursor = found.cursor

    def _page(self, found: Any, cursor: Any) -> Page:
        if not isinstance(found, Records):
            raise TransformError(
                f"the generator {self.name} yields what is no rk.sources.Records",
                hint="yield rk.sources.Records(records, cursor=...)",
            )
        try:
            records = [as_line(each) if isinstance(each, bytes) else WRITER.encode(each) for each in found.records]
            after = {"cursor": json.loads(msgspec.json.encode(found.cursor))}
        except (TypeError, ValueError, msgspec.MsgspecError):
            raise TransformError(
                f"the generator {self.name} yields records, or a cursor, that cannot be JSON",
                hint="records are dicts or bytes of JSON; a cursor is a JSON value",
            ) from None
        return Page(NOWHERE, records, {"cursor": cursor}, after)

    def _users_own(self) -> contextlib.AbstractContextManager[None]:
        return users_own(f"the generator {self.name}", hint="correct it in the pipeline file", placed=True)


@dataclasses.dataclass(frozen=True)
class PythonSource:
    """What a generator yields. Guarantee: exactly once. Made by `python()`, which says what each attribute means.

    It holds as far as the generator keeps its word: called with a cursor it yields what follows, in the same order.
    What it yields where a run goes on in the midst of its records is checked to be what was staged.
    """

    generate: Generate
    name: str
    where: Where | None
    incremental: bool
    session: Session | None = dataclasses.field(default=None, compare=False, repr=False)
    guarantee = Guarantee.EXACTLY_ONCE
    mode = InputMode.JSON

    def describe(self) -> Mapping[str, Any]:
        """Its name and address, and the text of the module that the generator stands in, as a digest."""
        where = self.where
        return {
            "kind": "python",
            "name": self.name,
            "base": None if where is None else where.base,
            "auth": None if where is None or where.auth is None else dict(where.auth.describe()),
            "incremental": self.incremental,
            "code": _digest_of_code(self.generate),
        }

    def endpoints(self) -> Sequence[Endpoint]:
        """The API, and where its tokens come from."""
        if self.where is None:
            return ()
        return (endpoint_of(self.where), *(self.where.auth.endpoints() if self.where.auth else ()))

    def at(self, site: Site) -> Self:
        """The same at work."""
        session = None if self.where is None else Session(self.where, site)
        return dataclasses.replace(self, session=session)

    def plan(self, loaded: Mapping[str, Partition], *, whole: bool) -> Plan:
        """One load; of an incremental source only if the generator yields a record after the last cursor."""
        former = newest(self.name, loaded)
        last = (former.position or {}).get("last") if former is not None and self.incremental else None
        if self.incremental and not self._has_news(last):
            return Plan(unchanged=tuple(loaded.values()))
        detail = {"shape": None if former is None else (former.position or {}).get("shape")}
        detail["last"] = None if whole else last
        partition = next_load(self.name, former, detail, grows=self.incremental)
        if former is not None and not self.incremental and not whole:
            return Plan(reload=(partition,))
        return Plan(load=(partition,))

    def read(
        self, partition: Partition, *, start_row: int, batch_rows: int, columns: Columns, batch_bytes: int = BATCH_BYTES
    ) -> Iterator[Batch]:
        """Reads from a row on."""
        del columns
        walk = self._walk(partition.detail.get("last"))

        def walk_of(tide: Tide | None) -> Walk:
            del tide
            return walk

        task = Task(self.name, walk_of, None, False, self.incremental, partition, batch_rows, batch_bytes, start_row)
        try:
            yield from Reading(task, _nobody).batches()
        finally:
            if self.session is not None:
                self.session.close()

    def _walk(self, last: State | None) -> GeneratorWalk:
        generate = self.generate
        session = self.session

        def generated(cursor: Any) -> Iterator[Records]:
            if self.where is None:
                return iter(generate(cursor))
            return iter(generate(Api(at_work(session, self.name).client), cursor))

        return GeneratorWalk(generated, self.name, None if last is None else last["cursor"])

    def _has_news(self, last: State | None) -> bool:
        return any(page.records for page in self._walk(last).pages(_nobody, None))


def _nobody(request: Request) -> Answer:
    raise AssertionError(f"{request.place} is asked by a generator itself")


def _digest_of_code(function: Callable[..., Any]) -> str:
    module = inspect.getmodule(function)
    try:
        text = inspect.getsource(module if module is not None else function)
    except (OSError, TypeError):
        text = f"{id(function)}"  # as of a transform: it cannot be compared, and a run that died starts over
    return hashlib.sha256(text.encode()).hexdigest()
