"""Health: whether the server lives, whether it can do its work, and what it is at."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict

from rowkeeper.caller import current_caller
from rowkeeper.web.governed import Routes, anybody, whoever_signed_in
from rowkeeper.web.house import Space

routes = Routes("health", prefix="")


class Alive(TypedDict):
    """The process answers."""

    status: Literal["alive"]


class Ready(TypedDict):
    """It can reach what it needs."""

    status: Literal["ready"]


class Who(TypedDict):
    """On whose behalf a request is carried out."""

    caller: str
    roles: list[str]
    purpose: str | None


@routes.get("/health/live", anybody("a supervisor asks, and learns nothing else"))
async def live() -> Alive:
    """Whether the process answers: if not, restart it."""
    return {"status": "alive"}


@routes.get("/health/ready", anybody("a supervisor or a balancer asks, and learns nothing else"))
def ready(space: Space) -> Ready:
    """Whether the server can do its work: the ledger answers. If not, send nobody here."""
    space.ledger.schema()
    return {"status": "ready"}


@routes.get("/api/v1/whoami", whoever_signed_in("it is about the caller alone"))
def whoami() -> Who:
    """On whose behalf requests with these credentials are carried out, and with which roles."""
    caller = current_caller()
    return {"caller": str(caller), "roles": sorted(caller.roles), "purpose": caller.purpose}
