"""Every route for every role, by enumeration of the router: a route that nobody has thought about fails here."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from rowkeeper.web.api import ROUTES
from rowkeeper.web.app import made_app
from rowkeeper.web.governed import Routes, Rule, asks
from tests.web.site import ROLES, Site

# What anybody may ask for without having signed in: written down a second time, so that a new one has to be meant.
OPEN = {
    "GET /health",
    "GET /health/live",
    "GET /health/ready",
    "POST /api/v1/login",
    "POST /api/v1/first-user",
    "GET /api/v1/oidc/start",
    "GET /api/v1/oidc/callback",
}
# The same for what roles may do: a policy that changes has to be meant as well.
VIEWER = {"health.show", "alert.list", "metrics.show", "pipeline.show", "profile.show", "run.show", "data.query"}
RUNNING = {
    "alert.change",
    "pipeline.run",
    "schedule.change",
    "run.resume",
    "run.publish",
    "run.rollback",
    "staging.discard",
    "spool.drain",
}
KEEPING = {"key.list", "key.change", "user.list", "user.change", "audit.list", "event.list"}
MAY: dict[str, set[str]] = {
    "none": set(),
    "viewer": VIEWER,
    "operator": VIEWER | RUNNING | {"pipeline.verify", "staging.show", "quarantine.show"},
    "steward": VIEWER | {"pipeline.verify", "staging.show", "quarantine.show", "quarantine.replay"},
    "security-officer": {"health.show", "alert.list"} | KEEPING,
    "admin": VIEWER | RUNNING | {"pipeline.verify", "staging.show", "quarantine.show", "quarantine.replay"} | KEEPING,
}  # fmt: skip

# Requests that fit what is described, about things that are not there: whoever may do it to any is told so.
PLACES = {"{run}": "999", "{name}": "nothing", "{id}": "j_0123456789abcdef", "{purpose}": "samples", "{role}": "viewer"}
PLACES |= {"{number}": "0", "/keys/j_0123456789abcdef": "/keys/00000000", "/tokens/j_": "/tokens/t_"}
PLACES |= {"/sessions/j_": "/sessions/s_"}
PLACES |= {"/alerts/j_0123456789abcdef": f"/alerts/{0:032}", "/alerts/silences/0": "/alerts/silences/999"}
BODIES: dict[str, Any] = {
    "/api/v1/users": {"name": "nobody", "roles": ["no-such-role"]},
    "/api/v1/query": {"sql": "SELECT 1"},
    "/api/v1/query/stream": {"sql": "SELECT 1"},
    "/api/v1/audit/verify": {},
    "/api/v1/alerts/{id}/ack": {},
    "/api/v1/alerts/silences": {"match": ["rule=x"], "until": "2001-01-01T00:00:00Z", "reason": "x"},
    "/api/v1/users/{name}/password": {"new": "x"},
    "/api/v1/users/{name}/tokens": {"label": "x"},
}


def every_route() -> list[APIRoute]:
    return [each for routes in ROUTES for each in routes.router.routes if isinstance(each, APIRoute)]


def name_of(route: APIRoute) -> str:
    [method] = route.methods
    return f"{method} {route.path}"


def rule_of(route: APIRoute) -> Rule:
    return route.endpoint.rule  # type: ignore[attr-defined]


def asked(client: httpx.Client, route: APIRoute) -> httpx.Response:
    [method] = route.methods
    path = route.path
    for word, meant in PLACES.items():
        path = path.replace(word, meant)
    body = BODIES.get(route.path, {"reason": "a test"}) if method in ("POST", "PUT") else None
    return client.request(method, path, json=body)


def test_every_route_has_a_rule():
    """What the application answers to is what these tests enumerate, and nothing else."""
    served = {f"{method.upper()} {path}" for path, ways in made_app(None).openapi()["paths"].items() for method in ways}
    assert served == {name_of(each) for each in every_route()}
    assert all(isinstance(rule_of(each), Rule) for each in every_route())


def test_what_is_open_to_anybody_is_what_was_meant():
    """A route that is reached without signing in has a reason, and stands in this file too."""
    found = {name_of(each) for each in every_route() if rule_of(each).anybody}
    assert found == OPEN
    assert all(rule_of(each).why for each in every_route() if rule_of(each).action is None)


@pytest.mark.parametrize("route", every_route(), ids=name_of)
def test_nobody_reaches_a_route_without_signing_in(site: Site, route: APIRoute):
    """The unauthenticated control plane: there is none, whatever is shown that is no credential."""
    with site.client() as client:
        for shown in ({}, {"authorization": "Bearer rkt_nonsense"}, {"cookie": "__Host-rowkeeper=nonsense"}):
            client.headers.update(shown)
            answer = asked(client, route)
            rule = rule_of(route)
            expected = rule.anybody and not (rule.known and shown)  # one that knows its callers wants no nonsense
            assert (answer.status_code != 401) == expected, answer.text
            assert expected or answer.json()["code"] in ("RK-6080", "RK-6081")


@pytest.mark.in_turns("routes and roles", 80)
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("route", every_route(), ids=name_of)
def test_a_role_may_do_what_its_policy_says(site: Site, route: APIRoute, role: str):
    """And is refused everything else; lists are not refused, but show nothing that may not be seen."""
    rule = rule_of(route)
    with site.client(role) as client:
        answer = asked(client, route)
    refused = rule.action is not None and not rule.each and rule.action not in MAY[role]
    assert (answer.status_code == 403) == refused, answer.text
    says_bad = route.path == "/health" and answer.status_code == 503  # of an installation where something is bad
    assert answer.status_code < 500 or says_bad, answer.text


@pytest.mark.parametrize("path", ["/runs", "/pipelines", "/quarantine", "/users", "/keys", "/jobs", "/schedules"])
def test_whoever_may_see_nothing_has_empty_lists(site: Site, path: str):
    """Somebody without a role, asking for what is there."""
    with site.client("none") as client, site.client("admin") as admin:
        [shown] = [each for each in client.get(f"/api/v1{path}").json().values() if isinstance(each, list)]
        [all_of_it] = [each for each in admin.get(f"/api/v1{path}").json().values() if isinstance(each, list)]
    assert shown == []
    assert all_of_it or path in ("/jobs", "/schedules")


def test_a_route_without_a_rule_cannot_be_made():
    """Not even by FastAPI's own decorator on the same router."""
    routes = Routes("tests")
    with pytest.raises(AttributeError, match="rule"):

        @routes.router.get("/forgotten")
        def forgotten() -> int:
            return 1

    with pytest.raises(AssertionError, match=r"run\.nonsense"):
        asks("run.nonsense")


def test_a_route_that_does_not_ask_answers_nothing(own_app):
    """Its function forgot to: the answer is an error, and what it had found is not in it."""
    answer = own_app("forgets", asks("run.show"), lambda: {"secret": "found"})
    assert answer.status_code == 500
    assert answer.json()["code"] == "RK-9001"
    assert "found" not in answer.text


@pytest.fixture
def own_app(site: Site):
    """An application with one route more, over a house of its own, asked within this process."""
    import asyncio
    from datetime import UTC, datetime

    from rowkeeper.caller import Caller, CallerKind
    from rowkeeper.web.governed import Witness
    from rowkeeper.web.house import House
    from rowkeeper.web.pool import Pool
    from rowkeeper.web.rates import Rates

    class Everybody:
        def remembered(self, _credentials: object, _purpose: str | None = None) -> Caller:
            return Caller(CallerKind.USER, "viewer", roles=frozenset({"viewer"}))

    def ask(name: str, rule: Rule, function: Any) -> httpx.Response:
        def answer() -> dict[str, Any]:
            return function()

        routes = Routes("tests")
        routes.get(f"/{name}", rule)(answer)
        with site.opened() as space:
            space.access.permissions = Witness(space.access.permissions)
            pool = Pool(1)
            nothing: Any = None
            rest = (nothing, nothing, nothing, nothing, datetime.now(UTC), nothing)
            house: Any = House(space, Everybody(), pool, Rates(1000), 5.0, *rest)  # type: ignore[arg-type]
            app: FastAPI = made_app(house, [routes])

            async def get() -> httpx.Response:
                transport = httpx.ASGITransport(app)
                async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                    return await client.get(f"/api/v1/{name}")

            try:
                return asyncio.run(get())
            finally:
                pool.close()

    return ask
