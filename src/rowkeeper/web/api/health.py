"""Health and metrics: whether the server lives, whether it can do its work, and how it stands."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from starlette.responses import PlainTextResponse
from typing_extensions import TypedDict

from rowkeeper.access import of_installation
from rowkeeper.caller import current_caller
from rowkeeper.operations.health import show_health
from rowkeeper.web.governed import Routes, anybody, asks, whoever_signed_in
from rowkeeper.web.house import Here
from rowkeeper.web.metrics import MEDIA_TYPE, of_events, of_ledger, of_process, rendered

routes = Routes("health", prefix="")


class Alive(TypedDict):
    """The process answers."""

    status: Literal["alive"]


class Ready(TypedDict):
    """It can reach what it needs."""

    status: Literal["ready"]


class Health(TypedDict):
    """How it stands with what processes share, and with this one."""

    started_at: datetime
    jobs: int
    leases: list[dict[str, Any]]
    breakers: list[dict[str, Any]]
    unfinished: int
    spooled: int


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
async def ready(house: Here) -> Ready:
    """Whether the server can do its work: the ledger answers. If not, send nobody here."""
    if house.space.ledger.commits.number() is None:
        await house.pool.run(house.space.ledger.ping)
    return {"status": "ready"}


@routes.get("/api/v1/health", asks("health.show"))
def health(house: Here) -> Health:
    """Leases, breakers, what waits, what is under way."""
    found = show_health(house.space).as_dict()
    return {"started_at": house.started_at, "jobs": house.jobs.under_way, **found}  # type: ignore[typeddict-item]


@routes.get("/metrics", asks("metrics.show"), response_class=PlainTextResponse)
def metrics(house: Here) -> PlainTextResponse:
    """What there is to count, as Prometheus reads it."""
    house.space.access.require("metrics.show", of_installation())
    counted = [*of_ledger(house.space), *of_events(house.events.read()), *of_process(house.jobs.under_way)]
    return PlainTextResponse(rendered(counted), media_type=MEDIA_TYPE)


@routes.get("/api/v1/whoami", whoever_signed_in("it is about the caller alone"))
async def whoami() -> Who:
    """On whose behalf requests with these credentials are carried out, and with which roles."""
    caller = current_caller()
    return {"caller": str(caller), "roles": sorted(caller.roles), "purpose": caller.purpose}
