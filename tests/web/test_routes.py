"""Every route for every role, by enumeration of the router: a route that nobody has thought about fails here."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute

from rowkeeper.access.actions import ACTIONS
from rowkeeper.web.api import ROUTES
from rowkeeper.web.governed import Governed, Routes, Rule
from tests.web.site import ROLES, Site

OPEN = {"/health/live", "/health/ready"}  # and what signs people in
SIGNING_IN = ("/api/v1/login", "/api/v1/oidc", "/api/v1/first-user")

# What each role may ask for, written down a second time: a policy or a rule that changes has to be meant.
EVERYBODY = {None}
VIEWER = {"health.show", "metrics.show", "pipeline.show", "profile.show", "run.show", "data.query"}
OPERATOR = VIEWER | {
    "pipeline.run", "pipeline.verify", "run.resume", "run.publish", "run.rollback", "staging.show", "staging.discard",
    "spool.drain", "quarantine.replay",
}  # fmt: skip


def every_route() -> list[APIRoute]:
    return [route for routes in ROUTES for route in routes.router.routes if isinstance(route, APIRoute)]


def rule_of(route: APIRoute) -> Rule:
    return route.endpoint.rule  # type: ignore[attr-defined]


def method_of(route: APIRoute) -> str:
    [method] = route.methods
    return method


PATHS = {
    "{run}": "1", "{name}": "orders", "{id}": "j_0123456789abcdef", "{purpose}": "samples", "{number}": "0",
    "{role}": "viewer",
}  # fmt: skip
BODIES: dict[str, Any] = {
    "/api/v1/users": {"name": "somebody", "roles": []},
    "/api/v1/query": {"sql": "SELECT 1"},
    "/api/v1/audit/verify": {},
}


def asked(client: httpx.Client, route: APIRoute) -> httpx.Response:
    """A request that fits the route's description, about what is there or is not."""
    path = route.path
    for name, value in PATHS.items():
        path = path.replace(name, value)
    if path.startswith("/api/v1/users/orders"):
        path = path.replace("/users/orders", "/users/nobody-of-that-name")
    if path.startswith("/api/v1/keys/j_"):
        path = path.replace("j_0123456789abcdef", "00000000")
    body = None if method_of(route) in ("GET", "DELETE") else BODIES.get(route.path, {"reason": "a test"})
    return client.request(method_of(route), path, json=body)
