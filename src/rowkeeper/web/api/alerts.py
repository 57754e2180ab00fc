"""Alerts: what needs somebody, acknowledged and silenced. Looking at rules is the worker's, or a command's."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, cast

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from rowkeeper.operations import alerts as alerting
from rowkeeper.web.api.events import Moment
from rowkeeper.web.api.paging import NUMBER_MAX
from rowkeeper.web.governed import Answer, Routes, asks
from rowkeeper.web.house import Space

routes = Routes("alerts")


class AlertDocument(TypedDict):
    """One alert."""

    id: str
    rule: str
    subject: str
    severity: str
    state: str
    labels: dict[str, str]
    told: str
    mend: str
    since: datetime
    fired_at: datetime | None
    resolved_at: datetime | None
    acknowledged_at: datetime | None
    acknowledged_by: str
    note: str
    silenced_by: str


class SilenceDocument(TypedDict):
    """What nobody wants to be told."""

    number: int
    match: list[str]
    reason: str
    who: str
    made_at: datetime
    until: datetime
    ended_at: datetime | None


class Undelivered(TypedDict):
    """Notices that wait."""

    route: str
    since: datetime
    notices: int
    error: str


class AlertList(TypedDict):
    """Alerts as they were at the last look, and silences as they are."""

    alerts: list[AlertDocument]
    silences: list[SilenceDocument]
    looked_at: datetime | None
    unseen: dict[str, str]
    undelivered: list[Undelivered]


class Acknowledgement(BaseModel):
    """What is done about it."""

    model_config = ConfigDict(extra="forbid")
    note: Annotated[str, Field(max_length=1000)] = ""


class NewSilence(BaseModel):
    """Of which alerts nobody is told, until when, and why."""

    model_config = ConfigDict(extra="forbid")
    match: Annotated[list[Annotated[str, Field(min_length=1, max_length=300)]], Field(min_length=1, max_length=20)]
    until: Moment
    reason: Annotated[str, Field(min_length=1, max_length=1000)]


AlertId = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$", description="The id of an alert.")]
Number = Annotated[int, Path(ge=1, le=NUMBER_MAX, description="The number of a silence.")]


@routes.get("/alerts", asks("alert.list"))
def show_alerts(
    space: Space, over: Annotated[bool, Query(description="Those that are over, too: the newest.")] = False
) -> AlertList:
    """Open alerts and silences, whether anybody looks, and what could not be delivered."""
    return cast("AlertList", _typed(alerting.list_alerts(space, over=over).as_dict()))


@routes.post("/alerts/{id}/ack", asks("alert.change"))
def acknowledge_alert(space: Space, id: AlertId, given: Acknowledgement) -> AlertDocument:
    """Says that the caller sees to it: it is neither repeated nor escalated until it is over."""
    return cast("AlertDocument", _typed(alerting.acknowledge(space, id, given.note).as_dict()))


@routes.post("/alerts/silences", asks("alert.change"), status_code=201)
def make_silence(space: Space, silence: NewSilence) -> Answer[SilenceDocument]:
    """Tells nobody of alerts that match, until then."""
    made = alerting.silence(space, silence.match, silence.until.astimezone(UTC), silence.reason)
    return Answer(cast("SilenceDocument", _typed(made.as_dict())), 201)


@routes.delete("/alerts/silences/{number}", asks("alert.change"), status_code=204, response_model=None)
def end_silence(space: Space, number: Number) -> Answer[None]:
    """Takes a silence back."""
    alerting.unsilence(space, number)
    return Answer(None, 204)


TIMES = ("since", "fired_at", "resolved_at", "acknowledged_at", "made_at", "until", "ended_at", "looked_at")


def _typed(document: Any) -> Any:
    """The document with its times as such, which the command line has as text."""
    if isinstance(document, dict):
        return {name: _time(value) if name in TIMES else _typed(value) for name, value in document.items()}
    return [_typed(each) for each in document] if isinstance(document, list) else document


def _time(value: Any) -> Any:
    return datetime.fromisoformat(value) if isinstance(value, str) else value
