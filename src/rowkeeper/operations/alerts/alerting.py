"""What `rowkeeper alerts`, the worker and the API do: look, send, list, silence, acknowledge, test."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from rowkeeper.access import of_installation
from rowkeeper.errors import LeaseHeld, SilenceUnfit, UnknownAlert
from rowkeeper.ledger.alerts import LEASE, Alert, Delivery, Kind, Notice, SilenceRecord, Step
from rowkeeper.ledger.ledger import utc_now
from rowkeeper.nearest import one_of
from rowkeeper.operations.alerts.declaring import Declared
from rowkeeper.operations.alerts.looking import look_at_rules, new_id, spoken
from rowkeeper.operations.alerts.matching import Matcher, Unmatched
from rowkeeper.operations.alerts.route import Route
from rowkeeper.operations.alerts.sending import Sender, Sent, told
from rowkeeper.operations.alerts.turn import is_wanted
from rowkeeper.runs.workspace import Workspace

LEASE_SECONDS = 120.0  # longer than one notice takes, with all its tries
OVER_MAX = 50
REASON_MAX = 1000


@dataclasses.dataclass(frozen=True, slots=True)
class Looked:
    """What one look came to.

    Attributes:
        busy: another process looks now, or has just looked; nothing was done.
        step: what it found; None if it was busy.
        sent: the notices that were brought, or not.
    """

    busy: bool
    step: Step | None = None
    sent: tuple[Sent, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The JSON document."""
        if self.step is None:
            return {"busy": True, "alerts": [], "unseen": {}, "sent": []}
        return {
            "busy": self.busy,
            "alerts": [each.as_dict() for each in self.step.alerts],
            "unseen": dict(self.step.unseen),
            "sent": [each.as_dict() for each in self.sent],
        }


@dataclasses.dataclass(frozen=True, slots=True)
class Listed:
    """How it stands with alerts.

    Attributes:
        alerts: the open ones; with `over`, those that ended, too.
        looked_at: when somebody looked last; None: never.
        backlog: by route, since when and how many notices wait that could not be delivered.
    """

    alerts: tuple[Alert, ...]
    silences: tuple[SilenceRecord, ...]
    looked_at: datetime | None
    unseen: Mapping[str, str]
    backlog: tuple[tuple[str, datetime, int, str], ...]

    def as_dict(self) -> dict[str, Any]:
        """The JSON document."""
        return {
            "alerts": [each.as_dict() for each in self.alerts],
            "silences": [each.as_dict() for each in self.silences],
            "looked_at": None if self.looked_at is None else self.looked_at.isoformat(),
            "unseen": dict(self.unseen),
            "undelivered": [
                {"route": route, "since": since.isoformat(), "notices": count, "error": why}
                for route, since, count, why in self.backlog
            ],
        }


@dataclasses.dataclass(frozen=True, slots=True)
class Rules:
    """What is declared.

    Attributes:
        declared: the file with the built-in rules.
        deliveries: the newest attempts, of all routes.
    """

    declared: Declared
    deliveries: tuple[Delivery, ...]

    def as_dict(self) -> dict[str, Any]:
        """The JSON document."""
        found = self.declared
        return {
            "file": None if found.path is None else str(found.path),
            "rules": [
                {
                    "name": rule.name,
                    "condition": rule.condition.word,
                    "severity": rule.severity.value,
                    "for_seconds": rule.holds_for.total_seconds(),
                    "keep_seconds": rule.keeps_for.total_seconds(),
                }
                for rule in found.rules
            ],
            "routes": [route.as_dict() for route in found.routes],
            "windows": [
                {
                    "name": each.name,
                    "begins": each.begins.text,
                    "lasts_seconds": each.lasts.total_seconds(),
                    "match": [str(matcher) for matcher in each.matchers],
                }
                for each in found.windows
            ],
            "watchdog": None
            if found.watchdog is None
            else {"every_seconds": found.watchdog.every.total_seconds(), "to": list(found.watchdog.to)},
            "deliveries": [each.as_dict() for each in self.deliveries],
        }


def check_alerts(
    space: Workspace,
    *,
    clock: Callable[[], datetime] = utc_now,
    send: bool = True,
    automatic: bool = False,
    declared: Declared | None = None,
) -> Looked:
    """Looks at every rule now, and brings what is due to its routes. Raises AccessDenied, AlertsUnusable.

    Of several processes one does it; the others come back at once.

    Args:
        automatic: whether it comes back as well if somebody looked not long ago, and no notice is due.
    """
    space.access.require("alert.change", of_installation())
    declared = declared if declared is not None else Declared.load(space.settings.alerts_file)
    ledger, every = space.ledger, timedelta(seconds=space.settings.alerts_seconds)
    try:
        lease = ledger.acquire_lease(LEASE, LEASE_SECONDS)
    except LeaseHeld:
        return Looked(busy=True)
    try:
        if automatic and not is_wanted(ledger.alerts, every, clock()):
            return Looked(busy=True)
        step = look_at_rules(space, declared, lease, clock())
        sender = Sender(space, declared)
        sent = sender.empty(lease, clock, hold=lambda: ledger.renew_lease(lease, LEASE_SECONDS)) if send else ()
        return Looked(False, step, tuple(sent))
    finally:
        ledger.release_lease(lease)


def list_alerts(space: Workspace, *, over: bool = False) -> Listed:
    """Open alerts, silences, and whether anybody looks. Raises AccessDenied."""
    space.access.require("alert.list", of_installation())
    kept = space.ledger.alerts
    last = kept.last_look()
    found = [*kept.open(), *(kept.over(limit=OVER_MAX) if over else ())]
    silences = tuple(kept.silences(utc_now()))
    looked_at, unseen = last if last is not None else (None, {})
    return Listed(tuple(found), silences, looked_at, unseen, tuple(kept.backlog()))


def show_rules(space: Workspace) -> Rules:
    """Rules, routes, windows, and the newest deliveries. Raises AccessDenied, AlertsUnusable."""
    space.access.require("alert.list", of_installation())
    return Rules(Declared.load(space.settings.alerts_file), tuple(space.ledger.alerts.attempts(limit=20)))


def show_alert(space: Workspace, id: str) -> Alert:
    """An alert by its id, or how that begins. Raises AccessDenied, UnknownAlert."""
    space.access.require("alert.list", of_installation())
    return _alert(space, id)


def acknowledge(space: Workspace, id: str, note: str = "") -> Alert:
    """Says that somebody sees to an alert: it is not repeated, and not escalated. Raises AccessDenied, UnknownAlert."""
    space.access.require("alert.change", of_installation())
    alert = _alert(space, id)
    if not space.ledger.alerts.acknowledge(alert.id, note.strip()[:REASON_MAX]):
        raise UnknownAlert(f"alert {alert.id[:8]} is over", hint="rowkeeper alerts list shows the open ones")
    return _alert(space, alert.id)


def silence(space: Workspace, matchers: Sequence[str], until: datetime, reason: str) -> SilenceRecord:
    """Tells nobody of matching alerts until then. Raises AccessDenied, SilenceUnfit."""
    space.access.require("alert.change", of_installation())
    if not matchers:
        raise SilenceUnfit("a silence without matchers would be for everything", hint='such as "pipeline=flights"')
    try:
        parsed = tuple(str(Matcher.parse(each)) for each in matchers)
    except Unmatched as fault:
        raise SilenceUnfit(str(fault), hint=fault.hint) from None
    if until <= utc_now():
        raise SilenceUnfit("the end of the silence is past", hint="give a later one")
    if not reason.strip():
        raise SilenceUnfit("the reason is empty", hint='--reason "the source is being moved"')
    return space.ledger.alerts.silence(parsed, until, reason.strip()[:REASON_MAX])


def unsilence(space: Workspace, number: int) -> None:
    """Takes a silence back. Raises AccessDenied, UnknownAlert."""
    space.access.require("alert.change", of_installation())
    if not space.ledger.alerts.unsilence(number):
        raise UnknownAlert(f"there is no silence {number} that holds", hint="rowkeeper alerts list shows them")


def send_tests(space: Workspace, names: Sequence[str] = (), *, declared: Declared | None = None) -> list[Sent]:
    """Sends a test notice to every route, or to these, past the outbox. Raises AccessDenied, UnknownAlert."""
    space.access.require("alert.change", of_installation())
    declared = declared if declared is not None else Declared.load(space.settings.alerts_file)
    routes = _routes(declared, names)
    if not routes:
        return []
    space.ledger.alerts.note_tests(tuple(route.name for route in routes))
    sender = Sender(space, declared)
    return [_tested(space, sender, route) for route in routes]


def _tested(space: Workspace, sender: Sender, route: Route) -> Sent:
    now = utc_now()
    alert = spoken("test", "a test of this route: nothing is wrong", now)
    sent = sender.bring(Notice(new_id(), route.name, Kind.TEST, {"rule": "test"}, (alert,), now), route)
    space.ledger.alerts.note_test(sent.notice, sent.seconds, "" if sent.error is None else told(sent.error))
    return sent


def _routes(declared: Declared, names: Sequence[str]) -> list[Route]:
    known = {route.name: route for route in declared.routes}
    for name in names:
        if name not in known:
            raise UnknownAlert(f"there is no route {name!r}", hint=one_of(name, known) if known else "no file has one")
    return [route for route in declared.routes if not names or route.name in names]


def _alert(space: Workspace, id: str) -> Alert:
    found = space.ledger.alerts.find(id) if id else []
    if len(found) != 1:
        what = f"more than one alert has an id that begins with {id!r}" if found else f"there is no alert {id!r}"
        raise UnknownAlert(what, hint="rowkeeper alerts list shows their ids")
    return found[0]
