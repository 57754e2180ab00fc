"""Security events: the audit trail as OCSF has it, and what stands out in it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Annotated, Any

from fastapi import Query
from pydantic import AwareDatetime, BeforeValidator, PlainValidator, WithJsonSchema
from typing_extensions import TypedDict

from rowkeeper.ledger.audit import Outcome
from rowkeeper.ledger.audit.listing import Wanted
from rowkeeper.operations.events import CLASSES, EventClass, SecurityEvent, export_events, newest_events
from rowkeeper.web.api.paging import LIMIT, Limit
from rowkeeper.web.api.queries import JSON_LINES
from rowkeeper.web.governed import Routes, Streamed, asks
from rowkeeper.web.house import Space

EVENTS_AT_A_TIME = 500
routes = Routes("events")

# As RFC 3339 writes it. Pydantic alone takes numbers, too.
WRITTEN = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})", re.IGNORECASE)


def _written(given: Any) -> Any:
    if isinstance(given, str) and not WRITTEN.fullmatch(given):
        raise ValueError("a time is written like 2026-11-26T08:00:00Z")
    return given


Moment = Annotated[AwareDatetime, BeforeValidator(_written)]
Since = Annotated[Moment | None, Query(description="Only from then on.")]
Until = Annotated[Moment | None, Query(description="Only before then.")]


def _a_class(given: str) -> EventClass:
    if given not in CLASSES:
        raise ValueError(f"a class is one of {', '.join(CLASSES)}")
    return CLASSES[given]


ClassWord = Annotated[
    EventClass,
    PlainValidator(_a_class, json_schema_input_type=str),
    WithJsonSchema({"enum": list(CLASSES), "type": "string"}),
]


class EventList(TypedDict):
    """Events of OCSF 1.5.0 in the order of the trail, the newest last."""

    events: list[dict[str, Any]]


@routes.get("/events", asks("event.list"))
def show_events(  # noqa: PLR0917 - FastAPI hands them over by name
    space: Space,
    limit: Limit = LIMIT,
    event_class: Annotated[ClassWord | None, Query(alias="class", description="Only of this class.")] = None,
    outcome: Annotated[Outcome | None, Query(description="Only with this outcome.")] = None,
    since: Since = None,
    until: Until = None,
) -> EventList:
    """The newest security events, and detections among them."""
    wanted = Wanted(since=since, until=until, outcome=outcome)
    found = newest_events(space, limit, wanted, event_class)
    return {"events": [dict(each.document) for each in found]}


@routes.get(
    "/events/export",
    asks("event.list"),
    responses={200: {"description": "An event in each line.", "content": {JSON_LINES: {}}}},
)
def export_all_events(space: Space, since: Since = None, until: Until = None) -> Streamed:
    """All security events as JSON lines, in the order of the trail."""
    return Streamed(_lines(export_events(space, Wanted(since=since, until=until))), JSON_LINES)


def _lines(events: Iterable[SecurityEvent]) -> Iterator[bytes]:
    left = iter(events)
    while some := list(islice(left, EVENTS_AT_A_TIME)):
        yield "".join(json.dumps(each.document, ensure_ascii=False, default=str) + "\n" for each in some).encode()
