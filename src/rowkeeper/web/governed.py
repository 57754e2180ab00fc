"""A route: who asks, what permissions are asked, in which thread it is carried out, and what comes out.

    routes = Routes("runs")

    @routes.get("/runs/{run}", asks("run.show"))
    def show_run(space: Space, run: int) -> RunDocument: ...

Each route says by its rule which action it asks permissions for. The asking itself is done by the function behind it,
at the moment it is carried out; a route whose function has not asked for what the rule says answers with an error, and
nobody learns anything. A route without a rule cannot be made.
"""

from __future__ import annotations

import contextvars
import dataclasses
import functools
import hashlib
import inspect
import re
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Generic, TypeVar, get_args, get_origin, get_type_hints

from fastapi import APIRouter
from fastapi.routing import APIRoute
from pydantic import TypeAdapter
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from rowkeeper.access import Column, Decision, Permissions, Resource, TableView
from rowkeeper.access.actions import ACTIONS
from rowkeeper.caller import Caller, CallerKind, acting
from rowkeeper.errors import RateExceeded, UnknownError
from rowkeeper.logs import logger
from rowkeeper.resilience.deadline import deadline
from rowkeeper.web.house import House, current_house, within
from rowkeeper.web.identity import CSRF_HEADER, address_of, credentials_of, purpose_of
from rowkeeper.web.kept import Place
from rowkeeper.web.problems import MEDIA_TYPE

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
JSON = "application/json"

log = logger("server")


# --------------------------------------------------------------------------------------------------- rules


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """Who may use a route.

    Attributes:
        action: what permissions are asked for; None if nothing.
        each: it is asked of each item of a list, which may be empty.
        anybody: also without signing in.
        known: who shows credentials all the same is known by them.
        why: nothing is asked.
    """

    action: str | None = None
    each: bool = False
    anybody: bool = False
    known: bool = False
    why: str = ""


def asks(action: str) -> Rule:
    """Whoever has permission for this action, on what the request is about."""
    assert action in ACTIONS, action
    return Rule(action)


def asks_of_each(action: str) -> Rule:
    """A list: it shows those items for which the caller has permission."""
    assert action in ACTIONS, action
    return Rule(action, each=True)


def whoever_signed_in(why: str) -> Rule:
    """Everybody who has signed in: it is about nothing but themselves, or about what everybody may know."""
    return Rule(why=why)


def anybody(why: str, *, known: bool = False) -> Rule:
    """Without signing in; with `known`, who has signed in may be told more."""
    return Rule(anybody=True, known=known, why=why)


_asked: ContextVar[set[str] | None] = ContextVar("rowkeeper_asked", default=None)


class Witness:
    """Implements `access.Permissions`: notes what was asked while a request is carried out, and has others decide."""

    def __init__(self, permissions: Permissions) -> None:
        self._permissions = permissions

    def __getattr__(self, name: str) -> Any:
        return getattr(self._permissions, name)

    def decide(self, caller: Caller, action: str, resource: Resource) -> Decision:
        """As those others decide."""
        _note(action)
        return self._permissions.decide(caller, action, resource)

    def view(self, caller: Caller, table: str, columns: Sequence[Column]) -> TableView | None:
        """As those others say."""
        _note("data.query")
        return self._permissions.view(caller, table, columns)


def _note(action: str) -> None:
    asked = _asked.get()
    if asked is not None:
        asked.add(action)


@contextmanager
def _witnessed(rule: Rule, name: str) -> Iterator[None]:
    """Raises UnknownError if what was to be asked was not."""
    asked: set[str] = set()
    token = _asked.set(asked)
    try:
        yield
    finally:
        _asked.reset(token)
    if rule.action is not None and not rule.each and rule.action not in asked:
        log.error("a route has not asked permissions for what its rule says", operation=name, action=rule.action)
        raise UnknownError(f"the route {name} has not asked permissions", hint="nothing is shown; report it")


# -------------------------------------------------------------------------------------------------- answers


Document = TypeVar("Document")


@dataclasses.dataclass(frozen=True, slots=True)
class Answer(Generic[Document]):
    """What a route returns that has more to say than its document.

    Attributes:
        document: what is described as the route's answer.
        status: of the answer, where it is another than 200.
    """

    document: Document
    status: int = 200
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Streamed:
    """An answer in pieces, which are made as they are sent."""

    pieces: Iterator[bytes] | AsyncIterator[bytes]
    media_type: str
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)


def _answered(result: Any, adapter: TypeAdapter[Any], status: int, request: Request, house: House) -> Response:
    if isinstance(result, Response):
        return result
    if isinstance(result, Streamed):
        pieces = result.pieces
        if isinstance(pieces, Iterator):
            context = contextvars.copy_context()  # on whose behalf, and until when, also while it is sent
            pieces = house.pool.each(pieces, context)
        return StreamingResponse(pieces, media_type=result.media_type, headers=dict(result.headers))
    told = result if isinstance(result, Answer) else Answer(result, status)
    if told.status == 204:
        return Response(status_code=204, headers=dict(told.headers))
    body = adapter.dump_json(told.document)
    headers = dict(told.headers)
    if request.method == "GET" and told.status == 200:
        headers["etag"] = tag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
        if _matches(request.headers.get("if-none-match"), tag):
            return Response(status_code=304, headers=headers)
    return Response(body, told.status, headers, JSON)


def _shown_again(answer: Response, request: Request) -> Response:
    tag = answer.headers["etag"]
    if _matches(request.headers.get("if-none-match"), tag):
        return Response(status_code=304, headers={"etag": tag})
    return answer


def _matches(given: str | None, tag: str) -> bool:
    """Whether a client has this state of it already (RFC 9110, 13.1.2)."""
    if given is None:
        return False
    known = [each.strip().removeprefix("W/") for each in given.split(",")]
    return "*" in known or tag in known


# --------------------------------------------------------------------------------------------------- routes

_request: ContextVar[Request] = ContextVar("rowkeeper_request")


def current_request() -> Request:
    """The request that is being carried out."""
    return _request.get()


class Governed(APIRoute):
    """Finds out who asks, before anything else of a request is looked at."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wraps FastAPI's own."""
        inner = super().get_route_handler()
        rule: Rule = self.endpoint.rule  # type: ignore[attr-defined]
        kept: bool = self.endpoint.kept  # type: ignore[attr-defined]

        async def handle(request: Request) -> Response:
            house: House = request.app.state.house
            caller = await _caller(request, house, rule)
            place, found = await _kept(request, house, caller) if kept else (None, None)
            if found is not None:
                return _shown_again(found, request)
            if house.kept is None or place is None:
                return await _made(inner, request, house, caller)
            with house.kept.making(place):
                made = await _made(inner, request, house, caller)
                house.kept.keep(place, made)
            return made

        return handle


async def _made(
    inner: Callable[[Request], Coroutine[Any, Any, Response]], request: Request, house: House, caller: Caller
) -> Response:
    token = _request.set(request)
    try:
        with within(house), acting(caller):
            return await inner(request)
    finally:
        _request.reset(token)


async def _kept(request: Request, house: House, caller: Caller) -> tuple[Place | None, Response | None]:
    """Where the answer belongs among those that are kept, and the one that is there. Raises as permissions do."""
    if house.kept is None:
        return None, None
    place = house.kept.place(request, caller) or await house.pool.run(house.kept.place, request, caller, waiting=True)
    return place, None if place is None else await house.kept.awaited(place)


async def _caller(request: Request, house: House, rule: Rule) -> Caller:
    """Raises SecurityError if nobody has signed in, RateExceeded."""
    shown = credentials_of(request)
    if rule.anybody and not (rule.known and (shown.bearer or shown.session)):
        return Caller(CallerKind.ANONYMOUS, "anonymous", address=address_of(request))
    purpose = purpose_of(request)
    caller = house.authentication.remembered(shown, purpose)
    if caller is None:
        caller = await house.pool.run(house.authentication.caller, shown, purpose)
    if shown.session is not None and shown.bearer is None and request.method not in SAFE:
        house.authentication.require_csrf(shown.session, request.headers.get(CSRF_HEADER))
    if wait := house.callers.wait(str(caller)):
        raise RateExceeded(
            f"{caller} sends more requests than it may",
            hint=f"come again in {wait:.1f} s",
            context={"retry_after": wait},
        )
    return caller


def _documented(function: Callable[..., Any]) -> Any:
    """The type of the document that a route answers with."""
    found = get_type_hints(function, include_extras=True)["return"]
    if found is Streamed or (isinstance(found, type) and issubclass(found, Response)):
        return None
    return get_args(found)[0] if get_origin(found) is Answer else found


def _carried_out(function: Callable[..., Any], rule: Rule, status: int, *, kept: bool) -> Callable[..., Any]:
    """The function as FastAPI calls it: in a thread, witnessed, its result made an answer there."""
    name = function.__name__
    adapter = TypeAdapter(_documented(function))

    def work(house: House, request: Request, given: Mapping[str, Any]) -> Response:
        with deadline(house.seconds_max), _witnessed(rule, name):
            return _answered(function(**given), adapter, status, request, house)

    @functools.wraps(function)
    async def threaded(**given: Any) -> Response:
        house = current_house()
        return await house.pool.run(work, house, current_request(), given)

    @functools.wraps(function)
    async def looped(**given: Any) -> Response:
        house = current_house()
        with deadline(house.seconds_max), _witnessed(rule, name):
            return _answered(await function(**given), adapter, status, current_request(), house)

    made: Any = looped if inspect.iscoroutinefunction(function) else threaded
    made.rule, made.kept = rule, kept
    return made  # type: ignore[no-any-return]


PROBLEM = {
    "description": "What went wrong, and what to do next (RFC 9457).",
    "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
}


class Routes:
    """The routes of a topic.

    Args:
        topic: under which the description lists them.
        prefix: of their paths.
    """

    def __init__(self, topic: str, prefix: str = "/api/v1") -> None:
        self.router = APIRouter(prefix=prefix, tags=[topic], route_class=Governed)

    @property
    def ways(self) -> list[tuple[re.Pattern[str], str]]:
        """Which paths it takes, by which methods."""
        found = [each for each in self.router.routes if isinstance(each, APIRoute)]
        return [(each.path_regex, method) for each in found for method in each.methods or ()]

    def get(self, path: str, rule: Rule, **options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """A route that shows something.

        With `kept=True` its answer may be shown again to the same caller (`Kept`): it depends on nothing but who asks,
        the ledger, the permissions and the pipelines that are declared, and leaves no entry in the audit trail.
        """
        return self._route("GET", path, rule, options)

    def post(self, path: str, rule: Rule, **options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """A route that does something."""
        return self._route("POST", path, rule, options)

    def put(self, path: str, rule: Rule, **options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """A route that makes something be so."""
        return self._route("PUT", path, rule, options)

    def delete(self, path: str, rule: Rule, **options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """A route that takes something away."""
        return self._route("DELETE", path, rule, options)

    def _route(
        self, method: str, path: str, rule: Rule, options: dict[str, Any]
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        def register(function: Callable[..., Any]) -> Callable[..., Any]:
            extra: dict[str, Any] = {"x-rowkeeper-asks": rule.action or ("anybody" if rule.anybody else "signed in")}
            if rule.anybody:
                extra["security"] = []
            responses = {"default": PROBLEM, **options.pop("responses", {})}
            options.setdefault("response_model", _documented(function))
            self.router.add_api_route(
                path,
                _carried_out(function, rule, options.get("status_code", 200), kept=options.pop("kept", False)),
                methods=[method],
                operation_id=function.__name__,
                openapi_extra=extra,
                responses=responses,
                **options,
            )
            return function

        return register
