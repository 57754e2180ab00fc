"""One look: every rule is asked, and what they find is written down with the notices that tell of it.

One process looks at a time, under the lease `alerts`. What a rule finds is found before the ledger's transaction; what
follows from it (who fires, who is told) is decided inside, by what stands then.
"""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import ClassVar

from rowkeeper.errors import FrameworkError
from rowkeeper.ledger import Lease
from rowkeeper.ledger.alerts import Alert, Kind, Notice, Severity, Standing, State, Step
from rowkeeper.logs import failure, logger
from rowkeeper.logs.secrets import scrubbed
from rowkeeper.operations.alerts.declaring import Declared, Watchdog
from rowkeeper.operations.alerts.machine import Looked, advance
from rowkeeper.operations.alerts.notifying import notices
from rowkeeper.operations.alerts.rule import Finding, Rule, View
from rowkeeper.operations.alerts.windows import silenced_by
from rowkeeper.resilience.failpoints import failpoint
from rowkeeper.runs.workspace import Workspace

WATCHDOG = "watchdog"
TOLD_MAX = 500  # signs of a sentence: what is told is short
NewId = Callable[[], str]

log = logger("alerts")


def new_id() -> str:
    """32 hex digits that nobody has had."""
    return uuid.uuid4().hex


def look_at_rules(space: Workspace, declared: Declared, lease: Lease, now: datetime, *, ids: NewId = new_id) -> Step:
    """Asks every rule, and writes down what follows. Raises LeaseLost, DatabaseError.

    A rule that cannot be looked at changes nothing, and is an alert of its own (`rules-unseen`).
    """
    view = View(space, now)
    asked = [_ask(rule, view) for rule in declared.rules]
    unseen = {looked.rule.name: why for looked, why in asked if why}
    looked = [*(each for each, _ in asked), _unseen(unseen)]
    failpoint("alerts.after_rules")

    def decide(before: Standing) -> Step:
        return decided(before, looked, declared, now, unseen=unseen, ids=ids)

    step = space.ledger.alerts.step(lease, decide)
    _log(step, now)
    return step


def decided(
    before: Standing,
    looked: Sequence[Looked],
    declared: Declared,
    now: datetime,
    *,
    unseen: dict[str, str],
    ids: NewId,
) -> Step:
    """What follows from what the rules found. Pure."""

    def silenced(labels: Mapping[str, str]) -> str:
        return silenced_by(labels, declared.windows, before.silences, now)

    after = advance(before.alerts, looked, now, silenced=silenced, new_id=ids)
    told, made = notices(after, declared.routes, before.waiting, now, ids)
    watchdog = [] if declared.watchdog is None else list(_watchdogs(declared.watchdog, before, now, ids))
    return Step(tuple(told), (*made, *watchdog), unseen, now)


UNSEEN = "rules-unseen"


@dataclasses.dataclass(frozen=True, slots=True)
class _Unseen:
    """The condition that a rule cannot be looked at; it is found by looking at the others."""

    word: ClassVar[str] = "unseen"

    def find(self, view: View) -> Iterator[Finding]:
        raise NotImplementedError


def _unseen(unseen: dict[str, str]) -> Looked:
    rule = Rule(UNSEEN, _Unseen(), Severity.WARNING, holds_for=timedelta(minutes=10))
    found = (Finding(name, f"rule {name} could not be looked at: {why}") for name, why in unseen.items())
    return Looked(rule, tuple(found))


def _ask(rule: Rule, view: View) -> tuple[Looked, str]:
    """What a rule finds; and why it could not be looked at."""
    try:
        found = {each.subject: _short(each) for each in rule.condition.find(view)}
    except FrameworkError as error:
        log.warning("rule not looked at", rule=rule.name, **failure(error))
        return Looked(rule, None), (error.code if error.quotes else f"{error.what} ({error.code})")[:TOLD_MAX]
    except OSError as error:
        log.warning("rule not looked at", rule=rule.name, **failure(error))
        return Looked(rule, None), error.strerror or type(error).__name__
    return Looked(rule, tuple(found.values())), ""


def _short(finding: Finding) -> Finding:
    """In one line, without secrets that are known here."""
    told, mend = (scrubbed(" ".join(text.split()))[:TOLD_MAX] for text in (finding.told, finding.mend))
    return dataclasses.replace(finding, told=told, mend=mend)


def _watchdogs(watchdog: Watchdog, before: Standing, now: datetime, ids: NewId) -> Iterable[Notice]:
    for route in watchdog.to:
        last = before.watchdogs.get(route)
        if last is None or now - last >= watchdog.every:
            yield Notice(ids(), route, Kind.WATCHDOG, {"rule": WATCHDOG}, (watchdog_alert(now),), now)


def watchdog_alert(now: datetime) -> dict[str, object]:
    """The alert that always fires. Its id is the same for good, so that one receiver has one of it."""
    told = "somebody looks at the rules of this installation; when this is no longer sent, nobody does"
    return spoken(WATCHDOG, told, now)


def spoken(rule: str, told: str, now: datetime) -> dict[str, object]:
    """The document of an alert that no rule found."""
    labels = {"rule": rule, "severity": Severity.INFO.value, "condition": rule, "subject": ""}
    always = Alert(rule.ljust(32, "0"), rule, "", Severity.INFO, labels, told, "", since=now, fired_at=now)
    return always.as_dict()


def _log(step: Step, now: datetime) -> None:
    """What turned in this look."""
    for alert in step.alerts:
        facts = {"rule": alert.rule, "subject": alert.subject, "severity": alert.severity.value, "what": alert.told}
        if alert.resolved_at == now:
            log.info("alert over", **facts)
        elif alert.fired_at == now:
            put = log.info if alert.state is State.SILENCED or alert.severity is Severity.INFO else log.warning
            put("alert fires", **facts)
