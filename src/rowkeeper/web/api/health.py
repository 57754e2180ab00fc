"""Health and metrics: whether the server lives, whether it can do its work, and how it stands."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, Required

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from typing_extensions import TypedDict

from rowkeeper.access import of_installation
from rowkeeper.caller import current_caller
from rowkeeper.operations.health import look
from rowkeeper.operations.metrics import collect, exposed
from rowkeeper.operations.metrics.serving import of_events, of_process
from rowkeeper.web.governed import Answer, Routes, anybody, asks, whoever_signed_in
from rowkeeper.web.house import Here

LOOK_SECONDS = 300.0  # scraped by the minute, health would keep the embedded engine from going away

routes = Routes("health", prefix="")


class Alive(TypedDict):
    """The process answers."""

    status: Literal["alive"]


class Ready(TypedDict):
    """It can reach what it needs."""

    status: Literal["ready"]


class Health(TypedDict):
    """How it stands with the installation, and with this process."""

    started_at: datetime
    jobs: int
    state: str
    looked_at: datetime
    checks: list[dict[str, Any]]
    lag: list[dict[str, Any]]
    leases: list[dict[str, Any]]
    breakers: list[dict[str, Any]]
    unfinished: int
    spooled: int


class Overall(TypedDict, total=False):
    """How it stands in one word; to who may see details, each check as well."""

    state: Required[Literal["good", "warning", "bad", "unknown"]]
    looked_at: Required[datetime]
    checks: list[dict[str, Any]]


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


@routes.get(
    "/health",
    anybody("a monitor asks for one word; who may see details is shown them", known=True),
    responses={503: {"model": Overall, "description": "Something is bad, or cannot be looked at."}},
)
def overall(house: Here) -> Answer[Overall]:
    """The worst that was found, and by the status whether somebody has to see to it: 200 or 503.

    Looked at for all who ask within some seconds at once, on behalf of the server, so that asking costs little.
    """
    found = house.health.look()
    document: Overall = {"state": found.state.value, "looked_at": found.looked_at}
    if house.space.access.may("health.show", of_installation()):
        document["checks"] = [each.as_dict() for each in found.checks]
    return Answer(document, status=503 if found.state.fails else 200)


@routes.get("/api/v1/health", asks("health.show"))
def health(house: Here) -> Health:
    """Every check, the worst first; leases, breakers, what waits, what is under way."""
    found = look(house.space).as_dict()
    return {"started_at": house.started_at, "jobs": house.jobs.under_way, **found}  # type: ignore[typeddict-item]


@routes.get("/metrics", asks("metrics.show"), response_class=PlainTextResponse)
def metrics(house: Here, request: Request) -> Response:
    """What there is to count, as Prometheus reads it: its text format, or OpenMetrics where that is asked for."""
    house.health.look(LOOK_SECONDS)
    found = collect(house.space)
    served = (*of_events(house.events.read()), *of_process(house.jobs.under_way))
    told = exposed((*found, *served), request.headers.get("accept", ""))
    return Response(told.body, media_type=told.media_type)


@routes.get("/api/v1/whoami", whoever_signed_in("it is about the caller alone"))
async def whoami() -> Who:
    """On whose behalf requests with these credentials are carried out, and with which roles."""
    caller = current_caller()
    return {"caller": str(caller), "roles": sorted(caller.roles), "purpose": caller.purpose}
