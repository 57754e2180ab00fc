"""Answers that are kept: each is what would be found anew, whatever has changed, and whoever asks."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

import rowkeeper as rk
from rowkeeper.caller import Caller, CallerKind
from rowkeeper.runs.workspace import Workspace
from rowkeeper.web.api import ROUTES
from rowkeeper.web.kept import Kept
from rowkeeper.web.serving import Serving
from tests.web.site import Site

ANN = Caller(CallerKind.USER, "ann", roles=frozenset({"viewer"}))


def request(path: str, query: str = "") -> Request:
    return Request({"type": "http", "method": "GET", "path": path, "query_string": query.encode(), "headers": []})


class World:
    """Something that answers depend on."""

    state: tuple[object, ...] | None = (1,)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def kept(world: World) -> Kept:
    return Kept(lambda waiting: world.state, bytes_max=100)


def had(kept: Kept, path: str, caller: Caller = ANN, query: str = "") -> bytes | None:
    place = kept.place(request(path, query), caller)
    found = None if place is None else kept.find(place)
    return None if found is None else found.body


def put(kept: Kept, path: str, body: bytes = b"{}", caller: Caller = ANN) -> None:
    place = kept.place(request(path), caller)
    if place is not None:
        kept.keep(place, Response(body))


def test_an_answer_that_is_being_made_is_waited_for_and_not_made_twice(kept: Kept) -> None:
    """Of requests for the same thing that come while it is made, one makes it, and all have its answer."""

    async def work() -> None:
        place = kept.place(request("/runs"), ANN)
        assert place is not None
        with kept.making(place):
            others = [asyncio.ensure_future(kept.awaited(place)) for _ in range(3)]
            await asyncio.sleep(0)
            assert not any(other.done() for other in others)
            kept.keep(place, Response(b"{}"))
        assert [found.body for found in await asyncio.gather(*others) if found is not None] == [b"{}"] * 3

    asyncio.run(work())


def test_one_that_came_to_nothing_leaves_nobody_waiting(kept: Kept) -> None:
    """Whoever waited for an answer that was an error goes on to make one."""

    async def work() -> None:
        place = kept.place(request("/runs"), ANN)
        assert place is not None
        with contextlib.suppress(ZeroDivisionError), kept.making(place):
            other = asyncio.ensure_future(kept.awaited(place))
            await asyncio.sleep(0)
            assert not other.done()
            raise ZeroDivisionError
        assert await other is None

    asyncio.run(work())


def test_an_answer_of_another_state_is_not_waited_for(kept: Kept, world: World) -> None:
    """What is made of a former state is not what is asked for now."""

    async def work() -> None:
        former = kept.place(request("/runs"), ANN)
        world.state = (2,)
        place = kept.place(request("/runs"), ANN)
        assert former is not None
        assert place is not None
        with kept.making(former):
            assert await asyncio.wait_for(kept.awaited(place), 1) is None

    asyncio.run(work())


def test_an_answer_is_found_by_path_and_query(kept: Kept):
    """And not by another of them."""
    put(kept, "/a", b"one")
    assert [had(kept, "/a"), had(kept, "/b"), had(kept, "/a", query="limit=1")] == [b"one", None, None]


@pytest.mark.parametrize(
    "other",
    [
        Caller(CallerKind.USER, "bob", roles=frozenset({"viewer"})),
        Caller(CallerKind.SERVICE, "ann", roles=frozenset({"viewer"})),
        Caller(CallerKind.USER, "ann", roles=frozenset({"viewer", "admin"})),
        Caller(CallerKind.USER, "ann", roles=frozenset({"viewer"}), purpose="billing"),
        Caller(CallerKind.USER, "ann", roles=frozenset({"viewer"}), limited=True),
    ],
)
def test_an_answer_is_of_one_caller(kept: Kept, other: Caller):
    """Whatever distinguishes callers before permissions distinguishes their answers."""
    put(kept, "/a")
    assert had(kept, "/a", other) is None


def test_an_answer_of_another_state_is_gone(kept: Kept, world: World):
    """Also when the former state comes again, as nobody would know what happened in between."""
    put(kept, "/a")
    world.state = (2,)
    assert had(kept, "/a") is None
    put(kept, "/b")
    world.state = (1,)
    assert had(kept, "/a") is None


def test_an_answer_belongs_to_the_state_before_it_was_made(kept: Kept, world: World):
    """What changes while an answer is made may be in it or not: it is not shown again."""
    place = kept.place(request("/a"), ANN)
    assert place is not None
    world.state = (2,)
    kept.keep(place, Response(b"{}"))
    assert had(kept, "/a") is None


def test_nothing_is_kept_of_a_state_that_is_not_known(kept: Kept, world: World):
    """Nor shown."""
    put(kept, "/a")
    world.state = None
    assert had(kept, "/a") is None


def test_what_is_kept_is_bounded(kept: Kept):
    """The oldest goes."""
    for number in range(10):
        put(kept, f"/{number}", b"x" * 30)
    assert [had(kept, f"/{number}") is not None for number in (6, 7, 8, 9)] == [False, True, True, True]


def test_refusals_and_streams_are_not_kept(kept: Kept):
    """What is not whole cannot be shown again, and a refusal leaves its entry each time."""
    place = kept.place(request("/a"), ANN)
    assert place is not None
    for each in (Response(b"{}", 403), Response(b"", 304), StreamingResponse(iter([b"x"]))):
        kept.keep(place, each)
        assert kept.find(place) is None


# -------------------------------------------------------------------------------------------- with a server


@pytest.fixture
def space(tmp_path: Path) -> Iterator[Workspace]:
    settings = rk.Settings(home=tmp_path / "state", key_file=tmp_path / "the.key", server_address="127.0.0.1:0")
    with Workspace.open(settings) as opened:
        yield opened


@asynccontextmanager
async def asking(space: Workspace, token: str) -> AsyncIterator[tuple[httpx.AsyncClient, list[str]]]:
    """A client of the whole application, and the paths of the answers that were made for it, in order."""
    serving = Serving(space, [], str)
    made: list[str] = []
    run = serving.house.pool.run

    async def counted(work: Any, *args: Any, **kwargs: Any) -> Any:
        if len(args) == 3:  # the work of a route, and not a look at who asks
            made.append(args[1].scope["path"])
        return await run(work, *args, **kwargs)

    serving.house.pool.run = counted  # type: ignore[method-assign]
    transport = httpx.ASGITransport(serving.front)  # type: ignore[arg-type]
    headers = {"authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(transport=transport, base_url="https://127.0.0.1", headers=headers) as client:
        yield client, made
    serving.house.pool.close()


def token_of(space: Workspace, name: str, *roles: str) -> str:
    space.ledger.users.add(name, roles=frozenset(roles))
    return space.authentication.accounts.make_token(name, "tests", timedelta(hours=1)).text


RUNS = "/api/v1/runs"


@pytest.mark.of_sqlite("other databases have no data_version, and answers are not kept")
def test_an_answer_is_made_once_while_nothing_changes(space: Workspace):
    """And anew after anything was committed to the ledger; a client that has it is told that it has."""

    async def ask() -> None:
        async with asking(space, token_of(space, "ann", "viewer")) as (client, made):
            answers = [await client.get(RUNS) for _ in range(12)]
            assert {each.status_code for each in answers} == {200}
            assert len(made) <= 4  # the first ones look at the rules, and note that the token was seen
            tag = answers[-1].headers["etag"]
            again = await client.get(RUNS, headers={"if-none-match": tag})
            assert (again.status_code, again.headers["etag"], again.content) == (304, tag, b"")
            made.clear()
            space.ledger.users.add("bob")
            assert [(await client.get(RUNS)).status_code for _ in range(2)] == [200, 200]
            assert made

    asyncio.run(ask())


@pytest.mark.of_sqlite("answers are not kept elsewhere; looks into its file")
def test_routes_whose_answers_are_kept_leave_no_entry_and_change_nothing(site: Site):
    """Otherwise the second reader of an answer would be missing from the trail."""
    kept = [
        each
        for routes in ROUTES
        for each in routes.router.routes
        if isinstance(each, APIRoute) and each.endpoint.kept  # type: ignore[attr-defined]
    ]
    assert kept
    with site.client("admin") as client:
        run = client.get(RUNS).json()["runs"][-1]["run"]
        client.get("/api/v1/whoami")  # the token is seen
        for each in kept:
            before = changes(site)
            answer = client.get(each.path.replace("{run}", str(run)))
            assert (answer.status_code, changes(site)) == (200, before), each.path


def changes(site: Site) -> tuple[Any, ...]:
    with sqlite3.connect(site.arena.home / "ledger.sqlite") as ledger:
        return ledger.execute("SELECT count(*), max(number) FROM audit_entries").fetchone()
